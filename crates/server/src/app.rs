//! The operations of Keyward, for the API, the pages and the command line. Each feature has one file. The first
//! argument of an operation is the caller. Each change is one transaction with its audit event.

mod api_key;
mod audit;
mod bearer_token;
mod candidate;
mod change;
mod chosen;
mod detail;
mod identity;
mod installation_key;
mod integrity;
mod invitation;
mod key_use;
mod list;
mod maintenance;
mod member;
mod node;
mod nonce;
mod overview;
mod password;
mod policy;
mod project;
mod quota;
mod recent_password;
mod recovery;
mod removal;
mod service_account;
mod session;
mod set_up;
mod stored_response;
mod throttle;
mod transfer;
mod user;
mod workspace;

use std::{
    any::Any,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Clock, InstallationKey, NodeId, Random, Timestamp, principal::Principal};
use store::{ReplayKey, Store, StoreError, StoreOptions, node::Node};
use tokio::task::JoinHandle;
use verifier::{
    Directory, Hosts, Outside, TokenKey, VerifiedRequest, Verifier, VerifierConfig,
    outside::{Lease, Observer},
    rate_limit::IpAddressAllowances,
};

pub(crate) use self::{api_key::limits_to_wire, service_account::NAME_PREFIX};
pub use self::{
    api_key::{
        AccountKey, BulkEdit, FoundAccountKeys, FoundKeys, KeyAccount, KeyActivity, KeyDetails, KeyOwner,
        KeyOwnerDetails, KeyRotations, KeySearch, KeySet, LimitChange, LimitPlaces, LimitProject, LimitWorkspace,
        OwnedKey, RotationPreview,
    },
    audit::{
        Activity, ActivityPage, AuditFilter, CAUSE, CAUSE_TARGET, ID_FIELDS, PREDECESSOR, SUCCESSOR, SearchLimit,
        audit_event,
    },
    candidate::Candidate,
    change::{ChangeError, Confirmed},
    chosen::MAX_CHOSEN,
    invitation::OpenInvitation,
    list::{Count, Found, Place},
    overview::{DisabledAccount, Overview, OverviewKey, RefusedKey},
    project::{ListedProject, ProjectDetails, ProjectQuery},
    recovery::{
        KeyOfSuspendedUser, KeysToConfirm, RestoreReport, SuspendedKey, SuspendedMembership, SuspendedUser,
        UsersToConfirm, holds_installation,
    },
    removal::{LeavingMember, OwnKeys, RemovalPreview, RemovalsPreview},
    service_account::{
        AccountDeletionPreview, AccountSearch, JoinedProject, LastUse, ServiceAccountDetails, ServiceAccountList,
        UsedServiceAccount,
    },
    session::{Browser, ListedSession, SessionContext, SignIn, SignedIn},
    set_up::SetUp,
    transfer::{Transferred, bring_up_to_date, copy_installation},
};
use self::{
    audit::RevocationCause,
    change::{Held, Operation, Scope, Transaction},
    detail::{Audited, Detail},
    nonce::Nonces,
};
use crate::{
    cluster::{Cluster, ClusterMember, NoLease},
    error::AppError,
    mail::Mailer,
    metrics::Metrics,
    request_log::{RequestIds, RequestLog},
    settings::{SettingError, Settings},
};

/// The default number of items on a page.
pub const DEFAULT_PAGE: i64 = 50;
/// The maximum number of items on a page.
pub const MAX_PAGE: i64 = 200;

/// The position and the length of a page of a list.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// The value of `next` of the previous page.
    pub after: Option<String>,
    /// The number of items, 1 to [`MAX_PAGE`].
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
        let malformed = |_| AppError::field("after", "malformed", "pass the `next` value of the previous page");
        self.after.as_deref().map(|after| after.parse().map_err(malformed)).transpose()
    }
}

/// Returns one page from `limit + 1` rows. The last row only shows that there is another page.
fn page<T, U>(mut rows: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String, map: impl FnMut(T) -> U) -> api::Page<U> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    api::Page { items: rows.into_iter().map(map).collect(), next }
}

