//! Authentication of a received request: limits, the credential, the body. Handlers receive the caller.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::limits::KeywardScope;
use http::{Version, request::Parts};
use http_body::Body as _;
use http_signature::is_safe_method;
use subtle::ConstantTimeEq as _;
use verifier::{AuthenticationError, Origin, OriginalRequest, VerifiedHeaders, explanation::asks_for_explanation};

use super::{
    HealthCheck, MAX_BODY, MAX_HEADERS, MAX_UNAUTHENTICATED_BODY,
    answer::{LoggedPrincipal, LoggedRoute},
    body::{discard, held_slot, read_body},
    client_address::{ClientAddress, client_address},
    connections::{Connection, Connections, Memory},
    cookie::Cookie,
    explain::{explain, is_digest_mismatch},
    own_host::OwnOrigin,
    same_origin::is_same_origin,
};
use crate::{App, AppError, app::Caller};

/// The maximum duration of a response.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a response over HTTP/2 may wait for memory, if many clients do not read theirs.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(2);

/// The caller of a request, if it has a credential.
#[derive(Clone, Debug)]
pub(super) enum Authentication {
    /// There is no credential.
    NotRequested,
    /// There is a credential, and it was accepted. A request with a refused credential does not get here.
    Authenticated(Box<Caller>),
}

/// The connection of a request.
#[derive(Clone, Debug)]
pub(crate) struct OnConnection(pub(crate) Arc<Connection>);

/// Refuses requests above the limits: too many concurrent requests, headers that are too large, responses that take too
/// long.
pub(crate) async fn limit<F: Future<Output = Response>>(
    connections: &Arc<Connections>,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers + request.uri().path_and_query().map_or(0, |target| target.as_str().len()) > MAX_HEADERS {
        return AppError::HeadersTooLarge.into_response();
    }
    let connection = request.extensions().get::<OnConnection>().map(|on| Arc::clone(&on.0));
    let is_http2 = request.version() == Version::HTTP_2;
    // Health checks are answered under any load.
    let response = if HealthCheck::of(request.uri().path()).is_some() {
        if let Some(connection) = &connection {
            connection.note_request();
        }
        next(request).await
    } else {
        run_in_slot(connections, connection.clone(), request, next).await
    };
    // A client of HTTP/1 has at most one unread response at a time.
    if is_http2 { with_memory(connections, connection, response).await } else { response }
}

async fn run_in_slot<F: Future<Output = Response>>(
    connections: &Arc<Connections>,
    connection: Option<Arc<Connection>>,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let Some(slot) = connections.begin_request(connection) else {
        return AppError::Unavailable("too many requests at a time".to_owned()).into_response();
    };
    let (alone, shared) = if is_safe_method(request.method().as_str()) && request.body().is_end_stream() {
        (Some(slot), None)
    } else {
        // The slot is passed with the request. It is released while the server waits for the body, and kept by a change
        // whose client disconnects.
        let slot = Arc::new(slot);
        request.extensions_mut().insert(Arc::clone(&slot));
        (None, Some(slot))
    };
    let response = match tokio::time::timeout(ANSWER_TIMEOUT, next(request)).await {
        Ok(response) => response,
        Err(_) => AppError::Unavailable("the answer took too long".to_owned()).into_response(),
    };
    drop((alone, shared));
    response
}

/// Counts the memory of a response until its client has read it.
async fn with_memory(connections: &Connections, connection: Option<Arc<Connection>>, response: Response) -> Response {
    let size = response.body().size_hint().upper().and_then(|size| usize::try_from(size).ok()).unwrap_or(MAX_BODY);
    match tokio::time::timeout(MEMORY_TIMEOUT, connections.reserve(connection, size)).await {
        Ok(Some(memory)) => response.map(|body| Body::new(CountedBody { body, _memory: memory })),
        Ok(None) | Err(_) => {
            AppError::Unavailable("too many answers wait for their clients".to_owned()).into_response()
        }
    }
}

/// A body with its counted memory.
struct CountedBody {
    body: Body,
    _memory: Memory,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Authenticates a request, and passes it on with its caller. A refused credential ends the request on every route.
pub(super) async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = LoggedRoute::of(&request);
    let to_explain = RequestToExplain::of(&app, &request);
    let (mut response, body) = match find_caller(&app, request).await {
        Ok((request, principal)) => {
            let mut response = next.run(request).await;
            response.extensions_mut().insert(LoggedPrincipal(principal));
            (response, None)
        }
        Err(refused) => (refused.error.into_response(), refused.body),
    };
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    match to_explain {
        Some(request) => explain(&app, response, &request.received.original(&request.parts, body.as_deref())),
        None => response,
    }
}

/// The parts of a request that an explanation needs, if the client requests one.
struct RequestToExplain {
    parts: Parts,
    received: Received,
}

impl RequestToExplain {
    fn of(app: &App, request: &Request) -> Option<Self> {
        if !asks_for_explanation(request.headers()) {
            return None;
        }
        let received = Received::of(app, request).ok()?;
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        Some(Self { parts, received })
    }
}

/// The error for a refused request, and its body if it is not the signed one.
struct Refused {
    error: AppError,
    body: Option<Bytes>,
}

