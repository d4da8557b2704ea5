//! Whether the embedded database's file is whole: pages, cells and indexes, as far as the engine itself can tell.

use crate::{StoreError, connection::ReadConnection};

/// What the engine finds wrong with its file; nothing, for one that is whole. Reads all of it.
///
/// # Errors
/// The database does not answer, or is too damaged to be read.
pub async fn check_integrity(connection: &mut ReadConnection) -> Result<Vec<String>, StoreError> {
    let rows = connection.fetch_all("PRAGMA quick_check", &[]).await?;
    let mut findings = Vec::new();
    for row in rows {
        let finding = row.text("quick_check")?;
        if finding != "ok" {
            findings.push(finding);
        }
    }
    Ok(findings)
}
