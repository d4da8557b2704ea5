//! Short-lived bearer tokens for keys. The verifier defines their content and verifies them.

use domain::{Timestamp, principal::Denied};

use super::{App, Caller};
use crate::error::AppError;

impl App {
    /// Creates a bearer token for the caller's key, and returns it with its expiry. It expires an hour after the caller
    /// signed, so that a repeated request does not extend it, and not later than the key.
    ///
    /// # Errors
    /// The caller did not sign. A token or a session cannot create a token.
    pub fn create_bearer_token(&self, caller: &Caller) -> Result<(String, Timestamp), AppError> {
        caller.principal.authorize_own()?;
        caller.principal.require_signature()?;
        let (Some(key), Some(signed_at)) = (caller.principal.credential().key(), caller.signed_at) else {
            return Err(Denied::Session.into());
        };
        Ok(self.verifier.create_bearer_token(key, signed_at)?)
    }
}
