//! nginx: `auth_request` passes what its configuration sets, never the body, and understands 2xx, 401 and 403 only.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Told, one};
use crate::AppError;

pub(super) const PATH: &str = "/auth/nginx";
const STATUS: HeaderName = HeaderName::from_static("keyward-status");

pub(super) fn read(headers: &HeaderMap) -> Result<Told<'_>, AppError> {
    let address = match headers.get("x-original-address") {
        None => None,
        Some(_) => {
            let address = one(headers, "x-original-address")?.parse::<std::net::IpAddr>();
            let malformed = |_| AppError::BadRequest("X-Original-Address is no address.".to_owned());
            Some(address.map_err(malformed)?.to_canonical())
        }
    };
    Ok(Told {
        method: one(headers, "x-original-method")?,
        scheme: one(headers, "x-original-scheme")?,
        host: one(headers, "x-original-host")?,
        target: one(headers, "x-original-uri")?,
        address,
    })
}

/// Turns every other refusal into a 403, which nginx would turn into a 500, and tells the true status beside.
pub(in crate::http) async fn answer_nginx(request: Request, next: Next) -> Response {
    let is_ours = request.uri().path() == PATH;
    let mut response = next.run(request).await;
    let status = response.status();
    if is_ours && !status.is_success() {
        response.headers_mut().insert(STATUS, HeaderValue::from(status.as_u16()));
        if status != StatusCode::UNAUTHORIZED {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
    }
    response
}
