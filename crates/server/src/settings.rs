//! What an operator can set about a server. Where a value comes from (flag, variable, file) is the command line's.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use axum::http::Uri;
use domain::{route::Route, secret::quoted};
use ipnet::IpNet;

use crate::mail::SmtpSettings;

/// Who may create workspaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceCreation {
    /// Operators only.
    Operators,
    /// Every user.
    Anyone,
}

/// The addresses of proxies: a network such as `10.1.0.0/16`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ProxyNetwork(IpNet);

impl ProxyNetwork {
    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for ProxyNetwork {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| {
            SettingError::new(
                "trusted_proxies",
                format!("{} is no network such as 10.1.0.0/16 or 127.0.0.1", quoted(text)),
            )
        })?;
        if network.prefix_len() == 0 {
            let reason =
                format!("`{text}` is everybody, and who is trusted can be anyone; name the proxies' own network");
            return Err(SettingError::new("trusted_proxies", reason));
        }
        Ok(Self(network.trunc()))
    }
}

impl TryFrom<String> for ProxyNetwork {
    type Error = SettingError;

    fn try_from(text: String) -> Result<Self, SettingError> {
        text.parse()
    }
}

/// How many requests a second are judged; ten seconds' worth may come at once. 0: as many as come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// From one address, whether their credentials are good or not. Of an IPv6 address, its /64 counts.
    pub per_address: u32,
    /// By one key.
    pub per_key: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { per_address: 1000, per_key: 1000 }
    }
}

/// The settings of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where clients find this installation, without a path: `https://keys.example.com`.
    pub public_url: String,
    /// The domain of the addresses of service accounts.
    pub service_account_domain: String,
    /// Whom to ask for more quota: an address or a page.
    pub support_contact: Option<String>,
    /// Who may create workspaces.
    pub workspace_creation: WorkspaceCreation,
    /// Authorities, beside the one of `public_url`, on which signatures of the Encord SDK are accepted. They do not
    /// cover the host, so a host that is listed here must be ours.
    pub encord_hosts: Vec<String>,
    /// Whom to believe what they say of other people's requests, by the address of the connection. Empty: nobody.
    pub trusted_proxies: Vec<ProxyNetwork>,
    /// What requests need that a proxy asks about; the first that matches decides. Empty: any accepted credential.
    /// Where there are any, what matches none is refused.
    pub routes: Vec<Route>,
    /// How often somebody may ask.
    pub rate_limits: RateLimits,
    /// Who sends mail; without it, links are passed on by hand.
    pub smtp: Option<SmtpSettings>,
    /// For how long a node may judge without having heard from the store: 1 to 60 s.
    pub lease: Duration,
}

/// A setting that is unsafe or contradicts another.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("setting `{name}`: {reason}")]
pub struct SettingError {
    /// The setting's name.
    pub name: &'static str,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl SettingError {
    fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, reason: reason.into() }
    }
}

impl Settings {
    /// What holds where nothing is set, for a server at `public_url`.
    #[must_use]
    pub fn new(public_url: impl Into<String>) -> Self {
        Self {
            public_url: public_url.into(),
            service_account_domain: "sa.keyward.local".to_owned(),
            support_contact: None,
            workspace_creation: WorkspaceCreation::Operators,
            encord_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            routes: Vec::new(),
            rate_limits: RateLimits::default(),
            smtp: None,
            lease: Duration::from_secs(2),
        }
    }

