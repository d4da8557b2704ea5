//! Why a request was not let through.

use domain::{Timestamp, path::PathError, principal::Denied};

use crate::{authentication::AuthenticationError, outside::NonceError, rate_limit::RetryAfter};

/// Why a request was not let through.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerificationError {
    /// Its credential was not accepted. The time is this node's, for clients whose clock is wrong.
    #[error("{0}")]
    Unauthenticated(AuthenticationError, Timestamp),
    /// Its credential was accepted, and the routes do not let it through.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Its key or its client address sends too many requests.
    #[error("too many requests; try again in {} s", .0.0)]
    RateLimited(RetryAfter),
    /// It has more signatures or components than are read.
    #[error("too many signatures or components")]
    TooManySignatures,
    /// This part of it cannot be signed as it is.
    #[error("the request's {0} cannot be part of a signature")]
    Unsignable(&'static str),
    /// This node holds no lease, so it may not verify requests.
    #[error("this node holds no lease")]
    NoLease,
    /// Its nonce could not be recorded.
    #[error("the nonce could not be recorded: {0}")]
    NonceNotRecorded(#[from] NonceError),
}

/// Why the routes do not let an authenticated request through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// What the route requires is missing.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There are routes, and none matches.
    #[error("no route of this installation matches this method and path")]
    NoRoute,
    /// The route needs a workspace, and nothing names one of several.
    #[error("you are a member of several workspaces; name one in a signed Keyward-Workspace header")]
    SeveralWorkspaces,
    /// Path and header name different workspaces.
    #[error("Keyward-Workspace and the path name different workspaces")]
    OtherWorkspace,
    /// Servers read the path in different ways.
    #[error("{error}{advice}", error = .0, advice = advice(*.0))]
    Path(#[from] PathError),
}

/// What an operator can do about a path that is refused.
fn advice(error: PathError) -> String {
    let advice = |escape| format!("; a route can allow it (`allow_encoded = [\"{escape}\"]`)");
    error.allowable().map_or_else(String::new, advice)
}

impl RouteError {
    /// A stable word for it, in the audit log.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Denied(Denied::NotFound) => "not_found",
            Self::Path(_) => "invalid_path",
            Self::Denied(_) | Self::NoRoute | Self::SeveralWorkspaces | Self::OtherWorkspace => "forbidden",
        }
    }
}
