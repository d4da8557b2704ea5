//! Rules for all requests: a request that violates one is refused with 400, before it is routed or authenticated.

use axum::extract::Request;
use domain::path;
use http::{HeaderMap, HeaderName, Version, header};

use crate::{AppError, error::sentence};

/// Fields that may occur only once (RFC 9110 §5.3). If there were two, a proxy and Keyward could use different ones.
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

/// Checks the rules that do not depend on the caller, and returns the request's authority, unchanged.
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
    path::check(uri.path(), &[]).map_err(|error| AppError::BadRequest(sentence(&error.to_string())))?;
    Ok(authority)
}

pub(super) fn check_singletons(headers: &HeaderMap) -> Result<(), AppError> {
    match SINGLETONS.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        Some(name) => refuse(&format!("{name} is sent more than once.")),
        None => Ok(()),
    }
}
