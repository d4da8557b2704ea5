//! Request verification: from a received request to the principal that sent it, and whether that principal may send it. It
//! reads a snapshot in memory and reaches neither a database nor a file nor the network.

pub mod authentication;
pub mod directory;
pub mod hosts;
pub mod network;
pub mod rate_limit;

pub use authentication::AuthenticationError;
pub use directory::{Directory, Snapshot};
pub use hosts::{Hosts, Origin, Scheme};
pub use rate_limit::RateLimits;
