//! Roles in a workspace and in a project.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! role {
    ($(#[$doc:meta])* $role:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $role { $($(#[$variant_doc])* $variant,)* }

        impl $role {
            /// All roles, as [`as_str`](Self::as_str) returns them.
            pub const WORDS: &[&str] = &[$($text),*];

            /// Returns the name in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $role {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $role {
            type Err = RoleError;

            fn from_str(text: &str) -> Result<Self, RoleError> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(RoleError(&[$($text),*])) }
            }
        }
    };
}

role! {
    /// A role in a workspace. Later roles include the permissions of earlier ones.
    Role {
        /// Can create projects, and view its own projects and those it was invited to.
        Member = "member",
        /// Can manage members, service accounts and their keys, and view every project.
        Admin = "admin",
    }
}

role! {
    /// A role in a project. Later roles include the permissions of earlier ones.
    ProjectRole {
        /// Can view it.
        Viewer = "viewer",
        /// Can change its content.
        Editor = "editor",
        /// Can manage its members and delete it.
        Admin = "admin",
    }
}

/// The role that an operation requires and the caller does not have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum RequiredRole {
    /// A user, instead of a service account or the host.
    #[serde(rename = "user")]
    User,
    /// An operator.
    #[serde(rename = "operator")]
    Operator,
    /// An admin of the workspace.
    #[serde(rename = "workspace:admin")]
    WorkspaceAdmin,
    /// At least a viewer of the project.
    #[serde(rename = "project:viewer")]
    ProjectViewer,
    /// At least an editor of the project.
    #[serde(rename = "project:editor")]
    ProjectEditor,
    /// An admin of the project.
    #[serde(rename = "project:admin")]
    ProjectAdmin,
}

impl RequiredRole {
    /// Returns the role with its article, such as `an admin of the workspace`.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::User => "a user",
            Self::Operator => "an operator",
            Self::WorkspaceAdmin => "an admin of the workspace",
            Self::ProjectViewer => "a viewer of the project",
            Self::ProjectEditor => "an editor of the project",
            Self::ProjectAdmin => "an admin of the project",
        }
    }
}

/// For people, such as `admin of the workspace`.
impl fmt::Display for RequiredRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.with_article();
        f.write_str(text.split_once(' ').map_or(text, |(_, role)| role))
    }
}

/// A text that is not a role.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the role must be one of: {}", .0.join(", "))]
pub struct RoleError(&'static [&'static str]);
