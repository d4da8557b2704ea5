//! The sources of settings: a flag, the `KEYWARD_*` variable, or `keyward.toml`, in this order. The server defines the
//! settings.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    limits::DeclaredScope,
    route::Route,
    secret::{Secret, parser_message, quoted, recognise, shown},
};
use serde::{Deserialize, de::value::StrDeserializer};
use server::{
    Settings,
    app::AppConfig,
    http::TlsFiles,
    settings::{ProxyNetwork, RateLimits, Scheme, SettingError, SmtpSettings, WorkspaceCreation},
};

use crate::{
    failure::{Failure, Outcome},
    input::to_text,
};

/// The default settings file.
const DEFAULT_FILE: &str = "keyward.toml";
const DEFAULT_DATA: &str = "./keyward-data";
/// Two intervals of a load balancer that checks once a second.
const DEFAULT_DRAIN: Duration = Duration::from_secs(2);
/// Service managers kill a process that takes longer to stop.
const MAX_DRAIN: Duration = Duration::from_mins(1);
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The installation to use.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Installation")]
pub(crate) struct InstallationArguments {
    /// The data directory [default: ./keyward-data] [env: KEYWARD_DATA]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A PostgreSQL server to use in place of the database in the data directory, such as
    /// postgres://keyward@db.example.com/keyward; keep a password in the variable or in ~/.pgpass [env:
    /// KEYWARD_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// The file with the settings [default: keyward.toml, if there is one] [env: KEYWARD_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// The settings of a server on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    pub(crate) installation: InstallationArguments,
    /// The address to listen on; port 0 selects a free port [default: 127.0.0.1:8080] [env: KEYWARD_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The URL of this server for clients, such as https://keys.example.com [default: the listen address] [env:
    /// KEYWARD_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// The listen address for Prometheus, which reads /metrics [default: none] [env: KEYWARD_METRICS_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,
}

/// Settings from one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Source {
    listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    data: Option<PathBuf>,
    database_url: Option<String>,
    public_url: Option<String>,
    service_account_domain: Option<String>,
    support_contact: Option<String>,
    workspace_creation: Option<WorkspaceCreation>,
    self_rotation: Option<bool>,
    hosts: Option<Vec<String>>,
    proxied_hosts: Option<Vec<String>>,
    encord_hosts: Option<Vec<String>>,
    trusted_proxies: Option<Vec<ProxyNetwork>>,
    routes: Option<Vec<Route>>,
    scopes: Option<Vec<DeclaredScope>>,
    allow_preflights: Option<bool>,
    fast_ed25519: Option<bool>,
    rate_limits: Option<RateLimits>,
    smtp: Option<SmtpSettings>,
    /// In seconds.
    lease: Option<u64>,
    /// In seconds.
    drain: Option<u64>,
}

/// The settings from all sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The PostgreSQL server, if the database is not in the data directory.
    pub(crate) database_url: Option<String>,
    /// The URL of the server for clients, if it is set.
    pub(crate) public_url: Option<String>,
    /// The listen address for metrics, if there is one.
    pub(crate) metrics_listen: Option<SocketAddr>,
    source: Source,
}

impl Configuration {
    /// Reads all sources.
    pub(crate) fn read(arguments: &ServerArguments) -> Outcome<Self> {
        let variable = |name: &str| {
            let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
            let value =
                value.into_string().map_err(|_| Failure::new(format!("{name} is not UTF-8: write it as text")))?;
            check_variable(name, &value).map(|()| Some(value))
        };
        Self::read_with(arguments, variable)
    }

