//! `Content-Digest` (RFC 9530 §2): the digest of the received bytes. `profile` decides whether it is required.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use crate::structured::{Parser, SyntaxError};

/// The value of a `Want-Content-Digest` field (RFC 9530 §4) that requests the supported algorithms.
pub const WANT_CONTENT_DIGEST: &str = "sha-256=10, sha-512=5";

/// Why the digest of a body is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is a body, and the signature does not cover its digest.
    #[error("the body is not covered: sign a Content-Digest field along with the request")]
    NotCovered,
    /// Not a dictionary of byte sequences.
    #[error("Content-Digest is malformed: {0}")]
    Malformed(#[from] SyntaxError),
    /// An algorithm occurs twice.
    #[error("Content-Digest names an algorithm twice")]
    Duplicate,
    /// An algorithm other than `sha-256` and `sha-512`. A recipient could trust a digest that was not checked here.
    #[error("Content-Digest has an algorithm other than sha-256 and sha-512; leave it out")]
    UnsupportedAlgorithm,
    /// The length of a digest does not match its algorithm.
    #[error("Content-Digest has a digest of the wrong length")]
    WrongLength,
    /// At least one digest does not match the body.
    #[error("digest does not match body: it was changed after signing, or another body was signed")]
    Mismatch,
}

/// A well-formed `Content-Digest` with supported algorithms only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentDigest {
    sha256: Option<[u8; 32]>,
    sha512: Option<[u8; 64]>,
}

impl ContentDigest {
    /// Parses the combined field value.
    ///
    /// # Errors
    /// All variants of [`DigestError`] except `NotCovered` and `Mismatch`.
    pub fn parse(field: &str) -> Result<Self, DigestError> {
        let mut digest = Self { sha256: None, sha512: None };
        let mut parser = Parser::new(field);
        loop {
            let key = parser.member_key()?;
            let value = parser.byte_sequence()?;
            parser.member_end()?;
            let repeated = match key {
                "sha-256" => digest.sha256.replace(value.try_into().map_err(|_| DigestError::WrongLength)?).is_some(),
                "sha-512" => digest.sha512.replace(value.try_into().map_err(|_| DigestError::WrongLength)?).is_some(),
                _ => return Err(DigestError::UnsupportedAlgorithm),
            };
            if repeated {
                return Err(DigestError::Duplicate);
            }
            if parser.at_end() {
                return Ok(digest);
            }
        }
    }

    /// Checks every digest against the body, in constant time.
    ///
    /// # Errors
    /// [`DigestError::Mismatch`] if a digest does not match.
    pub fn verify(&self, body: &[u8]) -> Result<(), DigestError> {
        let sha256_matches = self.sha256.is_none_or(|digest| Sha256::digest(body).ct_eq(&digest).into());
        let sha512_matches = self.sha512.is_none_or(|digest| Sha512::digest(body).ct_eq(&digest).into());
        if sha256_matches && sha512_matches { Ok(()) } else { Err(DigestError::Mismatch) }
    }
}

/// Returns the field value for a body, with `sha-256`.
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}
