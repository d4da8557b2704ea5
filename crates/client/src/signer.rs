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

/// Names the workspace that a user means; the server takes it only where the signature covers it.
const WORKSPACE_HEADER: &str = "keyward-workspace";

/// Signs requests with one key under one profile.
///
/// `native`: `@method`, `@authority`, `@target-uri`, `content-digest` for all but bodyless reads, and
/// `keyward-workspace` where it is set; good for 60 s, with a nonce of 128 bits. `encord`: as the Encord SDK signs.
#[derive(Clone)]
pub struct Signer {
    key: Arc<dyn SigningKey>,
    key_id: String,
    profile: Profile,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What was put on a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedHeaders {
    /// When the signature was made, in Unix seconds.
    pub created: i64,
    /// When the server stops taking it, in Unix seconds.
    pub expires: i64,
    /// What was signed (RFC 9421 §2.5), to compare with the server's.
    pub base: String,
}

/// Why a request was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The encord profile takes Ed25519 only.
    #[error(
        "the encord profile signs with Ed25519 keys only: make one with `keyward keygen`, or use the native profile"
    )]
    EncordKey,
    /// The request names no host, or no scheme.
    #[error("the request has no absolute URL, which the signature covers: start it with `https://` and the host")]
    NotAbsolute,
    /// The body is a stream.
    #[error("the body of the request is a stream, which cannot be signed: pass it as bytes")]
    StreamedBody,
    /// The URL holds a user name or password.
    #[error("the URL contains a user name, which would be a second credential: remove it")]
    UserInfo,
    /// The signature could not be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Signer {
    /// Signs with this key, named as the profile does: by fingerprint, or by the raw key in hex.
    ///
    /// # Errors
    /// [`SignError::EncordKey`] for a key that the encord profile has no name for.
    pub fn new(key: &PrivateKey, profile: Profile) -> Result<Self, SignError> {
        let key_id = key_id(profile, key.fingerprint(), key.ed25519_public_key())?;
        Ok(Self::with_key_id(key.signing_key(), key_id, profile))
    }

    /// Signs with this key of an agent.
    ///
    /// # Errors
    /// As [`Signer::new`].
    pub fn with_agent(key: &AgentKey, profile: Profile) -> Result<Self, SignError> {
        let key_id = key_id(profile, key.fingerprint(), key.ed25519_public_key())?;
        Ok(Self::with_key_id(key.signing_key(), key_id, profile))
    }

    /// Signs with a key that is elsewhere, such as in a hardware module, under the id that the server knows it by.
    #[must_use]
    pub fn with_key_id(key: Arc<dyn SigningKey>, key_id: String, profile: Profile) -> Self {
        Self { key, key_id, profile, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }

    /// The same with another clock and other randomness, for tests.
    #[must_use]
    pub fn with_system(self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random, ..self }
    }

    /// The `keyid` that signatures carry.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The profile.
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

    /// Signs a request with an absolute URI; a `Host` field, where there is one, is what counts. Sets `Signature-Input`,
    /// `Signature` and `Content-Digest`. Nothing of the request may be changed after this, the way its URI is written
    /// included.
    ///
    /// # Errors
    /// [`SignError`]; the request is unchanged then.
    pub fn sign<B: AsRef<[u8]>>(&self, request: &mut http::Request<B>) -> Result<SignedHeaders, SignError> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let body = request.body().as_ref();
        let (fields, signed) = self.sign_parts(&uri, method.as_str(), request.headers(), body)?;
        request.headers_mut().extend(fields);
        Ok(signed)
    }

    /// Signs a request of reqwest. As [`Signer::sign`], except that the URL is written as reqwest will send it.
    ///
    /// # Errors
    /// [`SignError`], among others for a streamed body; the request is unchanged then.
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

/// What a profile calls a key.
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
