//! The link that makes the first operator. Its token is kept as its SHA-256 only.

use domain::Timestamp;

use crate::{Change, Connection, StoreError, params};

/// Puts a link in place of the one before, which is dead.
pub async fn replace_set_up_link(
    change: &mut Change,
    token_hash: &[u8],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    delete_set_up_links(change).await?;
    let sql = "INSERT INTO set_up_links (token_hash, expires_at) VALUES ($1, $2)";
    change.execute(sql, params![token_hash, expires_at]).await?;
    Ok(())
}

/// Until when the link of a token is good.
pub async fn find_set_up_link(connection: &mut Connection, token_hash: &[u8]) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT expires_at FROM set_up_links WHERE token_hash = $1";
    connection.fetch_optional(sql, params![token_hash]).await?.map(|row| row.timestamp("expires_at")).transpose()
}

/// Forgets the link.
pub async fn delete_set_up_links(change: &mut Change) -> Result<(), StoreError> {
    change.execute("DELETE FROM set_up_links", params![]).await?;
    Ok(())
}
