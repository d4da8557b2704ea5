//! What a signed write is known by when it is sent again.

use jiff::Timestamp;

use crate::ApiKeyId;

/// Identifies a signed request, so that it happens once on all nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayKey {
    /// SHA-256(key id ‖ signature base).
    pub key: [u8; 32],
    /// The key that signed.
    pub api_key: ApiKeyId,
    /// The nonce, where the profile has one.
    pub nonce: Option<String>,
    /// When the signature cannot be accepted any more, skew included.
    pub expires_at: Timestamp,
}
