//! Projects: titled objects inside a workspace, visible to their members and to the workspace's admins.

use jiff::Timestamp;

use crate::{PrincipalId, ProjectId, WorkspaceId, role::ProjectRole};

/// A project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// Its title. Several projects may have the same title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// The principal that created it: `usr_…`, `sa_…` or `host`.
    pub created_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The roles in a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectGrants {
    /// The project.
    pub id: ProjectId,
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// The roles, in the order of the principals' ids.
    pub roles: Vec<(PrincipalId, ProjectRole)>,
}
