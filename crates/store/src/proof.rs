//! Challenges for proofs that a private key is at hand. Kept as their SHA-256 only, good once.

use domain::{PrincipalId, Timestamp};

use crate::{Change, StoreError, params};

/// Remembers a challenge, and forgets those whose time is over.
pub async fn insert_challenge(
    change: &mut Change,
    challenge_hash: &[u8],
    principal: PrincipalId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    change.execute("DELETE FROM proof_challenges WHERE expires_at <= $1", params![now]).await?;
    change
        .execute(
            "INSERT INTO proof_challenges (challenge_hash, principal_id, expires_at) VALUES ($1, $2, $3)",
            params![challenge_hash, principal, expires_at],
        )
        .await?;
    Ok(())
}

/// Uses a challenge up: whether it was there, for this principal, and in time.
pub async fn take_challenge(
    change: &mut Change,
    challenge_hash: &[u8],
    principal: PrincipalId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let taken = change
        .execute(
            "DELETE FROM proof_challenges WHERE challenge_hash = $1 AND principal_id = $2 AND expires_at > $3",
            params![challenge_hash, principal, now],
        )
        .await?;
    Ok(taken == 1)
}
