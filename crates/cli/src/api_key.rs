//! `keyward keys`: the user's own API keys, and those of a service account.

mod import;
mod limits;

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::{
    ApiKey, Cascade, CascadedKey, CreateApiKey, EnableApiKey, KeyLimits, KeyState, KeyUse, ProofChallenge, ProveApiKey,
    RotatedKey, UpdateApiKey, UseCounts, UseOfSpan,
};
use client::{KeySource, PrivateKey, SystemRandom, generate_key_pair};
use domain::{ApiKeyId, PublicKey, WorkspaceId, key_use::UseWindow};
use serde::Serialize;

use self::limits::{Limit, LimitArguments, Shown};
use crate::{
    api_client::{ApiClient, ListArguments, the_one},
    confirm::{ConfirmArguments, ask},
    connection::{ConnectionArguments, load_key},
    expiry::Expiry,
    failure::{Failure, Outcome},
    input::read_bytes,
    leaked_key::RevokeLeaked,
    output::{self, Column, can_ask, shell_word},
    proof::{SignProof, sign_proof},
    rotation::Rotate,
    service_account::{self, find_service_account},
    workspace::WorkspaceArguments,
};

/// API keys: public keys whose private keys sign requests
///
/// Without `--service-account`, the commands use your own keys. The keys of a service account are managed by the admins of its
/// workspace. Name a key by its title, if no other key has it, by its fingerprint or by its id.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  keyward keys list
  keyward keys add ~/.ssh/id_ed25519.pub --title laptop
  keyward keys add --generate ci.key --service-account ci-bot --expires-at 90d
  keyward keys prove ~/.ssh/id_ed25519
  keyward keys rotate --key ci.key
  keyward keys revoke laptop
  keyward keys revoke-leaked found.key --url https://keys.example.com")]
pub(crate) enum Keys {
    List(List),
    Add(Add),
    Import(import::Import),
    Show(Show),
    Use(Use),
    Prove(Prove),
    Rotate(Rotate),
    Rename(Rename),
    Update(Update),
    Disable(Disable),
    Enable(Enable),
    Limit(Limit),
    Revoke(Revoke),
    RevokeLeaked(RevokeLeaked),
}

/// The attributes of a new key. `keyward admin add-key` uses them, too.
#[derive(Debug, clap::Args)]
pub(crate) struct NewKeyArguments {
    /// Title of the key [default: the key's comment, or the name of the generated file]
    #[arg(short, long)]
    title: Option<String>,
    /// Expiry of the key: a time such as 2027-01-31T12:00:00Z, or a span such as 12h, 90d or 8w [default: never]
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<Expiry>,
    #[command(flatten)]
    limits: LimitArguments,
}

impl NewKeyArguments {
    /// Returns its title: the given one, or else `name`.
    pub(crate) fn title(&self, name: Option<String>) -> Outcome<String> {
        let name = name.filter(|name| !name.trim().is_empty());
        self.title
            .clone()
            .or(name)
            .ok_or_else(|| Failure::new("the key has no comment to take its title from: pass `--title TITLE`"))
    }

    /// Returns the key to register.
    pub(crate) fn create(&self, title: String, public_key: String, proof: Option<String>) -> Outcome<CreateApiKey> {
        self.create_within(title, public_key, proof, None)
    }

    /// As [`create`](Self::create), for a key that is limited to these workspaces.
    fn create_within(
        &self,
        title: String,
        public_key: String,
        proof: Option<String>,
        workspaces: Option<Vec<WorkspaceId>>,
    ) -> Outcome<CreateApiKey> {
        let limits = self.limits.set(KeyLimits::default(), workspaces)?;
        Ok(CreateApiKey { title, public_key, expires_at: self.expires_at.and_then(Expiry::end), proof, limits })
    }
}

