//! The link for creating the first operator. Only the SHA-256 of its token is stored.

use domain::Timestamp;

use crate::{
    Change, Connection, StoreError, params,
    table::{
        Column,
        ColumnType::{Bytes, I64},
        Table,
    },
};

pub(crate) struct SetUpLink {
    token_hash: Vec<u8>,
    expires_at: Timestamp,
}

pub(crate) static SET_UP_LINKS: Table<SetUpLink> = Table {
    name: "set_up_links",
    columns: &[
        Column::key("token_hash", Bytes, |link| (&link.token_hash).into()),
        Column::fixed("expires_at", I64, |link| link.expires_at.into()),
    ],
};

/// Replaces the link. The previous one becomes invalid.
pub async fn replace_set_up_link(
    change: &mut Change,
    token_hash: &[u8],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    delete_set_up_links(change).await?;
    let link = SetUpLink { token_hash: token_hash.to_vec(), expires_at };
    SET_UP_LINKS.insert(&link).run(change).await?;
    Ok(())
}

/// Returns the expiry of the link with this token.
pub async fn find_set_up_link(connection: &mut Connection, token_hash: &[u8]) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT expires_at FROM set_up_links WHERE token_hash = $1";
    connection.fetch_optional(sql, params![token_hash]).await?.map(|row| row.timestamp("expires_at")).transpose()
}

/// Deletes the link.
pub async fn delete_set_up_links(change: &mut Change) -> Result<(), StoreError> {
    change.execute("DELETE FROM set_up_links", params![]).await?;
    Ok(())
}
