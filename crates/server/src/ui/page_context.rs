//! The context of a request to a page, and the headers that every page is sent with.

use axum::response::Response;
use domain::Timestamp;
use http::{HeaderName, HeaderValue};

use crate::app::{Browser, SessionContext};

/// These headers protect pages from other sites, frames and foreign scripts.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
         connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("x-frame-options", "DENY"),
    // With `no-referrer`, browsers would send forms with `Origin: null`.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// The context of a request to a page: the session, if there is one, and the data of the request except its form.
#[derive(Clone)]
pub(super) struct PageContext {
    pub(super) session: Option<SessionContext>,
    pub(super) browser: Browser,
    pub(super) device: Option<String>,
    /// The requested path and query.
    pub(super) target: String,
    /// The path and query of the Keyward page with the form, according to the browser.
    pub(super) came_from: Option<String>,
    /// The notice to show on this page.
    pub(super) notice: Option<super::notice::Shown>,
    /// The theme that the user chose.
    pub(super) theme: Option<super::theme::Theme>,
    /// Whether a script sent the request and expects JSON.
    pub(super) wants_json: bool,
    /// The id of the request in the log.
    pub(super) request_id: Option<String>,
    pub(super) now: Timestamp,
}

impl PageContext {
    /// Returns the signed-in user, in the form of the log.
    pub(super) fn principal(&self) -> Option<String> {
        self.session.as_ref().map(|session| session.caller.principal().audit_principal().to_string())
    }
}

/// Sets the headers of every page.
pub(super) fn set_page_headers(response: &mut Response) {
    for (name, value) in HEADERS {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        response.headers_mut().entry(name).or_insert(value);
    }
}

/// Returns the page to open after signing in. It is a path on this server that browsers never interpret as another
/// host.
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