/// An authenticated principal and its request.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    ip_address: Option<IpAddr>,
    /// The IP address of the client, if it is known. The limits of a key are checked against it.
    client_ip: Option<IpAddr>,
    /// When the request was signed, if the caller signed it.
    signed_at: Option<Timestamp>,
    replay: Option<ReplayKey>,
    held: Held,
}

impl Caller {
    /// Returns the caller of a command on the host.
    #[must_use]
    pub fn host() -> Self {
        Self {
            principal: Principal::host(),
            ip_address: None,
            client_ip: None,
            signed_at: None,
            replay: None,
            held: Held::default(),
        }
    }

    /// Keeps `resource` until the caller's change has ended, even if the client disconnects before.
    #[must_use]
    pub(crate) fn holding(mut self, resource: Arc<dyn Any + Send + Sync>) -> Self {
        self.held = Held::new(resource);
        self
    }

    /// Returns the principal.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl From<VerifiedRequest> for Caller {
    fn from(verified: VerifiedRequest) -> Self {
        let VerifiedRequest { principal, ip_address, client_ip, signed_at, replay, .. } = verified;
        Self { principal, ip_address, client_ip, signed_at, replay, held: Held::default() }
    }
}

/// A running installation.
pub struct App {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Settings,
    installation_key: InstallationKey,
    /// For a command on the host, it has an empty directory and no lease, so that it accepts nothing.
    verifier: Verifier,
    cluster: Cluster,
    /// Held while refusals are written, because two concurrent writers would write the same ones.
    refusal_writes: tokio::sync::Mutex<()>,
    metrics: Arc<Metrics>,
    mailer: Option<Mailer>,
    password_work: password::PasswordWork,
    sign_in_throttle: throttle::Throttle,
    /// For statements of clients without a credential.
    statement_allowances: IpAddressAllowances,
    replay_epochs: maintenance::ReplayEpochs,
    is_stopping: AtomicBool,
    request_ids: RequestIds,
    request_log: Option<Arc<dyn RequestLog>>,
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
    /// The metrics cannot be set up.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// The configuration for opening an installation.
pub struct AppConfig {
    /// The database.
    pub store: StoreOptions,
    /// The file of the installation's key. It is created if it is missing.
    pub installation_key: std::path::PathBuf,
    /// The settings.
    pub settings: Settings,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The log of answered requests. Without one, they are in the common log.
    pub request_log: Option<Arc<dyn RequestLog>>,
}

impl AppConfig {
    /// Returns the configuration for an embedded database in a data directory, with the machine's clock and randomness.
    #[must_use]
    pub fn embedded(data: &Path, settings: Settings) -> Self {
        Self::embedded_at(data.join("keyward.db"), data.join("installation.key"), settings)
    }

    /// Returns the configuration for a PostgreSQL server that several nodes share, and this node's copy of the
    /// installation's key.
    #[must_use]
    pub fn on_postgres(url: String, installation_key: PathBuf, settings: Settings) -> Self {
        Self {
            store: StoreOptions { engine: store::Engine::Postgres { url: url.into() } },
            ..Self::embedded_at(PathBuf::new(), installation_key, settings)
        }
    }

    /// Returns the configuration for an embedded database and the installation's key at separate paths.
    #[must_use]
    pub fn embedded_at(database: PathBuf, installation_key: PathBuf, settings: Settings) -> Self {
        Self {
            store: StoreOptions { engine: store::Engine::Sqlite { path: database } },
            installation_key,
            settings,
            clock: Arc::new(crate::system::SystemClock),
            random: Arc::new(crate::system::SystemRandom),
            request_log: None,
        }
    }
}

/// The parts of an installation that every process needs, regardless of its purpose.
struct Opened {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Settings,
    hosts: Hosts,
    installation_key: InstallationKey,
    mailer: Option<Mailer>,
    request_log: Option<Arc<dyn RequestLog>>,
}

impl Opened {
    async fn open(
        config: AppConfig,
        open_key: impl AsyncFnOnce(&Store) -> Result<InstallationKey, StoreError>,
    ) -> Result<Self, OpenError> {
        let AppConfig { store, mut settings, clock, random, request_log, .. } = config;
        settings.validate()?;
        let hosts = settings.read_hosts()?;
        // The normalised form, which browsers and clients use.
        hosts.public().as_str().clone_into(&mut settings.public_url);
        let mailer = settings.smtp.as_ref().map(Mailer::new).transpose()?;
        let store = Store::open(&store, clock.now(), random.as_ref()).await?;
        let installation_key = open_key(&store).await?;
        Ok(Self { store, clock, random, settings, hosts, installation_key, mailer, request_log })
    }

