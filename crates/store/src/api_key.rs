//! API keys, and when they were last used.

use domain::{
    ApiKeyId, PrincipalId, Timestamp,
    api_key::ApiKey,
    public_key::{Fingerprint, PublicKey},
};

use crate::{Change, Connection, Row, StoreError, Subject, Upkeep, params};

pub(crate) fn api_key(row: &Row) -> Result<ApiKey, StoreError> {
    let blob = row.bytes("public_key")?;
    Ok(ApiKey {
        id: row.parse("id")?,
        owner: row.parse("owner_id")?,
        title: row.text("title")?,
        public_key: PublicKey::from_stored_blob(&blob)
            .map_err(|e| StoreError::corrupt(format!("api_keys.public_key: {e}")))?,
        disabled: row.bool("disabled")?,
        suspended: row.bool("suspended")?,
        expires_at: row.opt_timestamp("expires_at")?,
        revoked_at: row.opt_timestamp("revoked_at")?,
        verified_at: row.opt_timestamp("verified_at")?,
        created_by: row.text("created_by")?,
        created_with: row.opt_parse("created_with")?,
        created_at: row.timestamp("created_at")?,
        last_used_at: row.opt_timestamp("last_used_at")?,
        last_used_ip: row.opt_text("last_used_ip")?,
    })
}

/// Registers a key.
pub async fn insert_api_key(change: &mut Change, key: &ApiKey) -> Result<(), StoreError> {
    change
        .execute(
            "INSERT INTO api_keys (id, owner_id, title, fingerprint, public_key, disabled, suspended, expires_at, verified_at,
                                   created_by, created_with, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            params![
                key.id,
                key.owner,
                &key.title,
                key.public_key.fingerprint().to_string(),
                key.public_key.blob(),
                key.disabled,
                key.suspended,
                key.expires_at,
                key.verified_at,
                &key.created_by,
                key.created_with,
                key.created_at
            ],
        )
        .await?;
    change.touch(Subject::ApiKey(key.id));
    Ok(())
}

/// Writes what can change of a key.
pub async fn update_api_key(change: &mut Change, key: &ApiKey) -> Result<(), StoreError> {
    change
        .execute(
            "UPDATE api_keys SET title = $2, disabled = $3, expires_at = $4, revoked_at = $5 WHERE id = $1",
            params![key.id, &key.title, key.disabled, key.expires_at, key.revoked_at],
        )
        .await?;
    change.touch(Subject::ApiKey(key.id));
    Ok(())
}

/// A key of an owner.
pub async fn find_api_key(
    connection: &mut Connection,
    owner: PrincipalId,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, StoreError> {
    let sql =
        "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, created_by,
                      created_with, created_at, last_used_at, last_used_ip
               FROM api_keys WHERE owner_id = $1 AND id = $2";
    connection.fetch_optional(sql, params![owner, id]).await?.as_ref().map(api_key).transpose()
}

/// A key, whoever owns it. For judging, and for questions whose answer does not leave the house.
pub async fn find_api_key_anywhere(connection: &mut Connection, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let sql =
        "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, created_by,
                      created_with, created_at, last_used_at, last_used_ip
               FROM api_keys WHERE id = $1";
    connection.fetch_optional(sql, params![id]).await?.as_ref().map(api_key).transpose()
}

/// Every registration, dead ones too, of one fingerprint.
pub async fn list_api_keys_by_fingerprint(
    connection: &mut Connection,
    fingerprint: &Fingerprint,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql =
        "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, created_by,
                      created_with, created_at, last_used_at, last_used_ip
               FROM api_keys WHERE fingerprint = $1 ORDER BY id";
    connection.fetch_all(sql, params![fingerprint.to_string()]).await?.iter().map(api_key).collect()
}

/// Keys of an owner in the order of their ids, after `after`.
pub async fn list_api_keys(
    connection: &mut Connection,
    owner: PrincipalId,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql =
        "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, created_by,
                      created_with, created_at, last_used_at, last_used_ip
               FROM api_keys WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![owner, after, limit]).await?.iter().map(api_key).collect()
}

/// Keys that are not revoked, of everybody, in the order of their ids, after `after`: what a directory holds.
pub async fn list_unrevoked_api_keys(
    connection: &mut Connection,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql =
        "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, created_by,
                      created_with, created_at, last_used_at, last_used_ip
               FROM api_keys WHERE revoked_at IS NULL AND id > $1 ORDER BY id LIMIT $2";
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![after, limit]).await?.iter().map(api_key).collect()
}

/// Keys that another key made, revoked ones too.
pub async fn list_api_keys_made_with(connection: &mut Connection, parent: ApiKeyId) -> Result<Vec<ApiKey>, StoreError> {
    let sql =
        "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, created_by,
                      created_with, created_at, last_used_at, last_used_ip
               FROM api_keys WHERE created_with = $1 ORDER BY id";
    connection.fetch_all(sql, params![parent]).await?.iter().map(api_key).collect()
}

/// Keys that a principal registered, for itself or for others, revoked ones too.
pub async fn list_api_keys_registered_by(
    connection: &mut Connection,
    registrar: PrincipalId,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql =
        "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, created_by,
                      created_with, created_at, last_used_at, last_used_ip
               FROM api_keys WHERE created_by = $1 ORDER BY id";
    connection.fetch_all(sql, params![registrar]).await?.iter().map(api_key).collect()
}

/// How many keys of an owner are active or disabled.
pub async fn count_live_api_keys(
    connection: &mut Connection,
    owner: PrincipalId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS live FROM api_keys
               WHERE owner_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
    let live = connection.fetch_one(sql, params![owner, now]).await?.i64("live")?;
    u64::try_from(live).map_err(|_| StoreError::corrupt("a count below zero"))
}

/// One use of a key that was accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUse {
    /// The key.
    pub key: ApiKeyId,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub address: Option<String>,
}

/// Writes down when keys were last used. Out of order and twice is harmless: the latest stays.
pub async fn record_key_uses(upkeep: &mut Upkeep, uses: &[KeyUse]) -> Result<(), StoreError> {
    // In one order everywhere, so that two nodes do not wait for each other.
    let mut uses: Vec<_> = uses.iter().collect();
    uses.sort_by_key(|used| used.key);
    for used in uses {
        upkeep
            .execute(
                "UPDATE api_keys SET last_used_at = $2, last_used_ip = $3, verified_at = COALESCE(verified_at, $2)
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $2)",
                params![used.key, used.at, used.address.as_deref()],
            )
            .await?;
    }
    Ok(())
}
