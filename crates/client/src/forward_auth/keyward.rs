//! Asks Keyward about a request, with the protocol of Caddy's `forward_auth`: the request line in `X-Forwarded-*`, and
//! the client's own headers.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use api::{Problem, codes};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, RETRY_AFTER, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
    },
    request::Parts,
    uri::PathAndQuery,
};
use reqwest::{Url, redirect};

use super::identity::{IDENTITY_HEADERS, Identity, UnknownAnswer};
use crate::{
    client::{parse_certificates, parse_url},
    error::ClientError,
    resolver::SystemResolver,
};

const ENDPOINT: &str = "/auth/caddy";
/// The same time as in Envoy's example, because the nonce of a write is first written to a disk.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum length of a problem, in bytes.
const MAX_PROBLEM: usize = 64 * 1024;
const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The workspace that a client selects in a signed header. The answer has an identity header with the same name.
const WORKSPACE: HeaderName = HeaderName::from_static("keyward-workspace");
pub(super) const REASON: HeaderName = HeaderName::from_static("keyward-reason");

/// Headers of the connection, and those that this program sets. The client's own are not passed.
const NOT_PASSED: [HeaderName; 16] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authorization"),
    METHOD,
    PROTO,
    FORWARDED_HOST,
    URI,
    FOR,
];
/// Headers of a refusal that clients need.
const PASSED_BACK: [HeaderName; 7] = [
    CONTENT_TYPE,
    CACHE_CONTROL,
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    REASON,
    HeaderName::from_static("accept-signature"),
    HeaderName::from_static("want-content-digest"),
];

/// The scheme and authority of an API, as clients sign them.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Origin {
    scheme: &'static str,
    /// In lower case, without the scheme's default port.
    authority: String,
}

impl Origin {
    fn parse(text: &str) -> Result<Self, ClientError> {
        let url = parse_url(text)?;
        let refuse = |reason: &str| Err(ClientError::url(text, reason));
        if url.path() != "/" || url.query().is_some() {
            return refuse("write only the scheme and the host that clients sign, without a path");
        }
        let Some(host) = url.host_str() else { return refuse("it has no host") };
        // A URL omits the default port.
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let scheme = if url.scheme() == "https" { "https" } else { "http" };
        Ok(Self { scheme, authority: format!("{host}{port}") })
    }

    fn is_named_by(&self, authority: &str) -> bool {
        let default_port = if self.scheme == "https" { ":443" } else { ":80" };
        authority.strip_suffix(default_port).unwrap_or(authority).eq_ignore_ascii_case(&self.authority)
    }
}

/// The URL of Keyward, and the origins of the API.
#[derive(Clone, Debug)]
pub(super) struct Keyward {
    http: reqwest::Client,
    endpoint: Url,
    origins: Arc<[Origin]>,
    timeout: Duration,
}

/// Keyward's answer about a request.
pub(super) enum Verdict {
    /// The request is accepted. It has no identity if it has no credential.
    Passes(Option<Box<Identity>>),
    /// The request is refused.
    Refused(Refusal),
}

/// A response that replaces the API's.
#[derive(Debug)]
pub(super) struct Refusal(Box<Response<Bytes>>);

impl Refusal {
    /// Creates a problem without asking Keyward.
    pub(super) fn new(status: StatusCode, code: &str, title: &str, detail: &str) -> Self {
        Self::with_problem(status, &Problem::new(status.as_u16(), code, title, detail))
    }

    pub(super) fn with_problem(status: StatusCode, problem: &Problem) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A problem only has texts and numbers, which can always be serialized.
        Self::with_body(status, headers, serde_json::to_vec(problem).unwrap_or_default().into())
    }

    fn with_body(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Self(Box::new(response))
    }

    /// Returns the refusal for an answer that is missing or invalid.
    fn unavailable() -> Self {
        let detail = "The request could not be verified. Try again in a moment.";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, codes::UNAVAILABLE, "Temporarily unavailable", detail);
        refusal.with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    pub(super) fn into_response<R: From<Bytes>>(self) -> Response<R> {
        self.0.map(R::from)
    }
}

impl Keyward {
    pub(super) fn new<T: AsRef<str>>(url: &str, origins: impl IntoIterator<Item = T>) -> Result<Self, ClientError> {
        let mut endpoint = parse_url(url)?;
        let prefix = endpoint.path().trim_end_matches('/').to_owned();
        endpoint.set_path(&format!("{prefix}{ENDPOINT}"));
        endpoint.set_query(None);
        let origins: Arc<[Origin]> =
            origins.into_iter().map(|origin| Origin::parse(origin.as_ref())).collect::<Result<_, _>>()?;
        if origins.is_empty() {
            return Err(ClientError::Setup("no origin of the API is given: name the one that clients sign".to_owned()));
        }
        Ok(Self { http: build_http(None)?, endpoint, origins, timeout: TIMEOUT })
    }

    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(super) fn with_trusted_certificates(self, pem: &[u8]) -> Result<Self, ClientError> {
        Ok(Self { http: build_http(Some(pem))?, ..self })
    }