    fn read_with(arguments: &ServerArguments, variable: impl Fn(&str) -> Outcome<Option<String>>) -> Outcome<Self> {
        let named = match &arguments.installation.config {
            Some(file) => Some(file.clone()),
            None => variable("KEYWARD_CONFIG")?.map(PathBuf::from),
        };
        let file = read_file(named.as_deref())?;
        let source = read_variables(variable)?.or(file);
        let installation = &arguments.installation;
        Ok(Self {
            listen: arguments.listen.or(source.listen).unwrap_or(DEFAULT_LISTEN),
            data: installation.data.clone().or_else(|| source.data.clone()).unwrap_or_else(|| DEFAULT_DATA.into()),
            database_url: installation.database_url.clone().or_else(|| source.database_url.clone()),
            public_url: arguments.public_url.clone().or_else(|| source.public_url.clone()),
            metrics_listen: arguments.metrics_listen.or(source.metrics_listen),
            source,
        })
    }

    /// Returns how long a server keeps answering after it was requested to stop, while it reports that it is not ready,
    /// so that load balancers can detect this. A single node does not wait, because no other node could answer.
    pub(crate) fn drain(&self) -> Duration {
        let default = if self.database_url.is_some() { DEFAULT_DRAIN } else { Duration::ZERO };
        self.source.drain.map_or(default, Duration::from_secs)
    }

    /// Returns the settings of a server whose URL is `address` unless `public_url` is set.
    pub(crate) fn settings(&self, address: &str) -> Settings {
        let defaults = Settings::new(self.public_url.clone().unwrap_or_else(|| address.to_owned()));
        let source = self.source.clone();
        Settings {
            service_account_domain: source.service_account_domain.unwrap_or(defaults.service_account_domain),
            support_contact: source.support_contact.or(defaults.support_contact),
            workspace_creation: source.workspace_creation.unwrap_or(defaults.workspace_creation),
            self_rotation: source.self_rotation.unwrap_or(defaults.self_rotation),
            hosts: source.hosts.unwrap_or(defaults.hosts),
            proxied_hosts: source.proxied_hosts.unwrap_or(defaults.proxied_hosts),
            encord_hosts: source.encord_hosts.unwrap_or(defaults.encord_hosts),
            trusted_proxies: source.trusted_proxies.unwrap_or(defaults.trusted_proxies),
            routes: source.routes.unwrap_or(defaults.routes),
            scopes: source.scopes.unwrap_or(defaults.scopes),
            allow_preflights: source.allow_preflights.unwrap_or(defaults.allow_preflights),
            fast_ed25519: source.fast_ed25519.unwrap_or(defaults.fast_ed25519),
            rate_limits: source.rate_limits.unwrap_or(defaults.rate_limits),
            smtp: source.smtp.or(defaults.smtp),
            lease: source.lease.map_or(defaults.lease, Duration::from_secs),
            tls: source.tls_certificate.is_some(),
            public_url: defaults.public_url,
        }
    }

    /// Returns the configuration for opening the installation in the data directory `directory`.
    pub(crate) fn app_config(&self, directory: &Path, settings: Settings) -> AppConfig {
        match &self.database_url {
            Some(url) => AppConfig::on_postgres(url.clone(), directory.join("installation.key"), settings),
            None => AppConfig::embedded(directory, settings),
        }
    }

    /// Returns the certificate and the key, if TLS is configured.
    pub(crate) fn tls(&self) -> Outcome<Option<TlsFiles>> {
        let refuse = |name, reason: &str| Err(SettingError { name, reason: reason.to_owned() }.into());
        match (&self.source.tls_certificate, &self.source.tls_key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })),
            (Some(_), None) => refuse("tls_key", "there is a `tls_certificate` and no key: name its key file, too"),
            (None, Some(_)) => refuse("tls_certificate", "there is a `tls_key` and no certificate: name its file, too"),
        }
    }

    /// Refuses unsafe or contradictory settings, before anything is opened.
    pub(crate) fn validate(&self) -> Outcome {
        self.tls()?;
        let settings = self.settings(&url_of(DEFAULT_LISTEN));
        settings.validate()?;
        if self.drain() > MAX_DRAIN {
            let reason = format!("choose 0 to {} seconds", MAX_DRAIN.as_secs());
            return Err(SettingError { name: "drain", reason }.into());
        }
        let scheme = settings.public_origin()?.scheme();
        if !self.listen.ip().is_loopback() && scheme != Scheme::Https && self.source.tls_certificate.is_none() {
            let reason = format!(
                "{} is reached from other machines, where plain HTTP is unsafe; listen on 127.0.0.1, set \
                 `tls_certificate` and `tls_key`, or put a proxy that ends TLS in front and set `public_url` to its https:// address",
                self.listen
            );
            return Err(SettingError { name: "listen", reason }.into());
        }
        Ok(())
    }
}

