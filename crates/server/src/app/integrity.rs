//! Whether the database's file is whole.

use super::{App, Caller};
use crate::error::AppError;

impl App {
    /// What the embedded database finds wrong with its own file; nothing, for one that is whole.
    ///
    /// # Errors
    /// On the host only; the database does not answer, or is too damaged to be read.
    pub async fn check_integrity(&self, caller: &Caller) -> Result<Vec<String>, AppError> {
        caller.principal.authorize_host()?;
        let mut connection = self.store.read().await?;
        Ok(store::integrity::check_integrity(&mut connection).await?)
    }
}
