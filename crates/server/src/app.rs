//! The operations of Keyward, called by the API, the pages and the command line alike. One file a feature.
//! Each takes the caller first; each change is one transaction with its audit event.

mod api_key;
mod audit;
mod bearer_token;
mod change;
mod identity;
mod installation_key;
mod integrity;
mod invitation;
mod member;
mod node;
mod nonce;
mod password;
mod project;
mod proxied_request;
mod quota;
mod recent_password;
mod recovery;
mod removal;
mod request;
mod service_account;
mod session;
mod set_up;
mod stored_answer;
mod throttle;
mod transfer;
mod upkeep;
mod user;
mod workspace;

use std::{
    borrow::Cow,
    fmt::Display,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    AuditEvent, AuditEventId, AuditPrincipal, Clock, InstallationKey, NodeId, Random, Timestamp, WorkspaceId,
    api_key::KeyState,
    principal::{Credential, IdentityRefusal, Principal},
};
use serde::Serialize;
use store::{Change, ReplayKey, Store, StoreError, StoreOptions, Version, node::Node};
use tokio::task::JoinHandle;
use verifier::{AuthenticationError, Hosts, rate_limit::AddressAllowances};

use self::change::{Operation, Scope};
use self::nonce::Nonces;
pub use self::{
    api_key::{FoundKeys, KeyOrder, KeyOwner, KeySearch},
    audit::AuditFilter,
    invitation::OpenInvitation,
    project::{ListedProject, ProjectQuery},
    proxied_request::Admission,
    recovery::{
        KeyOfSuspendedUser, KeysToConfirm, RestoreReport, SuspendedKey, SuspendedMembership, SuspendedUser,
        UsersToConfirm, holds_installation,
    },
    request::{OriginalRequest, Verified, VerifiedHeaders},
    session::{Browser, ListedSession, SignIn, SignedIn, Visit},
    set_up::SetUp,
    transfer::{Transferred, bring_up_to_date, copy_installation},
};
pub(crate) use self::{change::Attempt, request::is_read};
use crate::{
    error::AppError,
    feed::{Confirmation, Feed, Leases},
    journal::Journal,
    mail::Mailer,
    metrics::Metrics,
    settings::{SettingError, Settings},
};

/// Things on a page where nothing is said.
pub const DEFAULT_PAGE: i64 = 50;
/// Things on a page at the most.
pub const MAX_PAGE: i64 = 200;

/// Where a list goes on, and for how long.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// The `next` of the page before.
    pub after: Option<String>,
    /// How many things, 1 to [`MAX_PAGE`].
    pub limit: Option<i64>,
}

impl Paging {
    fn limit(&self) -> Result<i64, AppError> {
        match self.limit {
            None => Ok(DEFAULT_PAGE),
            Some(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
            Some(_) => Err(AppError::field("limit", "out_of_range", format!("choose 1 to {MAX_PAGE}"))),
        }
    }

    fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, AppError> {
        let malformed = |_| AppError::field("after", "malformed", "pass on the `next` of the page before");
        self.after.as_deref().map(|after| after.parse().map_err(malformed)).transpose()
    }
}

/// One page from `limit + 1` things, the last of which only shows that there is another page.
fn page<T, U>(mut rows: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String, map: impl FnMut(T) -> U) -> api::Page<U> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    api::Page { items: rows.into_iter().map(map).collect(), next }
}

/// Somebody who was authenticated, with the request they came with.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    address: Option<IpAddr>,
    /// When the signature says that it was made, where the caller signed.
    signed_at: Option<Timestamp>,
    replay: Option<ReplayKey>,
    confirmation: ConfirmationSlot,
}

impl Caller {
    /// Whoever has a shell on the machine that holds the data.
    #[must_use]
    pub fn host() -> Self {
        Self {
            principal: Principal::host(),
            address: None,
            signed_at: None,
            replay: None,
            confirmation: ConfirmationSlot::default(),
        }
    }

    /// How the change that this caller asked for became known to every node, once it has.
    #[must_use]
    pub fn confirmation(&self) -> Option<Confirmation> {
        self.confirmation.get()
    }

    fn note(&self, confirmation: Confirmation) {
        // The last change of a caller is the one that is answered; there is one.
        let _ = self.confirmation.0.set(confirmation);
    }

    pub(crate) fn confirmation_slot(&self) -> ConfirmationSlot {
        self.confirmation.clone()
    }

