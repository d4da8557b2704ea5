//! Checks that a request of a session comes from a page of this installation.

use http::{HeaderMap, HeaderName, header};

use crate::App;

/// Returns whether the browser's headers contain an origin of this installation. With `require_evidence`, a request
/// without any such header is refused. The CSRF token of a session is checked separately.
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

/// Returns the path and query of the page that a request came from, if it is a page of this installation.
pub(crate) fn find_own_referer(app: &App, headers: &HeaderMap) -> Option<String> {
    let referer = headers.get(header::REFERER)?.to_str().ok()?;
    app.hosts().path_of_own_page(referer).map(str::to_owned)
}