/// The owner of the keys.
#[derive(Debug, clap::Args)]
struct Owner {
    /// The service account that owns the keys [default: your own keys]
    #[arg(short, long, value_name = "NAME|ADDRESS|ID")]
    service_account: Option<String>,
    /// The service account's workspace [default: the only one that you are in] [env: KEYWARD_WORKSPACE]. Of your own key
    /// that is added or limited: a workspace that it is limited to. Repeat it for several; `none` allows nothing
    #[arg(short, long, value_name = "SLUG|ID")]
    workspace: Vec<String>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The key and its owner.
#[derive(Debug, clap::Args)]
struct Which {
    /// The key
    #[arg(value_name = "TITLE|FINGERPRINT|ID")]
    name: String,
    #[command(flatten)]
    owner: Owner,
}

/// List keys
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys list
  keyward keys list --service-account ci-bot --workspace acme
  keyward keys list --all --json                   revoked and expired ones too")]
pub(crate) struct List {
    /// Also list revoked and expired keys
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    paging: ListArguments,
    #[command(flatten)]
    owner: Owner,
}

/// Register a public key, or generate a key pair and register its public key
///
/// The private key never leaves this machine. A public key is an OpenSSH line, an RFC 4716 or PEM block, or a JWK; a private
/// key is a file of OpenSSH, OpenSSL or PuTTY without a passphrase.
/// If FILE holds a private key, its public key is registered with a proof that you hold it. No one else can reclaim a key
/// that has a proof.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["file", "generate"])), after_help = "\
Examples:
  keyward keys add ~/.ssh/id_ed25519 --title laptop
  keyward keys add --generate read.key --scope keyward:read --cidr 10.1.0.0/16
  ssh-add -L | head -1 | keyward keys add - --title 'from my agent'
  keyward keys add --generate ci.key --title runner --service-account ci-bot --expires-at 90d")]
pub(crate) struct Add {
    /// The file with the private or the public key; `-` is standard input
    file: Option<PathBuf>,
    /// Generate a key pair: the private key in FILE, readable only by you, and the public key in FILE.pub
    #[arg(short, long, value_name = "FILE")]
    generate: Option<PathBuf>,
    #[command(flatten)]
    new: NewKeyArguments,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    owner: Owner,
}

/// Show a key: who registered it, its last use and its expiry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys show laptop
  keyward keys show SHA256:… --json")]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Show how many requests with a key were accepted and refused
///
/// The times are in UTC. Hours and days without a request are left out. A request with a wrong signature also counts as
/// refused: any client can send the fingerprint of any key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys use laptop
  keyward keys use SHA256:… --window 24h
  keyward keys use runner-01 --service-account ci-bot --window 90d --json")]
pub(crate) struct Use {
    #[command(flatten)]
    which: Which,
    /// The period: `24h` by the hour, `7d` or `90d` by the day
    #[arg(long, default_value_t)]
    window: UseWindow,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Add a proof to a key that was registered without one
///
/// After that, no one else can reclaim the key, even with the same private key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys prove ~/.ssh/id_ed25519
  keyward keys prove ci.key --service-account ci-bot")]
pub(crate) struct Prove {
    /// The file with the private key; `-` is standard input
    file: PathBuf,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    owner: Owner,
}

/// Change the title of a key
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys rename laptop 'old laptop'
  keyward keys rename SHA256:… runner --service-account ci-bot")]
pub(crate) struct Rename {
    #[command(flatten)]
    which: Which,
    /// The new title
    #[arg(value_name = "NEW TITLE")]
    title: String,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Change the title or the expiry of a key
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["title", "expires_at"])), after_help = "\
Examples:
  keyward keys update laptop --expires-at 90d
  keyward keys update SHA256:… --title runner --expires-at never --service-account ci-bot")]
pub(crate) struct Update {
    #[command(flatten)]
    which: Which,
    /// The new title
    #[arg(short, long)]
    title: Option<String>,
    /// The new expiry: a time such as 2027-01-31T12:00:00Z, a span such as 12h, 90d or 8w, or `never`
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<Expiry>,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Disable a key: it is refused until it is enabled again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys disable laptop")]
pub(crate) struct Disable {
    #[command(flatten)]
    which: Which,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

/// Enable a disabled or expired key
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys enable laptop
  keyward keys enable runner -s ci-bot --expires-at 90d     sets a new expiry date")]
pub(crate) struct Enable {
    #[command(flatten)]
    which: Which,
    /// The new expiry date: a time, a span such as 90d, or `never` [default: unchanged]
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<Expiry>,
    /// Print the JSON of the API
    #[arg(long)]
    json: bool,
}

/// Revoke a key permanently: once the command returns, no server accepts it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keyward keys revoke laptop
  keyward keys revoke SHA256:… --cascade --yes     and the keys that it registered, without asking")]
pub(crate) struct Revoke {
    #[command(flatten)]
    which: Which,
    /// Also revoke the keys that this key registered, and the keys that those registered
    #[arg(long)]
    cascade: bool,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

/// The keys of one owner.
struct Ring {
    api: ApiClient,
    path: String,
    /// The id of the service account. `None` if the keys are the caller's own.
    account: Option<String>,
    /// The flags for a printed command about these keys, so that the user can paste it.
    flags: String,
    /// The workspaces that the caller's own key is limited to.
    workspaces: Option<Vec<WorkspaceId>>,
}

const COLUMNS: &[Column<'_, ApiKey>] = &[
    Column::text("TITLE", &|key| key.title.clone()),
    Column::fingerprint(&|key| key.fingerprint.clone()),
    Column::word("STATE", &|key| state(key).to_owned()),
    Column::minor("CREATED", &|key| output::moment(key.created_at)),
    Column::word("LAST USED", &|key| output::moment_or(key.last_used_at, "never")),
    Column::word("EXPIRES", &|key| output::moment_or(key.expires_at, "never")),
    Column::minor("LIMITS", &|key| limits::names(key.limits.as_ref())),
    Column::id(&|key| key.id.to_string()),
];

impl Keys {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::Add(command) => command.run().await,
            Self::Import(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Use(command) => command.run().await,
            Self::Prove(command) => command.run().await,
            Self::Rotate(command) => command.run().await,
            Self::Rename(command) => {
                let Rename { which, title, json } = command;
                Update { which, title: Some(title), expires_at: None, json }.run().await
            }
            Self::Update(command) => command.run().await,
            Self::Disable(command) => command.run().await,
            Self::Enable(command) => command.run().await,
            Self::Limit(command) => command.run().await,
            Self::Revoke(command) => command.run().await,
            Self::RevokeLeaked(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let ring = self.owner.ring().await?;
        // The server also lists inactive keys. They are filtered out here, so they must not count towards the limit.
        let limit = self.paging.limit.filter(|_| self.all);
        let mut keys = ring.api.list::<ApiKey>(&ring.path, limit).await?;
        if !self.all {
            keys.items.retain(|key| !matches!(key.state, KeyState::Revoked | KeyState::Expired));
            let limit = self.paging.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
            keys.items.truncate(limit);
        }
        let empty = format!("no keys: `keyward keys add --generate FILE{}` makes and registers one", ring.flags);
        self.paging.print(&keys, COLUMNS, &empty)
    }
}

/// The result of `keys add --generate`.
#[derive(Serialize)]
struct Generated<'a> {
    #[serde(flatten)]
    key: &'a ApiKey,
    private_key_file: String,
}

impl Add {
    async fn run(self) -> Outcome {
        let ring = self.owner.ring_with_limits().await?;
        if let Some(file) = &self.generate {
            return self.generate(&ring, file).await;
        }
        let file = self.file.clone().unwrap_or_else(|| PathBuf::from("-"));
        let (text, comment, private_key) = match read_key(&file)? {
            Given::Public { text, comment } => (text, comment, None),
            Given::Private(key) => (key.public_openssh(), Some(key.comment().to_owned()), Some(key)),
        };
        let title = self.new.title(comment)?;
        let key = self.register(&ring, title, text, private_key.as_ref()).await?;
        if self.json {
            return output::json(&key);
        }
        told_registered(&key)?;
        if private_key.is_some() {
            return output::line("its public key was sent, with a proof that you hold the private key");
        }
        output::line("next: keyward whoami --key FILE, where FILE is the private key")?;
        output::line(format!(
            "      keyward keys prove FILE{} proves that you hold it, so that no one else can reclaim it",
            ring.flags
        ))
    }

