//! The hosts of an installation: one list for its own API and pages, another for the APIs behind proxies. A signature
//! is valid for one host, so requests for a host on neither list are refused.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

/// Names of this machine at which a server with a loopback `public_url` is also reachable.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// `http` or `https`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// Returns the signed form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Removes this scheme's default port from an authority.
    fn without_default_port(self, authority: &str) -> &str {
        let port = match self {
            Self::Http => ":80",
            Self::Https => ":443",
        };
        authority.strip_suffix(port).unwrap_or(authority)
    }
}

/// A scheme and an authority in canonical form: lower case, without the scheme's default port, IP addresses in their
/// shortest form. Browsers and RFC 9421 §2.2.3 use the same form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    scheme: Scheme,
    authority: String,
    /// Both, as in an `Origin` header.
    text: String,
}

impl Origin {
    fn new(scheme: Scheme, host: &str, port: Option<u16>) -> Self {
        let authority = write_authority(scheme, host, port);
        Self { scheme, text: format!("{}://{authority}", scheme.as_str()), authority }
    }

    /// Returns the scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the authority.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns scheme and authority: `https://keys.example.com`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether an authority of a request means this origin, in any case, with or without the default port.
    fn is_named_by(&self, authority: &str) -> bool {
        self.scheme.without_default_port(authority).eq_ignore_ascii_case(&self.authority)
    }

    /// Returns whether some authority means both origins.
    fn overlaps(&self, other: &Self) -> bool {
        let with_port = |origin: &Self| format!("{}:{}", origin.authority, origin.scheme.default_port());
        other.is_named_by(&self.authority)
            || self.is_named_by(&other.authority)
            || other.is_named_by(&with_port(self))
            || self.is_named_by(&with_port(other))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a host or an origin in the settings is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostError {
    /// It does not begin with `http://` or `https://`.
    #[error("start it with https:// (or http:// on this machine only)")]
    Scheme,
    /// It has a path, a query or a user name.
    #[error("write it without a path, without a slash at the end and without a user name")]
    MoreThanOrigin,
    /// It has a scheme, which is not allowed here.
    #[error("write only the host, without https:// and without a path")]
    MoreThanHost,
    /// The port is not a number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// It has characters beyond ASCII.
    #[error("write the name in its ASCII form, which begins with xn--")]
    NotAscii,
    /// It is neither a name nor an IP address.
    #[error("a host is a name such as keys.example.com, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// A wildcard in another place than the first label.
    #[error("a wildcard stands for the first label of a name of three labels or more, without a port: *.example.com")]
    Wildcard,
}

impl FromStr for Origin {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (scheme, authority) = text.split_once("://").ok_or(HostError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(HostError::Scheme),
        };
        if authority.contains(['/', '?', '#', '@']) {
            return Err(HostError::MoreThanOrigin);
        }
        let (host, port) = parse_authority(authority)?;
        Ok(Self::new(scheme, &host, port))
    }
}

/// A host of an API behind a proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostPattern {
    /// One authority in two forms, because its port may be the default of one scheme.
    Exact {
        /// The signed form over plain HTTP.
        http: String,
        /// The signed form over TLS.
        https: String,
    },
    /// Every name with exactly one label before this, on the default port.
    Wildcard(String),
}

impl HostPattern {
    /// Returns whether it matches an authority in lower case without the scheme's default port.
    #[must_use]
    pub fn covers(&self, scheme: Scheme, authority: &str) -> bool {
        match self {
            Self::Exact { http, https } => match scheme {
                Scheme::Http => http == authority,
                Scheme::Https => https == authority,
            },
            Self::Wildcard(parent) => {
                authority.split_once('.').is_some_and(|(label, rest)| is_label(label) && rest == parent)
            }
        }
    }

    /// Returns whether another pattern matches every host of this pattern.
    fn is_within(&self, other: &Self) -> bool {
        match self {
            Self::Exact { http, https } => other.covers(Scheme::Http, http) || other.covers(Scheme::Https, https),
            Self::Wildcard(_) => self == other,
        }
    }

