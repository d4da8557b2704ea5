//! Challenges for proofs that a private key is at hand. No secrets, good once.

use domain::{PrincipalId, Timestamp};

use crate::{Change, Connection, StoreError, params};

/// Remembers a challenge, and forgets those whose time is over.
pub async fn insert_challenge(
    change: &mut Change,
    challenge: &str,
    principal: PrincipalId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    change.execute("DELETE FROM proof_challenges WHERE expires_at <= $1", params![now]).await?;
    change
        .execute(
            "INSERT INTO proof_challenges (challenge, principal_id, expires_at) VALUES ($1, $2, $3)",
            params![challenge, principal, expires_at],
        )
        .await?;
    Ok(())
}

/// The latest open challenges of a principal.
pub async fn list_challenges(
    connection: &mut Connection,
    principal: PrincipalId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT challenge FROM proof_challenges WHERE principal_id = $1 AND expires_at > $2
               ORDER BY expires_at DESC, challenge LIMIT $3";
    let rows = connection.fetch_all(sql, params![principal, now, limit]).await?;
    rows.iter().map(|row| row.text("challenge")).collect()
}

/// Uses a challenge up.
pub async fn delete_challenge(change: &mut Change, challenge: &str) -> Result<(), StoreError> {
    change.execute("DELETE FROM proof_challenges WHERE challenge = $1", params![challenge]).await?;
    Ok(())
}
