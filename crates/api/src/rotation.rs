//! Requests and responses about the rotation of keys.

use domain::{ApiKeyId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApiKey, KeyState, public_key_input, schema};

/// A successor to register for a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateApiKey {
    /// The public key of the successor: an OpenSSH line, an RFC 4716 or PEM block, or a JWK, which may be an object or its
    /// text.
    #[serde(deserialize_with = "public_key_input::deserialize")]
    #[schema(schema_with = public_key_input::schema)]
    pub public_key: String,
    /// For how many seconds both keys are accepted: 0 to 2592000 (30 days). With 0, the rotated key is revoked at once.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub overlap_seconds: u32,
    /// An armoured SSHSIG by the private key of the successor. See `POST /me/proof-challenges`. A key that rotates itself
    /// needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// A rotation of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rotation {
    /// The key that is replaced.
    pub predecessor: ApiKey,
    /// The key that replaces it.
    pub successor: ApiKey,
    /// When the predecessor was rotated.
    #[schema(value_type = String, format = DateTime)]
    pub rotated_at: Timestamp,
    /// When the predecessor ends, or has ended.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Timestamp,
    /// Whether the overlap lasts, so that the rotation can be undone.
    pub pending: bool,
    /// Whether the predecessor signed the rotation itself.
    pub self_rotated: bool,
    /// The use of the predecessor since the rotation: whether a client still has the old key.
    pub use_since: UseSinceRotation,
    /// The keys before and after, the oldest first, with these two. Of a long chain, it has the ten keys next to them on
    /// each side.
    pub chain: Vec<ChainedKey>,
}

/// The use of a predecessor since its rotation. It is recorded with a delay of some seconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UseSinceRotation {
    /// The number of accepted requests.
    #[schema(minimum = 0)]
    pub accepted: u64,
    /// When the last one was accepted. Null if there was none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// The IP address of that request.
    pub last_used_ip: Option<String>,
}

/// A key in a chain of rotations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChainedKey {
    /// Its id.
    #[schema(value_type = schema::ApiKeyId)]
    pub id: ApiKeyId,
    /// Its title.
    #[schema(value_type = schema::Title)]
    pub title: String,
    /// Its fingerprint.
    #[schema(value_type = schema::Fingerprint)]
    pub fingerprint: String,
    /// Its state.
    pub state: KeyState,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
