//! The web pages. They are rendered on the server and call the same operations as the API. Each feature has one file.
//! `receive` processes every request, `extract` has the arguments of handlers, and `page` the layout of every page.

mod api_key;
mod audit;
mod confirmation;
mod contact;
mod csv;
mod extract;
mod form;
mod help;
mod invitation;
mod key_limits;
mod list;
mod member;
mod meter;
mod notice;
mod operator;
mod overview;
mod page;
mod page_context;
mod project;
mod receive;
mod role;
mod routes;
mod search;
mod service_account;
mod session;
mod set_up;
mod static_files;
mod theme;
mod use_chart;
mod user;
mod workspace;

use std::sync::Arc;

use axum::{Router, extract::Request, middleware, response::Response};
use http::{Method, header};

use crate::{App, http::RefusedWith, request_log::RequestId};

fn pages() -> routes::Pages {
    routes::Pages::default()
        .merge(session::router())
        .merge(api_key::router())
        .merge(audit::router())
        .merge(help::router())
        .merge(invitation::router())
        .merge(member::router())
        .merge(operator::router())
        .merge(overview::router())
        .merge(project::router())
        .merge(search::router())
        .merge(service_account::router())
        .merge(set_up::router())
        .merge(user::router())
        .merge(workspace::router())
}

/// Returns the routes of the pages and their static files.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let (router, _) = pages().into_parts();
    router
        .method_not_allowed_fallback(routes::lead_to_form)
        .with_state(Arc::clone(app))
        .layer(middleware::from_fn_with_state(Arc::clone(app), receive::receive))
        .merge(static_files::router())
}

/// Returns the fallback for unknown paths, for browsers.
pub(crate) fn unknown_pages(app: &Arc<App>) -> Router {
    Router::new()
        .fallback(routes::lead_to_page)
        .layer(middleware::from_fn_with_state(Arc::clone(app), receive::receive))
}

/// Returns whether a browser requests a page. The API, forward authentication and the health checks answer programs,
/// regardless of their `Accept` header.
pub(crate) fn is_for_page(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let path = request.uri().path();
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
        && !["/api/", "/v2/", "/auth/"].iter().any(|start| path.starts_with(start))
        && !["/healthz", "/readyz"].contains(&path)
}

/// Replaces a problem in JSON by a page for browsers, for example for a limit, another host, or a handler that
/// panicked.
pub(crate) async fn show_problem_as_page<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let is_for_page = is_for_page(&request);
    let id = request.extensions().get::<RequestId>().copied();
    let mut response = next(request).await;
    match response.extensions_mut().remove::<RefusedWith>() {
        Some(RefusedWith(problem)) if is_for_page => {
            page::replace_by_page(response, &problem, id.as_ref().map(RequestId::as_str))
        }
        _ => response,
    }
}

/// Returns the method and path of every page, and of every form.
pub(crate) fn list_page_routes() -> Vec<(Method, String)> {
    pages().into_parts().1
}
