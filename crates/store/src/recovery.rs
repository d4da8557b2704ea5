//! What ends with a restore, and keys that wait to be confirmed after one.

use domain::{ApiKeyId, Timestamp, api_key::ApiKey};

use crate::{Change, Connection, StoreError, Subject, api_key, params};

/// Ends all that may have been revoked since the backup was made: bearer tokens, sessions, open invitations, challenges,
/// replay state and nodes are gone, keys are suspended. Tells how many keys.
pub async fn end_credentials(change: &mut Change) -> Result<u64, StoreError> {
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
    change.execute("UPDATE api_keys SET suspended = $1 WHERE revoked_at IS NULL", params![true]).await
}

/// Keys that wait to be confirmed, in the order of their ids, after `after`.
pub async fn list_suspended_keys(
    connection: &mut Connection,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql = api_key::select_api_keys!("WHERE suspended = $1 AND revoked_at IS NULL AND id > $2 ORDER BY id LIMIT $3");
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![true, after, limit]).await?.iter().map(api_key::api_key).collect()
}

/// Lets keys work again: those of the list, or all. Signatures made before now stay void. Tells which keys.
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
    let now: Timestamp = change.now();
    change.execute("UPDATE installation SET signatures_from = $1 WHERE id = 1", params![now]).await?;
    change.touch(Subject::Installation);
    for &key in &confirmed {
        change.touch(Subject::ApiKey(key));
    }
    Ok(confirmed)
}
