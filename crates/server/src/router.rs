//! All routes of a server, and the processing of every request before and after them. It uses `http` and `ui`, which do
//! not know each other's routes.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware,
    response::IntoResponse as _,
};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;

use crate::{
    App, AppError,
    http::{self, Connections},
    ui,
};

/// Returns the routes, and the OpenAPI document that is generated from those of the API.
pub fn build_router(app: Arc<App>) -> (Router, OpenApi) {
    let (api, document) = http::api_router(&app);
    (compose(app, api, Arc::default()), document)
}

/// Returns the routes for requests on these connections.
pub(crate) fn build_router_on(app: Arc<App>, connections: Arc<Connections>) -> Router {
    let (api, _) = http::api_router(&app);
    compose(app, api, connections)
}

/// Returns the method and path of every page, and of every form.
#[must_use]
pub fn list_page_routes() -> Vec<(::http::Method, String)> {
    ui::list_page_routes()
}

fn compose(app: Arc<App>, api: Router, connections: Arc<Connections>) -> Router {
    let (unknown, unknown_page) = (http::unknown_route(&app), ui::unknown_pages(&app));
    let own = ui::router(&app)
        .merge(api)
        .fallback(move |request: Request| {
            let router = if ui::is_for_page(&request) { unknown_page.clone() } else { unknown.clone() };
            router.oneshot(request)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), http::require_own_host));
    http::health_router(&app)
        .merge(http::forward_auth_router().with_state(Arc::clone(&app)))
        .merge(own)
        .layer(CatchPanicLayer::custom(|_| AppError::Internal("a handler panicked".to_owned()).into_response()))
        .layer(middleware::from_fn_with_state(connections, http::limit))
        .layer(middleware::from_fn(http::answer_version_1))
        .layer(middleware::from_fn(http::answer_nginx))
        // A browser gets a page for every refusal.
        .layer(middleware::from_fn(ui::show_problem_as_page))
        .layer(middleware::from_fn_with_state(app, http::finish))
        // The code that reads bodies has its own limits.
        .layer(DefaultBodyLimit::disable())
}
