//! Signs requests under a profile. Sending is in `client`.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Uri, header::HOST};
use http_signature::{
    NATIVE_MAX_LIFETIME_SECONDS, Profile, RequestView, SigningError, SigningKey, SigningParameters, sign_request,
};

use crate::{
    agent::AgentKey,
    private_key::PrivateKey,
    system::{Clock, Random, SystemClock, SystemRandom},
};

/// Contains the workspace that a user selects. The server accepts it only if the signature covers it.
const WORKSPACE_HEADER: &str = "keyward-workspace";

/// Signs requests with one key under one profile.
///
/// `native`: `@method`, `@authority`, `@target-uri`, `content-digest` for all requests except reads without a body, and
/// `keyward-workspace` if it is set. A signature is valid for 60 s and has a nonce of 128 bits. `encord`: as the Encord
/// SDK signs.
#[derive(Clone)]
pub struct Signer {
    key: Arc<dyn SigningKey>,
    key_id: String,
    profile: Profile,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// The values that were added to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedHeaders {
    /// When the signature was made, in Unix seconds.
    pub created: i64,
    /// When the signature expires, in Unix seconds.
    pub expires: i64,
    /// The signature base (RFC 9421 §2.5), to compare with the server's.
    pub base: String,
}

/// Why a request was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The encord profile only accepts Ed25519.
    #[error(
        "the encord profile signs with Ed25519 keys only: make one with `keyward keygen`, or use the native profile"
    )]
    EncordKey,
    /// The URI of the request has no host, or no scheme.
    #[error("the request has no absolute URL, which the signature covers: start it with `https://` and the host")]
    NotAbsolute,
    /// The body is a stream.
    #[error("the body of the request is a stream, which cannot be signed: pass it as bytes")]
    StreamedBody,
    /// The URL contains a user name or password.
    #[error("the URL contains a user name, which would be a second credential: remove it")]
    UserInfo,
    /// The signature could not be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Signer {
    /// Creates a signer with this key. The key id depends on the profile: the fingerprint, or the raw key in hex.
    ///
    /// # Errors
    /// [`SignError::EncordKey`] for a key that the encord profile does not support.
    pub fn new(key: &PrivateKey, profile: Profile) -> Result<Self, SignError> {
        let key_id = key_id(profile, key.fingerprint(), key.ed25519_public_key())?;
        Ok(Self::with_key_id(key.signing_key(), key_id, profile))
    }

    /// Creates a signer with this key of an agent.
    ///
    /// # Errors
    /// As [`Signer::new`].
    pub fn with_agent(key: &AgentKey, profile: Profile) -> Result<Self, SignError> {
        let key_id = key_id(profile, key.fingerprint(), key.ed25519_public_key())?;
        Ok(Self::with_key_id(key.signing_key(), key_id, profile))
    }

    /// Creates a signer with a key that is elsewhere, such as in a hardware module. The server must know the key by
    /// this id.
    #[must_use]
    pub fn with_key_id(key: Arc<dyn SigningKey>, key_id: String, profile: Profile) -> Self {
        Self { key, key_id, profile, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }

    /// Replaces the clock and the randomness, for tests.
    #[must_use]
    pub fn with_system(self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random, ..self }
    }

    /// Returns the `keyid` of its signatures.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Signs a request with an absolute URI. If there is a `Host` field, it determines the host. Sets
    /// `Signature-Input`, `Signature` and `Content-Digest`. The request must not be changed after this, including the
    /// form of its URI.
    ///
    /// # Errors
    /// [`SignError`]. The request is then unchanged.
    pub fn sign<B: AsRef<[u8]>>(&self, request: &mut http::Request<B>) -> Result<SignedHeaders, SignError> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let body = request.body().as_ref();
        let (fields, signed) = self.sign_parts(&uri, method.as_str(), request.headers(), body)?;
        request.headers_mut().extend(fields);
        Ok(signed)
    }

    /// Signs a request of reqwest. It differs from [`Signer::sign`] in that the URL has the form in which reqwest sends
    /// it.
    ///
    /// # Errors
    /// [`SignError`], also for a streamed body. The request is then unchanged.
    pub fn sign_reqwest(&self, request: &mut reqwest::Request) -> Result<SignedHeaders, SignError> {
        let uri: Uri = request.url().as_str().parse().map_err(|_| SignError::NotAbsolute)?;
        let body = match request.body() {
            None => &[],
            Some(body) => body.as_bytes().ok_or(SignError::StreamedBody)?,
        };
        let (fields, signed) = self.sign_parts(&uri, request.method().as_str(), request.headers(), body)?;
        request.headers_mut().extend(fields);
        Ok(signed)
    }

    fn sign_parts(
        &self,
        uri: &Uri,
        method: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(HeaderMap, SignedHeaders), SignError> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(SignError::NotAbsolute);
        };
        if authority.as_str().contains('@') {
            return Err(SignError::UserInfo);
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(authority.as_str());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let created = self.clock.now().as_second();
        let mut nonce = [0; 16];
        self.random.fill(&mut nonce);
        let covered = self.profile == Profile::Native && headers.contains_key(WORKSPACE_HEADER);
        let parameters = SigningParameters {
            created,
            lifetime_seconds: NATIVE_MAX_LIFETIME_SECONDS,
            nonce: &URL_SAFE_NO_PAD.encode(nonce),
            key_id: &self.key_id,
            covered_headers: if covered { &[WORKSPACE_HEADER] } else { &[] },
        };
        let view = RequestView { method, scheme, authority: host, target, headers };
        let signed = sign_request(&view, body, self.profile, &parameters, &*self.key)?;
        let mut fields = HeaderMap::new();
        let values = [
            ("signature-input", Some(signed.signature_input)),
            ("signature", Some(signed.signature)),
            ("content-digest", signed.content_digest),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                let unusable = |_| SigningError::Parameter("the key id cannot be sent in a header");
                fields.insert(name, HeaderValue::try_from(value).map_err(unusable)?);
            }
        }
        let expires = created.saturating_add(match self.profile {
            Profile::Native => NATIVE_MAX_LIFETIME_SECONDS,
            Profile::Encord => self.profile.past_window_seconds(),
        });
        Ok((fields, SignedHeaders { created, expires, base: signed.base }))
    }
}

/// Returns the key id of a profile.
fn key_id(profile: Profile, fingerprint: String, ed25519: Option<&[u8; 32]>) -> Result<String, SignError> {
    match (profile, ed25519) {
        (Profile::Native, _) => Ok(fingerprint),
        (Profile::Encord, Some(point)) => Ok(lower_hex(point)),
        (Profile::Encord, None) => Err(SignError::EncordKey),
    }
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
