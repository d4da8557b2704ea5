//! Bearer tokens: short-lived, bound to a key and its owner, good on all nodes at once because they are checked with
//! the installation's key and the directory, and so die with the key. They are for this installation under its public
//! URL and nothing else: not for a copy of it elsewhere.

use axum::http::HeaderValue;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    ApiKeyId, Timestamp,
    principal::{Credential, Denied},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use verifier::{
    AuthenticationError as Error,
    directory::{Snapshot, Verification},
};

use super::{
    App, Caller,
    request::{Evidence, VerifiedHeaders, check_token},
};
use crate::error::AppError;

/// How long after the signature that asked for it a bearer token is good, in seconds.
const LIFETIME_SECONDS: i64 = 3600;
const PREFIX: &str = "kwt_";
/// Key id, token epoch, end in seconds.
const PAYLOAD_LENGTH: usize = 16 + 8 + 8;
const TAG_LENGTH: usize = 32;

impl App {
    /// A bearer token for the caller's key, and when it ends: an hour after the caller signed, so that the same request
    /// again prolongs nothing, and never after the key.
    ///
    /// # Errors
    /// The caller did not sign: neither a token nor a session gets one.
    pub fn create_bearer_token(&self, caller: &Caller) -> Result<(String, Timestamp), AppError> {
        caller.principal.require_signature()?;
        let (Some(key), Some(signed_at)) = (caller.principal.credential().key(), caller.signed_at) else {
            return Err(Denied::Session.into());
        };
        let feed = self.require_feed()?;
        let directory = feed.directory().load();
        let now = self.clock.now();
        let Some(entry) = directory.key(key) else { return Err(AppError::Unauthenticated(Error::UnknownKey, now)) };
        let end = signed_at.as_second() + LIFETIME_SECONDS;
        let end = entry.expires_at().map_or(end, |key_end| end.min(key_end.as_second()));
        let mut token = Vec::with_capacity(PAYLOAD_LENGTH + TAG_LENGTH);
        token.extend(key.uuid().as_bytes());
        token.extend(directory.token_epoch().to_be_bytes());
        token.extend(end.to_be_bytes());
        let tag = self.token_mac(&token)?.finalize().into_bytes();
        token.extend(tag);
        let end = Timestamp::from_second(end).map_err(|e| AppError::Internal(e.to_string()))?;
        Ok((format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token)), end))
    }

    /// The secret never leaves the installation's key, which is outside of the database.
    fn token_mac(&self, payload: &[u8]) -> Result<Hmac<Sha256>, AppError> {
        let fault = |_| AppError::Internal("an HMAC key of 32 bytes".to_owned());
        let mut derive = Hmac::<Sha256>::new_from_slice(self.installation_key.seed()).map_err(fault)?;
        derive.update(b"keyward bearer token v2");
        let mut mac = Hmac::<Sha256>::new_from_slice(&derive.finalize().into_bytes()).map_err(fault)?;
        // Whom it is for, as long as it may be; what follows is of one length.
        mac.update(self.hosts.public().as_str().as_bytes());
        mac.update(b"\n");
        mac.update(payload);
        Ok(mac)
    }

    pub(super) fn verify_bearer_token(
        &self,
        authorization: &HeaderValue,
        directory: &Snapshot,
        now: Timestamp,
    ) -> Result<VerifiedHeaders, (Option<ApiKeyId>, Error)> {
        let malformed = |why: &str| (None, Error::Malformed(why.to_owned()));
        let (scheme, token) = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or_else(|| malformed("Authorization has no scheme and token"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(malformed("Authorization takes the scheme Bearer only"));
        }
        let bytes = token
            .strip_prefix(PREFIX)
            .filter(|text| text.len() <= 128)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .filter(|bytes| bytes.len() == PAYLOAD_LENGTH + TAG_LENGTH)
            .ok_or((None, Error::UnknownToken))?;
        let (payload, tag) = bytes.split_at(PAYLOAD_LENGTH);
        let mac = self.token_mac(payload).map_err(|_| (None, Error::UnknownToken))?;
        mac.verify_slice(tag).map_err(|_| (None, Error::UnknownToken))?;

        let (id, rest) = payload.split_first_chunk::<16>().ok_or((None, Error::UnknownToken))?;
        let (epoch, end) = rest.split_first_chunk::<8>().ok_or((None, Error::UnknownToken))?;
        let end = i64::from_be_bytes(end.try_into().map_err(|_| (None, Error::UnknownToken))?);
        let id = ApiKeyId::from_uuid(uuid::Uuid::from_bytes(*id));
        let epoch = u64::from_be_bytes(*epoch);
        let refuse = |error| (Some(id), error);
        if epoch != directory.token_epoch() {
            return Err(refuse(Error::UnknownToken));
        }
        let key = directory.key(id).ok_or_else(|| match directory.revoked_key(id) {
            Some(_) => refuse(Error::KeyRevoked { verified: true }),
            None => refuse(Error::UnknownToken),
        })?;
        if key.note_verification() == Verification::TooLate {
            return Err(refuse(Error::KeyRevoked { verified: true }));
        }
        check_token(epoch, end, directory, now).map_err(refuse)?;
        Self::principal(key, Credential::BearerToken(id), directory, now).map_err(refuse)?;
        Ok(VerifiedHeaders::new(id, Evidence::BearerToken { epoch, end }))
    }
}
