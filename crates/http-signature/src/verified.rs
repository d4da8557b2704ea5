//! Verification of a parsed signature. A `VerifiedSignature` exists only after a successful verification. The caller
//! determines the owner of the key, and whether the nonce was used.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::component::hex_value;
use crate::content_digest::{ContentDigest, DigestError};
use crate::profile::{
    CONTENT_DIGEST, NATIVE_MAX_LIFETIME_SECONDS, NONCE_MAX_CHARACTERS, NONCE_MIN_CHARACTERS, Profile,
    UnverifiedSignature,
};
use crate::verification_key::{Attempt, VerificationKey};

/// Why a signature is refused after its key was found.
///
/// The sender must not learn more about [`Invalid`](Self::Invalid). Every other reason is found only after the
/// signature was verified, so the sender has the private key and may learn the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature was not made with this key over this request.
    #[error("the signature does not verify")]
    Invalid,
    /// An ECDSA signature that is correct except for its encoding (RFC 9421 §3.3.4).
    #[error(
        "the signature verifies, but it is in DER; send r and s one after the other, each as long as the curve's order (in \
         Node.js: dsaEncoding 'ieee-p1363')"
    )]
    DerEncoded,
    /// An RSASSA-PSS signature that is correct except for the length of its salt (RFC 9421 §3.3.1).
    #[error(
        "the signature verifies, but its salt has {bytes} bytes; sign with a salt of 64 (in Node.js: saltLength: 64)"
    )]
    OtherSalt {
        /// The length of its salt.
        bytes: usize,
    },
    /// The native profile requires this component to be covered.
    #[error("the signature does not cover {0}; cover it and sign again")]
    MissingComponent(&'static str),
    /// Every method except GET, HEAD and OPTIONS requires `content-digest` to be covered, also with an empty body.
    #[error("the signature does not cover content-digest, which every method but GET, HEAD and OPTIONS needs")]
    MissingDigest,
    /// The covered `Content-Digest` cannot be checked with any body.
    #[error(transparent)]
    Digest(DigestError),
    /// The native profile requires this signature parameter.
    #[error("the signature has no parameter `{0}`; add it and sign again")]
    MissingParameter(&'static str),
    /// A nonce that is too short, too long, or not visible ASCII.
    #[error(
        "the nonce has {length} characters; send {NONCE_MIN_CHARACTERS} to {NONCE_MAX_CHARACTERS} \
         random characters of visible ASCII"
    )]
    BadNonce {
        /// Its length in characters.
        length: usize,
    },
    /// `expires` is before `created`, or more than 60 s after it.
    #[error(
        "`expires` is {lifetime_seconds} s after `created`; sign with 1 to {NATIVE_MAX_LIFETIME_SECONDS} s of lifetime"
    )]
    BadExpiry {
        /// `expires` − `created`.
        lifetime_seconds: i64,
    },
    /// `created` is before the window.
    #[error("stale by {seconds_late} s; set your clock, or sign again")]
    Stale {
        /// The server's time − `created`.
        seconds_late: i64,
    },
    /// `created` is after the window.
    #[error("signed {seconds} s in the future; set your clock, and sign again")]
    Early {
        /// `created` − the server's time.
        seconds: i64,
    },
    /// `expires` has passed.
    #[error("expired {seconds_ago} s ago; sign again")]
    Expired {
        /// The server's time − `expires`. It is 0 in the second in which the signature expired.
        seconds_ago: i64,
    },
}

impl UnverifiedSignature {
    /// Verifies the signature over its base, and then checks coverage, nonce and time.
    ///
    /// `now_unix_seconds` is the server's wall clock. A signature is valid from the start to the end of its window,
    /// both included, and while `now < expires`.
    ///
    /// # Errors
    /// [`VerifyError::Invalid`], or the error in a signature that was made by the key's holder.
    pub fn verify(self, key: &VerificationKey, now_unix_seconds: i64) -> Result<VerifiedSignature, VerifyError> {
        self.check_signature(key)?;
        if let Some(missing) = self.missing_component {
            return Err(if missing == CONTENT_DIGEST {
                VerifyError::MissingDigest
            } else {
                VerifyError::MissingComponent(missing)
            });
        }
        let expires_at = self.check_time(now_unix_seconds)?;
        self.check_nonce()?;
        let verified = VerifiedSignature {
            profile: self.profile,
            base: self.base,
            key_id: self.key_id,
            nonce: self.nonce,
            created: self.created,
            expires_at,
        };
        if let Some(digest) = verified.covered_value(CONTENT_DIGEST) {
            ContentDigest::parse(digest).map_err(VerifyError::Digest)?;
        }
        Ok(verified)
    }

    fn check_signature(&self, key: &VerificationKey) -> Result<(), VerifyError> {
        let attempt = key.attempt(self.algorithm, self.base.as_bytes(), &self.signature);
        if attempt == Attempt::Invalid {
            return Err(VerifyError::Invalid);
        }
        // In this profile, the key id is the key, so the result of a wrong look-up is refused.
        match self.profile {
            Profile::Encord if !key.as_ed25519_bytes().is_some_and(|bytes| is_hex_of(self.key_id(), bytes)) => {
                Err(VerifyError::Invalid)
            }
            _ => match attempt {
                Attempt::Valid => Ok(()),
                Attempt::ValidInDer => Err(VerifyError::DerEncoded),
                Attempt::ValidWithSaltOf(bytes) => Err(VerifyError::OtherSalt { bytes }),
                Attempt::Invalid => Err(VerifyError::Invalid),
            },
        }
    }

