//! nginx: `auth_request` passes what its configuration sets, never the body, and understands 2xx, 401 and 403 only.

use std::net::IpAddr;

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{ForwardedRequest, one};
use crate::{AppError, http::client_address::parse_address};

pub(super) const PATH: &str = "/auth/nginx";
const STATUS: HeaderName = HeaderName::from_static("keyward-status");

pub(super) fn read(headers: &HeaderMap, peer: IpAddr) -> Result<ForwardedRequest<'_>, AppError> {
    let ip_address = match headers.get("x-original-address") {
        None => peer,
        // Behind a Unix socket, nginx knows no address.
        Some(_) => parse_address(one(headers, "x-original-address")?).unwrap_or(peer),
    };
    Ok(ForwardedRequest {
        method: one(headers, "x-original-method")?,
        scheme: one(headers, "x-original-scheme")?,
        host: one(headers, "x-original-host")?,
        target: one(headers, "x-original-uri")?,
        ip_address,
    })
}

/// Turns every other refusal into a 403, which nginx would turn into a 500, and tells the true status beside.
pub(crate) async fn answer_nginx(request: Request, next: Next) -> Response {
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
