//! Sends signed requests to Keyward, retries them where that is safe, and reads the responses.

use std::time::Duration;

use api::Problem;
use domain::secret::parser_message;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Version,
    header::{ACCEPT, CONTENT_TYPE, DATE, LOCATION},
};
use http_signature::is_safe_method;
use reqwest::{Url, redirect};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{ClientError, ClockSkew},
    resolver::SystemResolver,
    retry,
    signer::{SignedHeaders, Signer},
};

/// Less than the narrower half of the native window (30 s), so that a clock that causes refusals is detected.
const NOTABLE_SKEW_SECONDS: u64 = 25;

/// The options of a [`Client`].
#[derive(Clone)]
pub struct ClientOptions {
    /// The URL of Keyward, such as `https://keys.example.com`. A path is used as a prefix.
    pub url: String,
    /// The signer of its requests.
    pub signer: Signer,
    /// How often a request is retried after 429, 502, 503 and 504. A retried write has its first signature, so that
    /// Keyward executes it once. For other servers that use Keyward's forward authentication, set 0.
    pub retries: u32,
    /// The time limit for a connection.
    pub connect_timeout: Duration,
    /// The time limit for one attempt, including its response.
    pub timeout: Duration,
    /// The maximum length of a response, in bytes.
    pub max_answer_bytes: usize,
    /// The `User-Agent` field.
    pub user_agent: String,
    /// Certificates to trust in addition to those of the system, as PEM, for your own certificate authority.
    pub trusted_certificates: Option<Vec<u8>>,
}

impl ClientOptions {
    /// Returns the defaults: 3 retries, 10 s to connect, 60 s for each attempt, responses of up to 32 MiB.
    #[must_use]
    pub fn new(url: impl Into<String>, signer: Signer) -> Self {
        Self {
            url: url.into(),
            signer,
            retries: 3,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_mins(1),
            max_answer_bytes: 32 << 20,
            user_agent: concat!("keyward/", env!("CARGO_PKG_VERSION")).to_owned(),
            trusted_certificates: None,
        }
    }
}

/// A client of one Keyward server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    options: ClientOptions,
    base: Url,
    http: reqwest::Client,
}