/// A setting, and its source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SettingOrigin {
    name: &'static str,
    origin: String,
    /// Other sources that also set it, and are overridden.
    overruled: Vec<String>,
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.name, self.origin)?;
        if self.overruled.is_empty() { Ok(()) } else { write!(f, " (not by {})", self.overruled.join(", ")) }
    }
}

/// Returns which settings are set, and their sources. It omits the values, because some are secret.
pub(crate) fn setting_origins(arguments: &ServerArguments) -> Outcome<Vec<SettingOrigin>> {
    let named = arguments.installation.config.clone();
    let named = named.or_else(|| std::env::var_os("KEYWARD_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from));
    let file = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let in_file = match read_settings(&file) {
        Ok(text) => toml::from_str::<toml::Table>(&text).map_err(|error| malformed_file(&file, &text, &error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => toml::Table::new(),
        Err(error) => return Err(Failure::new(format!("{} cannot be read ({error})", shown(&file.to_string_lossy())))),
    };
    let is_variable = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let by_flag = |name: &str| name == "data" && arguments.installation.data.is_some();
    let origins = FieldNames::of::<Source>().iter().filter_map(|&name| {
        let variable = format!("KEYWARD_{}", name.to_ascii_uppercase());
        let flag = by_flag(name).then(|| format!("--{}", name.replace('_', "-")));
        let variable = is_variable(&variable).then_some(variable);
        let in_file = in_file.contains_key(name).then(|| file.display().to_string());
        let mut origins = [flag, variable, in_file].into_iter().flatten();
        Some(SettingOrigin { name, origin: origins.next()?, overruled: origins.collect() })
    });
    Ok(origins.collect())
}

/// Collects the names of a struct's fields from serde, so that no setting is missing.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl FieldNames<'_> {
    fn of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
        let mut names: &'static [&'static str] = &[];
        // The deserializer has no value and only records the names, so the error is expected.
        let _ = T::deserialize(FieldNames(&mut names));
        names
    }
}

impl<'de> serde::Deserializer<'de> for FieldNames<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("names only"))
    }

    fn deserialize_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Returns the URL of an address on this machine, over plain HTTP.
pub(crate) fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    match SocketAddr::new(ip, address.port()) {
        // The operating system chooses the port when the server listens. Port 0 itself cannot be reached.
        SocketAddr::V4(address) if address.port() == 0 => format!("http://{}", address.ip()),
        SocketAddr::V6(address) if address.port() == 0 => format!("http://[{}]", address.ip()),
        address => format!("http://{address}"),
    }
}

impl Source {
    /// Returns the settings of this source, and of the other one where this has none.
    fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            metrics_listen: self.metrics_listen.or(other.metrics_listen),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            data: self.data.or(other.data),
            database_url: self.database_url.or(other.database_url),
            public_url: self.public_url.or(other.public_url),
            service_account_domain: self.service_account_domain.or(other.service_account_domain),
            support_contact: self.support_contact.or(other.support_contact),
            workspace_creation: self.workspace_creation.or(other.workspace_creation),
            self_rotation: self.self_rotation.or(other.self_rotation),
            hosts: self.hosts.or(other.hosts),
            proxied_hosts: self.proxied_hosts.or(other.proxied_hosts),
            encord_hosts: self.encord_hosts.or(other.encord_hosts),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            routes: self.routes.or(other.routes),
            scopes: self.scopes.or(other.scopes),
            allow_preflights: self.allow_preflights.or(other.allow_preflights),
            fast_ed25519: self.fast_ed25519.or(other.fast_ed25519),
            rate_limits: self.rate_limits.or(other.rate_limits),
            smtp: self.smtp.or(other.smtp),
            lease: self.lease.or(other.lease),
            drain: self.drain.or(other.drain),
        }
    }
}

