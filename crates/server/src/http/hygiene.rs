//! Rules for all requests: a request that violates one is refused with 400, before it is routed or authenticated.

use axum::extract::Request;
use http::{HeaderMap, HeaderName, Version, header};

use crate::AppError;

/// Fields that may be sent only once (RFC 9110 §5.3). If there were two, a proxy and Keyward could read different ones.
const SINGLETONS: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("keyward-workspace"),
];

fn refuse<T>(detail: &str) -> Result<T, AppError> {
    Err(AppError::BadRequest(detail.to_owned()))
}

/// Checks what does not depend on the caller, and returns the authority that the request names, unchanged.
pub(super) fn check(request: &Request) -> Result<&str, AppError> {
    check_singletons(request.headers())?;
    let uri = request.uri();
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let authority = match (request.version(), uri.authority(), host) {
        // HTTP/2 has `:authority`, which must not contradict Host (RFC 9113 §8.3.1).
        (Version::HTTP_2, Some(authority), None) => authority.as_str(),
        (Version::HTTP_2, Some(authority), Some(host)) if authority.as_str().eq_ignore_ascii_case(host) => host,
        (Version::HTTP_2, ..) => return refuse(":authority is missing, or differs from Host."),
        (_, Some(_), _) => return refuse("The request target must be a path, not a whole URL."),
        (_, None, Some(host)) => host,
        (_, None, None) => return refuse("The request has no Host."),
    };
    if authority.parse::<http::uri::Authority>().is_err() || authority.contains('@') {
        return refuse("Host is malformed.");
    }
    check_path(uri.path())?;
    Ok(authority)
}

pub(super) fn check_singletons(headers: &HeaderMap) -> Result<(), AppError> {
    match SINGLETONS.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        Some(name) => refuse(&format!("{name} is sent more than once.")),
        None => Ok(()),
    }
}

/// Refuses paths that two readers may take for two things.
pub(super) fn check_path(path: &str) -> Result<(), AppError> {
    let ambiguous = !path.starts_with('/')
        || path.contains("//")
        || path.contains(['\\', ';'])
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
        || has_escape(path, |byte| matches!(byte, b'.' | b'/' | b'\\' | b';' | b'%' | 0..=0x1f | 0x7f));
    if ambiguous {
        return refuse(
            "The path may have no empty, `.` or `..` segments, no `;` or `\\`, and none of these in escaped form.",
        );
    }
    Ok(())
}

/// Whether a path holds `%XX` of a byte that `is_bad`, or a `%` that is no escape.
fn has_escape(path: &str, is_bad: fn(u8) -> bool) -> bool {
    path.split('%').skip(1).any(|rest| {
        let byte = rest.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_none_or(is_bad)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_two_readers_may_read_differently_is_refused() {
        for good in
            ["/", "/api/v1/me", "/api/v1/me/", "/a%20b", "/a%C3%A4", "/a..b", "/a.b/c", "/.well-known/x", "/a+b~c"]
        {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in [
            "*",
            "",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a//b",
            "//a",
            "/a;b",
            "/a\\b",
            "/%2e%2e/a",
            "/a/%2E./b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%3bb",
            "/a%252fb",
            "/a%00",
            "/a%0d%0ab",
            "/a%",
            "/a%4",
            "/a%zz",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
