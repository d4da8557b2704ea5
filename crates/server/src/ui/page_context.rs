//! The context of a request to a page, and the headers that every page is sent with.

use axum::response::Response;
use domain::Timestamp;
use http::{HeaderName, HeaderValue};

use crate::app::{Browser, SessionContext};

/// Keep other sites, frames and foreign scripts out of a page.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("x-frame-options", "DENY"),
    // `no-referrer` would make browsers send forms with `Origin: null`.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// The context of a request to a page: the session, if there is one, and what the request says beside its form.
#[derive(Clone)]
pub(super) struct PageContext {
    pub(super) session: Option<SessionContext>,
    pub(super) browser: Browser,
    pub(super) device: Option<String>,
    /// The path and query that were asked for.
    pub(super) target: String,
    /// The path and query of the Keyward page that a form was on, as the browser says.
    pub(super) came_from: Option<String>,
    /// What was done just now, where this is the page that says so.
    pub(super) notice: Option<String>,
    /// Whether a script asks, which takes JSON.
    pub(super) wants_json: bool,
    /// The id that the log has the request under.
    pub(super) request_id: Option<String>,
    pub(super) now: Timestamp,
}

impl PageContext {
    /// The user who is signed in, as the log names them.
    pub(super) fn principal(&self) -> Option<String> {
        self.session.as_ref().map(|session| session.caller.principal().audit_principal().to_string())
    }
}

/// Sets the headers that every page has.
pub(super) fn set_page_headers(response: &mut Response) {
    for (name, value) in HEADERS {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        response.headers_mut().entry(name).or_insert(value);
    }
}

/// The page to open after signing in: a path on this server, never one that a browser reads as another host.
pub(super) fn safe_next(next: &str) -> &str {
    let is_path = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|c| c.is_ascii_graphic() && c != b'\\')
        && next.parse::<http::uri::PathAndQuery>().is_ok();
    if is_path { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_our_own_pages_only() {
        for good in ["/", "/w/acme/projects?after=prj_1", "/invitations/abc-DEF_1"] {
            assert_eq!(safe_next(good), good);
        }
        for bad in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\r\nb", "/\t/evil", "/ä"]
        {
            assert_eq!(safe_next(bad), "/", "{bad:?}");
        }
    }
}
