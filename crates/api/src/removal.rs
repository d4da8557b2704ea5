//! Responses about the consequences of removing, demoting or disabling a user.

use domain::{ProjectId, WorkspaceId, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApiKey, Invitation, schema};

/// The objects that removing or demoting a member revokes in a workspace, and those that it revokes only on request.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct MemberRemoval {
    /// Open invitations that the user sent. These are revoked.
    pub invitations: Vec<Invitation>,
    /// Keys of service accounts that the user registered, and the keys that those registered. They stay active unless
    /// `revoke_keys` is set.
    pub keys: Vec<RegisteredKey>,
    /// Projects that have no other enabled admin. A removal needs a successor.
    pub projects: Vec<LedProject>,
}

/// A key of a service account that the member registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegisteredKey {
    /// The service account.
    #[schema(value_type = schema::ServiceAccountId)]
    pub service_account: String,
    /// Its address.
    pub email: String,
    /// The key.
    pub key: ApiKey,
}

/// A project that has no other admin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LedProject {
    /// Its id.
    #[schema(value_type = schema::ProjectId)]
    pub id: ProjectId,
    /// Its title.
    #[schema(value_type = schema::Title)]
    pub title: String,
}

/// The objects that disabling a user revokes, as counts, and those that it revokes only on request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserRemoval {
    /// The email address of the user.
    pub email: String,
    /// The name of the user.
    pub name: String,
    /// The user's own keys that are neither revoked nor expired. They are refused while the user is disabled.
    pub own_keys: u64,
    /// Open invitations that the user sent. These are revoked.
    pub invitations: u64,
    /// Keys of service accounts that the user registered, and the keys that those registered. They stay active unless
    /// `revoke_keys` is set.
    pub keys: u64,
    /// The workspaces of the user.
    pub workspaces: Vec<WorkspaceOfUser>,
}

/// A workspace of a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceOfUser {
    /// Its id.
    #[schema(value_type = schema::WorkspaceId)]
    pub id: WorkspaceId,
    /// Its slug.
    #[schema(value_type = schema::Slug)]
    pub slug: String,
    /// Its name.
    #[schema(value_type = schema::Title)]
    pub name: String,
    /// The role of the user in it.
    #[schema(value_type = schema::Role)]
    pub role: Role,
    /// Whether it has no other enabled admin.
    pub is_last_admin: bool,
}
