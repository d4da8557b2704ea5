//! Members of a workspace on the wire.

use domain::{Timestamp, UserId, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user in a workspace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The user.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Their email.
    pub email: String,
    /// Whether they followed a link that was mailed to this email.
    #[serde(default)]
    pub email_verified: bool,
    /// Their name.
    pub name: String,
    /// `admin` or `member`.
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether an operator has disabled their account.
    #[serde(default)]
    pub disabled: bool,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
}

/// Another role for a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMember {
    /// `admin` or `member`.
    #[schema(value_type = String)]
    pub role: Role,
    /// With the role `member`: whether to revoke the keys that they registered for service accounts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_keys: bool,
}