    /// Refuses what is unsafe or contradictory, before anything is opened.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn validate(&self) -> Result<(), SettingError> {
        let (scheme, authority) = self.public_origin()?;
        if scheme == "http" && !is_loopback(&authority) {
            return Err(SettingError::new(
                "public_url",
                format!("plain HTTP is safe on this machine only, and {authority} is elsewhere; use https://"),
            ));
        }
        let is_domain = |domain: &str| {
            !domain.is_empty()
                && domain.len() <= 150
                && domain.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
                })
        };
        if !is_domain(&self.service_account_domain) {
            return Err(SettingError::new(
                "service_account_domain",
                "write a domain in lower case, such as sa.example.com",
            ));
        }
        if let Some(host) = self.encord_hosts.iter().find(|host| host.parse::<axum::http::uri::Authority>().is_err()) {
            return Err(SettingError::new(
                "encord_hosts",
                format!("{} is no host such as api.example.com or 127.0.0.1:8080", quoted(host)),
            ));
        }
        if !(Duration::from_secs(1)..=Duration::from_mins(1)).contains(&self.lease) {
            return Err(SettingError::new("lease", "choose 1 to 60 seconds"));
        }
        if let Some(smtp) = &self.smtp {
            smtp.validate()?;
        }
        Ok(())
    }

    /// Whether what this address says of other people's requests is believed.
    #[must_use]
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// Scheme and authority of `public_url`, as RFC 9421 §2.2.3 writes an authority.
    ///
    /// # Errors
    /// It is no URL, or has more than scheme and authority.
    pub fn public_origin(&self) -> Result<(String, String), SettingError> {
        let error = |reason| Err(SettingError::new("public_url", reason));
        let Ok(url) = self.public_url.parse::<Uri>() else {
            return error("this is no URL such as https://keys.example.com");
        };
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return error("start it with https:// (or http:// on this machine only)");
        };
        if authority.as_str().contains('@')
            || self.public_url.ends_with('/')
            || url.path() != "/"
            || url.query().is_some()
        {
            return error("write it without a path, without a slash at the end and without a user name");
        }
        Ok((scheme.to_owned(), normal_authority(scheme, authority.as_str())))
    }
}

/// An authority as it is signed: lower case, without the scheme's default port (RFC 9421 §2.2.3).
#[must_use]
pub fn normal_authority(scheme: &str, authority: &str) -> String {
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.to_ascii_lowercase();
    authority.strip_suffix(default_port).map(str::to_owned).unwrap_or(authority)
}

/// Whether an authority names this machine.
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

    fn refused(change: impl Fn(&mut Settings)) -> &'static str {
        let mut settings = Settings::new("https://keys.example.com");
        change(&mut settings);
        settings.validate().expect_err("these settings must be refused").name
    }

    #[test]
    fn an_unsafe_setting_is_refused_by_name() {
        assert_eq!(Settings::new("https://keys.example.com").validate(), Ok(()));
        assert_eq!(Settings::new("http://127.0.0.1:8080").validate(), Ok(()));
        assert_eq!(Settings::new("http://localhost:8080").validate(), Ok(()));
        assert_eq!(Settings::new("http://[::1]:8080").validate(), Ok(()));
        for url in [
            "http://keys.example.com",
            "http://10.0.0.1",
            "ftp://x",
            "keys.example.com",
            "https://x/",
            "https://x/a",
            "https://user@x",
            "http://127.0.0.1.example.com",
            "",
        ] {
            assert_eq!(refused(|s| s.public_url = url.to_owned()), "public_url", "{url}");
        }
        assert_eq!(refused(|s| s.service_account_domain = "SA.example".to_owned()), "service_account_domain");
        assert_eq!(refused(|s| s.encord_hosts = vec!["a b".to_owned()]), "encord_hosts");
        assert_eq!(refused(|s| s.lease = Duration::from_millis(999)), "lease");
        assert_eq!(refused(|s| s.lease = Duration::from_secs(61)), "lease");
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network_and_never_everybody() {
        let trusts = |network: &str, address: &str| {
            network.parse::<ProxyNetwork>().expect("a network").contains(address.parse().expect("an address"))
        };
        assert!(trusts("127.0.0.1", "127.0.0.1") && !trusts("127.0.0.1", "127.0.0.2"));
        assert!(trusts("10.1.0.0/16", "10.1.255.9") && !trusts("10.1.0.0/16", "10.2.0.1"));
        assert!(trusts("fd00::/8", "fd12::1") && !trusts("fd00::/8", "10.0.0.1"));
        for text in ["", "10.1.0.0/33", "proxy.internal", "0.0.0.0/0", "::/0", "10.0.0.1, 10.0.0.2"] {
            assert_eq!(text.parse::<ProxyNetwork>().expect_err(text).name, "trusted_proxies");
        }
    }

    #[test]
    fn an_authority_is_lower_case_without_the_default_port() {
        assert_eq!(normal_authority("https", "Keys.Example.COM:443"), "keys.example.com");
        assert_eq!(normal_authority("http", "keys.example.com:443"), "keys.example.com:443");
        assert_eq!(normal_authority("http", "[::1]:80"), "[::1]");
    }
}
