//! The content of a bearer token, and its authentication.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{ApiKeyId, InstallationKey, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{authentication::AuthenticationError, directory::Snapshot, hosts::Origin};

const PREFIX: &str = "kwt_";
/// Key id, token epoch, expiry in seconds.
const PAYLOAD_LENGTH: usize = 16 + 8 + 8;
const TAG_LENGTH: usize = 32;
/// More characters than a token has after its prefix.
const MAX_CHARACTERS: usize = 128;

/// The content of a bearer token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    /// The key that it was issued for.
    pub(crate) key: ApiKeyId,
    /// The token epoch that it belongs to.
    pub(crate) epoch: u64,
    /// When it expires, in Unix seconds.
    pub(crate) expiry: i64,
}

impl Token {
    /// Checks that it belongs to the current epoch and has not expired.
    pub(crate) fn check(&self, directory: &Snapshot, now: Timestamp) -> Result<(), AuthenticationError> {
        if self.epoch != directory.token_epoch() {
            return Err(AuthenticationError::UnknownToken);
        }
        if now.as_second() >= self.expiry {
            return Err(AuthenticationError::TokenExpired);
        }
        Ok(())
    }
}

/// The key that authenticates bearer tokens. It is derived from the installation's key, which is outside the database.
pub struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    /// Creates the key for tokens of the installation at `public`.
    #[must_use]
    pub fn new(installation_key: &InstallationKey, public: &Origin) -> Self {
        let mut derive = hmac(installation_key.seed());
        derive.update(b"keyward bearer token v2");
        let mut mac = hmac(&derive.finalize().into_bytes().into());
        // The audience has a variable length. The rest has a fixed length, so the input is unambiguous.
        mac.update(public.as_str().as_bytes());
        mac.update(b"\n");
        Self(mac)
    }

    /// Returns the token as text.
    pub(crate) fn seal(&self, token: Token) -> String {
        let mut bytes = Vec::with_capacity(PAYLOAD_LENGTH + TAG_LENGTH);
        bytes.extend(token.key.uuid().as_bytes());
        bytes.extend(token.epoch.to_be_bytes());
        bytes.extend(token.expiry.to_be_bytes());
        let tag = self.mac(&bytes).finalize().into_bytes();
        bytes.extend(tag);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Parses a token that was made with this key. Returns `None` for any other text.
    pub(crate) fn open(&self, text: &str) -> Option<Token> {
        let encoded = text.strip_prefix(PREFIX).filter(|encoded| encoded.len() <= MAX_CHARACTERS)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        if bytes.len() != PAYLOAD_LENGTH + TAG_LENGTH {
            return None;
        }
        let (payload, tag) = bytes.split_at(PAYLOAD_LENGTH);
        self.mac(payload).verify_slice(tag).ok()?;
        let (key, rest) = payload.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let expiry = rest.try_into().ok()?;
        Some(Token {
            key: ApiKeyId::from_uuid(uuid::Uuid::from_bytes(*key)),
            epoch: u64::from_be_bytes(*epoch),
            expiry: i64::from_be_bytes(expiry),
        })
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(payload);
        mac
    }
}

/// Creates an HMAC with a key that is shorter than a block, and so is padded with zeros (RFC 2104 §2).
fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    let (start, _) = block.split_at_mut(key.len());
    start.copy_from_slice(key);
    Hmac::new(&block.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8, public: &str) -> TokenKey {
        TokenKey::new(&InstallationKey::from_seed(&[seed; 32]), &public.parse().unwrap())
    }

    fn token() -> Token {
        Token { key: ApiKeyId::from_uuid(uuid::Uuid::from_bytes([7; 16])), epoch: 3, expiry: 1_767_323_045 }
    }

    #[test]
    fn a_token_is_read_by_the_same_installation_at_the_same_url_only() {
        let text = key(1, "https://keys.example.com").seal(token());
        assert_eq!(key(1, "https://keys.example.com:443").open(&text), Some(token()));
        assert_eq!(key(2, "https://keys.example.com").open(&text), None);
        assert_eq!(key(1, "https://copy.example.com").open(&text), None);
    }

    #[test]
    fn a_text_that_was_changed_or_cut_is_no_token() {
        let own = key(1, "https://keys.example.com");
        let text = own.seal(token());
        for at in PREFIX.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(own.open(&String::from_utf8(changed).unwrap()), None, "{at}");
            assert_eq!(own.open(&text[..at]), None, "{at}");
        }
        for other in ["", "kwt_", &text[PREFIX.len()..], &format!("{text}A"), &format!("kwt_{}", "A".repeat(4096))] {
            assert_eq!(own.open(other), None, "{other}");
        }
    }

    #[test]
    fn the_key_of_a_token_is_the_hmac_of_the_label_under_the_installation_key() {
        let by_slice = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).unwrap();
        let mut derive = by_slice(&[1; 32]);
        derive.update(b"keyward bearer token v2");
        let mut mac = by_slice(&derive.finalize().into_bytes());
        mac.update(b"https://keys.example.com\npayload");
        let own = key(1, "https://keys.example.com").mac(b"payload").finalize();
        assert_eq!(own.into_bytes(), mac.finalize().into_bytes());
    }
}
