//! The interfaces that request verification uses, in addition to [`Clock`](domain::Clock) and
//! [`Random`](domain::Random).

use std::{pin::Pin, time::Duration};

use domain::ReplayKey;
use http::{HeaderMap, HeaderValue, header};
use http_signature::Profile;

use crate::encord_version_1::is_encord_version_1;

/// This node's permission to verify requests.
pub trait Lease: Send + Sync {
    /// Returns whether the permission is valid now.
    fn is_held(&self) -> bool;
}

/// Records the nonces of proxied writes.
pub trait NonceStore: Send + Sync {
    /// Records the nonce of a request, and returns once the record is durable. Returns false if the nonce was used
    /// before, by this or another request.
    fn record_nonce(&self, request: ReplayKey) -> NonceFuture<'_>;
}

/// The result of [`NonceStore::record_nonce`].
pub type NonceFuture<'a> = Pin<Box<dyn Future<Output = Result<bool, NonceError>> + Send + 'a>>;

/// A nonce could not be recorded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NonceError(pub String);

/// Counts verifications and measures their duration.
pub trait Observer: Send + Sync {
    /// Called after a credential was verified, which took `duration`.
    fn observe_verification(&self, credential: CredentialType, outcome: Outcome, duration: Duration);
}

/// The type of the credential in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialType {
    /// A signature of this profile, or an invalid one.
    Signature(Profile),
    /// A bearer token.
    BearerToken,
    /// An unknown credential.
    Unreadable,
}

impl CredentialType {
    /// Returns the type of the credential in the headers, if there is one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        // The SDK's label comes first in its requests. Everything else is verified as native.
        match headers.get("signature-input").map(HeaderValue::as_bytes) {
            Some(input) if input.starts_with(b"encord-sig=") => Some(Self::Signature(Profile::Encord)),
            Some(_) => Some(Self::Signature(Profile::Native)),
            None => match headers.get(header::AUTHORIZATION) {
                Some(authorization) if is_encord_version_1(authorization) => Some(Self::Unreadable),
                Some(_) => Some(Self::BearerToken),
                None => headers.contains_key("signature").then_some(Self::Unreadable),
            },
        }
    }
}

/// The result of a verification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The credential was accepted.
    Accepted,
    /// The credential was refused.
    Refused,
    /// The node had no lease.
    Unavailable,
}
