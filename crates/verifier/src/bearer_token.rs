//! Bearer tokens: short-lived, bound to a key and its owner. Every node verifies them with the installation's key and
//! the directory, so they end with the key. They are valid for this installation under its public URL, and not for a
//! copy of it elsewhere.

use std::net::IpAddr;

use domain::{ApiKeyId, Timestamp, principal::KeyCredential};
use http::HeaderValue;

use crate::{
    authentication::AuthenticationError as Error,
    directory::{Snapshot, Verification},
    encord_version_1::is_encord_version_1,
    error::VerificationError,
    request::{Evidence, VerifiedHeaders, find_principal},
    token::Token,
    verifier::Verifier,
};

/// How long a bearer token is valid after the signature of the request for it, in seconds.
const LIFETIME_SECONDS: i64 = 3600;

impl Verifier {
    /// Creates a bearer token for the key that signed a request at `signed_at`, and returns it with its expiry. It
    /// expires an hour after the signature, so that a repeated request does not extend it, and not later than the key.
    ///
    /// # Errors
    /// The key was revoked in the meantime.
    pub fn create_bearer_token(
        &self,
        key: ApiKeyId,
        signed_at: Timestamp,
    ) -> Result<(String, Timestamp), VerificationError> {
        let directory = self.directory.load();
        let unknown = || VerificationError::Unauthenticated(Error::UnknownKey, self.clock.now());
        let entry = directory.key(key).ok_or_else(unknown)?;
        let expiry = signed_at.as_second() + LIFETIME_SECONDS;
        let expiry = entry.expires_at().map_or(expiry, |key_expiry| expiry.min(key_expiry.as_second()));
        let token = Token { key, epoch: directory.token_epoch(), expiry };
        Ok((self.token_key.seal(token), Timestamp::from_second(expiry).unwrap_or(Timestamp::MAX)))
    }

    pub(crate) fn verify_bearer_token(
        &self,
        authorization: &HeaderValue,
        directory: &Snapshot,
        now: Timestamp,
        client_ip: Option<IpAddr>,
    ) -> Result<VerifiedHeaders, (Option<ApiKeyId>, Error)> {
        let malformed = |why: &str| (None, Error::Malformed(why.to_owned()));
        if is_encord_version_1(authorization) {
            return Err((None, Error::EncordVersion1));
        }
        let (scheme, text) = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or_else(|| malformed("Authorization must have a scheme and a token"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(malformed("Authorization supports only the scheme Bearer"));
        }
        let token = self.token_key.open(text).ok_or((None, Error::UnknownToken))?;
        let id = token.key;
        let refuse = |error| (Some(id), error);
        if token.epoch != directory.token_epoch() {
            return Err(refuse(Error::UnknownToken));
        }
        let key = directory.key(id).ok_or_else(|| match directory.revoked_key(id) {
            Some(_) => refuse(Error::KeyRevoked { verified: true }),
            None => refuse(Error::UnknownToken),
        })?;
        if key.note_verification() == Verification::TooLate {
            return Err(refuse(Error::KeyRevoked { verified: true }));
        }
        token.check(directory, now).map_err(refuse)?;
        find_principal(key, KeyCredential::BearerToken(id), directory, now, client_ip).map_err(refuse)?;
        Ok(VerifiedHeaders::new(id, Evidence::BearerToken(token)))
    }
}
