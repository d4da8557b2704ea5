//! HTTP: connections and their limits, the processing of every request, the API, and forward authentication.

mod answer;
mod authenticate;
mod body;
mod client_address;
mod connections;
mod cookie;
mod encord;
mod explain;
mod extract;
mod forward_auth;
mod framing;
mod http2_path;
mod hygiene;
mod input_error;
mod own_host;
mod same_origin;
mod tls;
mod v1;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{StatusCode, header};
use utoipa::openapi::OpenApi;

pub(crate) use self::{
    answer::{LoggedPrincipal, RefusedWith, finish},
    authenticate::{OnConnection, limit},
    body::{discard, held_slot, read_body},
    client_address::client_address,
    connections::{Connections, Due, Place},
    cookie::Cookie,
    encord::answer_version_1,
    forward_auth::{answer_nginx, router as forward_auth_router},
    framing::Watched,
    own_host::require as require_own_host,
    same_origin::{find_own_referer, is_same_origin},
};
pub use self::{connections::ConnectionLimits, tls::TlsFiles};
use crate::{App, AppError};

/// The maximum size of a body in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The maximum size of a body without a verified credential, and of a form, in bytes.
pub const MAX_UNAUTHENTICATED_BODY: usize = 64 * 1024;
/// The maximum size of all headers in bytes.
pub const MAX_HEADERS: usize = 16 * 1024;

/// Returns the routes of the API, and the OpenAPI document that is generated from them.
pub(crate) fn api_router(app: &Arc<App>) -> (Router, OpenApi) {
    let (api, document) = v1::router().merge(encord::router()).split_for_parts();
    let document = v1::complete(document, app.hosts().public().as_str());
    let text = document.to_json().map(Bytes::from).map_err(|error| error.to_string());
    let router = api
        .route(
            "/api/v1/openapi.json",
            get(move || {
                let response = match &text {
                    Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response(),
                    Err(error) => AppError::Internal(format!("the OpenAPI document: {error}")).into_response(),
                };
                async move { response }
            }),
        )
        .method_not_allowed_fallback(|| async { AppError::MethodNotAllowed })
        .with_state(Arc::clone(app))
        .layer(middleware::from_fn_with_state(Arc::clone(app), authenticate::authenticate));
    (router, document)
}

/// Answers a request of a program for an unknown path. Its credential is verified first.
pub(crate) fn unknown_route(app: &Arc<App>) -> Router {
    Router::new()
        .fallback(|| async { AppError::not_found() })
        .layer(middleware::from_fn_with_state(Arc::clone(app), authenticate::authenticate))
}

/// Returns the routes `/healthz` and `/readyz`. They accept every host, because health checks use IP addresses.
pub(crate) fn health_router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(check_ready).with_state(Arc::clone(app)))
        .method_not_allowed_fallback(|| async { AppError::MethodNotAllowed })
}

/// Answers 200 while this node holds its lease, which it renews by writing to the store, and is not about to stop. It
/// only reads memory, so that it responds under any load.
async fn check_ready(State(app): State<Arc<App>>) -> Response {
    match app.check_ready() {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(error) => error.into_response(),
    }
}
