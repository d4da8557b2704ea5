//! Requests and responses about projects.

use domain::{ProjectId, Timestamp, role::ProjectRole};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{PrincipalKind, schema};

/// A project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its id.
    #[schema(value_type = schema::ProjectId)]
    pub id: ProjectId,
    /// Its title.
    #[schema(value_type = schema::Title)]
    pub title: String,
    /// Its description.
    #[schema(value_type = schema::Description)]
    pub description: String,
    /// The principal that created it.
    #[schema(value_type = schema::Actor)]
    pub created_by: String,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The role of the caller in it. Null for an admin of the workspace that has not joined.
    #[schema(value_type = Option<schema::ProjectRole>)]
    pub role: Option<ProjectRole>,
}

/// A project to create. Its creator becomes its admin.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its title: 1 to 100 characters.
    #[schema(value_type = schema::Title)]
    pub title: String,
    /// Its description, which may be empty.
    #[serde(default)]
    #[schema(value_type = schema::Description)]
    pub description: String,
}

/// A change of a project.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProject {
    /// The new title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Title>)]
    pub title: Option<String>,
    /// The new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Description>)]
    pub description: Option<String>,
}

/// A user or service account in a project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProjectMember {
    /// `usr_…` or `sa_…`.
    #[schema(value_type = schema::PrincipalId)]
    pub id: String,
    /// The kind of principal.
    pub kind: PrincipalKind,
    /// The email address of a user, or the service account address.
    pub email: String,
    /// The name of the principal.
    #[schema(value_type = schema::Title)]
    pub name: String,
    /// `admin`, `editor` or `viewer`.
    #[schema(value_type = schema::ProjectRole)]
    pub role: ProjectRole,
}

/// The role of a principal in a project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProjectMember {
    /// `admin`, `editor` or `viewer`.
    #[schema(value_type = schema::ProjectRole)]
    pub role: ProjectRole,
}
