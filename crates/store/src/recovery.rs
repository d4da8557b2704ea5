//! What ends with a restore, and the people and keys that are suspended until they are confirmed after one.

use domain::{ApiKeyId, AuditPrincipal, Timestamp, UserId, api_key::ApiKey, user::User};

use crate::{Change, Connection, StoreError, Subject, api_key::API_KEYS, connection::page_start, params, user::USERS};

/// How much is suspended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspended {
    /// Users.
    pub users: u64,
    /// Keys that are not revoked.
    pub keys: u64,
}

/// Ends all that may have been revoked since the backup was made: bearer tokens, sessions, open invitations, set-up links,
/// challenges, replay state and nodes are gone; users and keys are suspended.
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
    // Nodes that served after the backup was made cannot be asked what they verified.
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

/// How much is suspended now.
///
/// # Errors
/// The database does not answer.
pub async fn count_suspended(connection: &mut Connection) -> Result<Suspended, StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM users WHERE sign_in_suspended = $1) AS users,
                      (SELECT COUNT(*) FROM api_keys WHERE suspended = $1 AND revoked_at IS NULL) AS keys";
    let row = connection.fetch_one(sql, params![true]).await?;
    Ok(Suspended { users: row.count("users")?, keys: row.count("keys")? })
}

/// What [`end_credentials`] ends and is there all the same, such as `2 keys that are not suspended`; nothing, right after it.
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
        ("replays", "kept answers to signed requests"),
        ("invitations", "open invitations"),
    ] {
        let count = row.count(column)?;
        if count > 0 {
            remaining.push(format!("{count} {what}"));
        }
    }
    Ok(remaining)
}

/// Keys that wait to be confirmed, in the order of their ids, after `after`.
///
/// # Errors
/// The database does not answer, or a key cannot be read.
pub async fn list_suspended_keys(
    connection: &mut Connection,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = API_KEYS.select("WHERE suspended = $1 AND revoked_at IS NULL AND id > $2 ORDER BY id LIMIT $3");
    connection.list(sql, params![true, page_start(after), limit]).await
}

/// Users who wait to be confirmed, in the order of their ids, after `after`.
///
/// # Errors
/// The database does not answer, or a user cannot be read.
pub async fn list_suspended_users(
    connection: &mut Connection,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<User>, StoreError> {
    let sql = USERS.select("WHERE sign_in_suspended = $1 AND id > $2 ORDER BY id LIMIT $3");
    connection.list(sql, params![true, page_start(after), limit]).await
}

/// The keys of a user that are not revoked, in the order of their ids.
///
/// # Errors
/// The database does not answer, or a key cannot be read.
pub async fn list_unrevoked_api_keys_of(connection: &mut Connection, user: UserId) -> Result<Vec<ApiKey>, StoreError> {
    let sql = API_KEYS.select("WHERE owner_id = $1 AND revoked_at IS NULL ORDER BY id");
    connection.list(sql, params![user]).await
}

/// When a user did something for the last time, as far as this database knows: by the audit log, and by the use of keys.
///
/// # Errors
/// The database does not answer.
pub async fn find_last_activity(connection: &mut Connection, user: UserId) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT MAX(last_used_at) AS at FROM api_keys WHERE owner_id = $1";
    let key_use = connection.fetch_one(sql, params![user]).await?.opt_timestamp("at")?;
    let sql = "SELECT at FROM audit_events WHERE principal = $1 ORDER BY seq DESC LIMIT 1";
    let principal = AuditPrincipal::User(user).to_string();
    let logged = connection.fetch_optional(sql, params![principal]).await?;
    let logged = logged.map(|row| row.timestamp("at")).transpose()?;
    Ok(key_use.max(logged))
}

/// Lets keys work again: those of the list, or all. Signatures made before now stay void. Tells which keys.
///
/// # Errors
/// The database does not answer.
pub async fn confirm_keys(change: &mut Change, keys: Option<&[ApiKeyId]>) -> Result<Vec<ApiKeyId>, StoreError> {
    let mut confirmed = Vec::new();
    match keys {
        Some(keys) => {
            let sql = "UPDATE api_keys SET suspended = $2 WHERE id = $1 AND suspended = $3 AND revoked_at IS NULL";
            for &key in keys {
                if change.execute(sql, params![key, false, true]).await? == 1 {
                    confirmed.push(key);
                }
            }
        }
        None => {
            let sql = "UPDATE api_keys SET suspended = $1 WHERE suspended = $2 AND revoked_at IS NULL RETURNING id";
            for row in &change.fetch_all(sql, params![false, true]).await? {
                confirmed.push(row.parse("id")?);
            }
        }
    }
    void_earlier_signatures(change).await?;
    for &key in &confirmed {
        change.touch(Subject::ApiKey(key));
    }
    Ok(confirmed)
}

/// Ends the suspension of users: those of the list, or all. Signatures made before now stay void. Tells which users.
///
/// # Errors
/// The database does not answer.
pub async fn confirm_users(change: &mut Change, users: Option<&[UserId]>) -> Result<Vec<UserId>, StoreError> {
    let mut confirmed = Vec::new();
    match users {
        Some(users) => {
            let sql = "UPDATE users SET sign_in_suspended = $2 WHERE id = $1 AND sign_in_suspended = $3";
            for &user in users {
                if change.execute(sql, params![user, false, true]).await? == 1 {
                    confirmed.push(user);
                }
            }
        }
        None => {
            let sql = "UPDATE users SET sign_in_suspended = $1 WHERE sign_in_suspended = $2 RETURNING id";
            for row in &change.fetch_all(sql, params![false, true]).await? {
                confirmed.push(row.parse("id")?);
            }
        }
    }
    void_earlier_signatures(change).await?;
    for &user in &confirmed {
        change.touch(Subject::User(user));
    }
    Ok(confirmed)
}

/// Which signed writes were done before the restore is not known any more: what was signed until now is not done again.
async fn void_earlier_signatures(change: &mut Change) -> Result<(), StoreError> {
    let now: Timestamp = change.now();
    change.execute("UPDATE installation SET signatures_from = $1 WHERE id = 1", params![now]).await?;
    change.touch(Subject::Installation);
    Ok(())
}
