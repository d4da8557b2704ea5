//! Reasons for refusing a request.

use domain::{Timestamp, path::PathError, principal::Denied};

use crate::{authentication::AuthenticationError, outside::NonceError, rate_limit::RetryAfter};

/// Why a request was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerificationError {
    /// Its credential was refused. The time is this node's, for clients whose clock is wrong.
    #[error("{0}")]
    Unauthenticated(AuthenticationError, Timestamp),
    /// Its credential was accepted, and the routes refuse it.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// There are too many requests with its key or from its IP address.
    #[error("too many requests; try again in {} s", .0.0)]
    RateLimited(RetryAfter),
    /// It has too many signatures or components.
    #[error("too many signatures or components")]
    TooManySignatures,
    /// This part of it cannot be signed.
    #[error("the request's {0} cannot be part of a signature")]
    Unsignable(&'static str),
    /// This node holds no lease, so it may not verify requests.
    #[error("this node holds no lease")]
    NoLease,
    /// Its nonce could not be recorded.
    #[error("the nonce could not be recorded: {0}")]
    NonceNotRecorded(#[from] NonceError),
}

/// Why the routes refuse an authenticated request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// The requirement of the route is not met.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There are routes, and none of them matches.
    #[error("no route of this installation matches this method and path")]
    NoRoute,
    /// The route requires a workspace, the principal has several, and the request does not contain one.
    #[error("you are a member of several workspaces; name one in a signed Keyward-Workspace header")]
    SeveralWorkspaces,
    /// The path and the header contain different workspaces.
    #[error("Keyward-Workspace and the path name different workspaces")]
    OtherWorkspace,
    /// The key is limited to scopes, and the route requires none of these.
    #[error(
        "your key is limited to scopes, and this route accepts none of them; use a key with the scope of the route"
    )]
    Scope,
    /// The key is limited to projects, and the path contains none.
    #[error("your key is limited to projects, and this route is not about one; use another key")]
    NoProject,
    /// Servers interpret the path differently.
    #[error("{error}{advice}", error = .0, advice = advice(*.0))]
    Path(#[from] PathError),
}

/// Returns what an operator can do about a refused path.
fn advice(error: PathError) -> String {
    let advice = |escape| format!("; a route can allow it (`allow_encoded = [\"{escape}\"]`)");
    error.allowable().map_or_else(String::new, advice)
}

impl RouteError {
    /// Returns a stable code for the audit log.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Denied(Denied::NotFound) => "not_found",
            Self::Denied(Denied::OutsidePolicy(_)) => "outside_policy",
            Self::Path(_) => "invalid_path",
            Self::Denied(_)
            | Self::NoRoute
            | Self::SeveralWorkspaces
            | Self::OtherWorkspace
            | Self::Scope
            | Self::NoProject => "forbidden",
        }
    }
}
