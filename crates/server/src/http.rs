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
mod overload;
mod own_host;
mod queue_delay;
mod same_origin;
mod tls;
mod v1;

use std::sync::Arc;

use axum::{
    Router, middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{Method, header};
use utoipa::openapi::OpenApi;

pub(crate) use self::{
    answer::{LoggedPrincipal, LoggedRoute, RefusedWith, finish, finish_overloaded},
    authenticate::{OnConnection, limit},
    body::{discard, held_slot, read_body},
    client_address::client_address,
    connections::{Connections, Due, Place},
    cookie::Cookie,
    encord::answer_version_1,
    forward_auth::{Endpoint as ForwardAuthEndpoint, answer_nginx},
    framing::Watched,
    overload::{find_overload, refuse_unread},
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
        .fallback(|| async { AppError::not_found() })
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

/// Returns whether a path belongs to the API, also if it has no route.
pub(crate) fn is_of_api(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/v2/") || matches!(path, "/public" | "/public/user")
}

/// A health check. It is answered under any load and for every host, because health checks use IP addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HealthCheck {
    /// `/healthz`: the process is alive.
    Alive,
    /// `/readyz`: the node can verify requests.
    Ready,
}

impl HealthCheck {
    /// Returns the health check with this path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Alive),
            "/readyz" => Some(Self::Ready),
            _ => None,
        }
    }

    /// Answers it from memory. A node is ready while it holds its lease, which it renews by writing to the store, and is
    /// not about to stop.
    pub(crate) fn answer(self, app: &App, method: &Method) -> Response {
        let mut response = match self {
            _ if !matches!(*method, Method::GET | Method::HEAD) => {
                ([(header::ALLOW, "GET,HEAD")], AppError::MethodNotAllowed).into_response()
            }
            Self::Alive => "ok\n".into_response(),
            Self::Ready => match app.check_ready() {
                Ok(()) => "ready\n".into_response(),
                Err(error) => error.into_response(),
            },
        };
        let route = match self {
            Self::Alive => "/healthz",
            Self::Ready => "/readyz",
        };
        response.extensions_mut().insert(LoggedRoute::Fixed(route));
        response
    }
}