    /// Returns the app of a command on the host, which verifies no requests.
    fn into_host_app(self) -> Result<App, OpenError> {
        let cluster = Cluster::of_host_command(self.store.clone(), Arc::clone(&self.clock));
        self.into_app(cluster, Arc::default(), Arc::new(NoLease), Nonces::closed())
    }

    fn into_app(
        self,
        cluster: Cluster,
        directory: Arc<Directory>,
        lease: Arc<dyn Lease>,
        nonces: Nonces,
    ) -> Result<App, OpenError> {
        let Self { store, clock, random, settings, hosts, installation_key, mailer, request_log } = self;
        let metrics = Arc::new(Metrics::new()?);
        http_signature::verify_ed25519_by_library(!settings.fast_ed25519);
        let config = VerifierConfig {
            token_key: TokenKey::new(&installation_key, hosts.public()),
            hosts,
            routes: settings.routes.clone(),
            allow_preflights: settings.allow_preflights,
            rate_limits: settings.rate_limits,
        };
        let outside = Outside {
            directory,
            clock: Arc::clone(&clock),
            lease,
            nonces: Arc::new(nonces),
            observer: Arc::clone(&metrics) as Arc<dyn Observer>,
        };
        let verifier = Verifier::new(config, outside, random.as_ref());
        let statement_allowances = IpAddressAllowances::new(random.as_ref());
        Ok(App {
            request_ids: RequestIds::new(random.as_ref()),
            request_log,
            store,
            clock,
            random,
            settings,
            installation_key,
            verifier,
            cluster,
            refusal_writes: tokio::sync::Mutex::default(),
            metrics,
            mailer,
            password_work: password::PasswordWork::new(),
            sign_in_throttle: throttle::Throttle::default(),
            statement_allowances,
            replay_epochs: maintenance::ReplayEpochs::default(),
            is_stopping: AtomicBool::new(false),
            tasks: std::sync::Mutex::default(),
        })
    }
}

impl App {
    /// Opens an installation for commands on its host. A server may be running at the same time.
    ///
    /// # Errors
    /// A setting or the store cannot be used.
    pub async fn open_on_host(config: AppConfig) -> Result<Arc<Self>, OpenError> {
        let (path, random) = (config.installation_key.clone(), Arc::clone(&config.random));
        let open_key = async |store: &Store| store::installation_key::open_key(store, &path, random.as_ref()).await;
        Ok(Arc::new(Opened::open(config, open_key).await?.into_host_app()?))
    }

