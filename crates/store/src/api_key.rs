//! API keys, and when they were last used.

use domain::{
    ApiKeyId, NodeId, PrincipalId, Timestamp,
    api_key::{ApiKey, RevokedApiKey},
    public_key::{Fingerprint, PublicKey},
};

use crate::{Change, Connection, Row, Store, StoreError, Subject, Upkeep, Version, identity, params};

/// Keys with all columns that [`api_key`] reads; what follows says which.
macro_rules! select_api_keys {
    ($which:literal) => {
        concat!(
            "SELECT id, owner_id, title, public_key, disabled, suspended, expires_at, revoked_at, verified_at, proven_at,
                    displaced_at, created_by, created_with, created_at, last_used_at, last_used_ip, revoked_in
             FROM api_keys ",
            $which
        )
    };
}
pub(crate) use select_api_keys;

pub(crate) fn api_key(row: &Row) -> Result<ApiKey, StoreError> {
    let blob = row.bytes("public_key")?;
    let (created_at, verified_at) = (row.timestamp("created_at")?, row.opt_timestamp("verified_at")?);
    // A node of the previous release writes a proof as a verification at the very moment of the registration. A use is never
    // written with that moment.
    let proven_at = row.opt_timestamp("proven_at")?.or(verified_at.filter(|verified| *verified == created_at));
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
        verified_at,
        proven_at,
        displaced_at: row.opt_timestamp("displaced_at")?,
        created_by: row.text("created_by")?,
        created_with: row.opt_parse("created_with")?,
        created_at,
        last_used_at: row.opt_timestamp("last_used_at")?,
        last_used_ip: row.opt_text("last_used_ip")?,
    })
}

/// Registers a key.
pub async fn insert_api_key(change: &mut Change, key: &ApiKey) -> Result<(), StoreError> {
    let version = change.version();
    change
        .execute(
            "INSERT INTO api_keys (id, owner_id, title, fingerprint, public_key, disabled, suspended, expires_at, verified_at,
                                   proven_at, created_by, created_with, created_at, registered_version)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                     CASE WHEN EXISTS (SELECT 1 FROM nodes WHERE reports_use = FALSE) THEN NULL ELSE CAST($14 AS BIGINT) END)",
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
                key.proven_at,
                &key.created_by,
                key.created_with,
                key.created_at,
                version
            ],
        )
        .await?;
    change.touch(Subject::ApiKey(key.id));
    Ok(())
}

/// Writes what can change of a key, but for its end.
pub async fn update_api_key(change: &mut Change, key: &ApiKey) -> Result<(), StoreError> {
    change
        .execute(
            "UPDATE api_keys SET title = $2, disabled = $3, expires_at = $4 WHERE id = $1",
            params![key.id, &key.title, key.disabled, key.expires_at],
        )
        .await?;
    change.touch(Subject::ApiKey(key.id));
    Ok(())
}

/// Why a key is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revocation {
    /// Somebody who may, or what it belongs to is deleted.
    Ordinary,
    /// Somebody else registers it with a proof.
    Displaced,
}

/// Revokes a key, for good, with the workspaces that its owner is in at this moment.
pub async fn revoke_api_key(change: &mut Change, key: &ApiKey, why: Revocation) -> Result<(), StoreError> {
    let (now, version) = (change.now(), change.version());
    let memberships = identity::find_identity(change, key.owner).await?.map(|owner| owner.memberships);
    let places: Vec<String> = memberships.unwrap_or_default().iter().map(|m| m.workspace.to_string()).collect();
    let displaced_at = (why == Revocation::Displaced).then_some(now);
    change
        .execute(
            "UPDATE api_keys SET revoked_at = $2, revoked_version = $3, revoked_in = $4, displaced_at = $5
             WHERE id = $1 AND revoked_at IS NULL",
            params![key.id, now, version, places.join(" "), displaced_at],
        )
        .await?;
    change.touch(Subject::ApiKey(key.id));
    Ok(())
}