    /// Who it is.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// A running installation.
pub struct App {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Settings,
    hosts: Hosts,
    installation_key: InstallationKey,
    /// Of a server; a command on the host judges nothing.
    feed: Option<Arc<Feed>>,
    journal: Journal,
    nonces: Nonces,
    address_allowances: AddressAllowances,
    metrics: Metrics,
    mailer: Option<Mailer>,
    password_work: password::PasswordWork,
    sign_in_throttle: throttle::Throttle,
    replay_epochs: upkeep::ReplayEpochs,
    is_stopping: AtomicBool,
    tasks: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

/// Why an installation could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is unsafe or contradictory.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The counters cannot be set up.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// What an installation is opened with.
pub struct Parts {
    /// The database.
    pub store: StoreOptions,
    /// The file of the installation's key; made when it is missing.
    pub installation_key: std::path::PathBuf,
    /// The settings.
    pub settings: Settings,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

impl Parts {
    /// An embedded database in a data directory, on the machine's own clock and randomness.
    #[must_use]
    pub fn embedded(data: &Path, settings: Settings) -> Self {
        Self::embedded_at(data.join("keyward.db"), data.join("installation.key"), settings)
    }

    /// A PostgreSQL server that several nodes share, and the copy of the installation's key that is this node's.
    #[must_use]
    pub fn on_postgres(url: String, installation_key: PathBuf, settings: Settings) -> Self {
        Self {
            store: StoreOptions { engine: store::Engine::Postgres { url: url.into() } },
            ..Self::embedded_at(PathBuf::new(), installation_key, settings)
        }
    }

    /// An embedded database and the installation's key, wherever they are.
    #[must_use]
    pub fn embedded_at(database: PathBuf, installation_key: PathBuf, settings: Settings) -> Self {
        Self {
            store: StoreOptions { engine: store::Engine::Sqlite { path: database } },
            installation_key,
            settings,
            clock: Arc::new(crate::system::SystemClock),
            random: Arc::new(crate::system::SystemRandom),
        }
    }
}

impl App {
    /// Opens an installation for commands on its host, beside a running server or not.
    ///
    /// # Errors
    /// A setting or the store is not usable.
    pub async fn open_on_host(parts: Parts) -> Result<Self, OpenError> {
        let (path, random) = (parts.installation_key.clone(), Arc::clone(&parts.random));
        Self::open(parts, async |store| store::installation::open_key(store, &path, random.as_ref()).await).await
    }

    async fn open(
        parts: Parts,
        open_key: impl AsyncFnOnce(&Store) -> Result<InstallationKey, StoreError>,
    ) -> Result<Self, OpenError> {
        let Parts { store, mut settings, clock, random, .. } = parts;
        settings.validate()?;
        let hosts = settings.read_hosts()?;
        // Browsers and clients write it so, whatever the operator did.
        hosts.public().as_str().clone_into(&mut settings.public_url);
        let mailer = settings.smtp.as_ref().map(Mailer::new).transpose()?;
        let store = Store::open(&store, clock.now(), random.as_ref()).await?;
        let installation_key = open_key(&store).await?;
        let address_allowances = AddressAllowances::new(random.as_ref());
        Ok(Self {
            store,
            clock,
            random,
            settings,
            hosts,
            installation_key,
            feed: None,
            journal: Journal::new(),
            nonces: Nonces::closed(),
            address_allowances,
            metrics: Metrics::new()?,
            mailer,
            password_work: password::PasswordWork::new(),
            sign_in_throttle: throttle::Throttle::default(),
            replay_epochs: upkeep::ReplayEpochs::default(),
            is_stopping: AtomicBool::new(false),
            tasks: std::sync::Mutex::default(),
        })
    }

