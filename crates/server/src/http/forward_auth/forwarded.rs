//! Caddy and Traefik: `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`, set by the proxy itself.

use std::net::IpAddr;

use http::HeaderMap;

use super::{Told, one};
use crate::{AppError, Settings};

pub(super) fn read<'a>(headers: &'a HeaderMap, settings: &Settings) -> Result<Told<'a>, AppError> {
    Ok(Told {
        method: one(headers, "x-forwarded-method")?,
        scheme: one(headers, "x-forwarded-proto")?,
        host: one(headers, "x-forwarded-host")?,
        target: one(headers, "x-forwarded-uri")?,
        address: client(headers, settings),
    })
}

/// The last address of `X-Forwarded-For` that is no proxy of ours. What stands before it, a client may have written.
pub(crate) fn client(headers: &HeaderMap, settings: &Settings) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut nearest = None;
    for entry in entries {
        let address = entry.trim().parse::<IpAddr>().ok()?.to_canonical();
        nearest = Some(address);
        if !settings.is_trusted_proxy(address) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy_of_ours() {
        let mut settings = Settings::new("https://keys.example.com");
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let client = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", http::HeaderValue::from_static(line));
            }
            client(&headers, &settings).map(|address| address.to_string())
        };
        assert_eq!(client(&["192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["203.0.113.9, 192.0.2.1, 10.0.0.7"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["203.0.113.9", "192.0.2.1,10.0.0.7"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["10.0.0.7"]).as_deref(), Some("10.0.0.7"));
        assert_eq!(client(&["192.0.2.1, unknown"]), None);
        assert_eq!(client(&[]), None);
    }
}
