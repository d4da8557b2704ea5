//! The check of a parsed signature, and the proof of it: a `VerifiedSignature` exists only where the check was made.
//! Who the key belongs to and whether a nonce was seen before are other people's questions.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::component::hex_value;
use crate::content_digest::{ContentDigest, DigestError};
use crate::profile::{
    CONTENT_DIGEST, NATIVE_MAX_LIFETIME_SECONDS, NONCE_MAX_CHARACTERS, NONCE_MIN_CHARACTERS, Profile,
    UnverifiedSignature,
};
use crate::verification_key::{Attempt, VerificationKey};

/// Why a signature is refused once its key is known.
///
/// The sender must not learn more about [`Invalid`](Self::Invalid). Every other reason is found only after the signature
/// verified, so the sender holds the private key and may learn the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature was not made with this key over this request.
    #[error("the signature does not verify")]
    Invalid,
    /// An ECDSA signature that is right but for its encoding (RFC 9421 §3.3.4).
    #[error(
        "the signature verifies, but it is in DER; send r and s one after the other, each as long as the curve's order (in \
         Node.js: dsaEncoding 'ieee-p1363')"
    )]
    DerEncoded,
    /// An RSASSA-PSS signature that is right but for the length of its salt (RFC 9421 §3.3.1).
    #[error(
        "the signature verifies, but its salt has {bytes} bytes; sign with a salt of 64 (in Node.js: saltLength: 64)"
    )]
    OtherSalt {
        /// The length of its salt.
        bytes: usize,
    },
    /// The native profile needs this component to be covered.
    #[error("the signature does not cover {0}; cover it and sign again")]
    MissingComponent(&'static str),
    /// Every method but GET, HEAD and OPTIONS needs `content-digest` to be covered, also with an empty body.
    #[error("the signature does not cover content-digest, which every method but GET, HEAD and OPTIONS needs")]
    MissingDigest,
    /// The covered `Content-Digest` cannot be checked, whatever the body is.
    #[error(transparent)]
    Digest(DigestError),
    /// The native profile needs this signature parameter.
    #[error("the signature has no parameter `{0}`; add it and sign again")]
    MissingParameter(&'static str),
    /// A nonce that is too short, too long, or not of visible ASCII.
    #[error(
        "the nonce has {length} characters; send {NONCE_MIN_CHARACTERS} to {NONCE_MAX_CHARACTERS} \
         random characters of visible ASCII"
    )]
    BadNonce {
        /// Its length in characters.
        length: usize,
    },
    /// `expires` before `created`, or more than 60 s after it.
    #[error(
        "`expires` is {lifetime_seconds} s after `created`; sign with 1 to {NATIVE_MAX_LIFETIME_SECONDS} s of lifetime"
    )]
    BadExpiry {
        /// `expires` − `created`.
        lifetime_seconds: i64,
    },
    /// `created` lies before the window.
    #[error("stale by {seconds_late} s; set your clock, or sign again")]
    Stale {
        /// The server's time − `created`.
        seconds_late: i64,
    },
    /// `created` lies after the window.
    #[error("signed {seconds} s in the future; set your clock, and sign again")]
    Early {
        /// `created` − the server's time.
        seconds: i64,
    },
    /// `expires` has passed.
    #[error("expired {seconds_ago} s ago; sign again")]
    Expired {
        /// The server's time − `expires`; 0 in the second in which it expired.
        seconds_ago: i64,
    },
}

impl UnverifiedSignature {
    /// Checks the signature over its base, and only then coverage, nonce and time.
    ///
    /// `now_unix_seconds` is the server's wall clock. A signature is good from its window's start to its end, both included,
    /// and while `now < expires`.
    ///
    /// # Errors
    /// [`VerifyError::Invalid`], or what is wrong with a signature that the key's holder did make.
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
        // The key id of this profile is the key: a wrong look-up must not pass.
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

    /// Answers the end of the signature's life.
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

/// A signature that was checked: the holder of the key signed this request, now.
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
    /// The profile that took it.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The key id as it was received.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.base.get(self.key_id.clone()).unwrap_or_default()
    }

    /// When it was signed, in Unix seconds.
    #[must_use]
    pub fn created(&self) -> i64 {
        self.created
    }

    /// When its life ends, in Unix seconds: `expires`, or for the Encord profile `created` + 300.
    /// A replay record must outlive it by the clock skew between nodes.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// The nonce; always there in the native profile, never in the Encord one.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.clone().and_then(|range| self.base.get(range))
    }

    /// The signature base (RFC 9421 §2.5) that was signed.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// SHA-256 of `prefix` ‖ signature base, the key of a replay record when `prefix` is the id of the verified key.
    /// Ids are of one length, so no separator is needed.
    #[must_use]
    pub fn base_hash(&self, prefix: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(prefix).chain_update(self.base.as_bytes()).finalize().into()
    }

    /// True where the field of this name is covered as it is, without component parameters. Any case.
    #[must_use]
    pub fn covers_header(&self, name: &str) -> bool {
        !name.starts_with('@') && self.covered_value(&name.to_ascii_lowercase()).is_some()
    }

    /// True where the digest of the body is covered.
    #[must_use]
    pub fn covers_content_digest(&self) -> bool {
        self.covered_value(CONTENT_DIGEST).is_some()
    }

    /// Checks again that the signature's time is not over, where its body came later than its headers.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] or [`VerifyError::Expired`].
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

    /// Checks the body, as it came over the wire, against the covered `Content-Digest`.
    ///
    /// # Errors
    /// [`DigestError::Mismatch`], or [`DigestError::NotCovered`] for a body of at least one byte under a signature that
    /// covers no digest.
    pub fn verify_body(&self, body: &[u8]) -> Result<(), DigestError> {
        match self.covered_value(CONTENT_DIGEST) {
            Some(digest) => ContentDigest::parse(digest)?.verify(body),
            None if body.is_empty() => Ok(()),
            None => Err(DigestError::NotCovered),
        }
    }

    /// The value of a component without parameters. No value holds a line break, so each line is one component.
    fn covered_value(&self, name: &str) -> Option<&str> {
        self.base.lines().find_map(|line| line.strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\": "))
    }
}