    /// Opens an installation for serving: registers this node, loads the directory, and keeps both true until
    /// [`close`](Self::close).
    ///
    /// # Errors
    /// A setting or the store is not usable.
    pub async fn open_for_serving(parts: Parts) -> Result<Arc<Self>, OpenError> {
        let mut app = Self::open_on_host(parts).await?;
        for warning in app.settings.warnings() {
            tracing::warn!(setting = warning.name, next = warning.next, "{}", warning.reason);
        }
        let node = Node {
            id: NodeId::generate(app.clock.now(), app.random.as_ref()),
            name: format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), std::process::id()),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            lease: app.settings.lease,
            settings_hash: Some(app.settings.shared_hash()?),
        };
        let watch = app.store.watch().await?;
        let public_key = app.installation_key.public_key();
        let feed = Arc::new(Feed::start(app.store.clone(), Arc::clone(&app.clock), node, public_key).await?);
        app.feed = Some(Arc::clone(&feed));
        let (nonces, write_nonces) = Nonces::start(app.store.clone());
        app.nonces = nonces;
        let app = Arc::new(app);
        let follow = tokio::spawn(feed.follow(watch));
        let write = tokio::spawn(upkeep::keep_up(Arc::downgrade(&app)));
        if let Ok(mut tasks) = app.tasks.lock() {
            tasks.extend([follow, write, write_nonces]);
        }
        Ok(app)
    }

    /// Writes what waits, gives up the lease, and closes the store.
    pub async fn close(&self) {
        let tasks = self.tasks.lock().map(|mut tasks| std::mem::take(&mut *tasks)).unwrap_or_default();
        for task in &tasks {
            task.abort();
        }
        if let Err(error) = self.write_whole_journal().await {
            tracing::error!(?error, "the last uses and refusals could not be written");
        }
        if let Some(feed) = &self.feed
            && let Err(error) = feed.stop().await
        {
            tracing::error!(%error, "this node could not be taken out of the registry; others wait for its lease once");
        }
        self.store.close().await;
    }

    /// Closes the store and nothing else, as an outage would: this node judges on until its lease ends, and changes
    /// nothing.
    pub async fn close_store(&self) {
        self.store.close().await;
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The hosts that this installation answers for.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// From now on this node says that it is not ready, and goes on answering: whoever spreads requests over nodes sends
    /// them to others before it stops.
    pub fn announce_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Whether it was announced that this node stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Whether requests should come here: this node holds its lease, and is not about to stop.
    ///
    /// # Errors
    /// They should not.
    pub fn check_ready(&self) -> Result<(), AppError> {
        if self.is_stopping() {
            return Err(AppError::Unavailable("this node is stopping".to_owned()));
        }
        match &self.feed {
            Some(feed) => feed.require_lease(),
            None => Ok(()),
        }
    }

    /// Hears from the store now: takes in what changed, and renews the lease. A server does so by itself, many times a
    /// second.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn renew_lease(&self) -> Result<(), AppError> {
        match &self.feed {
            Some(feed) => Ok(feed.renew().await?),
            None => Ok(()),
        }
    }

    /// What this server counts and times, as Prometheus reads it.
    pub async fn render_metrics(&self) -> String {
        let (keys, version) = self.feed.as_ref().map_or((0, 0), |feed| {
            let directory = feed.directory().load();
            (directory.key_count(), directory.version().0)
        });
        // A store that does not answer is what somebody looks at metrics for: the rest is told all the same.
        let audit_events = match self.store.read().await {
            Ok(mut connection) => store::audit::head_checkpoint(&mut connection).await.ok().map(|head| head.size),
            Err(_) => None,
        };
        let holds_lease = self.feed.as_ref().is_some_and(|feed| feed.holds_lease());
        self.metrics.render(keys, version, audit_events, holds_lease)
    }

    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A name for a request in logs and answers.
    pub(crate) fn random_request_id(&self) -> String {
        self.random_text::<12>()
    }

    /// `N` random bytes as base64url text.
    fn random_text<const N: usize>(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn generate_id<K: domain::id::Kind>(&self, now: Timestamp) -> domain::id::Id<K> {
        domain::id::Id::generate(now, self.random.as_ref())
    }

    /// Begins a change: takes the locked row, reads the caller's key, owner and memberships again, and, where the same
    /// signed request was done before, ends with its first answer.
    async fn begin<'a>(&self, caller: &'a Caller) -> Result<Transaction<'a>, AppError> {
        let (now, began) = (self.clock.now(), self.clock.since_boot());
        // Seen before the wait for the locked row, which then counts as time that leases have run.
        let leases = Leases::look(&self.store, self.clock.as_ref()).await?;
        let mut change = self.store.begin_change(now).await?;
        let principal = self.read_again(&mut change, &caller.principal, now).await?;
        if let Some(replay) = &caller.replay {
            if let Some(stored) = store::replay::find_replay(&mut change, replay.key).await? {
                // Whoever did it may have died before every node had acknowledged it.
                drop(change);
                self.confirm_unchanged(caller).await?;
                return Err(AppError::Answered(self.open_stored_answer(stored)?));
            }
            if let Some(nonce) = &replay.nonce
                && store::replay::find_nonce(&mut change, replay.api_key, nonce).await?.is_some()
            {
                let error = AuthenticationError::NonceReused;
                self.note_refusal(Some(replay.api_key), caller.address, &error);
                return Err(AppError::Unauthenticated(error, now));
            }
        }
        let by = principal.audit_principal();
        Ok(Transaction {
            change,
            principal,
            by,
            caller: Cow::Borrowed(caller),
            now,
            began,
            leases,
            events: Vec::new(),
            mail: UnsentMail::default(),
        })
    }

