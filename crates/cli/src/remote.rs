//! The server of a client command, and requests to it without a signature.

use std::{path::PathBuf, time::Duration};

use client::{Client, ClientOptions, PrivateKey, Profile, Signer, SystemRandom, generate_key_pair};
use domain::{Timestamp, secret::quoted, text_encoding::to_utf8};

use crate::{
    failure::{Failure, Outcome},
    input::variable,
    profile::{self, Profile as StoredProfile},
};

/// The heading is set for each flag, because a heading for all would also apply to the flags of commands that flatten
/// these.
pub(crate) const CONNECTION: &str = "Connection";

/// The server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RemoteArguments {
    /// The URL of Keyward, such as https://keys.example.com [env: KEYWARD_URL]
    #[arg(long, alias = "server", help_heading = CONNECTION, value_name = "URL")]
    url: Option<String>,
    /// Use this profile (`keyward profiles`) before any variable [env: KEYWARD_PROFILE, after the other variables]
    #[arg(long, help_heading = CONNECTION, value_name = "NAME")]
    use_profile: Option<String>,
    /// Also trust this certificate authority (PEM file) [env: KEYWARD_CA_FILE]
    #[arg(long, alias = "cacert", help_heading = CONNECTION, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl RemoteArguments {
    /// Returns the server's URL, if it is set.
    pub(crate) fn url(&self) -> Outcome<Option<String>> {
        let is_given = |url: &String| !url.trim().is_empty();
        let url = match (&self.url, &self.use_profile) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(_)) => self.profile()?.map(|profile| profile.url),
            (None, None) => match variable("KEYWARD_URL")?.filter(is_given) {
                Some(url) => Some(url),
                None => self.profile()?.map(|profile| profile.url),
            },
        };
        Ok(url.filter(is_given).map(|url| url.trim().to_owned()))
    }

    /// Returns the profile that is named, or else the current one.
    pub(crate) fn profile(&self) -> Outcome<Option<StoredProfile>> {
        profile::choose(self.use_profile.as_deref())
    }

    /// Returns whether the command line has any of these arguments.
    pub(crate) fn is_named(&self) -> bool {
        self.url.is_some() || self.names_profile()
    }

    /// Returns whether the command line names a profile.
    pub(crate) fn names_profile(&self) -> bool {
        self.use_profile.is_some()
    }

    /// Returns the file of the certificate authority, if it is set.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os("KEYWARD_CA_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
        self.ca_file.clone().or_else(variable)
    }

    /// Returns the server's URL, which is required.
    pub(crate) fn require_url(&self) -> Outcome<String> {
        self.url()?.ok_or_else(|| {
            Failure::usage(
                "no server is named: pass `--url URL`, set KEYWARD_URL, or run `keyward login` once (`keyward demo` is at http://127.0.0.1:8080)",
            )
        })
    }

    /// Returns the certificate authority to trust in addition to those of the system, as PEM.
    pub(crate) fn trusted_certificates(&self) -> Outcome<Option<Vec<u8>>> {
        let file = match self.ca_file() {
            Some(file) => Some(file),
            // What the command line and the variables say alone needs no profile.
            None if self.url.is_some() => None,
            None => self.profile()?.and_then(|profile| profile.ca_file),
        };
        let Some(file) = file else { return Ok(None) };
        let pem = std::fs::read(&file).map_err(|error| {
            Failure::new(format!(
                "{} cannot be read ({error}): give the file with the authority's certificate",
                file.display()
            ))
        })?;
        Ok(Some(to_utf8(&pem).into_owned()))
    }
}

impl RemoteArguments {
    /// Returns a client of the server that sends requests without a signature.
    pub(crate) fn unsigned_client(&self) -> Outcome<Client> {
        unsigned_client(&self.require_url()?, Duration::from_secs(100), self.trusted_certificates()?)
    }
}

/// The result of a probe.
pub(crate) struct Probe {
    pub(crate) is_ready: bool,
    /// The server's time.
    pub(crate) date: Option<Timestamp>,
}

/// Returns a client that sends requests without a signature.
fn unsigned_client(url: &str, timeout: Duration, trusted_certificates: Option<Vec<u8>>) -> Outcome<Client> {
    // A client needs a key. This key signs nothing, because the request is sent without a signature.
    let unused = PrivateKey::from_text(&generate_key_pair(&SystemRandom, "").private_openssh)?;
    let options = ClientOptions {
        timeout,
        trusted_certificates,
        ..ClientOptions::new(url, Signer::new(&unused, Profile::Native)?)
    };
    Ok(Client::new(options)?)
}

/// Checks whether a server is ready, without a signature.
pub(crate) async fn probe(url: &str, trusted_certificates: Option<Vec<u8>>) -> Outcome<Probe> {
    let client = unsigned_client(url, Duration::from_secs(10), trusted_certificates)?;
    let mut request = http::Request::new(Vec::new());
    let address = format!("{}/readyz", url.trim_end_matches('/'));
    *request.uri_mut() = address.parse().map_err(|_| Failure::new(format!("{} is not a URL", quoted(url))))?;
    let response = client.send_as_is(&request).await?;
    Ok(Probe { is_ready: response.status.is_success(), date: response.date() })
}
