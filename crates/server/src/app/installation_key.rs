//! Replacement of the installation key after it was lost or disclosed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{AuditAction, limits::KeywardScope};

use super::{App, AppConfig, Caller, ChangeError, Confirmed, OpenError, Opened, Operation, Scope, Transaction};
use crate::error::AppError;

impl App {
    /// Opens an installation to replace its key, which may be missing. The new key is in a separate file until
    /// [`replace_installation_key`](Self::replace_installation_key).
    ///
    /// # Errors
    /// A setting or the store cannot be used, or the new key cannot be written.
    pub async fn open_to_replace_key(config: AppConfig) -> Result<Arc<Self>, OpenError> {
        let (path, random) = (config.installation_key.clone(), Arc::clone(&config.random));
        let opened = Opened::open(config, async |_| store::installation_key::create_new_key(&path, random.as_ref()));
        Ok(Arc::new(opened.await?.into_host_app()?))
    }

    /// Makes the new key the installation's key, and writes it into the file at `path`. Bearer tokens become invalid.
    /// Running servers stop verifying requests, because they have another key. Restart them with the new key.
    ///
    /// # Errors
    /// The caller is not the host. If the file cannot be written, the next process that opens the installation writes
    /// it.
    pub async fn replace_installation_key(
        self: &Arc<Self>,
        caller: &Caller,
        path: &Path,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, ReplaceInstallationKey { path: path.to_owned() }).await
    }
}

struct ReplaceInstallationKey {
    path: PathBuf,
}

impl Operation for ReplaceInstallationKey {
    type Checked = ();
    type Response = ();
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<(), AppError> {
        scope.principal.authorize_host()?;
        Ok(())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(), AppError> {
        let public_key = app.installation_key.public_key();
        let before = store::installation::find_installation(&mut transaction.change).await?.public_key;
        store::installation_key::replace_public_key(&mut transaction.change, public_key).await?;
        let before = before.map_or(String::new(), |key| BASE64_STANDARD.encode(key));
        let after = BASE64_STANDARD.encode(public_key);
        let detail = [("before", before.as_str()), ("after", &after)];
        transaction.note(app, AuditAction::InstallationReplaceKey, None, "installation", &detail);
        Ok(())
    }

    /// Moves the key file, because the database only accepts the new key now.
    fn committed(&self) -> Result<(), AppError> {
        Ok(store::installation_key::put_new_key_in_place(&self.path)?)
    }
}
