//! Keeps the directory true: loads it, follows the store's changes, acknowledges them, and holds the lease without
//! which a node does not judge.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{ApiKeyId, Clock, NodeId};
use store::{
    ChangeWatch, Changes, Connection, Store, StoreError, Subject, Version, change,
    installation::Installation,
    node::{LeaseMark, Node, RegisteredNode},
};
use tokio::sync::Mutex;

use verifier::directory::{Directory, MAX_REVOKED_KEYS, Snapshot};

use crate::error::AppError;

/// Keys or projects that are loaded at a time.
const LOAD_CHUNK: i64 = 10_000;
/// What a revoker waits beyond a lease, because no two clocks run at the same pace.
const EPSILON: Duration = Duration::from_millis(50);
/// A lease is renewed so many times before it would end.
const RENEWALS: u32 = 4;
/// How often a revoker looks who has acknowledged: soon at first, then not so soon.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(10);
/// How long a node that cannot reach the store waits before it tries again.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// How far the wall clock and the clock since boot may part before the lease is dropped, in microseconds: the machine
/// may have been put to sleep or brought back from a snapshot in a way that the latter does not show.
const CLOCKS_PART: u64 = 1_000_000;

/// A node's view of the store's changes.
pub struct Feed {
    store: Store,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    node: Node,
    /// The public half of the key that this node signs with. A node with another key than the installation's judges nothing.
    public_key: [u8; 32],
    /// The latest version that is known to be on every synchronous standby.
    durable: AtomicU64,
    /// One renewal at a time shows to everybody who waits for it what is durable.
    proving: Mutex<()>,
    /// One catches up at a time.
    progress: Mutex<Progress>,
    /// The version up to which uses of keys that were revoked are written down.
    reported: AtomicU64,
    /// Microseconds since boot until which this node may judge.
    lease_until: AtomicU64,
    /// How far the wall clock was ahead of the clock since boot, in microseconds, when the lease began.
    clock_offset: AtomicI64,
}

/// What has been done about changes that were loaded.
#[derive(Debug, Default)]
struct Progress {
    /// The version that was acknowledged.
    acknowledged: Version,
    /// Keys that were revoked after this node had verified with them, which is not written down yet.
    verified: Vec<ApiKeyId>,
}

/// The leases that were seen before a change began, and since when each was seen. No lease that is older than its mark
/// outlives the time it was first seen by more than its length, so that time that a change spent waiting counts.
#[derive(Debug, Default)]
pub struct Leases(BTreeMap<NodeId, SeenLease>);

#[derive(Debug)]
struct SeenLease {
    mark: Option<LeaseMark>,
    /// Time since boot.
    since: Duration,
    length: Duration,
}

impl Leases {
    /// Looks at them now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn look(store: &Store, clock: &dyn Clock) -> Result<Self, StoreError> {
        let nodes = store.list_nodes().await?;
        let mut leases = Self::default();
        let now = clock.since_boot();
        for node in &nodes {
            leases.see(node, now);
        }
        Ok(leases)
    }

    /// When the lease that a node has by now is over at the latest.
    fn see(&mut self, registered: &RegisteredNode, now: Duration) -> Duration {
        let length = registered.node.lease;
        let fresh = SeenLease { mark: registered.mark, since: now, length };
        let seen = self.0.entry(registered.node.id).or_insert_with(|| SeenLease { ..fresh });
        if seen.mark != registered.mark {
            *seen = fresh;
        }
        seen.length = seen.length.max(length);
        seen.since + seen.length + EPSILON
    }

    /// Renewals that leave no mark may have happened until the change committed.
    fn forget_unmarked(&mut self) {
        self.0.retain(|_, seen| seen.mark.is_some());
    }

    fn longest(&self) -> Duration {
        self.0.values().map(|seen| seen.length).max().unwrap_or_default()
    }
}

/// How a change became known everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Confirmation {
    /// The version that the change made.
    pub version: Version,
    /// Nodes that judge by it.
    pub nodes: u64,
    /// Nodes that did not answer, and whose leases have run out instead: they judge nothing.
    pub expired: u64,
}

