//! Requests and responses about service accounts.

use domain::{ServiceAccountId, Timestamp, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// A service account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceAccount {
    /// Its id.
    #[schema(value_type = schema::ServiceAccountId)]
    pub id: ServiceAccountId,
    /// Its name for people.
    #[serde(default)]
    #[schema(value_type = schema::Title, required)]
    pub display_name: String,
    /// Its name in the address, unique in the workspace.
    #[schema(value_type = schema::Slug)]
    pub name: String,
    /// Its description.
    #[schema(value_type = schema::Description)]
    pub description: String,
    /// Its service account address.
    pub email: String,
    /// Its role in the workspace: `admin` or `member`.
    #[schema(value_type = schema::Role)]
    pub role: Role,
    /// Whether it is disabled: all its credentials are refused.
    pub disabled: bool,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The number of its live keys, and the quota.
    pub keys: KeyCount,
}

/// The number of live keys, and the quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyCount {
    /// Keys that are neither revoked nor expired.
    pub live: u64,
    /// The quota.
    pub limit: u32,
}

/// A service account to create.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateServiceAccount {
    /// Its name in the address, `[a-z][a-z0-9-]{1,38}[a-z0-9]`, unique in the workspace. The default is made from
    /// `display_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Slug>)]
    pub name: Option<String>,
    /// Its name for people. The default is `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Title>)]
    pub display_name: Option<String>,
    /// Its description, which may be empty.
    #[serde(default)]
    #[schema(value_type = schema::Description)]
    pub description: String,
    /// Its role in the workspace, `member` or `admin`. The default is `member`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Role>)]
    pub role: Option<Role>,
}

/// A change of a service account.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateServiceAccount {
    /// The new name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Title>)]
    pub display_name: Option<String>,
    /// The new name in the address: the address changes, and no other account ever gets the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Slug>)]
    pub name: Option<String>,
    /// The new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Description>)]
    pub description: Option<String>,
    /// The new role: `admin` or `member`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Role>)]
    pub role: Option<Role>,
    /// Whether to disable it: all its credentials are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}
