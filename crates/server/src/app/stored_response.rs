//! Stored responses to signed writes. A response may contain a secret, such as the token of an invitation, so all are
//! encrypted with a key that is derived from the installation's key and is not in the database.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hmac::Mac as _;
use serde::{Serialize, de::DeserializeOwned};
use store::{ReplayKey, StoredBody, StoredResponse};

use super::App;
use crate::error::{AppError, Conflict};

impl App {
    fn stored_response_key(&self) -> Result<LessSafeKey, AppError> {
        let key = self.keyed_hash(b"keyward stored answer v1")?.finalize().into_bytes();
        let key = UnboundKey::new(&AES_256_GCM, &key);
        key.map(LessSafeKey::new).map_err(|_| AppError::Internal("an AES key of 32 bytes".to_owned()))
    }

    /// Encrypts a response: a random nonce, the ciphertext, the tag. It can only be decrypted for the same request.
    pub(super) fn seal_response(
        &self,
        replay: ReplayKey,
        status: u16,
        response: &impl Serialize,
    ) -> Result<StoredResponse, AppError> {
        let mut ciphertext = match status {
            204 => Vec::new(),
            _ => serde_json::to_vec(response).map_err(|error| AppError::Internal(format!("a response: {error}")))?,
        };
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce);
        let aad = Aad::from(replay.key);
        self.stored_response_key()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut ciphertext)
            .map_err(|_| AppError::Internal("a response could not be encrypted".to_owned()))?;
        let sealed = [nonce.as_slice(), &ciphertext].concat();
        Ok(StoredResponse { replay, status, body: StoredBody::Sealed(sealed) })
    }

    /// Decrypts a stored response.
    ///
    /// # Errors
    /// 409 if it can no longer be decrypted, because the installation's key was replaced.
    pub(super) fn open_stored_response<T: DeserializeOwned>(&self, stored: StoredResponse) -> Result<T, AppError> {
        let unreadable = || AppError::from(Conflict::ResponseUnreadable);
        let body = match stored.body {
            StoredBody::Plain(body) => body,
            StoredBody::Sealed(sealed) => {
                let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(unreadable)?;
                let mut body = ciphertext.to_vec();
                let opened = self.stored_response_key()?.open_in_place(
                    Nonce::assume_unique_for_key(*nonce),
                    Aad::from(stored.replay.key),
                    &mut body,
                );
                let length = opened.map_err(|_| unreadable())?.len();
                body.truncate(length);
                body
            }
        };
        // 204 has no body.
        let body = if body.is_empty() { b"null" } else { body.as_slice() };
        serde_json::from_slice(body).map_err(|_| unreadable())
    }
}
