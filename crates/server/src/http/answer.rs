//! The common parts of all responses: a request id, a log line and, for refusals, a problem with its headers.

use std::sync::Arc;

use api::{Explanation, Problem};
use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use domain::{Clock as _, secret::redact};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::{Instrument as _, Span};
use verifier::AuthenticationError;

use super::client_address::client_address;
use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    cluster::Confirmation,
    request_log::{self, AnsweredRequest, RequestId},
    system::SystemClock,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");
/// Contains the version of a change, and how many nodes have acknowledged it.
const CONFIRMED: HeaderName = HeaderName::from_static("keyward-confirmed");
/// The reason of a refusal, as the code in the problem. Proxies pass it on if they replace the body.
pub(super) const REASON: HeaderName = HeaderName::from_static("keyward-reason");
const WANT_CONTENT_DIGEST: HeaderName = HeaderName::from_static("want-content-digest");

/// The principal of a request, for the log line.
#[derive(Clone, Debug)]
pub(crate) struct LoggedPrincipal(pub(crate) String);

/// The route of a request, for the log line. It is logged instead of the path, which may contain the token of an
/// invitation.
#[derive(Clone, Debug)]
pub(crate) enum LoggedRoute {
    Matched(MatchedPath),
    Fixed(&'static str),
}

impl LoggedRoute {
    /// Returns the route that a router matched.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        request.extensions().get::<MatchedPath>().cloned().map(Self::Matched)
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Matched(path) => path.as_str(),
            Self::Fixed(path) => path,
        }
    }
}

/// The status that an answer stands for, where HTTP's own says nothing: gRPC answers are 200.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedStatus(pub(super) StatusCode);

/// The problem of a response, for browsers, which get a page instead.
#[derive(Clone, Debug)]
pub(crate) struct RefusedWith(pub(crate) Arc<Problem>);

impl<T: IntoResponse> IntoResponse for Confirmed<T> {
    fn into_response(self) -> Response {
        let confirmation = self.confirmation();
        with_confirmation(self.into_inner().into_response(), confirmation)
    }
}

impl IntoResponse for ChangeError {
    fn into_response(self) -> Response {
        let response = self.error.into_response();
        match self.confirmation {
            Some(confirmation) => with_confirmation(response, confirmation),
            None => response,
        }
    }
}

fn with_confirmation(mut response: Response, confirmation: Confirmation) -> Response {
    if let Ok(confirmation) = HeaderValue::from_str(&confirmation.to_string()) {
        response.headers_mut().insert(CONFIRMED, confirmation);
    }
    response
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        match &self {
            Self::Internal(reason) => tracing::error!(reason = %redact(reason), "internal error"),
            Self::Unavailable(reason) | Self::Contended(reason) => {
                tracing::warn!(reason = %redact(reason), "not available");
            }
            Self::Unauthenticated(reason, _) => tracing::info!(code = reason.code(), %reason, "not authenticated"),
            _ => {}
        }
        let problem = self.to_problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && let Some(reason) = reason_of(&problem)
        {
            headers.insert(REASON, reason);
        }
        match self {
            Self::Unauthenticated(error, _) => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Signature realm=\"keyward\", Bearer realm=\"keyward\""),
                );
                headers.insert(ACCEPT_SIGNATURE, HeaderValue::from_static(http_signature::ACCEPT_SIGNATURE));
                headers.insert(WANT_CONTENT_DIGEST, HeaderValue::from_static("sha-256=10"));
                if matches!(error, AuthenticationError::Malformed(_)) {
                    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                }
            }
            Self::RateLimited(seconds) | Self::Overloaded(seconds) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Self::Unavailable(_) | Self::Contended(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response.extensions_mut().insert(RefusedWith(Arc::new(problem)));
        response
    }
}

/// Adds an explanation to the problem of a refusal.
pub(super) fn with_explanation(response: Response, explanation: Explanation) -> Response {
    let mut response = change_problem(response, |problem| Problem { explanation: Some(explanation), ..problem });
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Changes the problem of a refusal. Other responses stay as they are.
pub(super) fn change_problem(mut response: Response, change: impl FnOnce(Problem) -> Problem) -> Response {
    let Some(RefusedWith(problem)) = response.extensions_mut().remove::<RefusedWith>() else { return response };
    let problem = change(Problem::clone(&problem));
    *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.extensions_mut().insert(RefusedWith(Arc::new(problem)));
    response
}

/// Returns the specific reason of a problem if it has one, and otherwise its code.
pub(super) fn reason_of(problem: &Problem) -> Option<HeaderValue> {
    let reason = problem.members.get("reason").and_then(serde_json::Value::as_str).unwrap_or(&problem.code);
    HeaderValue::from_str(reason).ok()
}

/// Adds a request id and the headers against caching to every response, and logs it.
pub(crate) async fn finish<F: Future<Output = Response>>(
    app: &App,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let id = app.request_ids().generate();
    // Not the app's clock, which tests may stop. The log needs the actual duration.
    let began = SystemClock.since_boot();
    let method = request.method().clone();
    let is_kept_alive = request.version() <= http::Version::HTTP_11;
    let address = client_address(app.settings(), &request).nearest;
    request.extensions_mut().insert(id);
    let log = app.request_log();
    // Without a request log, its lines get the id from a span.
    let span = if log.is_some() { Span::none() } else { tracing::info_span!("request", id = id.as_str()) };
    let answering = next(request).instrument(span.clone());
    let mut response = request_log::within(log.map(|_| id), answering).await;
    let took = SystemClock.since_boot().saturating_sub(began);
    let logged = response.extensions().get::<LoggedStatus>();
    let status = logged.map_or(response.status(), |status| status.0).as_u16();
    app.metrics().count_answer(status, took);
    let answered = AnsweredRequest {
        at: SystemClock.now(),
        id,
        method: method.as_str(),
        route: response.extensions().get().map_or("-", LoggedRoute::as_str),
        status,
        took,
        principal: response.extensions().get::<LoggedPrincipal>().map_or("-", |who| who.0.as_str()),
        address,
    };
    match log {
        Some(log) => log.write(&answered),
        None => span.in_scope(|| answered.trace()),
    }
    set_headers(app, &mut response, id, is_kept_alive);
    response
}

/// Adds the same to the refusal of a request for which there was no time. Such requests are counted, but have no lines in
/// the log: these would take time from the requests that are answered.
pub(crate) async fn finish_overloaded<F: Future<Output = Response>>(
    app: &App,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let id = app.request_ids().generate();
    let is_kept_alive = request.version() <= http::Version::HTTP_11;
    request.extensions_mut().insert(id);
    let mut response = next(request).await;
    app.metrics().count_overloaded(response.status().as_u16());
    set_headers(app, &mut response, id, is_kept_alive);
    response
}

fn set_headers(app: &App, response: &mut Response, id: RequestId, is_kept_alive: bool) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, id);
    }
    if is_kept_alive && app.is_stopping() {
        // The next request must use another connection, so that it reaches another node or is not interrupted.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
