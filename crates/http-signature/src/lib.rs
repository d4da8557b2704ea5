//! HTTP Message Signatures (RFC 9421) and Digest Fields (RFC 9530): parse, verify, sign. No I/O, no clock, no key store.
//!
//! A verifier calls [`UnverifiedSignature::parse`], looks up the key, calls [`UnverifiedSignature::verify`] and, if the
//! body is available, [`VerifiedSignature::verify_body`]. A signer calls [`sign_request`]. Both use the general
//! implementation ([`SignatureParameters`], [`Message`]), which supports every component of the RFC. The [`Profile`]s
//! refuse components that they do not list.
//!
//! ```
//! use http_signature::{
//!     Ed25519SigningKey, Profile, RequestView, SigningParameters, UnverifiedSignature, VerificationKey, sign_request,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Ed25519SigningKey::from_seed(&[7; 32]);
//! let now = 1_618_884_475;
//! let mut headers = http::HeaderMap::new();
//! let request = RequestView { method: "GET", scheme: "https", authority: "a.example", target: "/me", headers: &headers };
//! let parameters = SigningParameters {
//!     created: now,
//!     lifetime_seconds: 60,
//!     nonce: "GRzlUfiGwvXsQRr4cSsoYg",
//!     key_id: "key_01h455vb4pex5vsknk084sn02q",
//!     covered_headers: &[],
//! };
//! let signed = sign_request(&request, b"", Profile::Native, &parameters, &key)?;
//! headers.insert("signature-input", signed.signature_input.parse()?);
//! headers.insert("signature", signed.signature.parse()?);
//!
//! let received = RequestView { method: "GET", scheme: "https", authority: "a.example", target: "/me", headers: &headers };
//! let unverified = UnverifiedSignature::parse(&received)?.expect("it is signed");
//! assert_eq!(unverified.key_id(), "key_01h455vb4pex5vsknk084sn02q");
//! let known = VerificationKey::ed25519_from_bytes(&key.public_key())?;
//! let verified = unverified.verify(&known, now + 5)?;
//! assert_eq!(verified.expires_at(), now + 60);
//! # Ok(())
//! # }
//! ```

mod algorithm;
mod component;
mod content_digest;
mod explanation;
mod message;
mod parameters;
mod profile;
mod pss;
mod signing;
mod signing_key;
mod structured;
mod verification_key;
mod verified;

pub use algorithm::Algorithm;
pub use component::{Component, ComponentError};
pub use content_digest::{ContentDigest, DigestError, WANT_CONTENT_DIGEST, content_digest};
pub use explanation::{explain_signature_base, mask_signature_base};
pub use message::{Message, RequestView, ResponseView, StructuredFieldType};
pub use parameters::{MAX_COMPONENTS, ParametersError, SignatureParameters};
pub use profile::{
    ACCEPT_SIGNATURE, ENCORD_LABEL, KEY_ID_MAX_CHARACTERS, MAX_LABELS, NATIVE_MAX_LIFETIME_SECONDS, NATIVE_TAG,
    NONCE_MAX_CHARACTERS, NONCE_MIN_CHARACTERS, Profile, SignatureError, UnverifiedSignature, is_safe_method,
};
pub use signing::{SignedHeaders, SigningError, SigningParameters, sign_request};
pub use signing_key::{EcdsaSigningKey, Ed25519SigningKey, RsaSigningKey, SigningKey, SigningKeyError};
pub use structured::{BareItem, Parameter, SyntaxError};
pub use verification_key::{
    InvalidSignature, KeyError, RSA_MAX_BITS, RSA_MIN_BITS, VerificationKey, verify_ed25519_by_library,
    verify_ed25519_with_new_table,
};
pub use verified::{VerifiedSignature, VerifyError};
