//! The integrity of the database: pages, cells and indexes, as far as the engine itself checks them. PostgreSQL checks its own
//! files, with checksums and `pg_amcheck`.

use crate::{StoreError, connection::ReadConnection};

/// What the engine finds wrong with its file; empty where nothing is wrong. Reads the whole file.
///
/// # Errors
/// The database does not answer, or is too damaged to be read.
pub async fn check_integrity(connection: &mut ReadConnection) -> Result<Vec<String>, StoreError> {
    connection.link.check_integrity().await
}