    fn is_own(&self, own: &Origin) -> bool {
        match self {
            Self::Exact { http, https } => own.is_named_by(http) || own.is_named_by(https),
            Self::Wildcard(_) => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.contains(['/', '?', '#', '@']) {
            return Err(HostError::MoreThanHost);
        }
        if text.contains('*') {
            let parent = text.strip_prefix("*.").ok_or(HostError::Wildcard)?;
            return match parse_authority(parent) {
                // `*.com` would include hosts of other owners.
                Ok((parent, None)) if parent.contains('.') && parent.parse::<Ipv4Addr>().is_err() => {
                    Ok(Self::Wildcard(parent))
                }
                Ok(_) | Err(HostError::Host) => Err(HostError::Wildcard),
                Err(error) => Err(error),
            };
        }
        let (host, port) = parse_authority(text)?;
        let [http, https] = [Scheme::Http, Scheme::Https].map(|scheme| write_authority(scheme, &host, port));
        Ok(Self::Exact { http, https })
    }
}

fn write_authority(scheme: Scheme, host: &str, port: Option<u16>) -> String {
    match port {
        Some(port) if port != scheme.default_port() => format!("{host}:{port}"),
        _ => host.to_owned(),
    }
}

/// Returns a host in lower case, and the port if there is one.
fn parse_authority(text: &str) -> Result<(String, Option<u16>), HostError> {
    if !text.is_ascii() {
        return Err(HostError::NotAscii);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(HostError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| HostError::Host)?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(HostError::Host)?) };
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            let host = host.to_ascii_lowercase();
            if !is_name_or_ipv4(&host) {
                return Err(HostError::Host);
            }
            (host, port)
        }
    };
    // A colon without a port means the default port (RFC 3986 §3.2.3).
    let port = match port {
        None | Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse().ok().filter(|port| *port != 0).ok_or(HostError::Port)?)
        }
        Some(_) => return Err(HostError::Port),
    };
    Ok((host, port))
}

