//! Reasons for refusing a credential. This module determines the response to the client. The audit log has the exact
//! reason.

use std::net::IpAddr;

use domain::{Timestamp, key_use::RefusalReason, limits::UseRefusal, policy::OutsidePolicy, secret::redact};

/// Why a credential was refused. `Display` contains no secret that was sent instead of a name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthenticationError {
    // The responses for these reasons are identical.
    /// The request has no credential.
    #[error("no credential: sign the request with a registered key (RFC 9421), or send a bearer token")]
    Missing,
    /// The request has more than one credential.
    #[error("more than one credential: send one signature, or one bearer token")]
    Several,
    /// The credential has an unsupported form.
    #[error("malformed credential: {}", redact(.0))]
    Malformed(String),
    /// The credential is a signature of version 1 of the Encord SDK.
    #[error(
        "the Encord SDK signed this call with its version 1 signature, which Keyward does not accept: it covers only the \
         body and never expires. Create another client with \
         EncordUserClient.create_with_bearer_token(client.get_bearer_token(), domain=...) for this call"
    )]
    EncordVersion1,
    /// The key does not exist, or was revoked long ago.
    #[error("unknown key")]
    UnknownKey,
    /// The key is revoked.
    #[error("{}", if *verified { "key revoked" } else { "key revoked, and the signature does not verify under it" })]
    KeyRevoked {
        /// Whether the credential was verified, so that the client holds the key.
        verified: bool,
    },
    /// The signature is invalid: the request was not signed with this key, or was changed after signing.
    #[error("the signature does not verify under this key")]
    BadSignature,
    /// The bearer token was not issued by this installation, or is invalidated.
    #[error("unknown bearer token")]
    UnknownToken,
    /// The email and password do not belong to a user that may sign in.
    #[error("the email address or password is wrong")]
    WrongPassword,
    /// The session was ended, or has expired.
    #[error("the session has ended; sign in again")]
    SessionEnded,

    // For the following reasons, the signature or token was verified, so its holder may learn the reason.
    /// It was signed too long ago.
    #[error("stale by {0} s: this machine's clock is behind, or the request took too long")]
    Stale(i64),
    /// It was signed in the future.
    #[error("signed {0} s in the future: this machine's clock is ahead")]
    Early(i64),
    /// The signature violates a rule of its profile.
    #[error("{}", redact(.0))]
    Unacceptable(String),
    /// The body is not the signed one.
    #[error("digest does not match body: sign the bytes that are sent; a library may have written the JSON again")]
    DigestMismatch,
    /// The nonce was used for another request.
    #[error("the nonce was used for another request; sign each request with a new one")]
    NonceReused,
    /// An `encord` signature for a host that is not listed.
    #[error("signatures of the Encord SDK are not accepted on this host; the operator must add it to `encord_hosts`")]
    HostNotListed,
    /// The key is disabled.
    #[error("key disabled")]
    KeyDisabled,
    /// The key is suspended since a restore.
    #[error("key suspended since a restore; an operator confirms it with `keyward admin confirm-keys`")]
    KeySuspended,
    /// The key has expired.
    #[error("key expired")]
    KeyExpired,
    /// The key's owner is disabled.
    #[error("the key's owner is disabled")]
    OwnerDisabled,
    /// The key's owner is suspended since a restore.
    #[error(
        "the key's owner is suspended since a restore; an operator confirms users on the host with `keyward admin \
         confirm-users`"
    )]
    OwnerSuspended,
    /// The password is correct, and the user is suspended since a restore.
    #[error("your sign-in is suspended since this server was restored from a backup; ask its operator to confirm you")]
    SignInSuspended,
    /// The key's owner was removed from every workspace.
    #[error("the key's owner is a member of no workspace")]
    OwnerWithoutWorkspace,
    /// The bearer token has expired.
    #[error("bearer token expired; get a new one")]
    TokenExpired,
    /// The key is limited to requests from this time on.
    #[error("this key is accepted from {0:.0} on")]
    KeyNotYetValid(Timestamp),
    /// The key is limited to networks, and the request comes from elsewhere or from an unknown IP address.
    #[error("{}", elsewhere(*.0))]
    AddressNotAllowed(Option<IpAddr>),
    /// The key is outside the policy of the installation, or that of the workspace of its service account.
    #[error("{0}; ask an admin to change the key, or use another one")]
    OutsidePolicy(OutsidePolicy),
}

impl From<UseRefusal> for AuthenticationError {
    fn from(refusal: UseRefusal) -> Self {
        match refusal {
            UseRefusal::NotBefore(start) => Self::KeyNotYetValid(start),
            UseRefusal::Address(ip_address) => Self::AddressNotAllowed(ip_address),
        }
    }
}

