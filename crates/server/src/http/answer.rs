//! What every answer has: a request id, a log line, and for refusals a problem with the headers that belong to it.

use std::sync::Arc;

use api::Problem;
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{Clock as _, secret::redact};
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use verifier::AuthenticationError;

use super::client_address::client_address;
use crate::{
    App, AppError,
    app::{Attempt, Caller},
    system::SystemClock,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");
const WANT_CONTENT_DIGEST: HeaderName = HeaderName::from_static("want-content-digest");

/// Who sent a request, for the log line.
#[derive(Clone, Debug)]
pub(crate) struct LoggedPrincipal(pub(crate) String);

/// Marks the answer of a change that conflicted with another one: another attempt helps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contended;

/// The problem that a response tells, for a browser that is shown a page instead.
#[derive(Clone, Debug)]
pub(crate) struct RefusedWith(pub(crate) Arc<Problem>);

impl Attempt for Response {
    fn is_contended(&self) -> bool {
        self.extensions().get::<Contended>().is_some()
    }

    fn tells_state(&self) -> bool {
        let status = self.status();
        status.is_success()
            || status.is_redirection()
            || matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE)
    }
}

/// Runs a request that may change something: to its end also where its client hangs up, and again where it conflicted with
/// another change. An answer that tells what is there comes once no node accepts less, see [`App::attempt`].
///
/// # Errors
/// It is not known which nodes have acknowledged what the answer tells.
pub(crate) async fn run_change(
    app: &Arc<App>,
    caller: Option<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, AppError> {
    let app = Arc::clone(app);
    let running = tokio::spawn(async move {
        let (parts, body) = request.into_parts();
        // It was read before and lies in memory.
        let body =
            body.collect().await.map_err(|error| AppError::Internal(format!("a body that was read: {error}")))?;
        let body = body.to_bytes();
        let attempt = || next.clone().run(Request::from_parts(parts.clone(), Body::from(body.clone())));
        app.attempt(caller.as_ref(), attempt).await
    });
    running.await.map_err(|error| AppError::Internal(format!("a change ended early: {error}")))?
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        if let Self::Answered(answer) = self {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
            if answer.body.is_empty() {
                return status.into_response();
            }
            return (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response();
        }
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
            Self::RateLimited(seconds) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Contended(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response.extensions_mut().insert(Contended);
            }
            _ => {}
        }
        response.extensions_mut().insert(RefusedWith(Arc::new(problem)));
        response
    }
}

/// Gives every answer a request id, the headers that keep it out of caches, and a line in the log.
pub(crate) async fn finish(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = app.random_request_id();
    // Not the app's clock: a duration for the log, which no test holds still.
    let began = SystemClock.since_boot();
    let method = request.method().clone();
    let is_kept_alive = request.version() <= http::Version::HTTP_11;
    // The route, not the path: a path may hold an invitation's token.
    let route = request.extensions().get::<MatchedPath>().map_or("-".to_owned(), |path| path.as_str().to_owned());
    let address = client_address(app.settings(), &request);
    let span = tracing::info_span!("request", id);
    let mut response = {
        use tracing::Instrument as _;
        next.run(request).instrument(span.clone()).await
    };
    let principal = response.extensions().get::<LoggedPrincipal>().map_or("-".to_owned(), |who| who.0.clone());
    let took = SystemClock.since_boot().saturating_sub(began);
    app.metrics().count_answer(response.status().as_u16(), took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        tracing::info!(
            %method,
            route,
            status = response.status().as_u16(),
            micros,
            principal,
            address = address.map(tracing::field::display),
            "answered"
        );
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if is_kept_alive && app.is_stopping() {
        // The next request goes to another node, or comes by a connection that is not about to end.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
