//! Whether the database is whole: pages, cells and indexes, as far as the engine itself can tell. PostgreSQL looks after its own
//! files, with checksums and `pg_amcheck`.

use crate::{StoreError, connection::ReadConnection};

/// What the engine finds wrong with its file; nothing, for one that is whole. Reads all of it.
///
/// # Errors
/// The database does not answer, or is too damaged to be read.
pub async fn check_integrity(connection: &mut ReadConnection) -> Result<Vec<String>, StoreError> {
    connection.link.check_integrity().await
}