fn is_name_or_ipv4(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    // Browsers interpret a name that ends in a number as an IPv4 address in another form, and rewrite it.
    let ends_in_number = host.rsplit('.').next().is_some_and(|last| {
        last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    host.len() <= 253 && !ends_in_number && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// The lists in the settings.
#[derive(Clone, Copy, Debug)]
pub struct HostLists<'a> {
    /// The origin at which clients reach this installation.
    pub public: &'a Origin,
    /// Further origins of Keyward's own API and pages.
    pub hosts: &'a [String],
    /// The hosts of the APIs behind proxies.
    pub proxied_hosts: &'a [String],
    /// The hosts, in addition to the public origin, on which signatures that do not cover the host are accepted.
    pub encord_hosts: &'a [String],
}

/// A list that has an invalid or unsafe entry, or contradicts another list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{list}: {reason}")]
pub struct HostListError {
    /// `hosts`, `proxied_hosts` or `encord_hosts`.
    pub list: &'static str,
    /// The reason, and how to correct it.
    pub reason: String,
}

/// The hosts of an installation.
#[derive(Clone, Debug)]
pub struct Hosts {
    public: Origin,
    /// The origins of Keyward's own API and pages. The first ones are `public_url` and its loopback names.
    own: Vec<Arc<Origin>>,
    /// The number of origins for `public_url` and its loopback names.
    of_public: usize,
    proxied: Vec<HostPattern>,
    encord: Vec<HostPattern>,
}

impl Hosts {
    /// Parses the lists.
    ///
    /// # Errors
    /// The first entry that is invalid, unsafe or contradicts another.
    pub fn new(lists: HostLists<'_>) -> Result<Self, HostListError> {
        let public = lists.public.clone();
        let mut own = vec![Arc::new(public.clone())];
        if is_loopback(public.authority()) {
            let port = public.authority().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            for name in LOOPBACK_NAMES {
                let alias = Origin::new(public.scheme(), name, port);
                if alias != public {
                    own.push(Arc::new(alias));
                }
            }
        }
        let of_public = own.len();
        for text in lists.hosts {
            let origin: Origin = text.parse().map_err(|error| invalid_entry("hosts", text, error))?;
            if origin.scheme() == Scheme::Http && !is_loopback(origin.authority()) {
                let reason =
                    format!("plain HTTP is safe only on this machine, and {origin} is another host; use https://");
                return Err(HostListError { list: "hosts", reason });
            }
            if let Some(other) = own.iter().find(|other| other.scheme() != origin.scheme() && other.overlaps(&origin)) {
                let reason = format!(
                    "a request for {origin} cannot be distinguished from one for {other}; choose one \
                                      of them"
                );
                return Err(HostListError { list: "hosts", reason });
            }
            if own.iter().all(|other| **other != origin) {
                own.push(Arc::new(origin));
            }
        }
        let patterns = |name, texts: &[String]| {
            let parse = |text: &String| text.parse().map_err(|error| invalid_entry(name, text, error));
            texts.iter().map(parse).collect::<Result<Vec<HostPattern>, _>>()
        };
        let proxied = patterns("proxied_hosts", lists.proxied_hosts)?;
        let encord = patterns("encord_hosts", lists.encord_hosts)?;
        for (pattern, text) in encord.iter().zip(lists.encord_hosts) {
            let is_listed =
                own.iter().any(|own| pattern.is_own(own)) || proxied.iter().any(|proxied| pattern.is_within(proxied));
            if !is_listed {
                let reason = format!(
                    "{text} is not a host of this installation; list it in `proxied_hosts` (an API behind a proxy) or in \
                     `hosts` (Keyward itself), too"
                );
                return Err(HostListError { list: "encord_hosts", reason });
            }
        }
        Ok(Self { public, own, of_public, proxied, encord })
    }

    /// Returns the origin at which clients reach this installation.
    #[must_use]
    pub const fn public(&self) -> &Origin {
        &self.public
    }

    /// Returns the origin of Keyward's own API and pages that matches a request's authority.
    #[must_use]
    pub fn find_own(&self, authority: &str) -> Option<&Arc<Origin>> {
        self.own.iter().find(|origin| origin.is_named_by(authority))
    }

    /// Returns whether an `Origin` header belongs to one of Keyward's own pages.
    #[must_use]
    pub fn is_own_origin(&self, header: &str) -> bool {
        self.own.iter().any(|origin| origin.as_str() == header)
    }

    /// Returns the path and query of a URL if it is one of Keyward's own pages.
    #[must_use]
    pub fn path_of_own_page<'a>(&self, url: &'a str) -> Option<&'a str> {
        self.own.iter().find_map(|origin| url.strip_prefix(origin.as_str()).filter(|path| path.starts_with('/')))
    }

    /// Returns whether requests for this authority are verified for the proxy in front of it. The authority is in lower
    /// case and without the scheme's default port.
    #[must_use]
    pub fn is_proxied(&self, scheme: Scheme, authority: &str) -> bool {
        self.proxied.iter().any(|pattern| pattern.covers(scheme, authority))
    }

    /// Returns whether any host is verified for a proxy.
    #[must_use]
    pub fn has_proxied(&self) -> bool {
        !self.proxied.is_empty()
    }

    /// Returns whether signatures that do not cover the host are accepted here: at `public_url` and on hosts in
    /// `encord_hosts`. The authority is in lower case and without the scheme's default port.
    #[must_use]
    pub fn takes_encord(&self, scheme: Scheme, authority: &str) -> bool {
        let mut of_public = self.own.iter().take(self.of_public);
        of_public.any(|own| own.scheme() == scheme && own.authority() == authority)
            || self.encord.iter().any(|pattern| pattern.covers(scheme, authority))
    }
}

/// Creates the error for an invalid entry. It contains the entry unless that may be a secret.
fn invalid_entry(list: &'static str, text: &str, error: HostError) -> HostListError {
    let is_plain = text.len() <= 100 && !text.contains('@') && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let entry = if is_plain { format!("`{text}`") } else { "an entry".to_owned() };
    HostListError { list, reason: format!("{entry} is invalid: {error}") }
}

/// Returns an authority in its signed form: lower case, without the scheme's default port (RFC 9421 §2.2.3).
#[must_use]
pub fn normal_authority(scheme: Scheme, authority: &str) -> String {
    scheme.without_default_port(authority).to_ascii_lowercase()
}