fn elsewhere(ip_address: Option<IpAddr>) -> String {
    let advice =
        "the key is limited to other networks; send the request from one of them, or change the limits of the key";
    match ip_address {
        Some(ip_address) => format!("the request came from {ip_address}, and {advice}"),
        None => {
            "the key is limited to networks, and the IP address of the client is unknown; the operator must configure \
                 the proxy to pass it"
                .to_owned()
        }
    }
}

impl AuthenticationError {
    /// Returns a stable code for the audit log and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Malformed(_) => "malformed",
            Self::EncordVersion1 => "encord_version_1",
            Self::UnknownKey => "unknown_key",
            Self::KeyRevoked { .. } => "key_revoked",
            Self::BadSignature => "bad_signature",
            Self::UnknownToken => "unknown_token",
            Self::WrongPassword => "wrong_password",
            Self::SessionEnded => "session_ended",
            Self::Stale(_) => "stale",
            Self::Early(_) => "early",
            Self::Unacceptable(_) => "unacceptable",
            Self::DigestMismatch => "digest_mismatch",
            Self::NonceReused => "nonce_reused",
            Self::HostNotListed => "host_not_listed",
            Self::KeyDisabled => "key_disabled",
            Self::KeySuspended => "key_suspended",
            Self::KeyExpired => "key_expired",
            Self::OwnerDisabled => "owner_disabled",
            Self::OwnerSuspended => "owner_suspended",
            Self::SignInSuspended => "sign_in_suspended",
            Self::OwnerWithoutWorkspace => "owner_without_workspace",
            Self::TokenExpired => "token_expired",
            Self::KeyNotYetValid(_) => "key_not_yet_valid",
            Self::AddressNotAllowed(_) => "address_not_allowed",
            Self::OutsidePolicy(_) => "outside_policy",
        }
    }

    /// Returns how a refusal with a registered key is counted. `None` if no key is part of it.
    #[must_use]
    pub const fn refusal_reason(&self) -> Option<RefusalReason> {
        Some(match self {
            Self::Missing
            | Self::Several
            | Self::Malformed(_)
            | Self::EncordVersion1
            | Self::WrongPassword
            | Self::SessionEnded
            | Self::SignInSuspended => return None,
            Self::BadSignature | Self::KeyRevoked { verified: false } => RefusalReason::BadSignature,
            // The owner of a registered key that is unknown was deleted, which revokes the key.
            Self::KeyRevoked { verified: true } | Self::UnknownKey => RefusalReason::KeyRevoked,
            Self::KeyExpired => RefusalReason::KeyExpired,
            Self::KeyDisabled | Self::KeySuspended => RefusalReason::KeyDisabled,
            Self::OwnerDisabled | Self::OwnerSuspended | Self::OwnerWithoutWorkspace => RefusalReason::OwnerDisabled,
            Self::Stale(_) | Self::Early(_) | Self::TokenExpired | Self::UnknownToken => RefusalReason::WrongTime,
            Self::NonceReused => RefusalReason::Replayed,
            Self::HostNotListed => RefusalReason::HostNotListed,
            // The counters have no column for limits and policies, which forbid the request as a route does.
            Self::KeyNotYetValid(_) | Self::AddressNotAllowed(_) | Self::OutsidePolicy(_) => RefusalReason::Forbidden,
            Self::Unacceptable(_) | Self::DigestMismatch => RefusalReason::Invalid,
        })
    }

    /// Returns whether the form of the request is wrong. This depends on no key, so every client may see the reason.
    #[must_use]
    pub const fn is_about_form(&self) -> bool {
        matches!(self, Self::Missing | Self::Several | Self::Malformed(_) | Self::EncordVersion1)
    }

    /// Returns whether the signature was verified with a key that is not revoked, so that the client holds the key.
    #[must_use]
    pub const fn is_for_holder(&self) -> bool {
        match self {
            Self::Missing
            | Self::Several
            | Self::Malformed(_)
            | Self::EncordVersion1
            | Self::UnknownKey
            | Self::KeyRevoked { .. }
            | Self::BadSignature
            | Self::UnknownToken
            | Self::WrongPassword
            | Self::SessionEnded => false,
            Self::Stale(_)
            | Self::Early(_)
            | Self::Unacceptable(_)
            | Self::DigestMismatch
            | Self::NonceReused
            | Self::HostNotListed
            | Self::KeyDisabled
            | Self::KeySuspended
            | Self::KeyExpired
            | Self::OwnerDisabled
            | Self::OwnerSuspended
            | Self::SignInSuspended
            | Self::OwnerWithoutWorkspace
            | Self::TokenExpired
            | Self::KeyNotYetValid(_)
            | Self::AddressNotAllowed(_)
            | Self::OutsidePolicy(_) => true,
        }
    }

    /// Returns whether the credential was verified, also with a revoked key. Without this check, a client could use the
    /// id of any key.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        matches!(self, Self::KeyRevoked { verified: true }) || self.is_for_holder()
    }
}