    /// Begins a change of somebody who has no credential yet, such as a person who accepts an invitation.
    async fn begin_anonymous(&self, address: Option<IpAddr>) -> Result<Transaction<'static>, AppError> {
        let (now, began) = (self.clock.now(), self.clock.since_boot());
        let leases = Leases::look(&self.store, self.clock.as_ref()).await?;
        let change = self.store.begin_change(now).await?;
        let caller = Cow::Owned(Caller { address, ..Caller::host() });
        Ok(Transaction {
            change,
            principal: Principal::host(),
            by: AuditPrincipal::Anonymous,
            caller,
            now,
            began,
            leases,
            events: Vec::new(),
            mail: UnsentMail::default(),
        })
    }

    async fn read_again(
        &self,
        change: &mut Change,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Principal, AppError> {
        let Some(id) = principal.id() else { return Ok(principal.clone()) };
        let refuse = |error| Err(AppError::Unauthenticated(error, now));
        if let Some(key) = principal.credential().key() {
            let state = store::api_key::find_api_key_anywhere(change, key)
                .await?
                .filter(|key| key.owner == id)
                .map_or(KeyState::Revoked, |key| key.state(now));
            match state {
                KeyState::Active => {}
                KeyState::Disabled => return refuse(AuthenticationError::KeyDisabled),
                KeyState::Suspended => return refuse(AuthenticationError::KeySuspended),
                KeyState::Expired => return refuse(AuthenticationError::KeyExpired),
                KeyState::Revoked => return refuse(AuthenticationError::UnknownKey),
            }
        }
        let mut credential = *principal.credential();
        if let Credential::Session(session, _) = credential {
            let session = session::require_session(change, session, id, now).await?;
            credential = Credential::Session(session.id, session.authenticated_at);
        }
        let Some(identity) = store::identity::find_identity(change, id).await? else {
            return refuse(AuthenticationError::UnknownKey);
        };
        match identity.refusal() {
            None => Ok(Principal::new(Arc::new(identity), credential)),
            // A person who is invited again accepts it in a session that reaches nothing else.
            Some(IdentityRefusal::NoWorkspace) if matches!(credential, Credential::Session(..)) => {
                Ok(Principal::new(Arc::new(identity), credential))
            }
            Some(IdentityRefusal::Disabled) => refuse(AuthenticationError::OwnerDisabled),
            Some(IdentityRefusal::Suspended) => refuse(AuthenticationError::OwnerSuspended),
            Some(IdentityRefusal::NoWorkspace) => refuse(AuthenticationError::OwnerWithoutWorkspace),
        }
    }

    /// Commits a change with its events and its answer, and returns once every node judges by it.
    async fn commit<T: Serialize>(&self, transaction: Transaction<'_>, status: u16, answer: T) -> Result<T, AppError> {
        let Transaction { change, principal, caller, now, began, leases, mut events, .. } = transaction;
        let body = serde_json::to_vec(&answer).map_err(|e| AppError::Internal(format!("an answer: {e}")))?;
        let first_answer = match caller.replay.clone() {
            Some(replay) => Some(self.seal_answer(replay, status, if status == 204 { Vec::new() } else { body })?),
            None => None,
        };
        if events.is_empty() {
            return Err(AppError::Internal("a change without an audit event".to_owned()));
        }
        if events.iter().any(recent_password::wants_recent_password) {
            principal.require_recent_password(now)?;
        }
        let first = events.remove(0);
        let committed = change.commit((first, events), first_answer.as_ref()).await;
        let version = committed.map_err(|error| {
            let constraints = [store::replay::REPLAY_KEY_CONSTRAINT, store::replay::NONCE_CONSTRAINT];
            // A write that is answered elsewhere used the same nonce meanwhile; the next attempt finds it.
            let is_raced = constraints.iter().any(|constraint| error.is_conflict(constraint));
            if is_raced { AppError::Contended(error.to_string()) } else { error.into() }
        })?;
        if let Some(feed) = &self.feed {
            feed.note_durable(version);
        }
        self.confirm(&caller, version, leases).await?;
        self.metrics.time_change(self.clock.since_boot().saturating_sub(began));
        Ok(answer)
    }

    /// Waits until every node has acknowledged `version`, or its lease has ended.
    async fn confirm(&self, caller: &Caller, version: Version, leases: Leases) -> Result<(), AppError> {
        let own = match &self.feed {
            None => None,
            Some(feed) => match feed.catch_up(version).await {
                Ok(()) => Some(feed.node()),
                Err(error) => {
                    tracing::error!(%error, "a change was committed that this node cannot read yet");
                    // Like any other node that has not acknowledged it, this one is waited for.
                    None
                }
            },
        };
        let confirmed = Feed::confirm(&self.store, self.clock.as_ref(), version, own, leases).await;
        let confirmation = confirmed.map_err(|error| {
            AppError::Unavailable(format!("a change was committed, and nobody can tell who has taken it in: {error}"))
        })?;
        if confirmation.expired > 0 {
            tracing::warn!(
                version = version.0,
                nodes = confirmation.expired,
                "nodes did not take a change in; they were given up after their leases had run out"
            );
        }
        caller.note(confirmation);
        Ok(())
    }
}

