//! Signing a request under a profile. Private keys are in `signing_key`. The caller sends the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use crate::algorithm::Algorithm;
use crate::component::{Component, ComponentError};
use crate::content_digest::content_digest;
use crate::message::{Message, RequestView};
use crate::parameters::SignatureParameters;
use crate::profile::{CONTENT_DIGEST, ENCORD_LABEL, NATIVE_TAG, Profile, is_safe_method};
use crate::signing_key::{SigningKey, SigningKeyError};
use crate::structured::{BareItem, Parameter};

/// The parameters of a signature, in addition to its components.
#[derive(Clone, Copy, Debug)]
pub struct SigningParameters<'a> {
    /// The time of signing, in Unix seconds.
    pub created: i64,
    /// Seconds until it expires, 1 to 60. The Encord profile does not use it.
    pub lifetime_seconds: i64,
    /// A new random text of 22 to 128 characters of visible ASCII. The Encord profile does not use it.
    pub nonce: &'a str,
    /// For the native profile, the fingerprint or the `key_…` id. For the Encord profile, the raw Ed25519 key in
    /// lower-case hex.
    pub key_id: &'a str,
    /// Names of further fields to cover, in lower case, such as `keyward-workspace`. The Encord profile allows none.
    pub covered_headers: &'a [&'a str],
}

/// The fields to set on the request. Each replaces an existing field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// The value of `Signature-Input`.
    pub signature_input: String,
    /// The value of `Signature`.
    pub signature: String,
    /// The value of `Content-Digest`, if the signature covers it.
    pub content_digest: Option<String>,
    /// The signature base (RFC 9421 §2.5), for diagnosis.
    pub base: String,
}

/// Why a request was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A verifier would refuse a parameter, or this key with this profile.
    #[error("the request was not signed: {0}")]
    Parameter(&'static str),
    /// The request does not have a component.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The key failed to sign.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
}

/// Signs a request and its body.
///
/// # Errors
/// The verifier of the same profile would refuse the result, or the key failed to sign.
pub fn sign_request(
    request: &RequestView<'_>,
    body: &[u8],
    profile: Profile,
    parameters: &SigningParameters<'_>,
    key: &dyn SigningKey,
) -> Result<SignedHeaders, SigningError> {
    let content_digest = (profile == Profile::Encord || !is_safe_method(request.method) || !body.is_empty())
        .then(|| content_digest(body));
    let input = match profile {
        Profile::Native => native_input(parameters, key.algorithm(), content_digest.is_some())?,
        Profile::Encord => encord_input(parameters, key.algorithm())?,
    };
    let message = Message::request(*request);
    let message = match &content_digest {
        Some(digest) => message.with_added_field(CONTENT_DIGEST, digest),
        None => message,
    };
    let base = input.signature_base(&message)?;
    let signature = STANDARD.encode(key.sign(base.as_bytes())?);
    let label = match profile {
        Profile::Native => NATIVE_TAG,
        Profile::Encord => ENCORD_LABEL,
    };
    Ok(SignedHeaders {
        signature_input: format!("{label}={}", input.serialize()),
        signature: format!("{label}=:{signature}:"),
        content_digest,
        base,
    })
}

fn native_input<'a>(
    parameters: &SigningParameters<'a>,
    algorithm: Algorithm,
    covers_digest: bool,
) -> Result<SignatureParameters<'a>, SigningError> {
    use crate::profile::{
        KEY_ID_MAX_CHARACTERS, NATIVE_MAX_LIFETIME_SECONDS, NONCE_MAX_CHARACTERS, NONCE_MIN_CHARACTERS,
    };
    if !(1..=NATIVE_MAX_LIFETIME_SECONDS).contains(&parameters.lifetime_seconds) {
        return Err(SigningError::Parameter("the lifetime must be 1 to 60 seconds"));
    }
    if !(NONCE_MIN_CHARACTERS..=NONCE_MAX_CHARACTERS).contains(&parameters.nonce.len()) {
        return Err(SigningError::Parameter("the nonce must have 22 to 128 characters"));
    }
    if !(1..=KEY_ID_MAX_CHARACTERS).contains(&parameters.key_id.len()) {
        return Err(SigningError::Parameter("the key id must have 1 to 128 characters"));
    }
    let needs_name = match algorithm {
        Algorithm::HmacSha256 | Algorithm::RsaV1_5Sha512 => {
            return Err(SigningError::Parameter("no profile supports this key's algorithm"));
        }
        // An RSA key has two algorithms. Without `alg`, a verifier assumes PSS.
        Algorithm::RsaV1_5Sha256 => true,
        _ => false,
    };
    let digest = covers_digest.then_some(CONTENT_DIGEST);
    let mut components: Vec<Component<'_>> =
        ["@method", "@authority", "@target-uri"].into_iter().chain(digest).map(Component::new).collect();
    for name in parameters.covered_headers {
        let is_lowercase_field = HeaderName::from_bytes(name.as_bytes()).is_ok_and(|parsed| parsed.as_str() == *name);
        if !is_lowercase_field {
            return Err(SigningError::Parameter("a covered header is not a field name in lower case"));
        }
        if !components.iter().any(|component| component.name == *name) {
            components.push(Component::new(name));
        }
    }
    if components.len() > crate::MAX_COMPONENTS {
        return Err(SigningError::Parameter("more than 32 components are covered"));
    }
    let mut signature_parameters = vec![
        integer("created", parameters.created)?,
        integer("expires", parameters.created.saturating_add(parameters.lifetime_seconds))?,
        string("nonce", parameters.nonce)?,
        string("keyid", parameters.key_id)?,
    ];
    if let Some(name) = algorithm.name().filter(|_| needs_name) {
        signature_parameters.push(string("alg", name)?);
    }
    signature_parameters.push(string("tag", NATIVE_TAG)?);
    Ok(SignatureParameters { components, parameters: signature_parameters })
}

fn encord_input<'a>(
    parameters: &SigningParameters<'a>,
    algorithm: Algorithm,
) -> Result<SignatureParameters<'a>, SigningError> {
    if algorithm != Algorithm::Ed25519 {
        return Err(SigningError::Parameter("the encord profile supports only Ed25519 keys; use the native profile"));
    }
    let digits = parameters.key_id.bytes().filter(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
    if digits != 64 || parameters.key_id.len() != 64 {
        return Err(SigningError::Parameter("the encord profile's key id is the raw key in 64 lower-case hex digits"));
    }
    if !parameters.covered_headers.is_empty() {
        return Err(SigningError::Parameter("the encord profile covers no other headers; use the native profile"));
    }
    Ok(SignatureParameters {
        components: ["@method", "@request-target", CONTENT_DIGEST].map(Component::new).into(),
        parameters: vec![
            integer("created", parameters.created)?,
            string("keyid", parameters.key_id)?,
            string("alg", "ed25519")?,
        ],
    })
}

fn integer(key: &'static str, value: i64) -> Result<Parameter<'static>, SigningError> {
    if (0..1_000_000_000_000_000).contains(&value) {
        Ok(Parameter { key, value: BareItem::Integer(value) })
    } else {
        Err(SigningError::Parameter("the time does not fit into a structured field"))
    }
}

fn string<'a>(key: &'static str, value: &'a str) -> Result<Parameter<'a>, SigningError> {
    if value.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\')) {
        Ok(Parameter { key, value: BareItem::String(value) })
    } else {
        Err(SigningError::Parameter("nonce and key id must be visible ASCII without quotes and backslashes"))
    }
}
