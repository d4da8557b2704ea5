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
            /// Every role, as [`as_str`](Self::as_str) writes it.
            pub const WORDS: &[&str] = &[$($text),*];

            /// The word on the wire.
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
    /// What a principal may do in a workspace. Later is more.
    Role {
        /// Creates projects, sees own and invited ones.
        Member = "member",
        /// Manages members, service accounts and their keys; sees every project.
        Admin = "admin",
    }
}

role! {
    /// What a principal may do in a project. Later is more.
    ProjectRole {
        /// Sees it.
        Viewer = "viewer",
        /// Changes what is in it.
        Editor = "editor",
        /// Manages its members, deletes it.
        Admin = "admin",
    }
}

/// The role that an operation needs, where the caller does not have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum RequiredRole {
    /// A person; not a service account and not the host.
    #[serde(rename = "user")]
    User,
    /// Who runs the installation.
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
    /// The role with its article, such as `an admin of the workspace`.
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

/// A word that names no role.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the role must be one of: {}", .0.join(", "))]
pub struct RoleError(&'static [&'static str]);
