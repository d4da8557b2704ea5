//! The pages' routes, and the list of them, which the access table of the tests is compared with: a page that nobody
//! thought about does not come to be.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{get, post},
};
use http::Method;

use crate::App;

/// Pages, by method and path.
#[derive(Default)]
pub(super) struct Pages {
    router: Router<Arc<App>>,
    routes: Vec<(Method, String)>,
}

impl Pages {
    /// A page that is looked at.
    pub(super) fn get<T: 'static>(mut self, path: &str, handler: impl Handler<T, Arc<App>>) -> Self {
        self.routes.push((Method::GET, path.to_owned()));
        Self { router: self.router.route(path, get(handler)), ..self }
    }

    /// A form that is sent.
    pub(super) fn post<T: 'static>(mut self, path: &str, handler: impl Handler<T, Arc<App>>) -> Self {
        self.routes.push((Method::POST, path.to_owned()));
        Self { router: self.router.route(path, post(handler)), ..self }
    }

    /// These and those.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// The router, and what is in it.
    pub(super) fn into_parts(self) -> (Router<Arc<App>>, Vec<(Method, String)>) {
        (self.router, self.routes)
    }
}