/// Writes that a proof showed at `now` that the owner of a key holds the private key.
pub async fn prove_api_key(change: &mut Change, id: ApiKeyId) -> Result<(), StoreError> {
    let now = change.now();
    change
        .execute(
            "UPDATE api_keys SET proven_at = COALESCE(proven_at, $2), verified_at = COALESCE(verified_at, $2) WHERE id = $1",
            params![id, now],
        )
        .await?;
    change.touch(Subject::ApiKey(id));
    Ok(())
}

/// What is known of whether a revoked key ever verified a request or a proof, on any node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UseBeforeRevocation {
    /// It never did: every node that was there between its registration and its revocation said so.
    Never,
    /// It did, or a node that may have seen it cannot be asked any more.
    Possible,
    /// A node has not acknowledged the revocation yet.
    Unconfirmed,
}

/// Whether a revoked key was ever used. `own` is a node that has taken in the changes up to that version and has written down
/// what it verified with the keys that these revoked.
///
/// # Errors
/// The database does not answer.
pub async fn find_use_before_revocation(
    connection: &mut Connection,
    id: ApiKeyId,
    own: Option<(NodeId, Version)>,
) -> Result<UseBeforeRevocation, StoreError> {
    let (own, own_version) = own.map_or((String::new(), Version::default()), |(id, version)| (id.to_string(), version));
    // In one statement: a node writes uses before it acknowledges, and acknowledges before it can be lost.
    let row = connection
        .fetch_one(
            "SELECT verified_at, proven_at, registered_version, revoked_version,
                    (SELECT COUNT(*) FROM lost_nodes WHERE lost_nodes.version >= api_keys.registered_version
                        AND lost_nodes.acknowledged_version < api_keys.revoked_version) AS lost,
                    (SELECT COUNT(*) FROM nodes WHERE nodes.reports_use = FALSE) AS silent,
                    (SELECT COUNT(*) FROM nodes WHERE nodes.acknowledged_version < api_keys.revoked_version
                        AND NOT (nodes.id = $2 AND $3 >= api_keys.revoked_version)) AS waiting
             FROM api_keys WHERE id = $1",
            params![id, own, own_version],
        )
        .await?;
    let is_recorded = row.opt_i64("registered_version")?.is_some() && row.opt_i64("revoked_version")?.is_some();
    let was_used = row.opt_i64("verified_at")?.is_some() || row.opt_i64("proven_at")?.is_some();
    Ok(if was_used || !is_recorded || row.count("lost")? > 0 || row.count("silent")? > 0 {
        UseBeforeRevocation::Possible
    } else if row.count("waiting")? > 0 {
        UseBeforeRevocation::Unconfirmed
    } else {
        UseBeforeRevocation::Never
    })
}

fn revoked_api_key(row: &Row) -> Result<RevokedApiKey, StoreError> {
    let places = row.opt_text("revoked_in")?.unwrap_or_default();
    let workspaces = places
        .split_ascii_whitespace()
        .map(|place| place.parse().map_err(|error| StoreError::corrupt(format!("api_keys.revoked_in: {error}"))));
    Ok(RevokedApiKey { key: api_key(row)?, workspaces: workspaces.collect::<Result<_, _>>()? })
}

/// A key that was revoked, whoever owned it.
///
/// # Errors
/// The database does not answer.
pub async fn find_revoked_api_key(
    connection: &mut Connection,
    id: ApiKeyId,
) -> Result<Option<RevokedApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE id = $1 AND revoked_at IS NOT NULL");
    connection.fetch_optional(sql, params![id]).await?.as_ref().map(revoked_api_key).transpose()
}

/// The keys that were revoked last, at most `limit`, the latest first.
///
/// # Errors
/// The database does not answer.
pub async fn list_revoked_api_keys(connection: &mut Connection, limit: i64) -> Result<Vec<RevokedApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE revoked_at IS NOT NULL ORDER BY revoked_at DESC, id DESC LIMIT $1");
    connection.fetch_all(sql, params![limit]).await?.iter().map(revoked_api_key).collect()
}

