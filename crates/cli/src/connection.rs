//! The server and the private key of a client command.

use std::{path::PathBuf, time::Duration};

use client::{Agent, Client, ClientOptions, KeySource, PrivateKey, Profile, Signer, SystemRandom, generate_key_pair};
use domain::{PublicKey, Timestamp, secret::quoted, text_encoding::to_utf8};

use crate::{
    api_client::ApiClient,
    failure::{Failure, Outcome},
    input::{read_input, variable},
    output,
    profile::{self, Profile as StoredProfile},
};

/// The heading is set for each flag, because a heading for all would also apply to the flags of commands that flatten
/// these.
const CONNECTION: &str = "Connection";

/// The server, and the signer.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConnectionArguments {
    /// The URL of Keyward, such as https://keys.example.com [env: KEYWARD_URL]
    #[arg(long, help_heading = CONNECTION, value_name = "URL")]
    url: Option<String>,
    /// The private key file, `-` for standard input; else KEYWARD_KEY_FILE names it, else KEYWARD_KEY holds the key's text
    #[arg(long, help_heading = CONNECTION, value_name = "FILE", conflicts_with_all = ["agent", "agent_key"])]
    key: Option<PathBuf>,
    /// Have ssh-agent sign (SSH_AUTH_SOCK) [env: KEYWARD_AGENT=1, where no key is given]
    #[arg(long, help_heading = CONNECTION)]
    agent: bool,
    /// Which key of ssh-agent: its fingerprint, its comment or its .pub file [env: KEYWARD_AGENT_KEY]
    #[arg(long, help_heading = CONNECTION, value_name = "KEY")]
    agent_key: Option<String>,
    /// Use this profile (`keyward profiles`) before any variable [env: KEYWARD_PROFILE, after the other variables]
    #[arg(long, help_heading = CONNECTION, value_name = "NAME")]
    use_profile: Option<String>,
    /// Also trust this certificate authority (PEM file) [env: KEYWARD_CA_FILE]
    #[arg(long, alias = "cacert", help_heading = CONNECTION, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl ConnectionArguments {
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
    fn profile(&self) -> Outcome<Option<StoredProfile>> {
        profile::choose(self.use_profile.as_deref())
    }

    /// Returns whether the command line or a variable names a server, besides the current profile.
    pub(crate) fn names_server(&self) -> Outcome<bool> {
        if self.is_named() {
            return self.url().map(|url| url.is_some());
        }
        let is_set = |name| variable(name).map(|value| value.is_some_and(|value| !value.trim().is_empty()));
        Ok(is_set("KEYWARD_URL")? || is_set("KEYWARD_PROFILE")?)
    }

    /// Returns the profile that these arguments and variables amount to. A private key has no place in it.
    pub(crate) fn to_profile(&self) -> Outcome<StoredProfile> {
        let url = self.require_url()?;
        let absolute = |file: PathBuf| match file.strip_prefix("~") {
            // For paths that no shell has seen.
            Ok(_) => Ok(file),
            Err(_) => std::path::absolute(&file)
                .map_err(|error| Failure::new(format!("the path of {} is unknown ({error})", file.display()))),
        };
        let ca_file = self.ca_file().map(absolute).transpose()?;
        if self.agent || self.agent_key.is_some() {
            let agent_key = Some(self.agent_signer(Profile::Native)?.key_id().to_owned());
            return Ok(StoredProfile { url, agent_key, ca_file, ..StoredProfile::default() });
        }
        let variable = std::env::var_os("KEYWARD_KEY_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
        let file = self.key.clone().or(variable).filter(|file| file.as_os_str() != "-").ok_or_else(|| {
            Failure::usage(
                "a profile remembers where a key is, not the key: name the file with `--key FILE`, or pass `--agent` for a key in \
                 ssh-agent",
            )
        })?;
        // Also finds out whether it is the name of a file at all.
        load_key(&KeySource::File(file.clone()))?;
        Ok(StoredProfile { url, key_file: Some(absolute(file)?), ca_file, ..StoredProfile::default() })
    }

    fn ca_file(&self) -> Option<PathBuf> {
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

    /// Returns whether the command line has any of these arguments.
    pub(crate) fn is_named(&self) -> bool {
        self.url.is_some() || self.key.is_some() || self.agent || self.agent_key.is_some() || self.use_profile.is_some()
    }

    /// Returns the signer from the command line, or else from the variables.
    pub(crate) fn signer(&self, profile: Profile) -> Outcome<Signer> {
        if self.agent || self.agent_key.is_some() {
            return self.agent_signer(profile);
        }
        if self.key.is_none()
            && self.use_profile.is_some()
            && let Some(signer) = self.profile_signer(profile)?
        {
            return Ok(signer);
        }
        let file = std::env::var_os("KEYWARD_KEY_FILE");
        let is_file_named = self.key.is_some() || file.as_ref().is_some_and(|file| !file.is_empty());
        let text = if is_file_named { None } else { key_text()? };
        let source = KeySource::choose(self.key.clone(), file, text);
        match source {
            Some(source) => Ok(Signer::new(&load_key(&source)?, profile)?),
            None => self.signer_without_key(profile),
        }
    }

    /// Returns the signer if neither the command line nor a variable names a key.
    fn signer_without_key(&self, profile: Profile) -> Outcome<Signer> {
        match self.profile_signer(profile)? {
            Some(signer) => Ok(signer),
            None if asks_for_agent()? => self.agent_signer(profile),
            None => Err(Failure::usage(
                "no private key is given: pass `--key FILE` (`-` for standard input), or set KEYWARD_KEY_FILE to the file or KEYWARD_KEY to the \
                 key's text, pass `--agent` to have ssh-agent sign, or run `keyward login` once; `keyward keygen` makes a key",
            )),
        }
    }

    /// Returns the signer of the profile.
    fn profile_signer(&self, profile: Profile) -> Outcome<Option<Signer>> {
        let Some(stored) = self.profile()? else { return Ok(None) };
        if let Some(file) = stored.key_file {
            return Ok(Some(Signer::new(&load_key(&KeySource::File(file))?, profile)?));
        }
        let Some(name) = stored.agent_key else { return Ok(None) };
        let key = Agent::from_environment()?.find_key(Some(&name))?;
        Ok(Some(Signer::with_agent(&key, profile)?))
    }

    fn agent_signer(&self, profile: Profile) -> Outcome<Signer> {
        let name = self.agent_key.clone().or(variable("KEYWARD_AGENT_KEY")?).filter(|name| !name.is_empty());
        let name = name.map(fingerprint_in_file).transpose()?;
        let key = Agent::from_environment()?.find_key(name.as_deref())?;
        Ok(Signer::with_agent(&key, profile)?)
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

    /// Returns the server's API.
    pub(crate) fn api(&self) -> Outcome<ApiClient> {
        let (url, signer) = (self.require_url()?, self.signer(Profile::Native)?);
        let key_id = signer.key_id().to_owned();
        let options = ClientOptions {
            timeout: Duration::from_secs(100),
            trusted_certificates: self.trusted_certificates()?,
            ..ClientOptions::new(&url, signer)
        };
        Ok(ApiClient::new(Client::new(options)?, url, key_id))
    }
}

/// Reads a private key. If the public key file beside it cannot be read, prints a warning on standard error.
pub(crate) fn load_key(source: &KeySource) -> Outcome<PrivateKey> {
    let key = match source {
        KeySource::Input => PrivateKey::from_input(read_input("the private key")?.as_slice())?,
        KeySource::File(_) | KeySource::Text(_) => PrivateKey::load(source)?,
    };
    if let Some(warning) = key.warning() {
        output::tell(format!("warning: {warning}"))?;
    }
    Ok(key)
}

/// The result of a probe.
pub(crate) struct Probe {
    pub(crate) is_ready: bool,
    /// The server's time.
    pub(crate) date: Option<Timestamp>,
}

/// Checks whether a server is ready, without a signature.
pub(crate) async fn probe(url: &str, trusted_certificates: Option<Vec<u8>>) -> Outcome<Probe> {
    // A client needs a key. This key signs nothing, because the request is sent without a signature.
    let unused = PrivateKey::from_text(&generate_key_pair(&SystemRandom, "").private_openssh)?;
    let options = ClientOptions {
        timeout: Duration::from_secs(10),
        trusted_certificates,
        ..ClientOptions::new(url, Signer::new(&unused, Profile::Native)?)
    };
    let mut request = http::Request::new(Vec::new());
    let address = format!("{}/readyz", url.trim_end_matches('/'));
    *request.uri_mut() = address.parse().map_err(|_| Failure::new(format!("{} is not a URL", quoted(url))))?;
    let response = Client::new(options)?.send_as_is(&request).await?;
    Ok(Probe { is_ready: response.status.is_success(), date: response.date() })
}

/// Returns the text of a key in KEYWARD_KEY.
fn key_text() -> Outcome<Option<String>> {
    variable("KEYWARD_KEY").map_err(|_| {
        Failure::usage(
            "KEYWARD_KEY is not UTF-8 text, so the key in it cannot be read: set it to the base64 of the key file \
             (`base64 < FILE`), or name the file with `--key FILE` or KEYWARD_KEY_FILE",
        )
    })
}

/// Returns whether KEYWARD_AGENT enables the agent.
fn asks_for_agent() -> Outcome<bool> {
    match variable("KEYWARD_AGENT")?.unwrap_or_default().as_str() {
        "" | "0" | "false" => Ok(false),
        "1" | "true" => Ok(true),
        other => Err(Failure::new(format!("KEYWARD_AGENT is {}, which is invalid: write 1 or 0", quoted(other)))),
    }
}

/// Returns the fingerprint of the public key in a `.pub` file with this name, or the name if there is no such file.
fn fingerprint_in_file(name: String) -> Outcome<String> {
    let path = std::path::Path::new(&name);
    let is_file = path.extension().is_some_and(|extension| extension == "pub") && path.is_file();
    if !is_file {
        return Ok(name);
    }
    let cannot = |error| Failure::new(format!("{name} cannot be read ({error}): name the key by its fingerprint"));
    let bytes = std::fs::read(&name).map_err(cannot)?;
    let parsed = PublicKey::parse_file(&bytes).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    Ok(parsed.key.fingerprint().to_string())
}
