//! The key that identifies a repeated signed write.

use jiff::Timestamp;

use crate::ApiKeyId;

/// Identifies a signed request, so that it happens once on all nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayKey {
    /// SHA-256(key id ‖ signature base).
    pub key: [u8; 32],
    /// The key that signed.
    pub api_key: ApiKeyId,
    /// The nonce, if the profile has one.
    pub nonce: Option<String>,
    /// When the signature expires, including the allowed clock skew.
    pub expires_at: Timestamp,
}
