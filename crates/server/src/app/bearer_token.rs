//! Short-lived bearer tokens for keys. What one holds and how it is verified is the verifier's.

use domain::{Timestamp, principal::Denied};

use super::{App, Caller};
use crate::error::AppError;

impl App {
    /// A bearer token for the caller's key, and when it expires: an hour after the caller signed, so that the same request
    /// again prolongs nothing, and never after the key.
    ///
    /// # Errors
    /// The caller did not sign: neither a token nor a session gets one.
    pub fn create_bearer_token(&self, caller: &Caller) -> Result<(String, Timestamp), AppError> {
        caller.principal.require_signature()?;
        let (Some(key), Some(signed_at)) = (caller.principal.credential().key(), caller.signed_at) else {
            return Err(Denied::Session.into());
        };
        Ok(self.verifier.create_bearer_token(key, signed_at)?)
    }
}
