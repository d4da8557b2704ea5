//! A public key in little memory, for a directory with millions of them.

use super::{Fingerprint, KeyAlgorithm, KeyMaterial, PublicKey, PublicKeyError, read_blob};

/// A stored public key. An Ed25519 key has no allocation of its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CompactKey {
    /// The encoded point of an Ed25519 key (RFC 8032 §5.1.2).
    Ed25519([u8; 32]),
    /// Any other key.
    Other(Box<PublicKey>),
}

impl CompactKey {
    /// As [`PublicKey::from_stored_blob`].
    ///
    /// # Errors
    /// [`PublicKeyError`] for bytes that cannot be a stored key.
    pub fn from_stored_blob(blob: &[u8]) -> Result<Self, PublicKeyError> {
        Ok(match read_blob(blob)? {
            KeyMaterial::Ed25519(bytes) => Self::Ed25519(*bytes),
            other => Self::Other(Box::new(PublicKey::encode(other)?)),
        })
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        match self {
            Self::Ed25519(_) => KeyAlgorithm::Ed25519,
            Self::Other(key) => key.algorithm(),
        }
    }

    /// Returns the fingerprint, as [`PublicKey::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Ed25519(bytes) => Fingerprint::of_ed25519(bytes),
            Self::Other(key) => key.fingerprint(),
        }
    }
}

impl From<&PublicKey> for CompactKey {
    fn from(key: &PublicKey) -> Self {
        match key.material() {
            KeyMaterial::Ed25519(bytes) => Self::Ed25519(*bytes),
            _ => Self::Other(Box::new(key.clone())),
        }
    }
}
