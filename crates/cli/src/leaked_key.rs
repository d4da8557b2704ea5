//! `keyward keys revoke-leaked`, and what the server says about a private key that was found.

use std::path::{Path, PathBuf};

use api::{FindLeakedKey, KeyState, LeakedKey, LeakedKeyRegistration, PrincipalKind, RevokeLeakedKey};
use client::{Client, Clock as _, PrivateKey, SystemClock};
use domain::{
    Fingerprint, Timestamp,
    leaked_key::{REVOKE_NAMESPACE, SCAN_NAMESPACE, revoke_message, scan_message},
};

use crate::{
    confirm::ConfirmArguments,
    failure::{Failure, Outcome},
    input::read_input,
    output,
    progress::show_progress,
    remote::RemoteArguments,
};

/// Revoke the key in a private key file that leaked: the file is the only credential
///
/// Anyone who holds a private key can revoke it. The owner of the key is told. Once the command returns, no server accepts
/// the key, and it can never be registered again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys revoke-leaked ./found.key --url https://keys.example.com
  git show 3f2a1c:deploy/id_ed25519 | keyward keys revoke-leaked - --yes")]
pub(crate) struct RevokeLeaked {
    /// The file with the private key; `-` is standard input
    file: PathBuf,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: RemoteArguments,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

impl RevokeLeaked {
    pub(crate) async fn run(self) -> Outcome {
        let key = if self.file == Path::new("-") {
            PrivateKey::from_input(read_input("the private key")?.as_slice())?
        } else {
            PrivateKey::from_found_file(&self.file)?
        };
        let server = LeakedKeyClient::new(&self.server)?;
        // Only for the question to the user. With a wrong clock, the key can be revoked anyway.
        let found = match server.find(&key).await {
            Ok(found) => Some(found),
            Err(failure) if failure.is_refusal() => None,
            Err(failure) => return Err(failure),
        };
        let was_revoked = match &found {
            Some(LeakedKey { registration: None, .. }) => return Err(server.unknown(&key)),
            Some(LeakedKey { registration: Some(known), .. }) => known.state == KeyState::Revoked,
            None => false,
        };
        if !was_revoked {
            let known = found.as_ref().and_then(|found| found.registration.as_ref());
            let named = known.map_or_else(|| key.fingerprint(), |known| name(known, &key.fingerprint()));
            self.confirm.confirm(&format!("Permanently revoke {named}?"))?;
        }
        // Also for a revoked key: the response arrives when no server accepts it any more.
        let ended = server.revoke(&key).await?;
        if self.json {
            return output::json(&ended);
        }
        let Some(known) = &ended.registration else { return Err(server.unknown(&key)) };
        let named = name(known, &ended.fingerprint);
        let done = if was_revoked { format!("{named} was already revoked") } else { format!("revoked {named}") };
        output::line(format!("{done}: no server of {} accepts it any more", server.url))
    }
}

/// Returns the title of a key, its fingerprint and the kind of its owner.
fn name(known: &LeakedKeyRegistration, fingerprint: &str) -> String {
    format!("{} ({fingerprint}), the key of {}", known.title, owner(known.owner_kind))
}

/// Returns the kind of an owner, with its article.
pub(crate) fn owner(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "a user",
        PrincipalKind::ServiceAccount => "a service account",
    }
}

/// A server, for statements of private keys.
pub(crate) struct LeakedKeyClient {
    client: Client,
    url: String,
}

impl LeakedKeyClient {
    pub(crate) fn new(server: &RemoteArguments) -> Outcome<Self> {
        Ok(Self { client: server.unsigned_client()?, url: server.require_url()? })
    }

    /// Asks whether this key is registered.
    pub(crate) async fn find(&self, key: &PrivateKey) -> Outcome<LeakedKey> {
        let signed_at = Timestamp::from_second(SystemClock.now().as_second())
            .map_err(|error| Failure::new(format!("the time of this machine is wrong ({error}): set its clock")))?;
        let message = scan_message(&self.client.origin(), &fingerprint(key)?, signed_at);
        let find = FindLeakedKey { signed_at, statement: sign(key, SCAN_NAMESPACE, &message)? };
        self.send("/api/v1/leaked-keys/find", &find).await
    }

    async fn revoke(&self, key: &PrivateKey) -> Outcome<LeakedKey> {
        let message = revoke_message(&self.client.origin(), &fingerprint(key)?);
        let revoke = RevokeLeakedKey { statement: sign(key, REVOKE_NAMESPACE, &message)? };
        self.send("/api/v1/leaked-keys/revoke", &revoke).await
    }

    async fn send(&self, path: &str, body: &impl serde::Serialize) -> Outcome<LeakedKey> {
        let answer = self.client.post_unsigned(path, body);
        Ok(show_progress(&format!("waiting for {}", self.url), answer).await?)
    }

    fn unknown(&self, key: &PrivateKey) -> Failure {
        Failure::not_found(format!(
            "{} was never registered at {}: check the URL of the server and which key the file contains",
            key.fingerprint(),
            self.url
        ))
    }
}

fn fingerprint(key: &PrivateKey) -> Outcome<Fingerprint> {
    key.fingerprint().parse().map_err(|error| Failure::new(format!("the fingerprint of the key is malformed: {error}")))
}

fn sign(key: &PrivateKey, namespace: &str, message: &str) -> Outcome<String> {
    key.sign_message(namespace, message.as_bytes()).map_err(|error| Failure::new(error.to_string()))
}