    /// Asks about a request. Every answer that is not a valid one is a refusal.
    pub(super) async fn ask(&self, question: Result<reqwest::Request, Refusal>) -> Verdict {
        let question = match question {
            Ok(question) => question,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let answered = match tokio::time::timeout(self.timeout, self.exchange(question)).await {
            Ok(answered) => answered,
            Err(_) => Err(NoAnswer(format!("no answer within {:?}", self.timeout))),
        };
        answered.unwrap_or_else(|NoAnswer(reason)| {
            let keyward = self.endpoint.as_str();
            tracing::warn!(keyward, reason, "a request was refused, because Keyward did not answer");
            Verdict::Refused(Refusal::unavailable())
        })
    }

    async fn exchange(&self, question: reqwest::Request) -> Result<Verdict, NoAnswer> {
        let mut answer = self.http.execute(question).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(Verdict::Passes(Identity::read(answer.headers())?.map(Box::new)));
        }
        let is_problem = answer.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/problem+json");
        if !(is_problem && (400..=503).contains(&status.as_u16())) {
            return Err(NoAnswer(format!("{status} without a problem, which is not an answer of Keyward")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MAX_PROBLEM {
                return Err(NoAnswer(format!("{status} with more than {MAX_PROBLEM} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let mut headers = HeaderMap::new();
        for name in PASSED_BACK {
            for value in answer.headers().get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Ok(Verdict::Refused(Refusal::with_body(status, headers, body.into())))
    }

    /// Returns the request to Keyward about a request.
    pub(super) fn question(&self, parts: &Parts, client: Option<IpAddr>) -> Result<reqwest::Request, Refusal> {
        let origin = self.find_origin(parts)?;
        let malformed = || bad_request("The request's target is not a path.");
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if !target.starts_with('/') {
            return Err(malformed());
        }
        let mut headers = passed_headers(&parts.headers);
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| malformed());
        headers.insert(METHOD, value(parts.method.as_str())?);
        headers.insert(PROTO, HeaderValue::from_static(origin.scheme));
        headers.insert(FORWARDED_HOST, value(&origin.authority)?);
        headers.insert(URI, value(target)?);
        if let Some(client) = client {
            headers.insert(FOR, value(&client.to_string())?);
        }
        let mut question = reqwest::Request::new(Method::GET, self.endpoint.clone());
        *question.headers_mut() = headers;
        Ok(question)
    }

    /// Returns the origin of a request, which must be one of the API's, because a signature for another host is not
    /// valid for this API.
    fn find_origin(&self, parts: &Parts) -> Result<&Origin, Refusal> {
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = hosts.next().map(|host| host.to_str().unwrap_or_default());
        let authority = match (parts.uri.authority(), host, hosts.next()) {
            (_, _, Some(_)) => return Err(bad_request("The request has several Host headers.")),
            (Some(authority), Some(host), None) if !authority.as_str().eq_ignore_ascii_case(host) => {
                return Err(bad_request("The request's target and its Host header name different hosts."));
            }
            (Some(authority), _, None) => authority.as_str(),
            (None, Some(host), None) => host,
            (None, None, None) => return Err(bad_request("The request has no Host header.")),
        };
        self.origins.iter().find(|origin| origin.is_named_by(authority)).ok_or_else(|| {
            Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                codes::HOST_NOT_LISTED,
                "Host not listed",
                "This API does not answer for the host of the request. Use the host in its documentation.",
            )
        })
    }
}

/// Why there was no answer, or none from Keyward.
struct NoAnswer(String);

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        let origin = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        Self(ClientError::transport(&error, origin).to_string())
    }
}

impl From<UnknownAnswer> for NoAnswer {
    fn from(UnknownAnswer(name): UnknownAnswer) -> Self {
        Self(format!("200 without a {name} header that this release can read; is Keyward at this URL?"))
    }
}

fn bad_request(detail: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, codes::INVALID_REQUEST, "Invalid request", detail)
}

fn build_http(trusted: Option<&[u8]>) -> Result<reqwest::Client, ClientError> {
    let trusted = trusted.map(parse_certificates).transpose()?;
    reqwest::Client::builder()
        .tls_certs_merge(trusted.unwrap_or_default())
        .redirect(redirect::Policy::none())
        // Keyward trusts the IP address of this program, so no proxy may be used.
        .no_proxy()
        .dns_resolver(SystemResolver)
        .user_agent(concat!("keyward-forward-auth/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ClientError::Setup(error.to_string()))
}

/// Returns the client's headers for Keyward: all that a signature may cover, and no identity header.
fn passed_headers(headers: &HeaderMap) -> HeaderMap {
    let of_connection: HashSet<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        // A client must not remove its own credential or workspace.
        .filter(|name| !is_read_by_keyward(name))
        .collect();
    let mut passed = HeaderMap::with_capacity(headers.len() + 5);
    for (name, value) in headers {
        let is_identity = *name != WORKSPACE && IDENTITY_HEADERS.contains(name);
        if !is_identity && !NOT_PASSED.contains(name) && !of_connection.contains(name.as_str()) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

fn is_read_by_keyward(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "signature"
            | "signature-input"
            | "content-digest"
            | "keyward-workspace"
            | "origin"
            | "access-control-request-method"
    )
}
