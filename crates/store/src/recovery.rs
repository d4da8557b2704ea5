//! The credentials that end after a restore, and the users and keys that are suspended until an operator confirms them.

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, Timestamp, UserId,
    api_key::ApiKey,
    principal::{HostAccess, OperatorAccess},
    user::User,
};

use crate::{
    Change, Connection, Row, StoreError, Subject,
    api_key::API_KEYS,
    connection::{FromRow, page_start},
    params,
    user::USERS,
};

/// The number of suspended objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspended {
    /// Users.
    pub users: u64,
    /// Keys that are not revoked.
    pub keys: u64,
}

/// Ends all credentials that may have been revoked since the backup was made. Bearer tokens, sessions, open
/// invitations, set-up links, challenges, replay state and nodes are deleted. Users and keys are suspended.
///
/// # Errors
/// The database does not answer.
pub async fn end_credentials(change: &mut Change) -> Result<Suspended, StoreError> {
    let now = change.now();
    change
        .execute(
            "UPDATE installation SET token_epoch = token_epoch + 1, signatures_from = $1 WHERE id = 1",
            params![now],
        )
        .await?;
    let sql = "UPDATE invitations SET revoked_at = $1 WHERE accepted_at IS NULL AND revoked_at IS NULL";
    change.execute(sql, params![now]).await?;
    // Nodes that served after the backup was made cannot report their uses any more.
    let version = change.version();
    let sql = "INSERT INTO lost_nodes (version, acknowledged_version)
               SELECT CAST($1 AS BIGINT), acknowledged_version FROM nodes WHERE acknowledged_version <= $1
               UNION SELECT CAST($1 AS BIGINT), CAST($1 AS BIGINT) - 1 FROM installation WHERE id = 1
               ON CONFLICT (version, acknowledged_version) DO NOTHING";
    change.execute(sql, params![version]).await?;
    for sql in [
        "DELETE FROM sessions",
        "DELETE FROM set_up_links",
        "DELETE FROM proof_challenges",
        "DELETE FROM replays",
        "DELETE FROM nodes",
    ] {
        change.execute(sql, params![]).await?;
    }
    change.touch(Subject::Installation);
    Ok(Suspended {
        users: change.execute("UPDATE users SET sign_in_suspended = $1", params![true]).await?,
        keys: change.execute("UPDATE api_keys SET suspended = $1 WHERE revoked_at IS NULL", params![true]).await?,
    })
}

/// Returns the number of suspended objects.
///
/// # Errors
/// The database does not answer.
pub async fn count_suspended(connection: &mut Connection) -> Result<Suspended, StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM users WHERE sign_in_suspended = $1) AS users,
                      (SELECT COUNT(*) FROM api_keys WHERE suspended = $1 AND revoked_at IS NULL) AS keys";
    let row = connection.fetch_one(sql, params![true]).await?;
    Ok(Suspended { users: row.count("users")?, keys: row.count("keys")? })
}

/// Returns the objects that [`end_credentials`] should have ended and that still exist, such as `2 keys that are not
/// suspended`. Directly after it, the list is empty.
///
/// # Errors
/// The database does not answer.
pub async fn find_remaining_credentials(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM users WHERE sign_in_suspended = $1) AS users,
                      (SELECT COUNT(*) FROM api_keys WHERE suspended = $1 AND revoked_at IS NULL) AS keys,
                      (SELECT COUNT(*) FROM sessions) AS sessions,
                      (SELECT COUNT(*) FROM set_up_links) AS set_up_links,
                      (SELECT COUNT(*) FROM proof_challenges) AS proof_challenges,
                      (SELECT COUNT(*) FROM replays) AS replays,
                      (SELECT COUNT(*) FROM invitations
                       WHERE accepted_at IS NULL AND revoked_at IS NULL) AS invitations";
    let row = connection.fetch_one(sql, params![false]).await?;
    let mut remaining = Vec::new();
    for (column, what) in [
        ("users", "users who are not suspended"),
        ("keys", "keys that are not suspended"),
        ("sessions", "sessions"),
        ("set_up_links", "set-up links"),
        ("proof_challenges", "challenges of proofs"),
        ("replays", "stored responses to signed requests"),
        ("invitations", "open invitations"),
    ] {
        let count = row.count(column)?;
        if count > 0 {
            remaining.push(format!("{count} {what}"));
        }
    }
    Ok(remaining)
}

/// A suspended key in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SuspendedKeyRow {
    /// The key.
    pub key: ApiKey,
    /// The owner's email or address.
    pub owner_email: Option<String>,
    /// Whether the owner is a suspended user.
    pub owner_suspended: bool,
}

impl FromRow for SuspendedKeyRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: ApiKey::from_row(row)?,
            owner_email: row.opt_text("owner_email")?,
            owner_suspended: row.opt_bool("owner_suspended")?.unwrap_or(false),
        })
    }
}