    /// Opens an installation for serving. Registers this node, loads the directory, and keeps both up to date until
    /// [`close`](Self::close).
    ///
    /// # Errors
    /// A setting or the store cannot be used.
    pub async fn open_for_serving(config: AppConfig) -> Result<Arc<Self>, OpenError> {
        let (path, random) = (config.installation_key.clone(), Arc::clone(&config.random));
        let open_key = async |store: &Store| store::installation_key::open_key(store, &path, random.as_ref()).await;
        let opened = Opened::open(config, open_key).await?;
        for warning in opened.settings.warnings() {
            tracing::warn!(setting = warning.name, next = warning.next, "{}", warning.reason);
        }
        let (store, clock) = (opened.store.clone(), Arc::clone(&opened.clock));
        let node = Node {
            id: NodeId::generate(clock.now(), random.as_ref()),
            name: format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), std::process::id()),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            lease: opened.settings.lease,
            settings_hash: Some(opened.settings.shared_hash()?),
        };
        let watch = store.watch().await?;
        let public_key = opened.installation_key.public_key();
        let member = ClusterMember::join(store.clone(), Arc::clone(&clock), node, public_key).await?;
        let member = Arc::new(member);
        let (nonces, record_nonces) = Nonces::start(store.clone());
        let (directory, lease) = (Arc::clone(member.directory()), Arc::clone(member.lease()));
        let app = opened.into_app(Cluster::of_member(store, clock, Arc::clone(&member)), directory, lease, nonces);
        let app = Arc::new(app?);
        let follow = tokio::spawn(member.follow(watch));
        let maintain = tokio::spawn(maintenance::run_maintenance(Arc::downgrade(&app)));
        if let Ok(mut tasks) = app.tasks.lock() {
            tasks.extend([follow, maintain, record_nonces]);
        }
        Ok(app)
    }

    /// Writes the pending records, ends the lease, and closes the store.
    pub async fn close(&self) {
        let tasks = self.tasks.lock().map(|mut tasks| std::mem::take(&mut *tasks)).unwrap_or_default();
        for task in &tasks {
            task.abort();
        }
        if let Err(error) = self.write_all_records().await {
            tracing::error!(?error, "the last uses and refusals could not be written");
        }
        if let Err(error) = self.cluster.leave().await {
            tracing::error!(%error, "this node could not be unregistered; the next change waits for its lease to \
                                     expire");
        }
        self.store.close().await;
    }

    /// Closes only the store, like an outage. This node verifies requests until its lease ends, and makes no changes.
    pub async fn close_store(&self) {
        self.store.close().await;
    }

    /// Returns the settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the hosts of this installation.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        self.verifier.hosts()
    }

    /// Returns the verifier of requests.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Returns the time of the wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes this node report that it is not ready. It still answers requests, so that a load balancer can send new
    /// requests to other nodes before this one stops.
    pub fn announce_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Returns whether it was announced that this node stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Checks whether this node should receive requests: it holds its lease, and is not about to stop.
    ///
    /// # Errors
    /// It should not receive requests.
    pub fn check_ready(&self) -> Result<(), AppError> {
        if self.is_stopping() {
            return Err(AppError::Unavailable("this node is stopping".to_owned()));
        }
        Ok(self.verifier.require_lease()?)
    }

    /// Applies changes, and renews the lease. A server does this several times a second.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn renew_lease(&self) -> Result<(), AppError> {
        Ok(self.cluster.renew_lease().await?)
    }

    /// Returns this server's metrics in the format of Prometheus.
    pub async fn render_metrics(&self) -> String {
        let (keys, version) = {
            let directory = self.verifier.directory().load();
            (directory.key_count(), directory.version().0)
        };
        // If the database does not respond, the other metrics are still shown, because operators need them to find the
        // reason.
        let audit_events = match self.store.read().await {
            Ok(mut connection) => store::audit::head_checkpoint(&mut connection).await.ok().map(|head| head.size),
            Err(_) => None,
        };
        let lost_lines = self.request_log().map_or(0, RequestLog::count_lost);
        let committed = self.store.commit_counts();
        self.metrics.render(keys, version, audit_events, self.verifier.holds_lease(), lost_lines, committed)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the ids for requests in logs and responses.
    pub(crate) const fn request_ids(&self) -> &RequestIds {
        &self.request_ids
    }

    /// Returns the log of answered requests, if the program has one.
    pub(crate) fn request_log(&self) -> Option<&dyn RequestLog> {
        self.request_log.as_deref()
    }

    /// Returns `N` random bytes as base64url text.
    fn random_text<const N: usize>(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn generate_id<K: domain::id::Kind>(&self, now: Timestamp) -> domain::id::Id<K> {
        domain::id::Id::generate(now, self.random.as_ref())
    }
}

/// Mails that are sent after their change has committed.
#[derive(Default)]
struct UnsentMail {
    invitations: Vec<invitation::Issued>,
    /// The name of the workspace.
    workspace: String,
    revoked_keys: Vec<api_key::RevokedKey>,
}

/// The lifetime of a proof's challenge.
const CHALLENGE_LIFETIME: Duration = Duration::from_mins(5);

/// Returns the SHA-256 of a secret of 128 bits or more that is only stored as its hash.
fn sha256(secret: &str) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(secret.as_bytes()).into()
}
