//! The server and the private key of a client command.

use std::{path::PathBuf, time::Duration};

use client::{Agent, Client, ClientOptions, KeySource, PrivateKey, Profile, Signer};
use domain::{PublicKey, secret::quoted};

use crate::{
    api_client::ApiClient,
    failure::{Failure, Outcome},
    input::{read_input, variable},
    output,
    profile::Profile as StoredProfile,
    remote::{CONNECTION, RemoteArguments},
};

/// The server, and the signer.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConnectionArguments {
    #[command(flatten)]
    server: RemoteArguments,
    /// The private key file, `-` for standard input; else KEYWARD_KEY_FILE names it, else KEYWARD_KEY holds the key's text
    #[arg(long, help_heading = CONNECTION, value_name = "FILE", conflicts_with_all = ["agent", "agent_key"])]
    key: Option<PathBuf>,
    /// Have ssh-agent sign (SSH_AUTH_SOCK) [env: KEYWARD_AGENT=1, where no key is given]
    #[arg(long, help_heading = CONNECTION)]
    agent: bool,
    /// Which key of ssh-agent: its fingerprint, its comment or its .pub file [env: KEYWARD_AGENT_KEY]
    #[arg(long, help_heading = CONNECTION, value_name = "KEY")]
    agent_key: Option<String>,
}

impl ConnectionArguments {
    /// Returns the server's URL, if it is set.
    pub(crate) fn url(&self) -> Outcome<Option<String>> {
        self.server.url()
    }

    /// Returns the server's URL, which is required.
    pub(crate) fn require_url(&self) -> Outcome<String> {
        self.server.require_url()
    }

    /// Returns the certificate authority to trust in addition to those of the system, as PEM.
    pub(crate) fn trusted_certificates(&self) -> Outcome<Option<Vec<u8>>> {
        self.server.trusted_certificates()
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
        let ca_file = self.server.ca_file().map(absolute).transpose()?;
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

    /// Returns whether the command line has any of these arguments.
    pub(crate) fn is_named(&self) -> bool {
        self.server.is_named() || self.key.is_some() || self.agent || self.agent_key.is_some()
    }

    /// Returns the signer from the command line, or else from the variables.
    pub(crate) fn signer(&self, profile: Profile) -> Outcome<Signer> {
        if self.agent || self.agent_key.is_some() {
            return self.agent_signer(profile);
        }
        if self.key.is_none()
            && self.server.names_profile()
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
        let Some(stored) = self.server.profile()? else { return Ok(None) };
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

    /// Returns the file with the private key. Keys from elsewhere have none.
    pub(crate) fn key_file(&self) -> Outcome<PathBuf> {
        let refuse = || {
            Failure::usage(
                "this needs a key file: name it with `--key FILE` or KEYWARD_KEY_FILE, because a key from standard input, a \
                 variable or ssh-agent has no file",
            )
        };
        if self.agent || self.agent_key.is_some() {
            return Err(refuse());
        }
        let variable = || std::env::var_os("KEYWARD_KEY_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
        let named = if self.server.names_profile() { self.key.clone() } else { self.key.clone().or_else(variable) };
        let file = match named {
            Some(file) => Some(file),
            None if !self.server.names_profile() && key_text()?.is_some_and(|text| !text.trim().is_empty()) => None,
            None => self.server.profile()?.and_then(|profile| profile.key_file),
        };
        let file = file.filter(|file| file.as_os_str() != "-").ok_or_else(refuse)?;
        // For paths that no shell has seen.
        let home = file.strip_prefix("~").ok().and_then(|rest| Some(std::env::home_dir()?.join(rest)));
        Ok(home.unwrap_or(file))
    }

    /// Returns the server's API.
    pub(crate) fn api(&self) -> Outcome<ApiClient> {
        // The server is named first: a mistake there is told before one in the key.
        self.api_at(self.require_url()?, self.signer(Profile::Native)?)
    }

    /// Returns the server's API for a key that was read already.
    pub(crate) fn api_with(&self, key: &PrivateKey) -> Outcome<ApiClient> {
        self.api_at(self.require_url()?, Signer::new(key, Profile::Native)?)
    }

    fn api_at(&self, url: String, signer: Signer) -> Outcome<ApiClient> {
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
