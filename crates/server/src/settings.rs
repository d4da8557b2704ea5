//! The settings of a server. The command line determines the source of a value (flag, variable, file).

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr, time::Duration};

use domain::{
    limits::{DeclaredScope, Scope},
    route::Route,
    secret::quoted,
};
use ipnet::IpNet;
use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox, transport::smtp::AsyncSmtpTransportBuilder};
use sha2::{Digest as _, Sha256};

use verifier::hosts::{HostError, HostListError, HostLists, Hosts, Origin, is_loopback};
pub use verifier::{RateLimits, Scheme};

/// The users that may create workspaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceCreation {
    /// Operators only.
    Operators,
    /// Every user.
    Anyone,
}

/// The IP addresses of proxies: a network such as `10.1.0.0/16`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ProxyNetwork(IpNet);

impl ProxyNetwork {
    /// Returns whether it contains an IP address.
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
                format!("{} is not a network such as 10.1.0.0/16 or an IP address such as 127.0.0.1", quoted(text)),
            )
        })?;
        if network.prefix_len() == 0 {
            let reason = format!(
                "`{text}` includes all IP addresses, so any client could claim any IP address; list only the \
                         networks of your proxies"
            );
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

/// The SMTP server that sends mail, and the sender.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// `smtps://user:password@mail.example.com`, or `smtp://…?tls=required` for STARTTLS. Without TLS, it must be on
    /// this machine.
    pub url: String,
    /// The sender: `Keyward <keyward@example.com>`.
    pub from: String,
}

/// Omits the URL, which contains a password.
impl fmt::Debug for SmtpSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SmtpSettings").field("from", &self.from).finish_non_exhaustive()
    }
}

impl SmtpSettings {
    /// Returns the transport and the sender of these settings. Refuses settings that would send links without
    /// encryption.
    pub(crate) fn parse(&self) -> Result<(AsyncSmtpTransportBuilder, Mailbox), SettingError> {
        let refuse = |reason: &str| SettingError::new("smtp", reason);
        let malformed = || refuse("write `url` like smtps://user:password@mail.example.com");
        // Parsed manually, because the error of a URL parser may contain the password.
        let (scheme, rest) = self.url.split_once("://").ok_or_else(malformed)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let is_encrypted_or_local = match scheme {
            "smtps" => true,
            "smtp" => is_loopback(host) || rest.ends_with("?tls=required"),
            _ => return Err(malformed()),
        };
        if !is_encrypted_or_local {
            return Err(refuse("mail must be encrypted in transit: use smtps://, or add ?tls=required to `url`"));
        }
        let from = self.from.parse();
        let from = from.map_err(|_| refuse("write `from` like Keyward <keyward@example.com>"))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&self.url).map_err(|_| malformed())?;
        Ok((transport, from))
    }
}

/// The settings of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Settings {
    /// The URL of this installation for clients, without a path: `https://keys.example.com`.
    pub public_url: String,
    /// The domain of the addresses of service accounts.
    pub service_account_domain: String,
    /// The contact for a higher quota: an address or a page.
    pub support_contact: Option<String>,
    /// The users that may create workspaces.
    pub workspace_creation: WorkspaceCreation,
    /// Whether a key may rotate itself. If not, only a person or another key rotates it.
    pub self_rotation: bool,
    /// Further origins of Keyward's own API and pages: `https://keys.internal:8443`. The scheme is the one that clients
    /// use and sign.
    pub hosts: Vec<String>,
    /// The hosts of the APIs behind proxies: `api.example.com`, `127.0.0.1:8000`, or `*.example.com` for one label on
    /// the default port. If the list is empty, no request is verified for a proxy.
    pub proxied_hosts: Vec<String>,
    /// The hosts, in addition to `public_url`, on which signatures of the Encord SDK are accepted. These signatures do
    /// not cover the host. Each is a host of `public_url`, `hosts` or `proxied_hosts`.
    pub encord_hosts: Vec<String>,
    /// The proxies whose forwarding headers are trusted, by the IP address of the connection.
    pub trusted_proxies: Vec<ProxyNetwork>,
    /// The requirements of proxied requests. The first matching route applies. If there are no routes, any accepted
    /// credential is sufficient. If there are routes, a request that matches none is refused.
    pub routes: Vec<Route>,
    /// The scopes of the platform's own API. Keys can be limited to them, and routes require them.
    pub scopes: Vec<DeclaredScope>,
    /// Whether a proxied CORS preflight is accepted without a credential, independently of the routes.
    pub allow_preflights: bool,
    /// Whether Ed25519 signatures are verified without decompressing R, and with tables for keys that are used
    /// repeatedly. The verdicts are the same.
    pub fast_ed25519: bool,
    /// The rate limits.
    pub rate_limits: RateLimits,
    /// The SMTP server. Without one, the inviting users send the links themselves.
    pub smtp: Option<SmtpSettings>,
    /// How long a node may verify requests after its last renewal: 1 to 60 s.
    pub lease: Duration,
    /// Whether this server terminates TLS itself.
    pub tls: bool,
}

