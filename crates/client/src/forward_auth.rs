//! A [`tower`](https://docs.rs/tower) layer that asks Keyward for the identity of each request and whether it is
//! accepted, like a proxy in front of an API. It is for APIs in Rust (axum, hyper) without such a proxy. It needs the
//! feature `tower`.
//!
//! For each request, the layer
//!
//! - refuses requests for hosts of other APIs (421), because a signature is valid for one host;
//! - removes identity headers that the client sent, and asks Keyward with the method, scheme, host and target, and the
//!   client's headers;
//! - passes Keyward's refusals on (`application/problem+json`, `Keyward-Reason`), and answers 503 if there is no valid
//!   answer within the timeout;
//! - compares the body of a signed write with the signed `Content-Digest`: it keeps the body in memory, up to 1 MiB by
//!   default (413 above that). The signature of a GET, HEAD or OPTIONS need not cover the body, so such a body is
//!   replaced by an empty one. A request with a bearer token has no signed digest. Its body is passed on unchanged, and
//!   [`Identity::body_verified`] is false;
//! - removes the client's credentials for Keyward (`Authorization`, the cookies of Keyward's pages), and adds the
//!   [`Identity`] to the request's extensions.
//!
//! A request without a credential is only accepted if one of Keyward's `[[routes]]` requires `anyone`, and then has no
//! [`Identity`]. Apply the layer outside of layers that rewrite paths, such as axum's `nest`, because the signature
//! covers the path that the client sent.

mod identity;
mod keyward;

use std::{
    error::Error,
    fmt,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use api::{Problem, codes};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE},
    request::Parts,
};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use http_signature::{ContentDigest, is_safe_method};
use tower_layer::Layer;
use tower_service::Service;

pub use self::identity::{Group, Identity};
use self::keyward::{Keyward, REASON, Refusal, Verdict};
use crate::error::ClientError;

/// The maximum length of a body that is compared with its digest, in bytes, unless [`KeywardLayer::with_max_body`] sets
/// another one.
const MAX_BODY: usize = 1024 * 1024;
/// The cookies of Keyward's pages.
const COOKIES: [&str; 3] = ["keyward", "keyward-device", "keyward-notice"];

type FindAddress = Arc<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// Asks Keyward about each request before the inner service receives it.
#[derive(Clone)]
pub struct KeywardLayer {
    keyward: Keyward,
    max_body: Option<usize>,
    find_address: Option<FindAddress>,
}

impl fmt::Debug for KeywardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeywardLayer")
            .field("keyward", &self.keyward)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

impl KeywardLayer {
    /// Creates a layer that asks the Keyward at `url`, for an API whose clients sign these origins, such as
    /// `["https://api.example.com"]`.
    ///
    /// Keyward must have the IP address of this program in `trusted_proxies`, and the hosts in `proxied_hosts`.
    ///
    /// # Errors
    /// [`ClientError::Url`] or [`ClientError::Setup`].
    pub fn new<T: AsRef<str>>(url: &str, origins: impl IntoIterator<Item = T>) -> Result<Self, ClientError> {
        Ok(Self { keyward: Keyward::new(url, origins)?, max_body: Some(MAX_BODY), find_address: None })
    }

    /// Sets how long to wait for Keyward's answer. The default is 2 s.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { keyward: self.keyward.with_timeout(timeout), ..self }
    }

    /// Also trusts these certificate authorities, as PEM.
    ///
    /// # Errors
    /// [`ClientError::Certificates`] or [`ClientError::Setup`].
    pub fn with_trusted_certificates(self, pem: &[u8]) -> Result<Self, ClientError> {
        Ok(Self { keyward: self.keyward.with_trusted_certificates(pem)?, ..self })
    }

    /// Sets the maximum length of the body of a signed write, in bytes. A longer one is answered with 413.
    #[must_use]
    pub fn with_max_body(self, bytes: usize) -> Self {
        Self { max_body: Some(bytes), ..self }
    }

    /// Passes bodies on unchanged, without comparing them. [`Identity::body_verified`] is then false. The inner service
    /// must compare the body with `Content-Digest` before it uses it.
    #[must_use]
    pub fn without_body_check(self) -> Self {
        Self { max_body: None, ..self }
    }

    /// Sets how to find the client's IP address, for Keyward's limits, its log, and keys that are limited to networks.
    /// In axum: `|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|client| client.0.ip())`. Without this,
    /// all clients have the IP address of this program.
    #[must_use]
    pub fn with_client_address(self, find: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self { find_address: Some(Arc::new(find)), ..self }
    }
}

