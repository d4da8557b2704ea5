//! The fingerprint of a key: SHA-256 over its SSH wire blob, as `ssh-keygen -l` prints it.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

const PREFIX: &str = "SHA256:";

/// SHA-256 over a key's canonical SSH wire blob. Its text form is `SHA256:` and 43 characters of unpadded base64, with
/// exactly one encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of the Ed25519 key with these 32 raw bytes.
    #[must_use]
    pub fn of_ed25519(raw: &[u8; 32]) -> Self {
        // It is computed for each look-up of a key, so it allocates nothing.
        let mut hash = Sha256::new();
        for part in [b"ssh-ed25519".as_slice(), raw] {
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    pub(super) fn of_blob(blob: &[u8]) -> Self {
        Self(Sha256::digest(blob).into())
    }

    /// Creates the fingerprint with this digest.
    #[must_use]
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Returns the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(&STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a fingerprint is `SHA256:` and 43 characters of base64 without padding, as `ssh-keygen -l` prints it")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        // The decoder refuses padding and stray bits after the last byte, so there is only one encoding.
        let digest = text
            .strip_prefix(PREFIX)
            .filter(|encoded| encoded.len() == 43)
            .and_then(|encoded| STANDARD_NO_PAD.decode(encoded).ok())
            .ok_or(FingerprintError)?;
        digest.try_into().map(Self).map_err(|_| FingerprintError)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
