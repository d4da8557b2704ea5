//! Requests and responses about members of a workspace.

use domain::{Timestamp, UserId, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// A user in a workspace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The user.
    #[schema(value_type = schema::UserId)]
    pub id: UserId,
    /// The email address of the user.
    pub email: String,
    /// Whether the email address is verified.
    #[serde(default)]
    pub email_verified: bool,
    /// The name of the user.
    #[schema(value_type = schema::Title)]
    pub name: String,
    /// `admin` or `member`.
    #[schema(value_type = schema::Role)]
    pub role: Role,
    /// Whether an operator has disabled the user.
    #[serde(default)]
    pub disabled: bool,
    /// When the user joined.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
}

/// The new role of a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMember {
    /// `admin` or `member`.
    #[schema(value_type = schema::Role)]
    pub role: Role,
    /// With the role `member`: whether to revoke the keys that the user registered for service accounts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_keys: bool,
}
