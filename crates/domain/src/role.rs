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

/// A word that names no role.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a role here is one of: {}", .0.join(", "))]
pub struct RoleError(&'static [&'static str]);