impl fmt::Display for Confirmation {
    /// A dictionary of structured fields (RFC 9651), as it stands in the `Keyward-Confirmed` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, nodes, expired } = self;
        write!(f, "version={version}, nodes={nodes}, expired={expired}")
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Feed {
    /// Registers this node, loads the directory, and takes the first lease.
    ///
    /// # Errors
    /// The store does not answer or is corrupt.
    pub async fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        node: Node,
        public_key: [u8; 32],
    ) -> Result<Self, StoreError> {
        let feed = Self {
            store,
            clock,
            directory: Arc::default(),
            node,
            public_key,
            durable: AtomicU64::new(0),
            proving: Mutex::default(),
            progress: Mutex::default(),
            reported: AtomicU64::new(0),
            lease_until: AtomicU64::new(0),
            clock_offset: AtomicI64::new(0),
        };
        feed.register().await?;
        feed.renew().await?;
        Ok(feed)
    }

    /// The directory that this feed keeps true.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// This node's id.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node.id
    }

    /// Whether this node may judge now: it heard from the store less than a lease ago, and its clocks agree on that.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        let offset = self.measure_clock_offset();
        micros(self.clock.since_boot()) < self.lease_until.load(Ordering::Acquire)
            && offset.abs_diff(self.clock_offset.load(Ordering::Relaxed)) <= CLOCKS_PART
    }

    fn measure_clock_offset(&self) -> i64 {
        let since_boot = micros(self.clock.since_boot()).cast_signed();
        self.clock.now().as_microsecond().saturating_sub(since_boot)
    }

    /// Refuses where this node may not judge.
    ///
    /// # Errors
    /// 503
    pub fn require_lease(&self) -> Result<(), AppError> {
        if self.holds_lease() { Ok(()) } else { Err(AppError::Unavailable("this node holds no lease".to_owned())) }
    }

    /// Registers before the first load: from then on, whoever revokes waits for this node. It judges nothing until its
    /// next renewal.
    async fn register(&self) -> Result<(), StoreError> {
        let mut progress = self.progress.lock().await;
        self.lease_until.store(0, Ordering::Release);
        // Nobody is to wait for a node that cannot judge.
        self.find_installation(&mut *self.store.read().await?).await?;
        self.store.register_node(&self.node, Version::default(), self.clock.now()).await?;
        progress.acknowledged = Version::default();
        let loaded = self.load_all(&mut progress).await?;
        self.report_verifications(&mut progress, loaded).await
    }

    /// Renews the lease: it runs from before the store was asked. Takes in what changed first.
    ///
    /// # Errors
    /// The store does not answer; the lease runs out unless a later call succeeds.
    pub async fn renew(&self) -> Result<(), StoreError> {
        // Whoever is given up for dead again and again is not heard in time: that is an outage.
        for _ in 0..3 {
            let (asked_at, offset) = (self.clock.since_boot(), self.measure_clock_offset());
            if let Some(renewal) = self.store.renew_lease(self.node.id, self.clock.now()).await?
                && self.take_in(renewal.version).await?
            {
                self.note_durable(renewal.durable);
                self.clock_offset.store(offset, Ordering::Relaxed);
                // Of two renewals at a time, the one that asked first may end last.
                self.lease_until.fetch_max(micros(asked_at + self.node.lease), Ordering::AcqRel);
                return Ok(());
            }
            // Given up for dead: what was loaded may be anything.
            self.register().await?;
        }
        Err(StoreError::Unavailable {
            reason: "the other nodes give this one up for dead: it hears too late".to_owned(),
        })
    }

    /// Notes that `version` is on every synchronous standby: it was committed, or read by a transaction that has committed
    /// since, and that commit was waited for.
    pub fn note_durable(&self, version: Version) {
        self.durable.fetch_max(version.0, Ordering::AcqRel);
    }

    fn is_durable(&self, version: Version) -> bool {
        // What an embedded database shows to readers is on the disk.
        !self.store.is_shared() || version.0 <= self.durable.load(Ordering::Acquire)
    }

    /// Returns once `version`, which was read, is known to be on every synchronous standby: whoever committed it may have
    /// failed to wait for one. Where it is not known yet, this node renews its lease, a write of its own row that takes no
    /// lock of others; all that wait share one renewal.
    ///
    /// # Errors
    /// No standby has it, or the database does not answer.
    pub async fn require_durable(&self, version: Version) -> Result<(), StoreError> {
        if self.is_durable(version) {
            return Ok(());
        }
        let _one_at_a_time = self.proving.lock().await;
        if self.is_durable(version) {
            return Ok(());
        }
        self.renew().await?;
        if self.is_durable(version) {
            return Ok(());
        }
        Err(StoreError::Uncertain {
            reason: format!("version {version} was read, and the primary that answers now does not have it"),
        })
    }

    /// Brings the directory to `version` or later, and acknowledges it. False: this node was given up for dead.
    async fn take_in(&self, version: Version) -> Result<bool, StoreError> {
        let mut progress = self.progress.lock().await;
        let loaded = self.load_up_to(version, &mut progress).await?;
        self.report_verifications(&mut progress, loaded).await?;
        // Whoever waits for this node must not be told before the directory was swapped.
        if loaded > progress.acknowledged {
            if !self.store.acknowledge(self.node.id, loaded).await? {
                return Ok(false);
            }
            progress.acknowledged = loaded;
        }
        Ok(true)
    }

    /// Brings the directory to `version` or later, without acknowledging it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn catch_up(&self, version: Version) -> Result<(), StoreError> {
        if self.reported() >= version {
            return Ok(());
        }
        let mut progress = self.progress.lock().await;
        let loaded = self.load_up_to(version, &mut progress).await?;
        self.report_verifications(&mut progress, loaded).await
    }

    /// The version up to which it is written down which revoked keys this node had verified with.
    #[must_use]
    pub fn reported(&self) -> Version {
        Version(self.reported.load(Ordering::Acquire))
    }

    /// Writes down which of the keys that were revoked up to `loaded` this node had verified with. An acknowledgement comes
    /// after it, and so says that no other of them was used here.
    async fn report_verifications(&self, progress: &mut Progress, loaded: Version) -> Result<(), StoreError> {
        if !progress.verified.is_empty() {
            let (keys, now) = (progress.verified.as_slice(), self.clock.now());
            store::retry(|| self.store.record_verifications(keys, now)).await?;
            progress.verified.clear();
        }
        self.reported.fetch_max(loaded.0, Ordering::AcqRel);
        Ok(())
    }

    /// Waits until no node can be found that would still judge by what was before `version`: each has acknowledged it,
    /// or its lease has run out. `own` has taken it in and need not be asked; `leases` were seen before the change began.
    ///
    /// # Errors
    /// The store did not answer for so long that nobody can tell.
    pub async fn confirm(
        store: &Store,
        clock: &dyn Clock,
        version: Version,
        own: Option<NodeId>,
        mut leases: Leases,
    ) -> Result<Confirmation, StoreError> {
        leases.forget_unmarked();
        let began = clock.since_boot();
        let mut expired = 0;
        let mut pause = FIRST_LOOK;
        loop {
            let answer = store.list_nodes().await;
            let now = clock.since_boot();
            match answer {
                Ok(registered) => {
                    let mut nodes = 0;
                    let mut is_waiting = false;
                    for registered in &registered {
                        let id = registered.node.id;
                        if registered.acknowledged >= version || own == Some(id) {
                            nodes += 1;
                        } else if now <= leases.see(registered, now).min(began + registered.node.lease + EPSILON) {
                            // A renewal that was sent after the commit reads this version before it counts.
                            is_waiting = true;
                        } else {
                            match store.evict_node(id, version, registered.mark).await {
                                Ok(true) => expired += 1,
                                // It came back, or somebody else is giving it up.
                                Ok(false) | Err(StoreError::Contended { .. }) => is_waiting = true,
                                Err(error) => return Err(error),
                            }
                        }
                    }
                    if !is_waiting {
                        return Ok(Confirmation { version, nodes, expired });
                    }
                }
                Err(error) if now.saturating_sub(began) > leases.longest() + EPSILON => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = LAST_LOOK.min(pause * 2);
        }
    }

    /// Follows the store until the task that runs this is dropped.
    pub async fn follow(self: Arc<Self>, mut watch: ChangeWatch) {
        let interval = self.node.lease / RENEWALS;
        let mut renewed_at = self.clock.since_boot();
        let mut failing = false;
        loop {
            let left = interval.saturating_sub(self.clock.since_boot().saturating_sub(renewed_at));
            let changed = if failing { Ok(true) } else { watch.changed(left).await };
            let is_due = failing || self.clock.since_boot().saturating_sub(renewed_at) >= interval;
            let result = match changed {
                // The watch is made anew at its next turn; the lease does not hang on it.
                Ok(_) | Err(_) if is_due => {
                    let asked_at = self.clock.since_boot();
                    let renewed = self.renew().await;
                    if renewed.is_ok() {
                        renewed_at = asked_at;
                    }
                    renewed
                }
                Ok(true) => self.look().await,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    if failing {
                        tracing::info!("the store answers again");
                    }
                    failing = false;
                }
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "the store cannot be followed; this node stops judging when its lease ends");
                    }
                    failing = true;
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    /// Takes in what changed, without a renewal.
    async fn look(&self) -> Result<(), StoreError> {
        let version = self.store.current_version().await?;
        if self.take_in(version).await? { Ok(()) } else { self.renew().await }
    }

    /// Takes this node out of the registry, so that nobody waits for it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.lease_until.store(0, Ordering::Release);
        self.store.remove_node(self.node.id, self.reported()).await.map(|_| ())
    }

    /// The installation, whose key has to be this node's.
    async fn find_installation(&self, connection: &mut Connection) -> Result<Installation, StoreError> {
        let installation = store::installation::find_installation(connection).await?;
        installation.require_key(&self.public_key)?;
        Ok(installation)
    }

    async fn load_up_to(&self, version: Version, progress: &mut Progress) -> Result<Version, StoreError> {
        let before = Snapshot::clone(&self.directory.load());
        if before.version() >= version {
            return Ok(before.version());
        }
        let mut connection = self.store.read().await?;
        match change::changes_since(&mut connection, before.version()).await? {
            Changes::Subjects { subjects, up_to } => {
                let mut after = before;
                let mut revoked = Vec::new();
                for subject in subjects {
                    match subject {
                        Subject::ApiKey(id) => {
                            match store::api_key::find_api_key_anywhere(&mut connection, id).await? {
                                Some(key) if key.revoked_at.is_none() => after.put_key(&key),
                                _ => revoked.extend(after.remove_key(id)),
                            }
                            if let Some(key) = store::api_key::find_revoked_api_key(&mut connection, id).await? {
                                after.put_revoked_key(key);
                            }
                        }
                        Subject::User(id) => load_identity(&mut after, &mut connection, id.into()).await?,
                        Subject::ServiceAccount(id) => load_identity(&mut after, &mut connection, id.into()).await?,
                        Subject::Installation => {
                            let installation = self.find_installation(&mut connection).await?;
                            after.set_epochs(installation.token_epoch, installation.signatures_from);
                        }
                        Subject::Project(id) => match store::project::find_project_grants(&mut connection, id).await? {
                            Some(grants) => after.put_project(grants),
                            None => after.remove_project(id),
                        },
                        // Nothing of it is held; its members, accounts and projects are touched with it.
                        Subject::Workspace(_) => {}
                    }
                }
                after.set_version(up_to);
                self.directory.swap(after);
                // Requests that still look at the snapshot before verify nothing more with these.
                progress.verified.extend(revoked.iter().filter(|key| key.retire()).map(|key| key.id));
                Ok(up_to)
            }
            Changes::TooOld => {
                drop(connection);
                self.load_all(progress).await
            }
        }
    }

    /// Loads everything. What changes meanwhile is in a version later than the one read first, and is loaded again.
    async fn load_all(&self, progress: &mut Progress) -> Result<Version, StoreError> {
        let before = Snapshot::clone(&self.directory.load());
        let mut connection = self.store.read().await?;
        let version = change::current_version(&mut connection).await?;
        let installation = self.find_installation(&mut connection).await?;
        let mut snapshot = Snapshot::default();
        for identity in store::identity::list_identities(&mut connection).await? {
            snapshot.put_identity(identity);
        }
        let mut after = None;
        loop {
            let keys = store::api_key::list_unrevoked_api_keys(&mut connection, after, LOAD_CHUNK).await?;
            for key in &keys {
                snapshot.put_key_as_used_in(key, &before);
            }
            let Some(last) = keys.last() else { break };
            after = Some(last.id);
        }
        for key in store::api_key::list_revoked_api_keys(&mut connection, MAX_REVOKED_KEYS).await? {
            snapshot.put_revoked_key(key);
        }
        let mut after = None;
        loop {
            let projects = store::project::list_project_grants(&mut connection, after, LOAD_CHUNK).await?;
            let Some(last) = projects.last() else { break };
            after = Some(last.id);
            for grants in projects {
                snapshot.put_project(grants);
            }
        }
        snapshot.set_epochs(installation.token_epoch, installation.signatures_from);
        snapshot.set_version(version);
        let revoked = before.keys_that_are_not_in(&snapshot);
        self.directory.swap(snapshot);
        progress.verified.extend(revoked.iter().filter(|key| key.retire()).map(|key| key.id));
        Ok(version)
    }
}

async fn load_identity(
    snapshot: &mut Snapshot,
    connection: &mut Connection,
    id: domain::PrincipalId,
) -> Result<(), StoreError> {
    match store::identity::find_identity(connection, id).await? {
        Some(identity) => snapshot.put_identity(identity),
        None => snapshot.remove_identity(id),
    }
    Ok(())
}
