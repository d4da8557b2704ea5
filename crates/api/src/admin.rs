//! Requests and responses for operators only.

use std::fmt;

use domain::{NodeId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// The quotas of a workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Quotas {
    /// Service accounts in the workspace.
    pub service_accounts: u32,
    /// Live keys of each service account.
    pub keys_per_service_account: u32,
    /// Live keys of each user. For a user of several workspaces, the largest quota applies.
    pub keys_per_user: u32,
}

/// A change of the quotas.
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

/// A user, in responses for operators.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own on the wire")]
pub struct User {
    /// The id of the user.
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
    /// Whether the user is an operator.
    pub operator: bool,
    /// Whether the user is disabled: all their credentials are refused.
    pub disabled: bool,
    /// Whether the user is suspended: all their credentials are refused since a restore, until an operator confirms
    /// them on the host.
    #[serde(default)]
    pub suspended: bool,
    /// When the user was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A user to create.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// The email address of the user.
    #[schema(value_type = schema::Email)]
    pub email: String,
    /// The name of the user.
    #[schema(value_type = schema::Title)]
    pub name: String,
    /// An initial password of 12 characters or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::NewPassword>)]
    pub password: Option<String>,
    /// Whether the user is an operator.
    #[serde(default)]
    pub operator: bool,
}

/// Omits the password.
impl fmt::Debug for CreateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUser")
            .field("email", &self.email)
            .field("name", &self.name)
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
}

/// A change of a user.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Title>)]
    pub name: Option<String>,
    /// Whether the user is an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<bool>,
    /// Whether to disable the user: all their credentials are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// With `"disabled": true`: whether to revoke the keys that the user registered for service accounts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_keys: bool,
}

/// A node of the installation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its id, which is new at every start.
    #[schema(value_type = schema::NodeId)]
    pub id: NodeId,
    /// Its host name and process id.
    pub name: String,
    /// Its release of Keyward.
    pub software_version: String,
    /// How long it verifies requests without renewing its lease in the database.
    pub lease_seconds: u64,
    /// The version of the installation that it has applied, or a later one.
    pub version: u64,
    /// The number of versions that it has not acknowledged.
    pub behind: u64,
    /// When it registered, by its own clock.
    #[schema(value_type = String, format = DateTime)]
    pub registered_at: Timestamp,
    /// When it renewed its lease, by its own clock. With the embedded database: when it registered.
    #[schema(value_type = String, format = DateTime)]
    pub renewed_at: Timestamp,
    /// Whether it is the node that answers this request.
    pub answers: bool,
    /// A hash of the settings that must be the same on every node: hosts, routes, trusted proxies. Null for a node of
    /// the previous release.
    #[serde(default)]
    pub settings_hash: Option<String>,
}

impl Node {
    /// Returns the beginning of the hash of its settings, for people to compare.
    #[must_use]
    pub fn settings_mark(&self) -> &str {
        self.settings_hash.as_deref().map_or("unknown", |hash| hash.get(..8).unwrap_or(hash))
    }
}

/// Returns whether the nodes run with different settings that must be the same.
#[must_use]
pub fn settings_differ(nodes: &[Node]) -> bool {
    let mut hashes = nodes.iter().filter_map(|node| node.settings_hash.as_deref());
    hashes.next().is_some_and(|first| hashes.any(|other| other != first))
}