impl<S> Layer<S> for KeywardLayer {
    type Service = KeywardService<S>;

    fn layer(&self, inner: S) -> KeywardService<S> {
        KeywardService { layer: self.clone(), inner }
    }
}

/// A service behind a [`KeywardLayer`].
#[derive(Clone, Debug)]
pub struct KeywardService<S> {
    layer: KeywardLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for KeywardService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // This service is ready. Its clone may not be.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer.admit(request).await {
                Ok(request) => inner.call(request).await,
                Err(refusal) => Ok(refusal.into_response()),
            }
        })
    }
}

impl KeywardLayer {
    /// Returns the request for the inner service.
    async fn admit<B>(&self, request: Request<B>) -> Result<Request<B>, Refusal>
    where
        B: Body + From<Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        let is_signed = parts.headers.contains_key("signature-input");
        let is_read = is_safe_method(parts.method.as_str());
        let checked = self.max_body.filter(|_| is_signed && !is_read);
        if checked.is_some_and(|most| announced_length(&parts.headers).is_some_and(|length| length > most)) {
            return Err(too_large(checked));
        }
        let address = self.find_address.as_ref().and_then(|find| find(&parts));
        let identity = match self.keyward.ask(self.keyward.question(&parts, address)).await {
            Verdict::Passes(identity) => identity,
            Verdict::Refused(refusal) => return Err(refusal),
        };
        // Only Keyward's answer sets an identity.
        parts.extensions.remove::<Identity>();
        for name in identity::IDENTITY_HEADERS {
            parts.headers.remove(name);
        }
        parts.headers.remove(AUTHORIZATION);
        remove_cookies(&mut parts.headers);
        let Some(mut identity) = identity else { return Ok(Request::from_parts(parts, body)) };
        let body = match checked {
            Some(most) => {
                let bytes = read(body, most).await?;
                verify(&parts.headers, &bytes)?;
                identity.body_verified = true;
                B::from(bytes)
            }
            // The signature may not cover the body.
            None if is_signed && is_read && !body.is_end_stream() => {
                parts.headers.remove(CONTENT_LENGTH);
                B::from(Bytes::new())
            }
            None => body,
        };
        parts.extensions.insert(*identity);
        Ok(Request::from_parts(parts, body))
    }
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(most: Option<usize>) -> Refusal {
    let detail = match most {
        Some(most) => format!("The limit for the body of this request is {most} bytes. Send a shorter body."),
        None => "The body of this request is too long. Send a shorter body.".to_owned(),
    };
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, codes::TOO_LARGE, "The body is too large", &detail)
}

async fn read<B>(body: B, most: usize) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(Some(most))),
        Err(_) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            codes::INVALID_REQUEST,
            "Invalid request",
            "The body did not arrive. Send the request again.",
        )),
    }
}

/// Compares a body with its digest. Keyward has verified that the digest is signed.
fn verify(headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let lines = headers.get_all("content-digest").iter().map(|value| value.to_str().ok());
    let field = lines.collect::<Option<Vec<_>>>().map(|lines| lines.join(", ")).unwrap_or_default();
    let verified = ContentDigest::parse(&field).and_then(|digest| digest.verify(body));
    verified.map_err(|error| {
        let problem = Problem::new(401, codes::UNAUTHENTICATED, "Not authenticated", format!("{error}."))
            .with("reason", "digest_mismatch");
        Refusal::with_problem(StatusCode::UNAUTHORIZED, &problem)
            .with_header(REASON, HeaderValue::from_static("digest_mismatch"))
    })
}

/// Removes the cookies of Keyward's pages.
fn remove_cookies(headers: &mut HeaderMap) {
    let is_ours = |cookie: &str| {
        let name = cookie.split('=').next().unwrap_or_default().trim();
        COOKIES.contains(&name.strip_prefix("__Host-").unwrap_or(name))
    };
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for line in lines {
        let kept: Vec<&[u8]> = line
            .as_bytes()
            .split(|byte| *byte == b';')
            .filter(|cookie| !is_ours(&String::from_utf8_lossy(cookie)))
            .map(<[u8]>::trim_ascii)
            .collect();
        if let Ok(kept) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            && !kept.is_empty()
        {
            headers.append(COOKIE, kept);
        }
    }
}
