//! How a client command finds the server and its private key.

use std::{path::PathBuf, time::Duration};

use client::{Client, ClientOptions, KeySource, PrivateKey, Profile, Signer};

use crate::{
    api_client::ApiClient,
    failure::{Failure, Outcome},
};

/// Where the server is, and who signs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// Where Keyward is, such as https://keys.example.com [env: KEYWARD_URL]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The private key file; else KEYWARD_KEY_FILE names it, else KEYWARD_KEY holds the key's text
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl ConnectionArguments {
    /// The server's URL, if one is given.
    pub(crate) fn url(&self) -> Option<String> {
        let variable = || std::env::var("KEYWARD_URL").ok();
        self.url.clone().or_else(variable).map(|url| url.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// The server's URL, which has to be given.
    pub(crate) fn require_url(&self) -> Outcome<String> {
        self.url().ok_or_else(|| {
            Failure::new(
                "no server is named: pass `--url URL` or set KEYWARD_URL (`keyward demo` is at http://127.0.0.1:8080)",
            )
        })
    }

    /// The private key.
    pub(crate) fn private_key(&self) -> Outcome<PrivateKey> {
        let text = std::env::var_os("KEYWARD_KEY").map(|text| {
            text.into_string().map_err(|_| Failure::new("KEYWARD_KEY is not UTF-8: it holds the text of a key file"))
        });
        let source = KeySource::choose(self.key.clone(), std::env::var_os("KEYWARD_KEY_FILE"), text.transpose()?);
        let source = source.ok_or_else(|| {
            Failure::new(
                "no private key is given: pass `--key FILE`, or set KEYWARD_KEY_FILE to the file or KEYWARD_KEY to the \
                 key's text; `keyward keygen` makes one",
            )
        })?;
        Ok(PrivateKey::load(&source)?)
    }

    /// Who signs.
    pub(crate) fn signer(&self, profile: Profile) -> Outcome<Signer> {
        Ok(Signer::new(&self.private_key()?, profile)?)
    }

    /// The server's API.
    pub(crate) fn api(&self) -> Outcome<ApiClient> {
        let (url, signer) = (self.require_url()?, self.signer(Profile::Native)?);
        let key_id = signer.key_id().to_owned();
        let options = ClientOptions { timeout: Duration::from_secs(100), ..ClientOptions::new(&url, signer) };
        Ok(ApiClient::new(Client::new(options)?, url, key_id))
    }
}
