//! Whether a request of a session was made by a page of this installation.

use http::{HeaderMap, HeaderName, header};

use crate::App;

/// Whether the headers that a browser sets name an origin of this installation. With `require_evidence`, a request without
/// any such header is refused; a session's CSRF token is checked besides.
pub(crate) fn is_same_origin(app: &App, headers: &HeaderMap, require_evidence: bool) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match text(header::ORIGIN) {
        Some(origin) => app.hosts().is_own_origin(origin),
        None => site.is_some() || !require_evidence,
    }
}

/// The path and query of the page that a request came from, where it is a page of this installation.
pub(crate) fn find_own_referer(app: &App, headers: &HeaderMap) -> Option<String> {
    let referer = headers.get(header::REFERER)?.to_str().ok()?;
    app.hosts().path_of_own_page(referer).map(str::to_owned)
}
