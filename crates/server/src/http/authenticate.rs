//! From a received request to a caller: limits, the body, the judgement. After this, handlers only ask who it is.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use store::GivesWay;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::{
    MAX_BODY, MAX_HEADERS,
    answer::{GaveWay, LoggedPrincipal},
    hygiene,
};
use crate::{
    App, AppError,
    app::{Caller, ConfirmationSlot, OriginalRequest, is_read},
    authentication::AuthenticationError,
    ui,
};

/// Requests that are worked on at a time; what comes beyond is told to come again.
const MAX_REQUESTS: usize = 1024;
/// For how long a body may come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// How much goes on at a time.
pub(super) struct Limits {
    requests: Semaphore,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: Semaphore::new(MAX_REQUESTS) }
    }
}

/// Tells which version of the installation a change made, and how many nodes judge by it: every one that can judge.
const CONFIRMED: HeaderName = HeaderName::from_static("keyward-confirmed");

/// Who sent a request, as far as it told.
#[derive(Clone, Debug)]
pub(super) enum Authentication {
    /// No credential was shown.
    NotRequested,
    /// It was, and it was accepted. (One that was not accepted never comes this far.)
    Authenticated(Box<Caller>),
}

impl Authentication {
    /// Where the confirmation of the caller's change will be noted.
    fn confirmation(&self) -> Option<ConfirmationSlot> {
        match self {
            Self::NotRequested => None,
            Self::Authenticated(caller) => Some(caller.confirmation_slot()),
        }
    }
}

/// The scheme of the connection that a request came by, where it is not `http`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionScheme(pub(super) &'static str);

/// Where a request came from, where that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) Option<IpAddr>);

pub(crate) fn client_address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical())
}

/// Refuses what is too much: too many requests at a time, too large headers, too slow an answer.
pub(super) async fn limit(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers + request.uri().path_and_query().map_or(0, |target| target.as_str().len()) > MAX_HEADERS {
        return AppError::HeadersTooLarge.into_response();
    }
    let Ok(_one) = limits.requests.try_acquire() else {
        return AppError::Unavailable("too many requests at a time".to_owned()).into_response();
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => AppError::Unavailable("the answer took too long".to_owned()).into_response(),
    }
}

/// Judges a request, and passes it on with who sent it. A credential that is not accepted ends here, whatever the route.
pub(super) async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match judge(&app, request).await {
        Ok((request, principal)) => {
            let mut response = if is_read(request.method().as_str()) {
                next.run(request).await
            } else {
                // A client that hangs up does not leave a change half confirmed.
                match tokio::spawn(change(Arc::clone(&app), request, next)).await {
                    Ok(response) => response,
                    Err(error) => AppError::Internal(format!("a change ended early: {error}")).into_response(),
                }
            };
            response.extensions_mut().insert(LoggedPrincipal(principal));
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Does a change, and does it again where it gave way to another one: nothing of it was committed then.
async fn change(app: Arc<App>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // It was read for the judgement and lies in memory.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return AppError::Internal(format!("a body that was read: {error}")).into_response(),
    };
    let authentication = parts.extensions.get::<Authentication>().cloned();
    let confirmation = authentication.as_ref().map(Authentication::confirmation);
    let done = store::retry(|| {
        let answer = next.clone().run(Request::from_parts(parts.clone(), Body::from(body.clone())));
        async move {
            let response = answer.await;
            let gave_way = response.extensions().get::<GaveWay>().is_some();
            if gave_way { Err(AnswerThatGaveWay(response)) } else { Ok(response) }
        }
    });
    let mut response = done.await.unwrap_or_else(|AnswerThatGaveWay(response)| response);
    let is_known = parts.extensions.get::<MatchedPath>().is_some();
    if let (Some(Authentication::Authenticated(caller)), true) = (&authentication, is_known)
        && let Err(error) = app.confirm_answer(caller, response.status()).await
    {
        response = error.into_response();
    }
    if let Some(confirmation) = confirmation.flatten().and_then(|slot| slot.get())
        && let Ok(told) = HeaderValue::from_str(&confirmation.to_string())
    {
        response.headers_mut().insert(CONFIRMED, told);
    }
    response
}

/// The 503 of a change that gave way.
struct AnswerThatGaveWay(Response);

impl GivesWay for AnswerThatGaveWay {
    fn gave_way(&self) -> bool {
        true
    }
}

async fn judge(app: &App, request: Request) -> Result<(Request, String), AppError> {
    let (public_scheme, public_authority) = app.public_origin();
    let connection = request.extensions().get::<ConnectionScheme>().map_or("http", |scheme| scheme.0);
    // A proxy in front may end TLS: under the public authority, the scheme is the public one.
    let scheme_of = |authority: &str| {
        let is_public = crate::settings::normal_authority(public_scheme, authority) == public_authority;
        if is_public { public_scheme } else { connection }
    };
    let target = hygiene::check(&request, scheme_of)?;
    let scheme = if target.authority == public_authority { public_scheme } else { connection };
    let address = client_address(&request);
    // Behind a proxy of ours, this is the proxy's address: everybody's.
    app.limit_address(address.filter(|address| !app.settings().is_trusted_proxy(*address)))?;
    let (parts, body) = request.into_parts();
    let body = read_body(body).await?;
    let verified = app.verify_request(&OriginalRequest {
        method: parts.method.as_str(),
        scheme,
        authority: &target.authority,
        target: &target.path_and_query,
        headers: &parts.headers,
        body: Some(&body),
        address,
    })?;
    let caller = match (verified, ui::session_token(app, &parts.headers)) {
        (Some(_), Some(_)) => return Err(AppError::Unauthenticated(AuthenticationError::Several, app.now())),
        (Some(verified), None) => Some(verified.caller),
        (None, Some(token)) => Some(verify_session(app, &token, &parts, address).await?),
        (None, None) => None,
    };
    let principal = caller.as_ref().map_or("-".to_owned(), |c| c.principal().audit_principal().to_string());
    let authentication =
        caller.map_or(Authentication::NotRequested, |caller| Authentication::Authenticated(Box::new(caller)));
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(authentication);
    request.extensions_mut().insert(ClientAddress(address));
    Ok((request, principal))
}

/// A page of ours that asks in its session. Reads need no token: no other site can read the answer.
async fn verify_session(
    app: &App,
    token: &str,
    parts: &http::request::Parts,
    address: Option<IpAddr>,
) -> Result<Caller, AppError> {
    let Some(visit) = app.verify_session(token, address).await? else {
        return Err(AppError::Unauthenticated(AuthenticationError::SessionEnded, app.now()));
    };
    let shown = parts.headers.get("keyward-csrf").map_or(&b""[..], |value| value.as_bytes());
    let is_read = is_read(parts.method.as_str());
    // What somebody types into the address bar comes from no page at all.
    let is_typed = is_read && parts.headers.get("sec-fetch-site").is_some_and(|site| site == "none");
    if !(is_typed || ui::is_from_our_pages(app, &parts.headers, false))
        || !(is_read || bool::from(shown.ct_eq(visit.csrf.as_bytes())))
    {
        return Err(AppError::CrossSite);
    }
    Ok(visit.caller)
}

pub(crate) async fn read_body(body: Body) -> Result<Bytes, AppError> {
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect());
    match read.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(AppError::TooLarge(MAX_BODY)),
        Ok(Err(_)) => Err(AppError::BadRequest("The body broke off or is malformed.".to_owned())),
        Err(_) => Err(AppError::Timeout),
    }
}
