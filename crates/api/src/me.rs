//! The response about the caller.

use domain::{ApiKeyId, WorkspaceId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// The caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The principal of the request.
    pub principal: Principal,
    /// The key of the credential, if there is one.
    pub key: Option<CredentialKey>,
    /// Whether the user is an operator.
    pub operator: bool,
    /// The workspaces of the principal.
    pub workspaces: Vec<MyWorkspace>,
}

/// A user or a service account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Principal {
    /// `usr_…` or `sa_…`.
    #[schema(value_type = schema::PrincipalId)]
    pub id: String,
    /// The kind of principal.
    pub kind: PrincipalKind,
    /// The email address of a user, or the service account address.
    pub email: String,
    /// Whether the email address is verified. Always false for a service account.
    #[serde(default)]
    pub email_verified: bool,
    /// The name of the principal.
    #[schema(value_type = schema::Title)]
    pub name: String,
}

/// The kind of principal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A user.
    User,
    /// A service account.
    ServiceAccount,
}

/// The key of the credential.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CredentialKey {
    /// Its id.
    #[schema(value_type = schema::ApiKeyId)]
    pub id: ApiKeyId,
    /// Its fingerprint.
    #[schema(value_type = schema::Fingerprint)]
    pub fingerprint: String,
}

/// A workspace and the role of the principal in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct MyWorkspace {
    /// Its id.
    #[schema(value_type = schema::WorkspaceId)]
    pub id: WorkspaceId,
    /// Its slug.
    #[schema(value_type = schema::Slug)]
    pub slug: String,
    /// Its name.
    #[schema(value_type = schema::Title)]
    pub name: String,
    /// `admin` or `member`.
    #[schema(value_type = schema::Role)]
    pub role: domain::role::Role,
}
