//! Request verification: it determines the principal of a received request, and whether the principal may send it. It
//! reads a snapshot in memory. This crate has no access to a database, to files or to the network.

pub mod authentication;
mod bearer_token;
pub mod directory;
mod encord_version_1;
pub mod error;
pub mod explanation;
pub mod hosts;
pub mod network;
pub mod outside;
pub mod proxied_request;
pub mod rate_limit;
pub mod refusal_records;
pub mod request;
mod table;
mod token;
pub mod use_records;
mod verifier;

pub use authentication::AuthenticationError;
pub use directory::{Directory, Snapshot};
pub use encord_version_1::is_encord_version_1;
pub use error::{RouteError, VerificationError};
pub use explanation::Explanation;
pub use hosts::{Hosts, Origin, Scheme};
pub use proxied_request::AuthorizedRequest;
pub use rate_limit::RateLimits;
pub use request::{OriginalRequest, VerifiedHeaders, VerifiedRequest};
pub use token::TokenKey;
pub use verifier::{Outside, RefusalReaders, Verifier, VerifierConfig};
