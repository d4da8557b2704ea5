//! The IP address of a client: that of the connection or, if the connection is from a trusted proxy, the one that the
//! proxy reports. If the reported address cannot be parsed, the IP address of the proxy is used, so that every request
//! counts against a rate limit.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use http::HeaderMap;

use crate::Settings;

/// Returns the IP address of the connection.
pub(super) fn peer_address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical())
}

/// Where a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ClientAddress {
    /// The IP address of the client, or that of the nearest proxy that does not report one. It is counted and logged.
    pub(crate) nearest: Option<IpAddr>,
    /// The IP address of the client, if it is known. The limits of a key are checked against it.
    pub(crate) client: Option<IpAddr>,
}

impl ClientAddress {
    /// The IP address of a client.
    pub(super) const fn of_client(ip_address: IpAddr) -> Self {
        Self { nearest: Some(ip_address), client: Some(ip_address) }
    }

    /// The IP address of a proxy that does not report the client's.
    pub(super) const fn of_proxy(ip_address: IpAddr) -> Self {
        Self { nearest: Some(ip_address), client: None }
    }
}

/// Returns the IP address of the client, from the connection and trusted proxies.
pub(crate) fn client_address(settings: &Settings, request: &Request) -> ClientAddress {
    match peer_address(request) {
        None => ClientAddress::default(),
        Some(peer) if settings.is_trusted_proxy(peer) => forwarded_for(request.headers(), settings, peer),
        Some(peer) => ClientAddress::of_client(peer),
    }
}

/// Returns the last address in `X-Forwarded-For` that is not a trusted proxy. A client may have written the addresses
/// before it. If there is none, returns the trusted proxy nearest to the client, which is `peer` if the header has no
/// other. If an entry before that cannot be read, the client is unknown.
pub(super) fn forwarded_for(headers: &HeaderMap, settings: &Settings, peer: IpAddr) -> ClientAddress {
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    // Split into entries, so that bytes that a client sent first do not hide the address that the proxy appended.
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut address = ClientAddress::of_proxy(peer);
    for entry in entries {
        let Some(ip_address) = str::from_utf8(entry).ok().and_then(parse_address) else {
            return ClientAddress { client: None, ..address };
        };
        address = ClientAddress::of_client(ip_address);
        if !settings.is_trusted_proxy(ip_address) {
            break;
        }
    }
    address
}

/// Parses an address in the forms of proxies: plain, with a port, in brackets, with a zone.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let is_port = |port: &str| !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let ip_address = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip_address, port) = rest.split_once(']')?;
            let is_v6 = ip_address.contains(':') && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            is_v6.then_some(ip_address)?
        }
        // With one colon, it is an IPv4 address and a port.
        None => match text.split_once(':') {
            Some((ip_address, port)) if is_port(port) => ip_address,
            _ => text,
        },
    };
    let (ip_address, _zone) = ip_address.split_once('%').unwrap_or((ip_address, ""));
    ip_address.parse().ok().map(|ip_address: IpAddr| ip_address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(lines: &[&'static str]) -> ClientAddress {
        let mut settings = Settings::new("https://keys.example.com");
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", http::HeaderValue::from_static(line));
        }
        forwarded_for(&headers, &settings, IpAddr::from([10, 9, 9, 9]))
    }

    fn client(lines: &[&'static str]) -> String {
        address(lines).nearest.unwrap().to_string()
    }

    #[test]
    fn the_client_is_known_only_if_every_proxy_reports_where_a_request_comes_from() {
        let known = |lines: &[&'static str]| address(lines).client.map(|client| client.to_string());
        assert_eq!(known(&["203.0.113.9, 192.0.2.1, 10.0.0.7"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(known(&["10.0.0.7"]).as_deref(), Some("10.0.0.7"), "a client in the network of the proxies");
        for lines in [&[][..], &["unknown"], &["unknown, 10.0.0.7"], &["203.0.113.9,"], &[""]] {
            assert_eq!(known(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        assert_eq!(client(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["203.0.113.9, 192.0.2.1, 10.0.0.7"]), "192.0.2.1");
        assert_eq!(client(&["203.0.113.9", "192.0.2.1,10.0.0.7"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.7"]), "10.0.0.7");
    }

    #[test]
    fn ports_brackets_and_zones_are_dropped() {
        assert_eq!(client(&["192.0.2.1:51008"]), "192.0.2.1");
        assert_eq!(client(&["[2001:db8::7]:51008"]), "2001:db8::7");
        assert_eq!(client(&["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(client(&["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client(&["[fe80::1%eth0]:443"]), "fe80::1");
        assert_eq!(client(&["[::ffff:192.0.2.1]:443"]), "192.0.2.1");
        assert_eq!(client(&["192.0.2.1:51008, 10.0.0.7:80"]), "192.0.2.1");
    }

    #[test]
    fn bytes_that_a_client_wrote_in_front_do_not_hide_its_address() {
        let mut headers = HeaderMap::new();
        let line = http::HeaderValue::from_bytes(b"\xe9\xff, 192.0.2.1").unwrap();
        headers.append("x-forwarded-for", line);
        let settings = Settings::new("https://keys.example.com");
        let peer = IpAddr::from([10, 9, 9, 9]);
        assert_eq!(forwarded_for(&headers, &settings, peer), ClientAddress::of_client([192, 0, 2, 1].into()));
    }

    #[test]
    fn an_unreadable_address_counts_as_the_proxys() {
        for text in [
            "unknown",
            "_hidden",
            "unix:",
            "",
            "192.0.2.1:",
            "192.0.2.1:x",
            "[192.0.2.1]",
            "[2001:db8::7",
            "[2001:db8::7]x",
            "192.0.2.1:123456",
            "2001:db8::7:51008",
            "\"192.0.2.1\"",
            "192.0.2.1 192.0.2.2",
            "[]",
        ] {
            assert_eq!(client(&[text]), "10.9.9.9", "{text:?}");
        }
        assert_eq!(client(&[]), "10.9.9.9");
        // A client may send any text before that.
        assert_eq!(client(&["203.0.113.9, unknown"]), "10.9.9.9");
        assert_eq!(client(&["203.0.113.9,"]), "10.9.9.9");
        assert_eq!(client(&["unknown, 10.0.0.7"]), "10.0.0.7");
    }
}