/// A complete response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The HTTP version.
    pub version: Version,
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Creates a client with these options. It does not connect yet.
    ///
    /// # Errors
    /// [`ClientError::Url`], [`ClientError::Certificates`] and [`ClientError::Setup`] for invalid options.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let base = parse_url(&options.url)?;
        let trusted = options.trusted_certificates.as_deref().map(parse_certificates).transpose()?;
        let http = reqwest::Client::builder()
            .tls_certs_merge(trusted.unwrap_or_default())
            .redirect(redirect::Policy::none())
            .dns_resolver(SystemResolver)
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .user_agent(&options.user_agent)
            .build()
            .map_err(|error| ClientError::Setup(error.to_string()))?;
        Ok(Self { options, base, http })
    }

    /// Sends GET to `path`, such as `/api/v1/me`.
    ///
    /// # Errors
    /// [`ClientError`]. It is [`ClientError::Problem`] if the server reports the error.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, None).await?.json()
    }

    /// Sends POST to `path` with `body`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.send(Method::POST, path, Some(to_json(body)?)).await?.json()
    }

    /// Sends PATCH to `path`, to change the fields in `body`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.send(Method::PATCH, path, Some(to_json(body)?)).await?.json()
    }

    /// Sends PUT to `path` with `body`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.send(Method::PUT, path, Some(to_json(body)?)).await?.json()
    }

    /// Sends DELETE to `path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, None).await.map(drop)
    }

    /// Sends a signed request to `path` with its query. The JSON body is optional.
    ///
    /// # Errors
    /// [`ClientError`] for every status except 2xx.
    pub async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Response, ClientError> {
        let response = self.send_to(&self.url_of(path)?, to_request(method, body)).await?;
        response.into_success(self.options.signer.clock().now())
    }

    /// Sends POST to `path` with `body` and without a signature. It is for operations whose credential is in the body, and
    /// that may be repeated: it is retried like a read.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_unsigned<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.url_of(path)?;
        let mut request = to_request(Method::POST, Some(to_json(body)?));
        *request.uri_mut() = url.parse().map_err(|error: http::uri::InvalidUri| ClientError::url(&url, error))?;
        let mut attempt = 0;
        loop {
            let response = self.send_as_is(&request).await?;
            let now = self.options.signer.clock().now();
            let wait = self.wait_before_retry(&response, attempt, now).filter(|_| attempt < self.options.retries);
            let Some(wait) = wait else { return response.into_success(now)?.json() };
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Returns the scheme and the authority of Keyward's URL, in the form that statements of a private key sign.
    #[must_use]
    pub fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    fn url_of(&self, path: &str) -> Result<String, ClientError> {
        let prefix = self.base.as_str().trim_end_matches('/');
        // Without the slash, it would become part of the host name.
        if path.starts_with('/') {
            Ok(format!("{prefix}{path}"))
        } else {
            Err(ClientError::url(path, "a path starts with `/`"))
        }
    }

    fn wait_before_retry(&self, response: &Response, attempt: u32, now: jiff::Timestamp) -> Option<Duration> {
        let mut jitter = [0];
        self.options.signer.random().fill(&mut jitter);
        retry::wait_before_retry(response.status, &response.headers, attempt, jitter[0], now)
    }

    /// Signs and sends a request to any URL, which replaces the one in `request`. Returns the response with any status.
    ///
    /// # Errors
    /// [`ClientError`] if there is no complete response.
    pub async fn send_to(&self, url: &str, request: Request<Vec<u8>>) -> Result<Response, ClientError> {
        let (mut request, mut signature) = self.sign(url, request)?;
        let signer = &self.options.signer;
        let is_read = is_safe_method(request.method().as_str());
        let mut attempt = 0;
        loop {
            let response = self.send_as_is(&request).await?;
            let now = signer.clock().now();
            let wait = self
                .wait_before_retry(&response, attempt, now)
                .filter(|wait| attempt < self.options.retries && (is_read || outlives(&signature, *wait, now)));
            let Some(wait) = wait else { return Ok(response) };
            tokio::time::sleep(wait).await;
            attempt += 1;
            if is_read {
                signature = signer.sign(&mut request)?;
            }
        }
    }

    /// Signs a request to any URL, which replaces the one in `request`, without sending it.
    ///
    /// # Errors
    /// [`ClientError::Url`] or [`ClientError::Sign`].
    pub fn sign(
        &self,
        url: &str,
        mut request: Request<Vec<u8>>,
    ) -> Result<(Request<Vec<u8>>, SignedHeaders), ClientError> {
        let url = parse_url(url)?;
        // The URL is normalised as it will be sent, because the signature covers it.
        let invalid = |error: http::uri::InvalidUri| ClientError::url(url.as_str(), error);
        *request.uri_mut() = url.as_str().parse().map_err(invalid)?;
        let signature = self.options.signer.sign(&mut request)?;
        Ok((request, signature))
    }

    /// Sends a request once and unchanged, whether it is signed or not.
    ///
    /// # Errors
    /// [`ClientError`] if there is no complete response.
    pub async fn send_as_is(&self, request: &Request<Vec<u8>>) -> Result<Response, ClientError> {
        let url = parse_url(&request.uri().to_string())?;
        self.attempt(&url, request).await
    }

    async fn attempt(&self, url: &Url, request: &Request<Vec<u8>>) -> Result<Response, ClientError> {
        let origin = || url.origin().ascii_serialization();
        let request = reqwest::Request::try_from(request.clone())
            .map_err(|error| ClientError::url(url.as_str(), parser_message(&error.to_string())))?;
        let mut response =
            self.http.execute(request).await.map_err(|error| ClientError::transport(&error, origin()))?;
        let limit = self.options.max_answer_bytes;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| ClientError::transport(&error, origin()))? {
            if body.len() + chunk.len() > limit {
                return Err(ClientError::TooLong { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            version: response.version(),
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

impl Response {
    /// Parses the body as JSON.
    ///
    /// # Errors
    /// [`ClientError::Answer`] if the body is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Answer { reason: error.to_string() })
    }

    /// Returns the server's time, from the `Date` field.
    #[must_use]
    pub fn date(&self) -> Option<jiff::Timestamp> {
        retry::date(&self.headers, &DATE)
    }

    /// Returns the problem in the body (RFC 9457), if it is one.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let content_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = content_type.split(';').next()?.trim();
        let is_problem = media_type.eq_ignore_ascii_case("application/problem+json");
        is_problem.then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    fn into_success(self, now: jiff::Timestamp) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let location = self.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        if let Some(location) = location.filter(|_| self.status.is_redirection()) {
            return Err(ClientError::Redirect { status: self.status, location: location.to_owned() });
        }
        let Some(problem) = self.problem().map(Box::new) else {
            let retry_after = retry::retry_after(&self.headers, now).map(|wait| wait.as_secs());
            return Err(ClientError::Status { status: self.status, retry_after });
        };
        let skew =
            self.date().map(|server| ClockSkew { seconds: now.as_second() - server.as_second() }).filter(|skew| {
                self.status == StatusCode::UNAUTHORIZED && skew.seconds.unsigned_abs() >= NOTABLE_SKEW_SECONDS
            });
        Err(match skew {
            Some(skew) => ClientError::Clock { skew, problem },
            None => ClientError::Problem(problem),
        })
    }
}

/// Returns whether a signature is still valid after a wait. Once it has expired, Keyward cannot recognise a repeated
/// write.
fn outlives(signature: &SignedHeaders, wait: Duration, now: jiff::Timestamp) -> bool {
    let wait = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    now.as_second().saturating_add(wait) < signature.expires
}

pub(crate) fn parse_certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let fail = |reason: String| ClientError::Certificates { reason };
    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| fail(error.to_string()))?;
    if certificates.is_empty() { Err(fail("there is none".to_owned())) } else { Ok(certificates) }
}

fn to_request(method: Method, body: Option<Vec<u8>>) -> Request<Vec<u8>> {
    let has_body = body.is_some();
    let mut request = Request::new(body.unwrap_or_default());
    *request.method_mut() = method;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json, application/problem+json"));
    if has_body {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request
}

fn to_json(body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body).map_err(|error| ClientError::Answer { reason: error.to_string() })
}

pub(crate) fn parse_url(text: &str) -> Result<Url, ClientError> {
    let mut url = Url::parse(text.trim()).map_err(|error| ClientError::url(text, error))?;
    if !url.username().is_empty() || url.password().is_some() {
        // The message must not contain a password.
        return Err(ClientError::Sign(crate::signer::SignError::UserInfo));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ClientError::url(text, "another scheme"));
    }
    url.set_fragment(None);
    Ok(url)
}
