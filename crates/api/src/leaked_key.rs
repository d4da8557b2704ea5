//! Statements by a private key about its registration, for the finder of the key.

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{KeyState, PrincipalKind, schema};

/// A statement that revokes the key that signs it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeLeakedKey {
    /// An armoured SSHSIG in the namespace `keyward-revoke` over the lines `keyward-revoke`, the URL of the installation
    /// and the fingerprint of the key, each followed by a line feed.
    #[schema(value_type = schema::SshSignature)]
    pub statement: String,
}

/// A statement that asks whether the key that signs it is registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FindLeakedKey {
    /// When it was signed. The question is answered for five minutes.
    #[schema(value_type = String, format = DateTime)]
    pub signed_at: Timestamp,
    /// An armoured SSHSIG in the namespace `keyward-scan` over the lines `keyward-scan`, the URL of the installation, the
    /// fingerprint of the key and `signed_at` in whole seconds (`2027-01-31T12:00:00Z`), each followed by a line feed.
    #[schema(value_type = schema::SshSignature)]
    pub statement: String,
}

/// What the holder of a private key is told about the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeakedKey {
    /// The fingerprint of the key that signed the statement.
    #[schema(value_type = schema::Fingerprint)]
    pub fingerprint: String,
    /// Its registration. Null if the key was never registered.
    pub registration: Option<LeakedKeyRegistration>,
}

/// The registration of a key, without the name of its owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeakedKeyRegistration {
    /// The title of the key.
    #[schema(value_type = schema::Title)]
    pub title: String,
    /// The kind of its owner.
    pub owner_kind: PrincipalKind,
    /// Its state.
    pub state: KeyState,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}
