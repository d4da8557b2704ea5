//! The integrity of the database: pages, cells and indexes, as far as the engine checks them. For PostgreSQL, use
//! checksums and `pg_amcheck`.

use crate::{StoreError, connection::ReadConnection};

/// Returns the errors that the engine finds in its file. Reads the whole file.
///
/// # Errors
/// The database does not answer, or is too damaged to be read.
pub async fn check_integrity(connection: &mut ReadConnection) -> Result<Vec<String>, StoreError> {
    connection.link.check_integrity().await
}
