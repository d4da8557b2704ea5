//! Requests and responses about workspaces.

use domain::{Timestamp, WorkspaceId, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{IssuedInvitation, Quotas, schema};

/// A workspace, in responses for its members.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    /// Its id.
    #[schema(value_type = schema::WorkspaceId)]
    pub id: WorkspaceId,
    /// Its slug, which never changes.
    #[schema(value_type = schema::Slug)]
    pub slug: String,
    /// Its name.
    #[schema(value_type = schema::Title)]
    pub name: String,
    /// The role of the caller in it. Null for an operator that is not a member.
    #[schema(value_type = Option<schema::Role>)]
    pub role: Option<Role>,
    /// Its quotas.
    pub quotas: Quotas,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A workspace to create.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// Its name: 1 to 100 characters.
    #[schema(value_type = schema::Title)]
    pub name: String,
    /// `[a-z][a-z0-9-]{1,38}[a-z0-9]`. It must not have been used before.
    #[schema(value_type = schema::Slug)]
    pub slug: String,
    /// The email address of the first admin. An existing user is added immediately. Any other person is invited. The
    /// default is the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Email>)]
    pub admin_email: Option<String>,
}

/// A workspace that was created.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceCreated {
    /// The workspace.
    #[serde(flatten)]
    pub workspace: Workspace,
    /// The invitation of the first admin, if there is no such user yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<IssuedInvitation>,
}

/// A change of a workspace.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspace {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Title>)]
    pub name: Option<String>,
}
