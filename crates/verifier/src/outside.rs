//! What request verification asks of the outside, beside [`Clock`](domain::Clock) and [`Random`](domain::Random).

use std::{pin::Pin, time::Duration};

use domain::ReplayKey;
use http::{HeaderMap, HeaderValue, header};
use http_signature::Profile;

/// This node's permission to verify requests.
pub trait Lease: Send + Sync {
    /// Whether the permission is valid now.
    fn is_held(&self) -> bool;
}

/// Where the nonces of proxied writes are recorded.
pub trait NonceStore: Send + Sync {
    /// Records the nonce of a request. It returns once the record is durable; false where the nonce was used before, by
    /// the same request or another one.
    fn record_nonce(&self, request: ReplayKey) -> NonceFuture<'_>;
}

/// What [`NonceStore::record_nonce`] returns.
pub type NonceFuture<'a> = Pin<Box<dyn Future<Output = Result<bool, NonceError>> + Send + 'a>>;

/// A nonce could not be recorded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NonceError(pub String);

/// Counts and times verifications.
pub trait Observer: Send + Sync {
    /// A credential was verified, which took `duration`.
    fn observe_verification(&self, credential: CredentialType, outcome: Outcome, duration: Duration);
}

/// What a request showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialType {
    /// A signature of this profile, or one that could not be read as any.
    Signature(Profile),
    /// A bearer token.
    BearerToken,
    /// Something that cannot be read.
    Unreadable,
}

impl CredentialType {
    /// What the headers show, if anything.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        // The label is the SDK's own and stands first; anything else is verified as native.
        match headers.get("signature-input").map(HeaderValue::as_bytes) {
            Some(input) if input.starts_with(b"encord-sig=") => Some(Self::Signature(Profile::Encord)),
            Some(_) => Some(Self::Signature(Profile::Native)),
            None if headers.contains_key(header::AUTHORIZATION) => Some(Self::BearerToken),
            None if headers.contains_key("signature") => Some(Self::Unreadable),
            None => None,
        }
    }
}

/// What a verification came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The credential was accepted.
    Accepted,
    /// It was not.
    Refused,
    /// The node had no lease.
    Unavailable,
}
