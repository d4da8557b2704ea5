//! Requests and responses for operators only.

use std::fmt;

use domain::{NodeId, Timestamp, UserId};
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
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own on the wire")]
pub struct User {
    /// Their id.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Their email.
    pub email: String,
    /// Whether they followed a link that was mailed to this email.
    #[serde(default)]
    pub email_verified: bool,
    /// Their name.
    pub name: String,
    /// Whether they run the installation.
    pub operator: bool,
    /// Whether all their credentials are refused.
    pub disabled: bool,
    /// Whether all their credentials are refused since a restore, until an operator at the host confirms them.
    #[serde(default)]
    pub suspended: bool,
    /// When they were created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A user to create.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
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

/// Without the password.
impl fmt::Debug for CreateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUser")
            .field("email", &self.email)
            .field("name", &self.name)
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
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
    /// With `"disabled": true`: whether to revoke the keys that they registered for service accounts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_keys: bool,
}

/// A server of the installation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its id; a new one at every start.
    #[schema(value_type = String)]
    pub id: NodeId,
    /// Its host and process.
    pub name: String,
    /// The release that it runs.
    pub software_version: String,
    /// How long it verifies requests without an answer from the database.
    pub lease_seconds: u64,
    /// The version of the installation that it has applied, or a later one.
    pub version: u64,
    /// How many versions there are that it has not acknowledged.
    pub behind: u64,
    /// When it registered, by its own clock.
    #[schema(value_type = String, format = DateTime)]
    pub registered_at: Timestamp,
    /// When it renewed its lease, by its own clock; where the database is embedded, when it registered.
    #[schema(value_type = String, format = DateTime)]
    pub renewed_at: Timestamp,
    /// Whether it is the one that answers this.
    pub answers: bool,
    /// A hash of the settings that have to be the same on every node: hosts, routes, trusted proxies. Null for a node of
    /// the previous release.
    #[serde(default)]
    pub settings_hash: Option<String>,
}

impl Node {
    /// The beginning of the hash of its settings, for people to compare.
    #[must_use]
    pub fn settings_mark(&self) -> &str {
        self.settings_hash.as_deref().map_or("unknown", |hash| hash.get(..8).unwrap_or(hash))
    }
}

/// Whether nodes run with settings that have to be the same and are not.
#[must_use]
pub fn settings_differ(nodes: &[Node]) -> bool {
    let mut hashes = nodes.iter().filter_map(|node| node.settings_hash.as_deref());
    hashes.next().is_some_and(|first| hashes.any(|other| other != first))
}