    async fn generate(&self, ring: &Ring, file: &Path) -> Outcome {
        let title = self.new.title(file.file_stem().map(|name| name.to_string_lossy().into_owned()))?;
        let pair = generate_key_pair(&SystemRandom, &title);
        let private_key = PrivateKey::from_text(&pair.private_openssh)?;
        // Written before the registration, because a registered key without its file is useless.
        pair.write_key_pair(file)?;
        let key = match self.register(ring, title, pair.public_openssh, Some(&private_key)).await {
            Ok(key) => key,
            Err(failure) => return Err(take_back(file, failure)),
        };
        let private_key_file = file.display().to_string();
        if self.json {
            return output::json(&Generated { key: &key, private_key_file });
        }
        told_registered(&key)?;
        output::line(format!("private key: {private_key_file} (keep it secret: there is no other copy)"))?;
        output::line(format!("next: keyward whoami --key {}", shell_word(&private_key_file)))
    }

    async fn register(
        &self,
        ring: &Ring,
        title: String,
        public_key: String,
        private_key: Option<&PrivateKey>,
    ) -> Outcome<ApiKey> {
        let proof = match private_key {
            Some(key) => Some(ring.prove(key).await?),
            None => None,
        };
        let create = self.new.create_within(title, public_key, proof, ring.workspaces.clone())?;
        ring.api.post(&ring.path, &create).await
    }
}

/// Removes a key pair that the server has refused. A pair that may be registered is kept.
fn take_back(file: &Path, failure: Failure) -> Failure {
    let public = PathBuf::from(format!("{}.pub", file.display()));
    if !failure.is_refusal() {
        let told = format!(
            "{failure}\nnext: `keyward keys list` shows whether the key was registered; if not, register {} with \
             `keyward keys add`",
            public.display()
        );
        return failure.retold(told);
    }
    for file in [file, &public] {
        if let Err(error) = fs::remove_file(file) {
            let told = format!("{failure}\n{} could not be removed ({error})", file.display());
            return failure.retold(told);
        }
    }
    failure
}

fn told_registered(key: &ApiKey) -> Outcome {
    output::created(key.id, format!("registered key {} ({})", key.title, key.id))?;
    output::line(format!("fingerprint: {}", key.fingerprint))?;
    if let Some(end) = key.expires_at {
        output::line(format!("it expires at {}", output::full_moment(end)))?;
    }
    match &key.limits {
        Some(limits) => output::line(format!("limits: {}", Shown(Some(limits)))),
        None => Ok(()),
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let (_, key) = self.which.find().await?;
        if self.json {
            return output::json(&key);
        }
        let created_with = key.created_with.map_or_else(String::new, |with| format!(", with {with}"));
        let last_used = match (key.last_used_at, &key.last_used_ip) {
            (None, _) => "never".to_owned(),
            (Some(at), None) => output::full_moment(at),
            (Some(at), Some(address)) => format!("{}, from {address}", output::full_moment(at)),
        };
        output::fields(&[
            ("title", key.title.clone()),
            ("fingerprint", key.fingerprint.clone()),
            ("id", key.id.to_string()),
            ("algorithm", key.algorithm.clone()),
            ("state", state(&key).to_owned()),
            ("created", format!("{} by {}{created_with}", output::full_moment(key.created_at), key.created_by)),
            ("last used", last_used),
            ("expires", key.expires_at.map_or_else(|| "never".to_owned(), output::full_moment)),
            ("limits", Shown(key.limits.as_ref()).to_string()),
            ("proof", proof(&key)),
            ("replaces", key.predecessor.as_ref().map_or_else(|| "no key".to_owned(), rotated)),
            ("replaced by", key.successor.as_ref().map_or_else(|| "no key".to_owned(), rotated)),
            ("public key", key.public_key.clone()),
        ])
    }
}

impl Use {
    async fn run(self) -> Outcome {
        let (ring, key) = self.which.find().await?;
        let mut used: KeyUse = ring.api.get(&format!("{}/use?window={}", ring.of(key.id), self.window)).await?;
        if self.json {
            return output::json(&used);
        }
        used.spans.retain(|span| span.counts.accepted > 0 || span.counts.refused > 0);
        let empty = format!("no requests with {} in the last {}", key.title, self.window);
        output::list(USE_COLUMNS, &used.spans, &empty)
    }
}

const USE_COLUMNS: &[Column<'_, UseOfSpan>] = &[
    Column::word("FROM", &|span| output::exact(span.starts_at)),
    Column::word("ACCEPTED", &|span| span.counts.accepted.to_string()),
    Column::word("REFUSED", &|span| span.counts.refused.to_string()),
    Column::text("REASONS", &|span| reasons(&span.counts)),
];

fn reasons(counts: &UseCounts) -> String {
    let refusals = counts.refusals.iter().map(|refusal| format!("{} {}", refusal.reason, refusal.count));
    refusals.collect::<Vec<_>>().join(", ")
}

impl Prove {
    async fn run(self) -> Outcome {
        let source = KeySource::choose(Some(self.file), None, None);
        let private_key = load_key(&source.ok_or_else(|| Failure::new("name the file with the private key"))?)?;
        let ring = self.owner.ring().await?;
        let key = ring.find(&private_key.fingerprint()).await?;
        let prove = ProveApiKey { proof: ring.prove(&private_key).await? };
        let proven: ApiKey = ring.api.post(&format!("{}/proof", ring.of(key.id)), &prove).await?;
        if self.json {
            return output::json(&proven);
        }
        output::line(format!("{} ({}) is proven: no one else can reclaim it", proven.title, proven.fingerprint))
    }
}

impl Update {
    async fn run(self) -> Outcome {
        let (ring, key) = self.which.find().await?;
        let update = UpdateApiKey { title: self.title, expires_at: self.expires_at.map(Expiry::end), limits: None };
        let updated: ApiKey = ring.api.patch(&ring.of(key.id), &update).await?;
        if self.json {
            return output::json(&updated);
        }
        if update.title.is_some() {
            output::line(format!("{} is now called {}", updated.fingerprint, updated.title))?;
        }
        match (update.expires_at, updated.expires_at) {
            (None, _) => Ok(()),
            (Some(_), None) => output::line(format!("{} does not expire", updated.title)),
            (Some(_), Some(end)) => output::line(format!("{} expires at {}", updated.title, output::full_moment(end))),
        }
    }
}

impl Disable {
    async fn run(self) -> Outcome {
        let (ring, key) = self.which.find().await?;
        if ring.api.key_id() == key.fingerprint {
            self.confirm.confirm(&format!(
                "{} signs this request. Once it is disabled, enable it with another key or on the pages.",
                key.title
            ))?;
        }
        let key: ApiKey = ring.api.post_nothing(&format!("{}/disable", ring.of(key.id))).await?;
        if self.json {
            return output::json(&key);
        }
        output::line(format!(
            "{} ({}) is disabled; `keyward keys enable {}{}` lets it work again",
            key.title, key.fingerprint, key.fingerprint, ring.flags
        ))
    }
}

impl Enable {
    async fn run(self) -> Outcome {
        let (ring, key) = self.which.find().await?;
        let path = format!("{}/enable", ring.of(key.id));
        let enabled: Outcome<ApiKey> = match self.expires_at {
            Some(expiry) => ring.api.post(&path, &EnableApiKey { expires_at: Some(expiry.end()) }).await,
            None => ring.api.post_nothing(&path).await,
        };
        let key = enabled.map_err(|failure| match failure.code() {
            Some(api::codes::KEY_EXPIRED) => failure.retold(format!(
                "{} has expired: set a new expiry date, such as `--expires-at 90d` or `--expires-at never`",
                key.title
            )),
            _ => failure,
        })?;
        if self.json {
            return output::json(&key);
        }
        output::line(format!("{} ({}) is {}", key.title, key.fingerprint, state(&key)))
    }
}

impl Revoke {
    async fn run(self) -> Outcome {
        let (ring, key) = self.which.find().await?;
        let (with_it, made): (Vec<_>, Vec<_>) =
            ring.cascade(key.id).await?.into_iter().partition(|made| made.self_rotated);
        let was_revoked = key.state == KeyState::Revoked;
        if was_revoked {
            if !with_it.is_empty() {
                self.confirm.confirm(&format!(
                    "Permanently revoke the successors of {}: {}?",
                    key.title,
                    titles(&with_it)
                ))?;
            }
            if self.cascade && !made.is_empty() {
                self.confirm.confirm(&format!(
                    "Permanently revoke the keys that {} registered: {}?",
                    key.title,
                    titles(&made)
                ))?;
            }
        } else {
            let used = match key.last_used_at {
                Some(at) => format!("last used {}", output::full_moment(at)),
                None => "never used".to_owned(),
            };
            let own = if ring.api.key_id() == key.fingerprint { " This key signs the request." } else { "" };
            let successors = match with_it.as_slice() {
                [] => String::new(),
                keys => format!(" It rotated itself, so its successors are revoked, too: {}.", titles(keys)),
            };
            let question = format!("Permanently revoke {} ({}, {used})?{own}{successors}", key.title, key.fingerprint);
            self.confirm.confirm(&question)?;
        }
        let cascade = self.cascade
            || !made.is_empty()
                && !was_revoked
                && !self.confirm.yes
                && can_ask()
                && ask(&format!("It registered {}. Also revoke these keys?", titles(&made)))?;
        let query = if cascade { "?cascade=true" } else { "" };
        // Also for a revoked key: the response arrives when no server accepts it any more.
        ring.api.delete(&format!("{}{query}", ring.of(key.id))).await?;
        let what = format!("{} ({})", key.title, key.fingerprint);
        let done = if was_revoked { format!("{what} was already revoked") } else { format!("revoked {what}") };
        output::line(format!("{done}: no server accepts it any more"))?;
        if !with_it.is_empty() {
            output::line(format!("also revoked its successors: {}", titles(&with_it)))?;
        }
        if made.is_empty() {
            Ok(())
        } else if cascade {
            output::line(format!("also revoked the keys that it registered: {}", titles(&made)))
        } else {
            output::line(format!("the keys that it registered still work: {}", titles(&made)))?;
            output::line(format!("`keyward keys revoke {}{} --cascade` revokes them", key.id, ring.flags))
        }
    }
}

impl Owner {
    async fn ring(&self) -> Outcome<Ring> {
        if self.service_account.is_none() && !self.workspace.is_empty() {
            return Err(Failure::usage("`--workspace` is that of a service account: name it with `--service-account`"));
        }
        self.ring_with_limits().await
    }