impl From<AppError> for Refused {
    fn from(error: AppError) -> Self {
        Self { error, body: None }
    }
}

/// A request as it was sent to Keyward itself.
struct Received {
    origin: Arc<Origin>,
    address: ClientAddress,
}

impl Received {
    fn of(app: &App, request: &Request) -> Result<Self, AppError> {
        let OwnOrigin(origin) = request
            .extensions()
            .get()
            .cloned()
            .ok_or_else(|| AppError::Internal("a route that answers for any host".to_owned()))?;
        Ok(Self { origin, address: client_address(app.settings(), request) })
    }

    fn original<'a>(&'a self, parts: &'a Parts, body: Option<&'a [u8]>) -> OriginalRequest<'a> {
        OriginalRequest {
            method: parts.method.as_str(),
            // A proxy in front may terminate TLS, so the scheme is that of clients and not that of the connection.
            scheme: self.origin.scheme(),
            authority: self.origin.authority(),
            target: parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            headers: &parts.headers,
            body,
            ip_address: self.address.nearest,
            client_ip: self.address.client,
        }
    }
}

/// Returns the caller of a request, and the request with its body. The credential is verified with the headers, before
/// the body may exceed the limit for unauthenticated clients.
async fn find_caller(app: &App, request: Request) -> Result<(Request, String), Refused> {
    let received = receive(app, &request);
    let (parts, body) = request.into_parts();
    let shown = match received {
        Ok(received) => verify_credential(app, &parts, &received).await.map(|shown| (received, shown)),
        Err(error) => Err(error),
    };
    let (received, shown) = match shown {
        Ok(shown) => shown,
        Err(error) => {
            discard(&parts, body).await;
            return Err(error.into());
        }
    };
    let is_unauthenticated = shown.headers.is_none() && shown.session.is_none();
    let most = if is_unauthenticated { MAX_UNAUTHENTICATED_BODY } else { MAX_BODY };
    let body = read_body(&parts, body, most).await?;
    let caller = match shown.headers {
        Some(headers) => match app.verifier().verify_body(headers, &received.original(&parts, Some(&body))) {
            Ok(verified) => {
                // Each operation also requires its own scope. This holds for every route, whatever it calls.
                let is_read = is_safe_method(parts.method.as_str());
                let needed = if is_read { KeywardScope::Read } else { KeywardScope::Write };
                verified.principal.require_scope(needed).map_err(AppError::from)?;
                Some(verified.into())
            }
            Err(error) => {
                let error = AppError::from(error);
                let body = is_digest_mismatch(&error).then_some(body);
                return Err(Refused { error, body });
            }
        },
        None => shown.session,
    };
    // A change keeps its slot until it ends, even if its client disconnects.
    let caller = match held_slot(&parts.extensions) {
        Some(slot) => caller.map(|caller| caller.holding(slot)),
        None => caller,
    };
    let principal = caller.as_ref().map_or("-".to_owned(), |c| c.principal().audit_principal().to_string());
    let authentication =
        caller.map_or(Authentication::NotRequested, |caller| Authentication::Authenticated(Box::new(caller)));
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(authentication);
    request.extensions_mut().insert(received.address);
    Ok((request, principal))
}

fn receive(app: &App, request: &Request) -> Result<Received, AppError> {
    let received = Received::of(app, request)?;
    app.verifier().limit_ip_address(received.address.nearest)?;
    Ok(received)
}

/// The credential, verified as far as possible without the body. There is at most one.
struct Shown {
    headers: Option<VerifiedHeaders>,
    session: Option<Caller>,
}

async fn verify_credential(app: &App, parts: &Parts, received: &Received) -> Result<Shown, AppError> {
    let headers = app.verifier().verify_headers(&received.original(parts, None))?;
    let session = match (Cookie::Session.find(app, &parts.headers), &headers) {
        (Some(_), Some(_)) => return Err(AppError::Unauthenticated(AuthenticationError::Several, app.now())),
        (Some(token), None) => Some(verify_session(app, &token, parts, received.address.nearest).await?),
        (None, _) => None,
    };
    Ok(Shown { headers, session })
}

/// Authenticates a request of a page in its session. Reads need no token, because no other site can read the response.
async fn verify_session(app: &App, token: &str, parts: &Parts, ip_address: Option<IpAddr>) -> Result<Caller, AppError> {
    let Some(session) = app.verify_session(token, ip_address).await? else {
        return Err(AppError::Unauthenticated(AuthenticationError::SessionEnded, app.now()));
    };
    let shown = parts.headers.get("keyward-csrf").map_or(&b""[..], |value| value.as_bytes());
    let is_read = is_safe_method(parts.method.as_str());
    // A URL that was typed into the address bar does not come from a page.
    let is_typed = is_read && parts.headers.get("sec-fetch-site").is_some_and(|site| site == "none");
    if !(is_typed || is_same_origin(app, &parts.headers, false))
        || !(is_read || bool::from(shown.ct_eq(session.csrf.as_bytes())))
    {
        return Err(AppError::CrossSite);
    }
    Ok(session.caller)
}
