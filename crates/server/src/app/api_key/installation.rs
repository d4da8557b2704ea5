//! The keys of the whole installation, for commands on the host.

use domain::PrincipalId;
use store::api_key::OwnedKeyRow;

use super::to_wire;
use crate::{
    app::{App, Caller, Paging, page},
    error::AppError,
};

/// A key and its owner.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OwnedKey {
    /// The key.
    #[serde(flatten)]
    pub key: api::ApiKey,
    /// Its owner.
    pub owner: PrincipalId,
    /// The owner's email or address.
    pub owner_email: Option<String>,
}

impl App {
    /// Returns the keys of all owners, including expired and revoked ones, in the order in which they were registered.
    ///
    /// # Errors
    /// The caller is not the host.
    pub async fn list_all_api_keys(&self, caller: &Caller, paging: &Paging) -> Result<api::Page<OwnedKey>, AppError> {
        let access = caller.principal.authorize_host()?;
        let limit = paging.limit()?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let keys = store::api_key::list_all_api_keys(&mut connection, access, paging.after()?, limit + 1).await?;
        let to_owned_key = |row: OwnedKeyRow| OwnedKey {
            key: to_wire(&row.key, now),
            owner: row.key.owner,
            owner_email: row.owner_email,
        };
        Ok(page(keys, limit, |row| row.key.id.to_string(), to_owned_key))
    }
}