/// Returns the text of a settings file. Windows editors save it as UTF-16 or with a byte order mark.
fn read_settings(path: &Path) -> io::Result<String> {
    let not_text = |()| io::Error::new(io::ErrorKind::InvalidData, "it is neither in UTF-8 nor in UTF-16");
    to_text(&std::fs::read(path)?).map_err(not_text)
}

/// Reads the named file, or the default file if it exists.
fn read_file(named: Option<&Path>) -> Outcome<Source> {
    let path = named.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let text = match read_settings(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => return Ok(Source::default()),
        Err(error) => {
            let path = path.to_string_lossy();
            let path = shown(&path);
            return Err(Failure::new(format!("the settings in {path} cannot be read ({error}): check `--config`")));
        }
    };
    toml::from_str(&text).map_err(|error| malformed_file(path, &text, &error))
}

/// Reports the position of an error in a settings file, and the setting. It omits the value, which may be a password.
fn malformed_file(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text.as_bytes()[..at];
    let line = before.split(|c| *c == b'\n').count();
    let line_start = before.iter().rposition(|c| *c == b'\n').map_or(0, |end| end + 1);
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    let name = |text: &str| {
        let text = text.trim().trim_matches(['[', ']']).trim();
        let is_name = text.len() <= 40 && text.bytes().all(|c| c.is_ascii_lowercase() || b"_.".contains(&c));
        (is_name && !text.is_empty()).then(|| text.to_owned())
    };
    let lines: Vec<&str> = text.lines().take(line).collect();
    let setting = lines.last().and_then(|line| name(line.split_once('=')?.0));
    let table = lines.iter().rev().find(|line| line.trim_start().starts_with('[')).and_then(|line| name(line));
    let place = match (table, setting) {
        (Some(table), Some(setting)) => format!(", at `{setting}` of `[{table}]`"),
        (Some(table), None) => format!(", in `[{table}]`"),
        (None, Some(setting)) => format!(", at `{setting}`"),
        (None, None) => String::new(),
    };
    Failure::new(format!(
        "the settings in {} are invalid: line {line}, column {column}{place}: {}",
        shown(&path.to_string_lossy()),
        parser_message(error.message())
    ))
}

/// Refuses a secret in another variable, before its value is used for a directory or a log line.
fn check_variable(name: &str, value: &str) -> Outcome {
    match recognise(value) {
        Some(Secret::Password) if name == "KEYWARD_DATABASE_URL" => Ok(()),
        Some(secret) if secret.is_certain() => Err(Failure::new(format!(
            "{name} holds {}, which was not used: see `keyward serve --help` for its values; the text of a private \
             key belongs in KEYWARD_KEY",
            quoted(value)
        ))),
        _ => Ok(()),
    }
}