    /// As [`ring`](Self::ring), with the workspaces that limit one of the caller's own keys.
    async fn ring_with_limits(&self) -> Outcome<Ring> {
        let api = self.connection.api()?;
        let Some(name) = &self.service_account else {
            let workspaces = limits::find_workspaces(&api, &self.workspace).await?;
            let path = "/api/v1/me/keys".to_owned();
            return Ok(Ring { api, path, account: None, flags: String::new(), workspaces });
        };
        let workspace = match self.workspace.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            _ => return Err(Failure::usage("a service account is in one workspace: name one with `--workspace`")),
        };
        let workspace = WorkspaceArguments { workspace };
        let (place, account) = find_service_account(&api, &workspace, name).await?;
        let flags = format!(" --service-account {}", account.email);
        let path = service_account::path(&place, account.id, "/keys");
        Ok(Ring { api, path, account: Some(account.id.to_string()), flags, workspaces: None })
    }
}

impl Which {
    async fn find(&self) -> Outcome<(Ring, ApiKey)> {
        let ring = self.owner.ring().await?;
        let key = ring.find(&self.name).await?;
        Ok((ring, key))
    }
}

impl Ring {
    fn of(&self, key: ApiKeyId) -> String {
        format!("{}/{key}", self.path)
    }

    /// Returns a proof for a key of this owner, with a new challenge.
    async fn prove(&self, key: &impl SignProof) -> Outcome<String> {
        let owner = match &self.account {
            Some(account) => account.clone(),
            None => self.api.me().await?.principal.id,
        };
        let challenge: ProofChallenge = self.api.post_nothing("/api/v1/me/proof-challenges").await?;
        sign_proof(key, &owner, &challenge)
    }