/// A setting that is unsafe or contradicts another.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("setting `{name}`: {reason}")]
pub struct SettingError {
    /// The setting's name.
    pub name: &'static str,
    /// The reason, and how to correct it.
    pub reason: String,
}

/// A combination of settings that is allowed but probably a mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingWarning {
    /// The setting's name.
    pub name: &'static str,
    /// Its consequence.
    pub reason: &'static str,
    /// What to do next.
    pub next: &'static str,
}

impl SettingError {
    fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, reason: reason.into() }
    }
}

impl Settings {
    /// Returns the defaults for a server at `public_url`.
    #[must_use]
    pub fn new(public_url: impl Into<String>) -> Self {
        Self {
            public_url: public_url.into(),
            service_account_domain: "sa.keyward.local".to_owned(),
            support_contact: None,
            workspace_creation: WorkspaceCreation::Operators,
            self_rotation: true,
            hosts: Vec::new(),
            proxied_hosts: Vec::new(),
            encord_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            routes: Vec::new(),
            scopes: Vec::new(),
            allow_preflights: false,
            fast_ed25519: true,
            rate_limits: RateLimits::default(),
            smtp: None,
            lease: Duration::from_secs(2),
            tls: false,
        }
    }

    /// Refuses unsafe or contradictory settings, before anything is opened.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), SettingError> {
        let public = self.public_origin()?;
        if public.scheme() == Scheme::Http && !is_loopback(public.authority()) {
            return Err(SettingError::new(
                "public_url",
                format!(
                    "plain HTTP is safe only on this machine, and {} is another host; use https://",
                    public.authority()
                ),
            ));
        }
        self.read_hosts()?;
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
        if !(Duration::from_secs(1)..=Duration::from_mins(1)).contains(&self.lease) {
            return Err(SettingError::new("lease", "choose 1 to 60 seconds"));
        }
        if let Some(smtp) = &self.smtp {
            smtp.parse()?;
        }
        self.check_scopes()
    }

    /// Refuses a scope that is declared twice, and one that a route requires and that is not declared.
    fn check_scopes(&self) -> Result<(), SettingError> {
        let mut declared = BTreeSet::new();
        for scope in &self.scopes {
            if !declared.insert(scope.scope()) {
                return Err(SettingError::new("scopes", format!("{} is declared twice; remove one", scope.scope())));
            }
        }
        let is_unknown = |scope: &&Scope| matches!(scope, Scope::Platform(_)) && !declared.contains(scope);
        match self.routes.iter().filter_map(Route::scope).find(is_unknown) {
            Some(scope) => Err(SettingError::new(
                "routes",
                format!("a route requires the scope {scope}, which is not declared; add it to `[[scopes]]`"),
            )),
            None => Ok(()),
        }
    }

    /// Returns whether the forwarding headers from this IP address are trusted.
    #[must_use]
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// Returns `public_url` in its canonical form.
    ///
    /// # Errors
    /// It is not a URL, or has more than scheme and authority.
    pub fn public_origin(&self) -> Result<Origin, SettingError> {
        self.public_url.parse().map_err(|error: HostError| SettingError::new("public_url", error.to_string()))
    }

    /// Returns the hosts of this installation.
    ///
    /// # Errors
    /// The first list that is invalid, unsafe or contradicts another.
    pub fn read_hosts(&self) -> Result<Hosts, SettingError> {
        let public = &self.public_origin()?;
        let Self { hosts, proxied_hosts, encord_hosts, .. } = self;
        let read = Hosts::new(HostLists { public, hosts, proxied_hosts, encord_hosts });
        read.map_err(|HostListError { list, reason }| SettingError { name: list, reason })
    }

    /// Returns the warnings about settings, for the log, `keyward doctor` and the operator's page.
    #[must_use]
    pub fn warnings(&self) -> Vec<SettingWarning> {
        let mut warnings = Vec::new();
        let is_https = self.public_origin().is_ok_and(|public| public.scheme() == Scheme::Https);
        if is_https && !self.tls && self.trusted_proxies.is_empty() {
            warnings.push(SettingWarning {
                name: "trusted_proxies",
                reason: "TLS ends at a proxy, but no proxy is trusted. All clients appear with the IP address of the \
                         proxy: they share one rate limit and one limit of password attempts, and the audit log \
                         cannot tell them apart",
                next: "add the IP addresses of the proxy to `trusted_proxies`, and configure the proxy to set \
                       X-Forwarded-For",
            });
        }
        if !self.routes.is_empty() && self.proxied_hosts.is_empty() {
            warnings.push(SettingWarning {
                name: "proxied_hosts",
                reason: "`[[routes]]` are set, but no host of an API is listed, so every request that a proxy asks \
                         about is refused",
                next: "add the hosts that clients of the API sign to `proxied_hosts`",
            });
        }
        warnings
    }

    /// Returns a hash of the settings that must be the same on every node: hosts, routes, trusted proxies and other
    /// settings that affect request verification. It does not include secrets.
    ///
    /// # Errors
    /// `public_url` is not a URL.
    pub fn shared_hash(&self) -> Result<String, SettingError> {
        let mut hash = Sha256::new();
        let mut add = |name: &str, values: &[String]| {
            hash.update(format!("{name} {}\n", values.len()));
            for value in values {
                hash.update(format!("{} {value}\n", value.len()));
            }
        };
        let sorted = |values: &[String]| {
            let mut values: Vec<_> = values.iter().map(|value| value.to_ascii_lowercase()).collect();
            values.sort_unstable();
            values
        };
        let proxies: Vec<_> = self.trusted_proxies.iter().map(|network| network.0.to_string()).collect();
        add("public_url", &[self.public_origin()?.to_string()]);
        add("hosts", &sorted(&self.hosts));
        add("proxied_hosts", &sorted(&self.proxied_hosts));
        add("encord_hosts", &sorted(&self.encord_hosts));
        add("trusted_proxies", &sorted(&proxies));
        // The first matching route applies, so the order of routes is part of the hash.
        add("routes", &self.routes.iter().map(ToString::to_string).collect::<Vec<_>>());
        add("scopes", &sorted(&self.scopes.iter().map(ToString::to_string).collect::<Vec<_>>()));
        add("allow_preflights", &[self.allow_preflights.to_string()]);
        add("service_account_domain", std::slice::from_ref(&self.service_account_domain));
        add("workspace_creation", &[format!("{:?}", self.workspace_creation)]);
        add("self_rotation", &[self.self_rotation.to_string()]);
        Ok(hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
    }
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
        assert_eq!(refused(|s| s.hosts = vec!["http://10.0.0.1".to_owned()]), "hosts");
        assert_eq!(refused(|s| s.lease = Duration::from_millis(999)), "lease");
        assert_eq!(refused(|s| s.lease = Duration::from_secs(61)), "lease");
    }

    #[test]
    fn a_scope_is_declared_once_before_a_route_requires_it() {
        let scope = |name: &str| DeclaredScope::new(name, "x").unwrap();
        let route = |scope: &str| {
            Route::parse("GET /a", "authenticated").unwrap().with_scope(Some(scope.parse().unwrap())).unwrap()
        };
        assert_eq!(refused(|s| s.scopes = vec![scope("invoices:read"), scope("invoices:read")]), "scopes");
        assert_eq!(refused(|s| s.routes = vec![route("invoices:read")]), "routes");
        let mut settings = Settings::new("https://keys.example.com");
        settings.scopes = vec![scope("invoices:read")];
        settings.routes = vec![route("invoices:read"), route("keyward:read")];
        assert_eq!(settings.validate(), Ok(()));
    }

    #[test]
    fn settings_that_are_hardly_meant_so_are_warned_of() {
        let names = |change: fn(&mut Settings)| {
            let mut settings = Settings::new("https://keys.example.com");
            change(&mut settings);
            settings.warnings().iter().map(|warning| warning.name).collect::<Vec<_>>()
        };
        assert_eq!(names(|_| {}), ["trusted_proxies"]);
        assert!(names(|s| s.tls = true).is_empty(), "it knows its clients' addresses");
        assert!(names(|s| s.trusted_proxies = vec!["10.0.0.1".parse().unwrap()]).is_empty(), "so do its proxies");
        assert!(
            names(|s| s.public_url = "http://127.0.0.1:8080".to_owned()).is_empty(),
            "all clients are on this machine"
        );
        let routes: fn(&mut Settings) = |s| {
            s.tls = true;
            s.routes = vec![Route::parse("GET /**", "authenticated").unwrap()];
        };
        assert_eq!(names(routes), ["proxied_hosts"]);
    }

    #[test]
    fn nodes_with_other_hosts_routes_or_proxies_have_another_hash() {
        let hash = |change: fn(&mut Settings)| {
            let mut settings = Settings::new("https://keys.example.com");
            settings.proxied_hosts = vec!["a.example.com".to_owned(), "b.example.com".to_owned()];
            change(&mut settings);
            settings.shared_hash().expect("a hash")
        };
        let usual = hash(|_| {});
        assert_eq!(hash(|s| s.public_url = "https://Keys.example.com:443".to_owned()), usual);
        assert_eq!(hash(|s| s.proxied_hosts.reverse()), usual, "a list without an order");
        assert_eq!(hash(|s| s.lease = Duration::from_secs(9)), usual, "each node has its own");
        let changes: [fn(&mut Settings); 12] = [
            |s| s.public_url = "https://keys.example.org".to_owned(),
            |s| s.hosts = vec!["https://keys.internal".to_owned()],
            |s| s.proxied_hosts.truncate(1),
            |s| s.encord_hosts = vec!["a.example.com".to_owned()],
            |s| s.trusted_proxies = vec!["10.0.0.1".parse().unwrap()],
            |s| s.routes = vec![Route::parse("GET /a", "authenticated").unwrap()],
            |s| s.routes = vec![Route::parse("GET /a", "workspace:member").unwrap()],
            |s| {
                let route = Route::parse("GET /a", "authenticated").unwrap();
                s.routes = vec![route.with_encoded(vec!["%2F".parse().unwrap()]).unwrap()];
            },
            |s| s.allow_preflights = true,
            |s| s.scopes = vec![DeclaredScope::new("invoices:read", "Read invoices").unwrap()],
            |s| {
                let route = Route::parse("GET /a", "authenticated").unwrap();
                s.routes = vec![route.with_scope(Some("keyward:read".parse().unwrap())).unwrap()];
            },
            |s| s.self_rotation = false,
        ];
        let mut hashes: Vec<_> = changes.iter().map(|change| hash(*change)).chain([usual]).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 13);
    }

    #[test]
    fn a_proxy_is_an_ip_address_or_a_network_and_never_all_addresses() {
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

    fn refused_smtp(url: &str, from: &str) -> Option<String> {
        SmtpSettings { url: url.to_owned(), from: from.to_owned() }.parse().err().map(|error| error.to_string())
    }

    #[test]
    fn mail_is_sent_encrypted_or_to_this_machine() {
        let from = "Keyward <keyward@example.com>";
        for good in [
            "smtps://user:secret@mail.example.com",
            "smtp://user:secret@mail.example.com:587?tls=required",
            "smtp://127.0.0.1:2525",
            "smtp://localhost",
        ] {
            assert_eq!(refused_smtp(good, from), None, "{good}");
        }
        for bad in [
            "smtp://user:secret@mail.example.com",
            "smtp://mail.example.com?tls=opportunistic",
            "smtp://127.0.0.1@mail.example.com",
            "https://user:secret@mail.example.com",
            "mail.example.com",
            "",
        ] {
            let reason = refused_smtp(bad, from).expect(bad);
            assert!(!reason.contains("secret"), "{reason}");
        }
        assert!(refused_smtp("smtp://localhost", "nobody").is_some());
        let settings = SmtpSettings { url: "smtps://user:secret@mail.example.com".to_owned(), from: from.to_owned() };
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
