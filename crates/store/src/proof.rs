//! Challenges for proofs of possession of a private key. They are not secret, and each can be used once.

use domain::{PrincipalId, Timestamp};

use crate::{
    Change, Connection, StoreError, params,
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
};

pub(crate) struct Challenge {
    text: String,
    principal: PrincipalId,
    expires_at: Timestamp,
}

pub(crate) static PROOF_CHALLENGES: Table<Challenge> = Table {
    name: "proof_challenges",
    columns: &[
        Column::key("challenge", Text, |row| (&row.text).into()),
        Column::fixed("principal_id", Text, |row| row.principal.into()),
        Column::fixed("expires_at", I64, |row| row.expires_at.into()),
    ],
};

/// Stores a challenge, and deletes expired ones.
pub async fn insert_challenge(
    change: &mut Change,
    challenge: &str,
    principal: PrincipalId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    change.execute("DELETE FROM proof_challenges WHERE expires_at <= $1", params![now]).await?;
    let row = Challenge { text: challenge.to_owned(), principal, expires_at };
    PROOF_CHALLENGES.insert(&row).run(change).await?;
    Ok(())
}

/// Returns the latest open challenges of a principal.
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

/// Deletes a challenge that was used.
pub async fn delete_challenge(change: &mut Change, challenge: &str) -> Result<(), StoreError> {
    change.execute("DELETE FROM proof_challenges WHERE challenge = $1", params![challenge]).await?;
    Ok(())
}