/// A key of an owner.
pub async fn find_api_key(
    connection: &mut Connection,
    owner: PrincipalId,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE owner_id = $1 AND id = $2");
    connection.fetch_optional(sql, params![owner, id]).await?.as_ref().map(api_key).transpose()
}

/// A key, whoever owns it. For judging, and for questions whose answer does not leave the house.
pub async fn find_api_key_anywhere(connection: &mut Connection, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE id = $1");
    connection.fetch_optional(sql, params![id]).await?.as_ref().map(api_key).transpose()
}

/// Every registration, dead ones too, of one fingerprint.
pub async fn list_api_keys_by_fingerprint(
    connection: &mut Connection,
    fingerprint: &Fingerprint,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE fingerprint = $1 ORDER BY id");
    connection.fetch_all(sql, params![fingerprint.to_string()]).await?.iter().map(api_key).collect()
}

/// Keys of an owner in the order of their ids, after `after`.
pub async fn list_api_keys(
    connection: &mut Connection,
    owner: PrincipalId,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![owner, after, limit]).await?.iter().map(api_key).collect()
}

/// Keys that are not revoked, of everybody, in the order of their ids, after `after`: what a directory holds.
pub async fn list_unrevoked_api_keys(
    connection: &mut Connection,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE revoked_at IS NULL AND id > $1 ORDER BY id LIMIT $2");
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![after, limit]).await?.iter().map(api_key).collect()
}

/// Keys that another key made, revoked ones too.
pub async fn list_api_keys_made_with(connection: &mut Connection, parent: ApiKeyId) -> Result<Vec<ApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE created_with = $1 ORDER BY id");
    connection.fetch_all(sql, params![parent]).await?.iter().map(api_key).collect()
}

/// Keys that a principal registered, for itself or for others, revoked ones too.
pub async fn list_api_keys_registered_by(
    connection: &mut Connection,
    registrar: PrincipalId,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = select_api_keys!("WHERE created_by = $1 ORDER BY id");
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

/// One verification by a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUse {
    /// The key.
    pub key: ApiKeyId,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub address: Option<String>,
    /// Whether the request was accepted; if not, it verified and was refused for another reason.
    pub accepted: bool,
}

// A use at the very moment of the registration is written one microsecond later: that moment is how the previous release
// writes a proof.
const NOTE_USE: &str = "UPDATE api_keys SET last_used_at = $2, last_used_ip = $3,
        verified_at = COALESCE(verified_at, CASE WHEN created_at = $2 THEN $2 + 1 ELSE $2 END)
     WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $2)";
const NOTE_VERIFICATION: &str = "UPDATE api_keys SET verified_at = CASE WHEN created_at = $2 THEN $2 + 1 ELSE $2 END
     WHERE id = $1 AND verified_at IS NULL";

/// Writes down when keys were last used. Out of order and twice is harmless: the latest stays.
pub async fn record_key_uses(upkeep: &mut Upkeep, uses: &[KeyUse]) -> Result<(), StoreError> {
    // In one order everywhere, so that two nodes do not wait for each other.
    let mut uses: Vec<_> = uses.iter().collect();
    uses.sort_by_key(|used| used.key);
    for used in uses {
        if used.accepted {
            upkeep.execute(NOTE_USE, params![used.key, used.at, used.address.as_deref()]).await?;
        } else {
            upkeep.execute(NOTE_VERIFICATION, params![used.key, used.at]).await?;
        }
    }
    Ok(())
}

impl Store {
    /// Writes down that these keys verified something before they were revoked, where nothing of that is known yet.
    ///
    /// # Errors
    /// The database does not answer; nothing was written.
    pub async fn record_verifications(&self, keys: &[ApiKeyId], now: Timestamp) -> Result<(), StoreError> {
        let mut upkeep = self.begin_upkeep().await?;
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        for key in keys {
            upkeep.execute(NOTE_VERIFICATION, params![key, now]).await?;
        }
        upkeep.commit().await
    }
}
