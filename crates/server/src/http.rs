//! What Keyward is asked through: the routes, and what every request passes before and after them.

mod answer;
mod authenticate;
mod body;
mod client_address;
mod connections;
mod encord;
mod extract;
mod forward_auth;
mod framing;
mod http2_path;
mod hygiene;
mod own_host;
mod serve;
mod tls;
mod v1;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{StatusCode, header};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;

use self::connections::Connections;
pub(crate) use self::{
    answer::{Contended, LoggedPrincipal, run_change},
    body::{discard, read_body},
    client_address::client_address,
};
pub use self::{
    connections::ConnectionLimits,
    serve::{Server, ServerOptions},
    tls::TlsFiles,
};
use crate::{App, AppError, ui};

/// Bytes of a body at the most.
pub const MAX_BODY: usize = 1024 * 1024;
/// Bytes of a body at the most where no credential was verified, and of a form.
pub const MAX_UNAUTHENTICATED_BODY: usize = 64 * 1024;
/// Bytes of all headers at the most.
pub const MAX_HEADERS: usize = 16 * 1024;

/// The routes, all of them, and the OpenAPI document that is made from them.
pub fn router(app: Arc<App>) -> (Router, OpenApi) {
    router_of(app, Arc::default())
}

/// The routes, for requests that come by these connections.
fn router_of(app: Arc<App>, connections: Arc<Connections>) -> (Router, OpenApi) {
    let (api, document) = v1::router().split_for_parts();
    let document = v1::complete(document);
    let text = Bytes::from(document.to_json().unwrap_or_default());
    let api = api
        .route(
            "/api/v1/openapi.json",
            get(move || {
                let document = openapi_json(&text);
                async move { document }
            }),
        )
        .merge(encord::router())
        .method_not_allowed_fallback(|| async { AppError::MethodNotAllowed })
        .with_state(Arc::clone(&app))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), authenticate::authenticate));
    let unknown = Router::new()
        .fallback(|| async { AppError::not_found() })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), authenticate::authenticate));
    let unknown_page = ui::unknown_pages(&app);
    let own = ui::router(&app)
        .merge(api)
        // A person is shown a page, a program a problem.
        .fallback(move |request: Request| {
            let router = if is_for_a_page(&request) { unknown_page.clone() } else { unknown.clone() };
            router.oneshot(request)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), own_host::require));
    let router = Router::new()
        // These two answer whatever host is asked for: who asks for them knows an address and no name.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(check_ready).with_state(Arc::clone(&app)))
        .method_not_allowed_fallback(|| async { AppError::MethodNotAllowed })
        .merge(forward_auth::router().with_state(Arc::clone(&app)))
        .merge(own)
        .layer(CatchPanicLayer::custom(|_| AppError::Internal("a handler panicked".to_owned()).into_response()))
        .layer(middleware::from_fn_with_state(connections, authenticate::limit))
        .layer(middleware::from_fn(forward_auth::answer_nginx))
        .layer(middleware::from_fn_with_state(app, answer::finish))
        // The limits are where bodies are read.
        .layer(DefaultBodyLimit::disable());
    (router, document)
}

/// Method and path of every page for people, and of every form on one.
#[must_use]
pub fn page_routes() -> Vec<(http::Method, String)> {
    ui::page_routes()
}

/// Whether a browser asks, for something that only its owner can show to it.
fn is_for_a_page(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let path = request.uri().path();
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
        && !["/api/", "/v2/", "/auth/"].iter().any(|start| path.starts_with(start))
}

fn openapi_json(text: &Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
}

/// 200 while this node holds its lease, which it renews by writing to the store, and is not about to stop. It asks nobody,
/// so that it answers whatever else goes on.
async fn check_ready(State(app): State<Arc<App>>) -> Response {
    match app.check_ready() {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(error) => error.into_response(),
    }
}
