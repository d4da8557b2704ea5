//! Requests and responses about API keys.

use domain::{ApiKeyId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{KeyLimits, public_key_input, schema};

/// A registered public key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id, for programs.
    #[schema(value_type = schema::ApiKeyId)]
    pub id: ApiKeyId,
    /// Its title.
    #[schema(value_type = schema::Title)]
    pub title: String,
    /// `ssh-ed25519`, `ssh-rsa`, `ecdsa-sha2-nistp256` or `ecdsa-sha2-nistp384`.
    #[schema(value_type = schema::Algorithm)]
    pub algorithm: String,
    /// The fingerprint, as `ssh-keygen -l` prints it. It identifies the key to people.
    #[schema(value_type = schema::Fingerprint)]
    pub fingerprint: String,
    /// The key as an OpenSSH line without a comment.
    pub public_key: String,
    /// Its state.
    pub state: KeyState,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The principal that registered it: `usr_…`, `sa_…` or `host`.
    #[schema(value_type = schema::Actor)]
    pub created_by: String,
    /// The key that signed the registration, if the request was signed.
    #[schema(value_type = Option<schema::ApiKeyId>)]
    pub created_with: Option<ApiKeyId>,
    /// When it expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When a request with this key was last accepted. It is recorded with a delay of some seconds.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// The IP address of that request.
    pub last_used_ip: Option<String>,
    /// When a proof showed that its owner holds the private key. Null if the registration is unproven.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proven_at: Option<Timestamp>,
    /// When another principal reclaimed the key with a proof, which revoked this registration.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub displaced_at: Option<Timestamp>,
    /// What takes away from the permissions of its owner. Null if it may do everything that its owner may.
    #[serde(default)]
    pub limits: Option<KeyLimits>,
    /// The key that it replaces, if a rotation registered it.
    #[serde(default)]
    pub predecessor: Option<RotatedKey>,
    /// The key that replaces it, if it was rotated.
    #[serde(default)]
    pub successor: Option<RotatedKey>,
}

/// The state of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Requests signed with it are accepted.
    Active,
    /// It is refused until it is enabled again.
    Disabled,
    /// It was restored from a backup, and is refused until an operator confirms it.
    Suspended,
    /// Its expiry has passed.
    Expired,
    /// It is permanently refused.
    Revoked,
}

/// The other key of a rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RotatedKey {
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
    /// When the predecessor was rotated.
    #[schema(value_type = String, format = DateTime)]
    pub rotated_at: Timestamp,
    /// When the predecessor ends, or has ended.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Timestamp,
    /// Whether the overlap lasts, so that the rotation can be undone.
    pub pending: bool,
    /// Whether the predecessor signed the rotation itself. A revocation of the predecessor then revokes the successor.
    pub self_rotated: bool,
}

/// The keys that a revocation with `cascade=true` revokes in addition to the key itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cascade {
    /// The keys that it registered, the keys that those registered, and so on, if the caller manages them. Revoked keys
    /// are not included.
    pub keys: Vec<CascadedKey>,
}

/// A key that would be revoked together with another one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CascadedKey {
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
    /// Its owner: `usr_…` or `sa_…`.
    #[schema(value_type = schema::PrincipalId)]
    pub owner: String,
    /// The owner's email address or service account address.
    pub owner_email: Option<String>,
    /// The key that registered it.
    #[schema(value_type = Option<schema::ApiKeyId>)]
    pub created_with: Option<ApiKeyId>,
    /// Whether it is the successor of a key that rotated itself. It is then revoked without `cascade`, too.
    #[serde(default)]
    pub self_rotated: bool,
}

/// A key to register.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// Its title: 1 to 100 characters.
    #[schema(value_type = schema::Title)]
    pub title: String,
    /// An OpenSSH line, an RFC 4716 or PEM block, or a JWK, which may be an object or its text.
    #[serde(deserialize_with = "public_key_input::deserialize")]
    #[schema(schema_with = public_key_input::schema)]
    pub public_key: String,
    /// When it expires. Without it, the key does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// An armoured SSHSIG that proves possession of the private key. See `POST /me/proof-challenges`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Its limits. By a key with limits, they are at most the limits of that key, which is what it gets without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<KeyLimits>,
}

/// A change of a key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateApiKey {
    /// The new title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Title>)]
    pub title: Option<String>,
    /// The new expiry, or null for none.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<Timestamp>>,
    /// The new limits, which replace all earlier ones, or null for none. By a key with limits, they are at most the limits
    /// of that key.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<KeyLimits>)]
    pub limits: Option<Option<KeyLimits>>,
}

/// How to enable a key. The body is optional.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnableApiKey {
    /// The new expiry of a key that has expired, or null for none.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<Timestamp>>,
}

/// A proof for a key that was registered without one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProveApiKey {
    /// An armoured SSHSIG by the private key. See `POST /me/proof-challenges`.
    pub proof: String,
}

/// The text to sign for a proof: the lines `namespace`, `public_url`, the owner's id, the fingerprint and `challenge`,
/// each followed by a line feed, signed with `ssh-keygen -Y sign -n keyward-proof`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProofChallenge {
    /// The SSHSIG namespace and the first line: `keyward-proof`.
    pub namespace: String,
    /// The second line.
    pub public_url: String,
    /// The last line, which is random and can be used once.
    pub challenge: String,
    /// When the challenge expires.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}
