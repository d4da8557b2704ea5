//! Migration of a database to this release's format, and copying of an installation to another database.

use store::Store;
pub use store::transfer::Transferred;

use super::{AppConfig, OpenError};

/// Migrates a database to the format of this release, or creates it, and returns the format.
///
/// # Errors
/// It cannot be used, or belongs to a later release.
pub async fn bring_up_to_date(config: AppConfig) -> Result<u64, OpenError> {
    let store = Store::open(&config.store, config.clock.now(), config.random.as_ref()).await?;
    store.close().await;
    Ok(store::latest_format())
}

/// Copies an installation without its key into a new database, and compares the two row by row.
///
/// # Errors
/// A database cannot be used, a server uses the source, the target is not new, or the copy differs from the source.
pub async fn copy_installation(from: &AppConfig, to: &AppConfig) -> Result<Transferred, OpenError> {
    let from_store = Store::open(&from.store, from.clock.now(), from.random.as_ref()).await?;
    // Before the target is created.
    store::transfer::require_quiet(&from_store).await?;
    // The copy is served with the key in this file.
    store::installation_key::open_key(&from_store, &from.installation_key, from.random.as_ref()).await?;
    let to = Store::open(&to.store, to.clock.now(), to.random.as_ref()).await?;
    let copied = store::transfer::copy(&from_store, &to).await;
    from_store.close().await;
    to.close().await;
    Ok(copied?)
}
