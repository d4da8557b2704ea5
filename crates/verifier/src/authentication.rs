//! Why a credential was not accepted. What a client is told is decided here; the precise reason is in the audit log.

use domain::secret::redact;

/// Why a credential was not accepted. `Display` repeats no secret that was sent in place of a name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthenticationError {
    // Clients cannot tell these apart.
    /// None was shown.
    #[error("no credential")]
    Missing,
    /// More than one was shown.
    #[error("more than one credential")]
    Several,
    /// It is none that this server accepts.
    #[error("malformed credential: {}", redact(.0))]
    Malformed(String),
    /// No such key, or one that was revoked long ago.
    #[error("unknown key")]
    UnknownKey,
    /// The key is revoked.
    #[error("{}", if *verified { "key revoked" } else { "key revoked, and the signature does not verify under it" })]
    KeyRevoked {
        /// Whether the credential verified, so that the client holds the key.
        verified: bool,
    },
    /// The signature does not verify, so the request was not signed by the holder of the key, or was changed after
    /// signing.
    #[error("the signature does not verify under this key")]
    BadSignature,
    /// The bearer token was not made here, or was voided.
    #[error("unknown bearer token")]
    UnknownToken,
    /// Email and password are not those of a user who may sign in.
    #[error("the email address or password is wrong")]
    WrongPassword,
    /// The session was ended, or has expired.
    #[error("the session has ended; sign in again")]
    SessionEnded,

    // From here on the signature (or the token) verified: its holder is told the reason.
    /// Signed too long ago.
    #[error("stale by {0} s: this machine's clock is behind, or the request took too long")]
    Stale(i64),
    /// Signed in the future.
    #[error("signed {0} s in the future: this machine's clock is ahead")]
    Early(i64),
    /// The signature breaks a rule of its profile.
    #[error("{}", redact(.0))]
    Unacceptable(String),
    /// The body is not the one that was signed.
    #[error("digest does not match body")]
    DigestMismatch,
    /// The nonce was used for another request.
    #[error("the nonce was used for another request; sign each request with a new one")]
    NonceReused,
    /// An `encord` signature on a host that is not listed.
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
    /// The right password of a user who is suspended since a restore.
    #[error("your sign-in is suspended since this server was restored from a backup; ask its operator to confirm you")]
    SignInSuspended,
    /// The key's owner was removed from every workspace.
    #[error("the key's owner is a member of no workspace")]
    OwnerWithoutWorkspace,
    /// The bearer token has expired.
    #[error("bearer token expired; get a new one")]
    TokenExpired,
}

impl AuthenticationError {
    /// A stable word for it, in the audit log and in metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Malformed(_) => "malformed",
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
        }
    }

    /// Whether the signature verified under a key that is not revoked, so that the client holds the key.
    #[must_use]
    pub const fn is_for_holder(&self) -> bool {
        match self {
            Self::Missing
            | Self::Several
            | Self::Malformed(_)
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
            | Self::TokenExpired => true,
        }
    }

    /// Whether the credential verified, under a revoked key too. Every client can name any key.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        matches!(self, Self::KeyRevoked { verified: true }) || self.is_for_holder()
    }
}