    /// Returns when the signature expires.
    fn check_time(&self, now: i64) -> Result<i64, VerifyError> {
        let (past, future) = (self.profile.past_window_seconds(), self.profile.future_window_seconds());
        let expires = match (self.profile, self.expires) {
            (Profile::Encord, _) => self.created.saturating_add(past),
            (Profile::Native, None) => return Err(VerifyError::MissingParameter("expires")),
            (Profile::Native, Some(expires)) => {
                let lifetime_seconds = expires.saturating_sub(self.created);
                if !(0..=NATIVE_MAX_LIFETIME_SECONDS).contains(&lifetime_seconds) {
                    return Err(VerifyError::BadExpiry { lifetime_seconds });
                }
                expires
            }
        };
        let age = now.saturating_sub(self.created);
        if age > past {
            return Err(VerifyError::Stale { seconds_late: age });
        }
        if age < -future {
            return Err(VerifyError::Early { seconds: age.saturating_neg() });
        }
        if self.profile == Profile::Native && expires <= now {
            return Err(VerifyError::Expired { seconds_ago: now.saturating_sub(expires) });
        }
        Ok(expires)
    }

    fn check_nonce(&self) -> Result<(), VerifyError> {
        if self.profile == Profile::Encord {
            return Ok(());
        }
        let nonce = self.nonce.clone().and_then(|range| self.base.get(range));
        let nonce = nonce.ok_or(VerifyError::MissingParameter("nonce"))?;
        let visible = nonce.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        if visible && (NONCE_MIN_CHARACTERS..=NONCE_MAX_CHARACTERS).contains(&nonce.len()) {
            Ok(())
        } else {
            Err(VerifyError::BadNonce { length: nonce.len() })
        }
    }
}

fn is_hex_of(text: &str, bytes: &[u8]) -> bool {
    let byte_of = |pair: &[u8]| match pair {
        [high, low] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte_of).eq(bytes.iter().copied().map(Some))
}

/// A verified signature: the holder of the key signed this request, and the signature has not expired.
#[derive(Clone, Debug)]
pub struct VerifiedSignature {
    profile: Profile,
    base: String,
    key_id: Range<usize>,
    nonce: Option<Range<usize>>,
    created: i64,
    expires_at: i64,
}

impl VerifiedSignature {
    /// Returns the profile of the signature.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Returns the key id as received.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.base.get(self.key_id.clone()).unwrap_or_default()
    }

    /// Returns when it was signed, in Unix seconds.
    #[must_use]
    pub fn created(&self) -> i64 {
        self.created
    }

    /// Returns when it expires, in Unix seconds: `expires`, or `created` + 300 for the Encord profile. A replay record
    /// must be kept longer, by the clock skew between nodes.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// Returns the nonce. The native profile always has one, and the Encord profile never.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.clone().and_then(|range| self.base.get(range))
    }

    /// Returns the signature base (RFC 9421 §2.5).
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns SHA-256 of `prefix` ‖ signature base. With the id of the verified key as `prefix`, it is the key of a
    /// replay record. All ids have the same length, so no separator is needed.
    #[must_use]
    pub fn base_hash(&self, prefix: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(prefix).chain_update(self.base.as_bytes()).finalize().into()
    }

    /// Returns whether the field with this name is covered without component parameters. The name is case-insensitive.
    #[must_use]
    pub fn covers_header(&self, name: &str) -> bool {
        !name.starts_with('@') && self.covered_value(&name.to_ascii_lowercase()).is_some()
    }

    /// Returns whether the digest of the body is covered.
    #[must_use]
    pub fn covers_content_digest(&self) -> bool {
        self.covered_value(CONTENT_DIGEST).is_some()
    }

    /// Checks again that the signature has not expired, after a body that arrived later than its headers.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] or [`VerifyError::Expired`] if it has expired.
    pub fn check_not_over(&self, now_unix_seconds: i64) -> Result<(), VerifyError> {
        let age = now_unix_seconds.saturating_sub(self.created);
        if age > self.profile.past_window_seconds() {
            return Err(VerifyError::Stale { seconds_late: age });
        }
        if self.profile == Profile::Native && self.expires_at <= now_unix_seconds {
            return Err(VerifyError::Expired { seconds_ago: now_unix_seconds.saturating_sub(self.expires_at) });
        }
        Ok(())
    }

    /// Checks the received body against the covered `Content-Digest`.
    ///
    /// # Errors
    /// [`DigestError::Mismatch`], or [`DigestError::NotCovered`] for a body that is not empty with a signature that
    /// covers no digest.
    pub fn verify_body(&self, body: &[u8]) -> Result<(), DigestError> {
        match self.covered_value(CONTENT_DIGEST) {
            Some(digest) => ContentDigest::parse(digest)?.verify(body),
            None if body.is_empty() => Ok(()),
            None => Err(DigestError::NotCovered),
        }
    }

    /// Returns the value of a component without parameters. Values contain no line breaks, so each line is one
    /// component.
    fn covered_value(&self, name: &str) -> Option<&str> {
        self.base.lines().find_map(|line| line.strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\": "))
    }
}