/// Where the confirmation of a caller's change is noted, for whoever answers them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfirmationSlot(Arc<OnceLock<Confirmation>>);

impl ConfirmationSlot {
    /// The confirmation, once there is one.
    pub(crate) fn get(&self) -> Option<Confirmation> {
        self.0.get().copied()
    }
}

/// A change under way, by somebody who was read again inside it.
struct Transaction<'a> {
    change: Change,
    principal: Principal,
    /// Whom the audit log names.
    by: AuditPrincipal,
    caller: Cow<'a, Caller>,
    now: Timestamp,
    /// When it began, since the machine started.
    began: Duration,
    /// The nodes' leases, seen before it began.
    leases: Leases,
    events: Vec<AuditEvent>,
    mail: UnsentMail,
}

/// Mail that is sent once the change it tells of has committed.
#[derive(Default)]
struct UnsentMail {
    invitations: Vec<invitation::Issued>,
    /// The name of the workspace that they are for.
    workspace: String,
    displaced: Vec<api_key::Displaced>,
}

impl Transaction<'_> {
    /// What a check sees of it.
    fn scope(&mut self) -> Scope<'_> {
        Scope { principal: &self.principal, now: self.now, connection: &mut self.change }
    }

    /// Notes what is done, for the audit log.
    fn note(
        &mut self,
        app: &App,
        action: &'static str,
        workspace: Option<WorkspaceId>,
        target: impl Display,
        detail: &[(&str, &str)],
    ) {
        self.events.push(AuditEvent {
            principal: self.by,
            key: self.principal.credential().key(),
            address: self.caller.address,
            ..self.event(app, action, workspace, target, detail)
        });
    }

    /// Notes what the server does to somebody who is not told who brought it about.
    fn note_by_server(
        &mut self,
        app: &App,
        action: &'static str,
        workspace: Option<WorkspaceId>,
        target: impl Display,
        detail: &[(&str, &str)],
    ) {
        let event = self.event(app, action, workspace, target, detail);
        self.events.push(event);
    }

    /// An event by the server itself.
    fn event(
        &self,
        app: &App,
        action: &'static str,
        workspace: Option<WorkspaceId>,
        target: impl Display,
        detail: &[(&str, &str)],
    ) -> AuditEvent {
        AuditEvent {
            id: AuditEventId::generate(self.now, app.random.as_ref()),
            at: self.now,
            workspace,
            principal: AuditPrincipal::Host,
            key: None,
            address: None,
            action: Cow::Borrowed(action),
            target: Some(target.to_string()),
            detail: detail.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    /// Who did it, as `created_by` says it.
    fn created_by(&self) -> String {
        self.by.to_string()
    }
}

/// How long a proof's challenge is good.
const CHALLENGE_LIFETIME: Duration = Duration::from_mins(5);

/// SHA-256, for secrets of 128 bits or more that are kept as their hash only.
fn sha256(secret: &str) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(secret.as_bytes()).into()
}