/// Returns whether an authority means this machine.
#[must_use]
pub fn is_loopback(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, port)| if port.bytes().all(|c| c.is_ascii_digit()) { host } else { authority });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lists {
        hosts: Vec<String>,
        proxied_hosts: Vec<String>,
        encord_hosts: Vec<String>,
    }

    fn hosts(public_url: &str, change: impl FnOnce(&mut Lists)) -> Result<Hosts, HostListError> {
        let mut lists = Lists::default();
        change(&mut lists);
        let Lists { hosts, proxied_hosts, encord_hosts } = &lists;
        let public = &public_url.parse().expect("an origin");
        Hosts::new(HostLists { public, hosts, proxied_hosts, encord_hosts })
    }

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_origin_has_one_spelling() {
        for (text, normal) in [
            ("https://Keys.Example.com", "https://keys.example.com"),
            ("HTTPS://keys.example.com:443", "https://keys.example.com"),
            ("https://keys.example.com:", "https://keys.example.com"),
            ("http://keys.example.com:443", "http://keys.example.com:443"),
            ("http://127.0.0.1:080", "http://127.0.0.1"),
            ("https://keys.example.com:08443", "https://keys.example.com:8443"),
            ("https://[0:0:0:0:0:0:0:1]:8443", "https://[::1]:8443"),
            ("https://[2001:DB8::7]", "https://[2001:db8::7]"),
        ] {
            assert_eq!(text.parse::<Origin>().expect(text).as_str(), normal, "{text}");
        }
        for (text, error) in [
            ("keys.example.com", HostError::Scheme),
            ("ftp://keys.example.com", HostError::Scheme),
            ("https://keys.example.com/", HostError::MoreThanOrigin),
            ("https://keys.example.com?a", HostError::MoreThanOrigin),
            ("https://ada@keys.example.com", HostError::MoreThanOrigin),
            ("https://keys.example.com:0", HostError::Port),
            ("https://keys.example.com:65536", HostError::Port),
            ("https://keys.example.com:+1", HostError::Port),
            ("https://bücher.example", HostError::NotAscii),
            ("https://", HostError::Host),
            ("https://keys..example.com", HostError::Host),
            ("https://keys.example.com.", HostError::Host),
            ("https://127.1", HostError::Host),
            ("https://0x7f000001", HostError::Host),
            ("https://2130706433", HostError::Host),
            ("https://2001:db8::7", HostError::Host),
            ("https://[::1", HostError::Host),
            ("https://[::1]8080", HostError::Host),
            ("https://a b", HostError::Host),
            ("https://*.example.com", HostError::Host),
        ] {
            assert_eq!(text.parse::<Origin>().expect_err(text), error, "{text}");
        }
    }

    #[test]
    fn a_wildcard_is_one_label_on_the_default_port() {
        let pattern: HostPattern = "*.Example.com".parse().unwrap();
        for (scheme, authority, covered) in [
            (Scheme::Https, "api.example.com", true),
            (Scheme::Http, "api.example.com", true),
            (Scheme::Https, "example.com", false),
            (Scheme::Https, "a.b.example.com", false),
            (Scheme::Https, "api.example.com:8443", false),
            (Scheme::Https, ".example.com", false),
            (Scheme::Https, "api.example.com.evil.example", false),
            (Scheme::Https, "api.example.community", false),
            (Scheme::Https, "a%2eb.example.com", false),
        ] {
            assert_eq!(pattern.covers(scheme, authority), covered, "{authority}");
        }
        for text in ["*", "*.com", "*.", "a.*.com", "api*.example.com", "*.example.com:8443", "*.0.0.1", "*.*.com"] {
            assert_eq!(text.parse::<HostPattern>().expect_err(text), HostError::Wildcard, "{text}");
        }
        assert_eq!("https://api.example.com".parse::<HostPattern>(), Err(HostError::MoreThanHost));
    }

    #[test]
    fn a_loopback_public_url_has_the_names_of_this_machine_on_its_port() {
        let hosts = hosts("http://localhost:8080", |_| {}).unwrap();
        let named = |authority: &str| hosts.find_own(authority).map(|origin| origin.as_str().to_owned());
        assert_eq!(named("LocalHost:8080").as_deref(), Some("http://localhost:8080"));
        assert_eq!(named("127.0.0.1:8080").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(named("[::1]:8080").as_deref(), Some("http://[::1]:8080"));
        for other in ["localhost", "127.0.0.1:8081", "127.0.0.2:8080", "evil.example:8080", "evil.localhost:8080"] {
            assert_eq!(named(other), None, "{other}");
        }
        let public = self::hosts("https://keys.example.com", |_| {}).unwrap();
        assert!(public.find_own("keys.example.com:443").is_some() && public.find_own("localhost").is_none());
        assert!(public.find_own("keys.example.com:80").is_none(), "another port");
    }

    #[test]
    fn a_list_that_is_unsafe_or_contradicts_another_is_refused_by_name() {
        let refused = |change: fn(&mut Lists)| hosts("https://keys.example.com", change).expect_err("refused").list;
        assert_eq!(refused(|s| s.hosts = list(&["keys.internal"])), "hosts");
        assert_eq!(refused(|s| s.hosts = list(&["http://keys.internal"])), "hosts");
        assert_eq!(refused(|s| s.hosts = list(&["https://127.0.0.1:8080", "http://127.0.0.1:8080"])), "hosts");
        assert_eq!(refused(|s| s.hosts = list(&["https://localhost", "http://localhost:443"])), "hosts");
        assert_eq!(refused(|s| s.proxied_hosts = list(&["https://api.example.com"])), "proxied_hosts");
        assert_eq!(refused(|s| s.proxied_hosts = list(&["a b"])), "proxied_hosts");
        assert_eq!(refused(|s| s.encord_hosts = list(&["api.example.com"])), "encord_hosts");
        let wildcard: fn(&mut Lists) = |s| {
            s.proxied_hosts = list(&["api.example.com"]);
            s.encord_hosts = list(&["*.example.com"]);
        };
        assert_eq!(refused(wildcard), "encord_hosts");
        let canary = "postgres://ada:oboe@db";
        let error = hosts("https://keys.example.com", |s| s.hosts = list(&[canary])).expect_err("refused");
        assert!(!error.to_string().contains("oboe"), "{error}");
    }

    #[test]
    fn encord_signatures_count_on_the_public_url_and_on_listed_hosts() {
        let hosts = hosts("https://keys.example.com", |settings| {
            settings.hosts = list(&["https://keys.internal:8443", "http://127.0.0.1:8080"]);
            settings.proxied_hosts = list(&["*.example.com", "data.example.org:8000", "127.0.0.1:9000"]);
            settings.encord_hosts = list(&["api.example.com", "data.example.org:8000", "keys.internal:8443"]);
        })
        .unwrap();
        for (scheme, authority, taken) in [
            (Scheme::Https, "keys.example.com", true),
            (Scheme::Http, "keys.example.com", false),
            (Scheme::Https, "keys.internal:8443", true),
            (Scheme::Http, "127.0.0.1:8080", false),
            (Scheme::Https, "api.example.com", true),
            (Scheme::Https, "other.example.com", false),
            (Scheme::Http, "data.example.org:8000", true),
            (Scheme::Http, "127.0.0.1:9000", false),
        ] {
            assert_eq!(hosts.takes_encord(scheme, authority), taken, "{authority}");
        }
        assert!(hosts.is_proxied(Scheme::Https, "other.example.com"));
        assert!(!hosts.is_proxied(Scheme::Https, "keys.internal:8443"), "Keyward's own is no API behind a proxy");
    }

    #[test]
    fn only_our_own_pages_are_our_own() {
        let hosts = hosts("https://Keys.Example.com:443", |s| s.hosts = list(&["https://keys.internal:8443"])).unwrap();
        for (origin, own) in [
            ("https://keys.example.com", true),
            ("https://keys.internal:8443", true),
            ("http://keys.example.com", false),
            ("https://keys.example.com:8443", false),
            ("https://keys.example.com.evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(hosts.is_own_origin(origin), own, "{origin}");
        }
        assert_eq!(hosts.path_of_own_page("https://keys.example.com/w/acme?a=1"), Some("/w/acme?a=1"));
        assert_eq!(hosts.path_of_own_page("https://keys.example.com.evil.example/w"), None);
        assert_eq!(hosts.path_of_own_page("https://keys.example.com:8443/w"), None);
    }

    #[test]
    fn an_authority_is_lower_case_without_the_default_port() {
        assert_eq!(normal_authority(Scheme::Https, "Keys.Example.COM:443"), "keys.example.com");
        assert_eq!(normal_authority(Scheme::Http, "keys.example.com:443"), "keys.example.com:443");
        assert_eq!(normal_authority(Scheme::Http, "[::1]:80"), "[::1]");
    }
}