fn read_variables(variable: impl Fn(&str) -> Outcome<Option<String>>) -> Outcome<Source> {
    let malformed = |name: &str, value: &str, what: &str| {
        Failure::new(format!("{name} is {}, which is invalid: write {what}", quoted(value)))
    };
    let address = |name: &str| -> Outcome<Option<SocketAddr>> {
        let Some(text) = variable(name)? else { return Ok(None) };
        let parsed = text.parse().map_err(|_| malformed(name, &text, "an address and a port such as 127.0.0.1:8080"));
        parsed.map(Some)
    };
    let workspace_creation = match variable("KEYWARD_WORKSPACE_CREATION")? {
        None => None,
        Some(text) => {
            let parsed = WorkspaceCreation::deserialize(StrDeserializer::<serde::de::value::Error>::new(&text));
            Some(parsed.map_err(|_| malformed("KEYWARD_WORKSPACE_CREATION", &text, "`operators` or `anyone`"))?)
        }
    };
    let seconds = |name: &str| -> Outcome<Option<u64>> {
        let Some(text) = variable(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| malformed(name, &text, "a number of seconds such as 2"))
    };
    let list = |text: String| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
    let trusted_proxies = match variable("KEYWARD_TRUSTED_PROXIES")? {
        None => None,
        Some(text) => Some(list(text).iter().map(|network| network.parse()).collect::<Result<_, SettingError>>()?),
    };
    let choice = |name: &str| match variable(name)?.as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Failure::new(format!("{name} is neither `true` nor `false`: write one of them"))),
    };
    Ok(Source {
        listen: address("KEYWARD_LISTEN")?,
        metrics_listen: address("KEYWARD_METRICS_LISTEN")?,
        tls_certificate: variable("KEYWARD_TLS_CERTIFICATE")?.map(PathBuf::from),
        tls_key: variable("KEYWARD_TLS_KEY")?.map(PathBuf::from),
        data: variable("KEYWARD_DATA")?.map(PathBuf::from),
        database_url: variable("KEYWARD_DATABASE_URL")?,
        public_url: variable("KEYWARD_PUBLIC_URL")?,
        service_account_domain: variable("KEYWARD_SERVICE_ACCOUNT_DOMAIN")?,
        support_contact: variable("KEYWARD_SUPPORT_CONTACT")?,
        workspace_creation,
        self_rotation: choice("KEYWARD_SELF_ROTATION")?,
        hosts: variable("KEYWARD_HOSTS")?.map(list),
        proxied_hosts: variable("KEYWARD_PROXIED_HOSTS")?.map(list),
        encord_hosts: variable("KEYWARD_ENCORD_HOSTS")?.map(list),
        trusted_proxies,
        // Tables can only be set in the file.
        routes: None,
        scopes: None,
        allow_preflights: choice("KEYWARD_ALLOW_PREFLIGHTS")?,
        fast_ed25519: choice("KEYWARD_FAST_ED25519")?,
        rate_limits: None,
        smtp: None,
        lease: seconds("KEYWARD_LEASE")?,
        drain: seconds("KEYWARD_DRAIN")?,
    })
}