    async fn find(&self, name: &str) -> Outcome<ApiKey> {
        if let Ok(id) = name.parse::<ApiKeyId>() {
            return self.api.get(&self.of(id)).await;
        }
        let mut all = self.api.list::<ApiKey>(&self.path, None).await?.items;
        // Several keys may have the same title. A key that is not revoked takes precedence over revoked keys.
        if all.iter().any(|key| key.title == name && key.state != KeyState::Revoked) {
            all.retain(|key| key.state != KeyState::Revoked);
        }
        let is_meant = |key: &ApiKey| key.title == name || is_meant_by(name, &key.fingerprint);
        let describe = |key: &ApiKey| format!("{}  {}  {} ({})", key.id, key.fingerprint, key.title, state(key));
        the_one("key", name, all, is_meant, describe)
    }

    /// Returns the keys that a revocation with `--cascade` revokes in addition to the key itself.
    async fn cascade(&self, key: ApiKeyId) -> Outcome<Vec<CascadedKey>> {
        let cascade: Cascade = self.api.get(&format!("{}/cascade", self.of(key))).await?;
        Ok(cascade.keys)
    }
}

fn proof(key: &ApiKey) -> String {
    match (key.displaced_at, key.proven_at) {
        (Some(at), _) => format!("none; another principal reclaimed the key with a proof, {}", output::full_moment(at)),
        (None, Some(at)) => output::full_moment(at),
        (None, None) => "none: `keyward keys prove FILE` adds one".to_owned(),
    }
}

/// Describes the other key of a rotation.
fn rotated(key: &RotatedKey) -> String {
    let (at, end) = (output::full_moment(key.rotated_at), output::full_moment(key.ends_at));
    let accepted = if key.pending { "both accepted until" } else { "the old key ended" };
    let itself = if key.self_rotated { ", by the key itself" } else { "" };
    format!("{} ({}), rotated {at}{itself}, {accepted} {end}", key.id, key.fingerprint)
}

fn titles(keys: &[CascadedKey]) -> String {
    let owner = |key: &CascadedKey| key.owner_email.clone().unwrap_or_else(|| key.owner.clone());
    let title = |key: &CascadedKey| format!("{} ({}) of {}", key.title, key.fingerprint, owner(key));
    keys.iter().map(title).collect::<Vec<_>>().join(", ")
}

/// Whether this is the fingerprint, or the beginning of it that a table of a narrow terminal shows.
pub(crate) fn is_meant_by(name: &str, fingerprint: &str) -> bool {
    let name = name.trim_end_matches('…');
    fingerprint == name || (name.len() >= output::SHORT_FINGERPRINT && fingerprint.starts_with(name))
}

pub(crate) fn state(key: &ApiKey) -> &'static str {
    state_name(key.state)
}

pub(crate) fn state_name(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Disabled => "disabled",
        KeyState::Suspended => "suspended",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
    }
}

/// A key from a file or standard input. It is read before a request is sent.
enum Given {
    Public { text: String, comment: Option<String> },
    Private(PrivateKey),
}

/// Reads a public or a private key.
fn read_key(file: &Path) -> Outcome<Given> {
    let (bytes, place) = read_bytes(file, "the private or the public key")?;
    let error = match PublicKey::parse_file(&bytes) {
        Ok(parsed) => return Ok(Given::Public { text: parsed.key.to_openssh(), comment: parsed.comment }),
        Err(error) => error,
    };
    match PrivateKey::from_input(bytes.as_slice()) {
        Ok(key) if file == Path::new("-") => Ok(Given::Private(key)),
        // The requirements for a private key are stricter than for a public key.
        Err(refused) if refused.kind().is_no_private_key() => Err(Failure::new(format!("{place}: {error}"))),
        Err(refused) if file == Path::new("-") => Err(refused.into()),
        Ok(_) | Err(_) => Ok(Given::Private(load_key(&KeySource::File(file.to_owned()))?)),
    }
}
