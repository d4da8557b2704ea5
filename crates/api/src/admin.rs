//! What only operators exchange.

use domain::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a workspace may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Quotas {
    /// Service accounts in the workspace.
    pub service_accounts: u32,
    /// Live keys of each service account.
    pub keys_per_service_account: u32,
    /// Live keys of each user; a user of several workspaces has the largest.
    pub keys_per_user: u32,
}

/// What to change of the quotas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateQuotas {
    /// Service accounts in the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<u32>,
    /// Live keys of each service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_per_service_account: Option<u32>,
    /// Live keys of each user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_per_user: Option<u32>,
}

/// A user, as operators see them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Their id.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Their email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Whether they run the installation.
    pub operator: bool,
    /// Whether all their credentials are refused.
    pub disabled: bool,
    /// When they were created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A user to create.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Their email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// A first password of 12 characters or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Whether they run the installation.
    #[serde(default)]
    pub operator: bool,
}

/// What to change of a user.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether they run the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<bool>,
    /// Whether to refuse all their credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}
