//! Stored answers to signed writes. One may hold a secret, such as the token of an invitation, so all of them are encrypted
//! under a key that is derived from the installation's and is not in the database.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hmac::Mac as _;
use store::{ReplayKey, StoredBody, StoredResponse};

use super::App;
use crate::error::{AppError, StoredAnswer};

impl App {
    fn stored_answer_key(&self) -> Result<LessSafeKey, AppError> {
        let key = self.keyed_hash(b"keyward stored answer v1")?.finalize().into_bytes();
        let key = UnboundKey::new(&AES_256_GCM, &key);
        key.map(LessSafeKey::new).map_err(|_| AppError::Internal("an AES key of 32 bytes".to_owned()))
    }

    /// Encrypts an answer: a random nonce, the ciphertext, the tag. Only the request that it answers opens it.
    pub(super) fn seal_answer(
        &self,
        replay: ReplayKey,
        status: u16,
        body: Vec<u8>,
    ) -> Result<StoredResponse, AppError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce);
        let mut ciphertext = body;
        let aad = Aad::from(replay.key);
        self.stored_answer_key()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut ciphertext)
            .map_err(|_| AppError::Internal("an answer could not be encrypted".to_owned()))?;
        let sealed = [nonce.as_slice(), &ciphertext].concat();
        Ok(StoredResponse { replay, status, body: StoredBody::Sealed(sealed) })
    }

    /// Decrypts a stored answer.
    ///
    /// # Errors
    /// 409 where the installation's key was replaced since, so that nobody can read it any more.
    pub(super) fn open_stored_answer(&self, stored: StoredResponse) -> Result<StoredAnswer, AppError> {
        let StoredResponse { replay, status, body } = stored;
        let sealed = match body {
            StoredBody::Plain(body) => return Ok(StoredAnswer { status, body }),
            StoredBody::Sealed(sealed) => sealed,
        };
        let unreadable = || {
            let detail = "This signed request was done before, and its answer cannot be read any more, because the key of \
                          this installation was replaced. Look at what it did; sign a new request to do more.";
            AppError::conflict(api::codes::ANSWER_UNREADABLE, detail)
        };
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(unreadable)?;
        let mut body = ciphertext.to_vec();
        let opened = self.stored_answer_key()?.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(replay.key),
            &mut body,
        );
        let length = opened.map_err(|_| unreadable())?.len();
        body.truncate(length);
        Ok(StoredAnswer { status, body })
    }
}
