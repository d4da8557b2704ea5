//! The integrity of the database file.

use super::{App, Caller};
use crate::error::AppError;

impl App {
    /// Returns the errors that the embedded database finds in its file. The list is empty if there are none.
    ///
    /// # Errors
    /// The caller is not the host, or the database does not answer or is too damaged to be read.
    pub async fn check_integrity(&self, caller: &Caller) -> Result<Vec<String>, AppError> {
        caller.principal.authorize_host()?;
        let mut connection = self.store.read().await?;
        Ok(store::integrity::check_integrity(&mut connection).await?)
    }
}
