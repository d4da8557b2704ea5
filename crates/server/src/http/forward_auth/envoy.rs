//! Envoy's HTTP ext_authz. It sends the original method, Host and target, with `/auth/envoy` (`path_prefix`) before the
//! target. Of the client's headers, it sends those in its configuration.

use std::net::IpAddr;

use http::{HeaderMap, request::Parts};

use super::{ForwardedRequest, one};
use crate::{AppError, Settings, http::client_address::forwarded_for};

const PREFIX: &str = "/auth/envoy";

pub(super) fn read<'a>(parts: &'a Parts, settings: &Settings, peer: IpAddr) -> Result<ForwardedRequest<'a>, AppError> {
    let target = parts.uri.path_and_query().and_then(|target| target.as_str().strip_prefix(PREFIX));
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    Ok(ForwardedRequest {
        method: parts.method.as_str(),
        scheme: one(&parts.headers, "x-forwarded-proto")?,
        host: authority.map_or_else(|| one(&parts.headers, "host"), Ok)?,
        target: target.unwrap_or_default(),
        address: forwarded_for(&parts.headers, settings, peer),
    })
}

/// Returns whether Envoy truncated the body at its `max_request_bytes`.
pub(super) fn is_partial(headers: &HeaderMap) -> Result<bool, AppError> {
    match headers.get("x-envoy-auth-partial-body") {
        None => Ok(false),
        Some(_) => one(headers, "x-envoy-auth-partial-body").map(|value| value != "false"),
    }
}