/// Returns suspended keys in the order of their ids, after `after`.
///
/// # Errors
/// The database does not answer, or a key cannot be read.
pub async fn list_suspended_keys(
    connection: &mut Connection,
    _: OperatorAccess,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<SuspendedKeyRow>, StoreError> {
    let sql = API_KEYS.select_with(
        "COALESCE(users.email, service_accounts.address) AS owner_email, users.sign_in_suspended AS owner_suspended",
        "LEFT JOIN users ON users.id = api_keys.owner_id
         LEFT JOIN service_accounts ON service_accounts.id = api_keys.owner_id
         WHERE api_keys.suspended = $1 AND api_keys.revoked_at IS NULL AND api_keys.id > $2
         ORDER BY api_keys.id LIMIT $3",
    );
    connection.list(sql, params![true, page_start(after), limit]).await
}

/// Returns suspended users in the order of their ids, after `after`.
///
/// # Errors
/// The database does not answer, or a user cannot be read.
pub async fn list_suspended_users(
    connection: &mut Connection,
    _: HostAccess,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<User>, StoreError> {
    let sql = USERS.select("WHERE sign_in_suspended = $1 AND id > $2 ORDER BY id LIMIT $3");
    connection.list(sql, params![true, page_start(after), limit]).await
}

/// Returns the keys of users that are not revoked, in the order of their ids.
///
/// # Errors
/// The database does not answer, or a key cannot be read.
pub async fn list_unrevoked_api_keys_of(
    connection: &mut Connection,
    users: &[UserId],
) -> Result<Vec<ApiKey>, StoreError> {
    let rows = connection.fetch_in(API_KEYS.select("WHERE revoked_at IS NULL AND owner_id"), users, "").await?;
    let mut keys = rows.iter().map(ApiKey::from_row).collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable_by_key(|key| key.id);
    Ok(keys)
}

/// Returns when users were last active according to this database, by the audit log and the use of keys. Users that
/// were never active are not in the map.
///
/// # Errors
/// The database does not answer.
pub async fn find_last_activity(
    connection: &mut Connection,
    users: &[UserId],
) -> Result<BTreeMap<UserId, Timestamp>, StoreError> {
    let sql = "SELECT id, (SELECT MAX(last_used_at) FROM api_keys WHERE owner_id = users.id) AS key_used_at,
                      (SELECT at FROM audit_events WHERE principal = users.id ORDER BY seq DESC LIMIT 1) AS logged_at
               FROM users WHERE id";
    let mut active = BTreeMap::new();
    for row in &connection.fetch_in(sql, users, "").await? {
        let last = row.opt_timestamp("key_used_at")?.max(row.opt_timestamp("logged_at")?);
        if let Some(last) = last {
            active.insert(row.parse("id")?, last);
        }
    }
    Ok(active)
}

/// Ends the suspension of the listed keys, or of all. Signatures from before now stay invalid. Returns the keys that
/// were suspended.
///
/// # Errors
/// The database does not answer.
pub async fn confirm_keys(change: &mut Change, keys: Option<&[ApiKeyId]>) -> Result<Vec<ApiKeyId>, StoreError> {
    let rows = match keys {
        Some(keys) => {
            let sql = "UPDATE api_keys SET suspended = FALSE WHERE suspended = TRUE AND revoked_at IS NULL AND id";
            change.fetch_in(sql, keys, "RETURNING id").await?
        }
        None => {
            let sql =
                "UPDATE api_keys SET suspended = FALSE WHERE suspended = TRUE AND revoked_at IS NULL RETURNING id";
            change.fetch_all(sql, params![]).await?
        }
    };
    let mut confirmed = rows.iter().map(|row| row.parse("id")).collect::<Result<Vec<ApiKeyId>, _>>()?;
    confirmed.sort_unstable();
    void_earlier_signatures(change).await?;
    for &key in &confirmed {
        change.touch(Subject::ApiKey(key));
    }
    Ok(confirmed)
}

/// Ends the suspension of the listed users, or of all. Signatures from before now stay invalid. Returns the users that
/// were suspended, in the order of their ids.
///
/// # Errors
/// The database does not answer.
pub async fn confirm_users(change: &mut Change, users: Option<&[UserId]>) -> Result<Vec<User>, StoreError> {
    let rows = match users {
        Some(users) => {
            let sql = "UPDATE users SET sign_in_suspended = FALSE WHERE sign_in_suspended = TRUE AND id";
            change.fetch_in(sql, users, "RETURNING id").await?
        }
        None => {
            let sql = "UPDATE users SET sign_in_suspended = FALSE WHERE sign_in_suspended = TRUE RETURNING id";
            change.fetch_all(sql, params![]).await?
        }
    };
    let confirmed = rows.iter().map(|row| row.parse("id")).collect::<Result<Vec<UserId>, _>>()?;
    void_earlier_signatures(change).await?;
    for &user in &confirmed {
        change.touch(Subject::User(user));
    }
    let rows = change.fetch_in(USERS.select("WHERE id"), &confirmed, "").await?;
    let mut users = rows.iter().map(User::from_row).collect::<Result<Vec<_>, _>>()?;
    users.sort_unstable_by_key(|user| user.id);
    Ok(users)
}

/// The restore lost which signed writes were executed. A write that was signed before now is therefore refused.
async fn void_earlier_signatures(change: &mut Change) -> Result<(), StoreError> {
    let now: Timestamp = change.now();
    change.execute("UPDATE installation SET signatures_from = $1 WHERE id = 1", params![now]).await?;
    change.touch(Subject::Installation);
    Ok(())
}
