//! After a restore. Nobody can know what was revoked since the backup was made, so a restore ends everything that opens
//! a door, and an operator confirms the keys that may work again.

use std::path::Path;

use domain::{ApiKeyId, PrincipalId, Timestamp, api_key::ApiKey};

use super::{App, Caller, Paging, page};
use crate::error::AppError;

/// A key that waits to be confirmed.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct SuspendedKey {
    /// The key.
    pub id: ApiKeyId,
    /// Whose it is.
    pub owner: PrincipalId,
    /// The owner's email or address.
    pub email: Option<String>,
    /// Its title.
    pub title: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When a request was last accepted with it, as far as the backup knows.
    pub last_used_at: Option<Timestamp>,
    /// From where.
    pub last_used_ip: Option<String>,
}

/// Which keys to confirm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeysToConfirm {
    /// All that wait.
    All,
    /// These.
    These(Vec<ApiKeyId>),
}

impl App {
    /// Writes a backup of the whole database into a new file, while others go on. The installation's key is not in it.
    ///
    /// # Errors
    /// For operators only; the file exists or cannot be written.
    pub async fn back_up(&self, caller: &Caller, file: &Path) -> Result<(), AppError> {
        caller.principal.authorize_operator()?;
        Ok(self.store.back_up(file).await?)
    }

    /// Ends, in a database that was restored, all tokens, invitations and replay state, and suspends every key. Tells how
    /// many keys.
    ///
    /// # Errors
    /// For operators only.
    pub async fn finish_restore(&self, caller: &Caller) -> Result<u64, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator()?;
        let suspended = store::recovery::end_credentials(&mut transaction.change).await?;
        transaction.note(self, "installation.restore", None, "installation", &[("keys", &suspended.to_string())]);
        self.commit(transaction, 200, suspended).await
    }

    /// Keys that wait to be confirmed.
    ///
    /// # Errors
    /// For operators only.
    pub async fn list_suspended_keys(
        &self,
        caller: &Caller,
        paging: &Paging,
    ) -> Result<api::Page<SuspendedKey>, AppError> {
        caller.principal.authorize_operator()?;
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let keys = store::recovery::list_suspended_keys(&mut connection, paging.after()?, limit + 1).await?;
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let email = store::identity::find_email(&mut connection, key.owner).await?;
            rows.push((key, email));
        }
        Ok(page(rows, limit, |(key, _)| key.id.to_string(), |(key, email)| to_wire(&key, email)))
    }

    /// Lets suspended keys work again, and tells which. What was signed before stays void.
    ///
    /// # Errors
    /// For operators only.
    pub async fn confirm_keys(&self, caller: &Caller, keys: &KeysToConfirm) -> Result<Vec<ApiKeyId>, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator()?;
        let keys = match keys {
            KeysToConfirm::All => None,
            KeysToConfirm::These(keys) => Some(keys.as_slice()),
        };
        let confirmed = store::recovery::confirm_keys(&mut transaction.change, keys).await?;
        for key in &confirmed {
            transaction.note(self, "api_key.confirm", None, key, &[]);
        }
        if confirmed.is_empty() {
            return Ok(confirmed);
        }
        self.commit(transaction, 200, confirmed).await
    }
}

fn to_wire(key: &ApiKey, email: Option<String>) -> SuspendedKey {
    SuspendedKey {
        id: key.id,
        owner: key.owner,
        email,
        title: key.title.clone(),
        fingerprint: key.public_key.fingerprint().to_string(),
        last_used_at: key.last_used_at,
        last_used_ip: key.last_used_ip.clone(),
    }
}
