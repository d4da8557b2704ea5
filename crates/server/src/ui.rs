//! The web pages: made on the server, calling the same operations as the API. One file a feature; what every page
//! passes is in `visit`, what every page looks like in `page`.

mod api_key;
mod audit;
mod form;
mod help;
mod invitation;
mod member;
mod notice;
mod operator;
mod page;
mod project;
mod routes;
mod service_account;
mod session;
mod set_up;
mod static_files;
mod user;
mod visit;
mod workspace;

use std::sync::Arc;

use axum::{Router, middleware, response::Response};
use http::Method;

pub(crate) use self::visit::{is_from_our_pages, session_token};
use crate::{App, AppError};

fn pages() -> routes::Pages {
    routes::Pages::default()
        .merge(session::router())
        .merge(api_key::router())
        .merge(audit::router())
        .merge(help::router())
        .merge(invitation::router())
        .merge(member::router())
        .merge(operator::router())
        .merge(project::router())
        .merge(service_account::router())
        .merge(set_up::router())
        .merge(user::router())
        .merge(workspace::router())
}

/// The pages and what they load.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let (router, _) = pages().into_parts();
    router
        .method_not_allowed_fallback(routes::lead_to_form)
        .with_state(Arc::clone(app))
        .layer(middleware::from_fn_with_state(Arc::clone(app), visit::receive))
        .merge(static_files::router())
}

/// What a browser is shown at an address that leads nowhere.
pub(crate) fn unknown_pages(app: &Arc<App>) -> Router {
    Router::new().fallback(routes::lead_to_page).layer(middleware::from_fn_with_state(Arc::clone(app), visit::receive))
}

/// The page that tells a person of an error before anybody knows who it is.
pub(crate) fn refuse(app: &App, error: AppError) -> Response {
    let mut response = page::failure(app, error.into(), None, None);
    visit::close(&mut response);
    response
}

/// Method and path of every page, and of every form on one.
pub(crate) fn page_routes() -> Vec<(Method, String)> {
    pages().into_parts().1
}
