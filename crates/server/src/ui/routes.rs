//! The routes of the pages, and the list of them. The tests compare the list with their access table, so that every
//! page is tested.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    handler::Handler,
    response::Response,
    routing::{get, post},
};
use http::{Method, Uri};

use super::page::{self, PageError};
use crate::{App, AppError};

/// Pages, by method and path.
#[derive(Default)]
pub(super) struct Pages {
    router: Router<Arc<App>>,
    routes: Vec<(Method, String)>,
}

impl Pages {
    /// Adds a page.
    pub(super) fn get<T: 'static>(mut self, path: &str, handler: impl Handler<T, Arc<App>>) -> Self {
        self.routes.push((Method::GET, path.to_owned()));
        Self { router: self.router.route(path, get(handler)), ..self }
    }

    /// Adds a form.
    pub(super) fn post<T: 'static>(mut self, path: &str, handler: impl Handler<T, Arc<App>>) -> Self {
        self.routes.push((Method::POST, path.to_owned()));
        Self { router: self.router.route(path, post(handler)), ..self }
    }

    /// Merges both sets of pages.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// Returns the router and the list of its pages.
    pub(super) fn into_parts(self) -> (Router<Arc<App>>, Vec<(Method, String)>) {
        (self.router, self.routes)
    }
}

/// The paths that accept GET.
static LOOKED_AT: LazyLock<Vec<String>> = LazyLock::new(|| {
    super::list_page_routes().into_iter().filter(|(method, _)| method == Method::GET).map(|(_, path)| path).collect()
});

fn is_page(path: &str) -> bool {
    let segments = || path.split('/');
    LOOKED_AT.iter().any(|page| {
        page.split('/').count() == segments().count()
            && page
                .split('/')
                .zip(segments())
                .all(|(page, segment)| page == segment || page.starts_with('{') && !segment.is_empty())
    })
}

/// Redirects from a path that only accepts forms to the page of the form. The path is in the address bar after a form
/// was shown again with an error.
pub(super) async fn lead_to_form(method: Method, uri: Uri) -> Result<Response, PageError> {
    let mut path = uri.path();
    while method == Method::GET
        && let Some((above, _)) = path.rsplit_once('/')
    {
        path = above;
        if is_page(path) {
            return Ok(page::go_to(path));
        }
    }
    Err(AppError::MethodNotAllowed.into())
}

/// Answers a request for an unknown path. If the path only has an extra slash at the end, redirects to the page.
pub(super) async fn lead_to_page(method: Method, uri: Uri) -> Result<Response, PageError> {
    match uri.path().strip_suffix('/') {
        Some(path) if method == Method::GET && is_page(path) => {
            Ok(page::go_to(&uri.query().map_or(path.to_owned(), |query| format!("{path}?{query}"))))
        }
        _ => Err(PageError::NoSuchPage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_known_by_their_address() {
        for page in ["/profile", "/w/acme/members", "/operator/workspaces", "/w/acme/service-accounts/sa_1/keys/key_1"]
        {
            assert!(is_page(page), "{page}");
        }
        for other in ["", "/profile/", "/w//members", "/w/acme/members/usr_1/role", "/api/v1/me"] {
            assert!(!is_page(other), "{other}");
        }
    }
}
