//! Caddy and Traefik: `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`, set by the proxy itself.

use std::net::IpAddr;

use http::HeaderMap;

use super::{ForwardedRequest, one};
use crate::{AppError, Settings, http::client_address::forwarded_for};

pub(super) fn read<'a>(
    headers: &'a HeaderMap,
    settings: &Settings,
    peer: IpAddr,
) -> Result<ForwardedRequest<'a>, AppError> {
    Ok(ForwardedRequest {
        method: one(headers, "x-forwarded-method")?,
        scheme: one(headers, "x-forwarded-proto")?,
        host: one(headers, "x-forwarded-host")?,
        target: one(headers, "x-forwarded-uri")?,
        address: forwarded_for(headers, settings, peer),
    })
}
