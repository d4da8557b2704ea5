//! What ends when a member is removed, demoted or disabled, on the wire.

use domain::{ProjectId, WorkspaceId, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApiKey, Invitation};

/// What the removal or the demotion of a member ends in a workspace, and what it leaves unless it is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct MemberRemoval {
    /// Open invitations that they wrote: these end.
    pub invitations: Vec<Invitation>,
    /// Keys of service accounts that they registered, and those that these keys registered in turn: these stay active,
    /// unless `revoke_keys` is set.
    pub keys: Vec<RegisteredKey>,
    /// Projects that have no other admin who is enabled: a removal asks for a successor.
    pub projects: Vec<LedProject>,
}

/// A key of a service account that the member registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegisteredKey {
    /// The service account.
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
    #[schema(value_type = String)]
    pub id: ProjectId,
    /// Its title.
    pub title: String,
}

/// What disabling a user ends, in numbers, and what it leaves unless it is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserRemoval {
    /// Their email.
    pub email: String,
    /// Open invitations that they wrote: these end.
    pub invitations: u64,
    /// Keys of service accounts that they registered, and those that these keys registered in turn: these stay active,
    /// unless `revoke_keys` is set.
    pub keys: u64,
    /// Where they are a member.
    pub workspaces: Vec<WorkspaceOfUser>,
}

/// A workspace that a user is in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceOfUser {
    /// Its id.
    #[schema(value_type = String)]
    pub id: WorkspaceId,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Their role there.
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether it has no other admin who is enabled.
    pub is_last_admin: bool,
}