#[cfg(test)]
mod settings_doc;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &ServerArguments, variables: &[(&str, &str)]) -> Outcome<Configuration> {
        Configuration::read_with(arguments, |name| {
            Ok(variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    fn with_file(text: &str) -> (tempfile::TempDir, ServerArguments) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("settings.toml");
        std::fs::write(&file, text).expect("a file");
        let installation = InstallationArguments { config: Some(file), ..Default::default() };
        (directory, ServerArguments { installation, ..Default::default() })
    }

    #[test]
    fn a_flag_overrides_a_variable_and_a_variable_overrides_the_file() {
        let (_directory, mut arguments) =
            with_file("data = \"file\"\nservice_account_domain = \"file.example\"\nlease = 5\n");
        let all = read(&arguments, &[]).expect("settings");
        assert_eq!(all.data, Path::new("file"));
        assert_eq!(all.settings("http://x").lease, Duration::from_secs(5));

        let variables = [("KEYWARD_DATA", "variable"), ("KEYWARD_SERVICE_ACCOUNT_DOMAIN", "variable.example")];
        let all = read(&arguments, &variables).expect("settings");
        assert_eq!(all.data, Path::new("variable"));
        assert_eq!(all.settings("http://x").service_account_domain, "variable.example");

        arguments.installation.data = Some("flag".into());
        assert_eq!(read(&arguments, &variables).expect("settings").data, Path::new("flag"));
    }

    #[test]
    fn every_setting_has_a_name_to_ask_for() {
        let names = FieldNames::of::<Source>();
        assert!(names.contains(&"listen") && names.contains(&"rate_limits") && names.len() > 10, "{names:?}");
    }

    #[test]
    fn an_empty_file_is_fine_and_an_unknown_key_is_refused_by_name() {
        let (_directory, arguments) = with_file("");
        assert_eq!(read(&arguments, &[]).expect("settings").listen, DEFAULT_LISTEN);
        let (_directory, arguments) = with_file("pubic_url = \"https://keys.example.com\"\n");
        let refused = read(&arguments, &[]).expect_err("a typo").to_string();
        assert!(refused.contains("`pubic_url`") && refused.contains("settings.toml"), "{refused}");
    }

    #[test]
    fn tables_are_set_in_the_file() {
        let (_directory, arguments) = with_file(
            "trusted_proxies = [\"127.0.0.1\"]\n[rate_limits]\nper_key = 5\n[[routes]]\nmatch = \"GET /v2/**\"\nrequire \
             = \"authenticated\"\nscope = \"invoices:read\"\n[[scopes]]\nname = \"invoices:read\"\ndescription = \"Read invoices\"\n",
        );
        let settings = read(&arguments, &[]).expect("settings").settings("http://127.0.0.1:8080");
        assert!(settings.is_trusted_proxy(Ipv4Addr::LOCALHOST.into()));
        assert_eq!((settings.rate_limits.per_key, settings.routes.len(), settings.scopes.len()), (5, 1, 1));
        assert_eq!(settings.routes[0].scope(), Some(&settings.scopes[0].scope()));
        let all =
            read(&arguments, &[("KEYWARD_TRUSTED_PROXIES", "10.0.0.1, 0.0.0.0/0")]).expect_err("all IP addresses");
        assert!(all.to_string().starts_with("setting `trusted_proxies`"), "{all}");
    }

    #[test]
    fn an_invalid_variable_is_named() {
        for (name, value) in
            [("KEYWARD_LISTEN", "8080"), ("KEYWARD_LEASE", "soon"), ("KEYWARD_WORKSPACE_CREATION", "nobody")]
        {
            let (_directory, arguments) = with_file("");
            let refused = read(&arguments, &[(name, value)]).expect_err(name).to_string();
            assert!(refused.contains(name) && refused.contains(value), "{refused}");
        }
    }

    #[test]
    fn a_port_that_is_not_known_yet_is_left_out() {
        for (listen, url) in [
            ("127.0.0.1:0", "http://127.0.0.1"),
            ("[::]:0", "http://[::1]"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            let (_directory, arguments) = with_file(&format!("listen = \"{listen}\"\n"));
            let configuration = read(&arguments, &[]).expect("settings");
            let settings = configuration.settings(&url_of(configuration.listen));
            assert_eq!((settings.public_url.as_str(), settings.validate()), (url, Ok(())));
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let refused = |listen: &str, public_url: Option<&str>| {
            let (_directory, mut arguments) = with_file("");
            arguments.listen = listen.parse().ok();
            arguments.public_url = public_url.map(str::to_owned);
            read(&arguments, &[]).expect("settings").validate().err().map(|failure| failure.to_string())
        };
        assert_eq!(refused("127.0.0.1:0", None), None);
        assert_eq!(refused("[::1]:8080", None), None);
        assert_eq!(refused("0.0.0.0:8080", Some("https://keys.example.com")), None);
        for (listen, public_url, name) in [
            ("0.0.0.0:8080", None, "setting `listen`"),
            ("192.0.2.1:8080", Some("http://127.0.0.1:8080"), "setting `listen`"),
            ("127.0.0.1:8080", Some("http://keys.example.com"), "setting `public_url`"),
        ] {
            let refused = refused(listen, public_url).expect("a refusal");
            assert!(refused.starts_with(name), "{refused}");
        }
    }
}
