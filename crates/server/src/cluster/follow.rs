//! A node of the cluster: it loads the directory, applies the changes that the store reports, acknowledges them, and renews its
//! lease.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{ApiKeyId, Clock, NodeId, Version};
use store::{ChangeWatch, Store, StoreError, node::Node};
use tokio::sync::Mutex;
use verifier::{Directory, Snapshot};

use super::{
    lease::NodeLease,
    load::{self, Loaded},
};

/// How often a lease is renewed during its length.
const RENEWALS: u32 = 4;
/// How long a node that cannot reach the store waits before it retries.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// How often an evicted node registers again before this is reported as an outage.
const REGISTRATIONS: u32 = 3;

/// A running node.
pub struct ClusterMember {
    store: Store,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    node: Node,
    /// The public part of this node's installation key. If it is not the installation's key, the node verifies nothing.
    public_key: [u8; 32],
    lease: Arc<NodeLease>,
    /// The latest version that is known to be on every synchronous standby.
    durable: AtomicU64,
    /// Held during a renewal that shows the durable version to all tasks that wait for it.
    proving: Mutex<()>,
    /// Held while changes are applied.
    progress: Mutex<Progress>,
    /// The version up to which uses of revoked keys are reported.
    reported: AtomicU64,
}

/// The progress after loading changes.
#[derive(Debug, Default)]
struct Progress {
    /// The acknowledged version.
    acknowledged: Version,
    /// Keys that this node used before they were revoked, and whose use is not reported yet.
    verified: Vec<ApiKeyId>,
}

impl ClusterMember {
    /// Registers this node, loads the directory, and takes the first lease.
    ///
    /// # Errors
    /// The store does not answer or is corrupt.
    pub async fn join(
        store: Store,
        clock: Arc<dyn Clock>,
        node: Node,
        public_key: [u8; 32],
    ) -> Result<Self, StoreError> {
        let member = Self {
            store,
            lease: Arc::new(NodeLease::new(Arc::clone(&clock))),
            clock,
            directory: Arc::default(),
            node,
            public_key,
            durable: AtomicU64::new(0),
            proving: Mutex::default(),
            progress: Mutex::default(),
            reported: AtomicU64::new(0),
        };
        member.register().await?;
        member.renew().await?;
        Ok(member)
    }

    /// Returns the directory that this node keeps up to date.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Returns this node's permission to verify requests.
    #[must_use]
    pub fn lease(&self) -> &Arc<NodeLease> {
        &self.lease
    }

    /// Returns this node's id.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node.id
    }

    /// Registers before the first load. From then on, changes wait for this node. It verifies nothing until its next
    /// renewal.
    async fn register(&self) -> Result<(), StoreError> {
        let mut progress = self.progress.lock().await;
        self.lease.end();
        // Changes must not wait for a node that cannot verify requests.
        load::find_installation(&mut *self.store.read().await?, &self.public_key).await?;
        self.store.register_node(&self.node, Version::default(), self.clock.now()).await?;
        progress.acknowledged = Version::default();
        let loaded = self.load_all(&mut progress).await?;
        self.report_verifications(&mut progress, loaded).await
    }

    /// Renews the lease, which begins before the request to the store. Applies changes first.
    ///
    /// # Errors
    /// The store does not answer. The lease ends unless a later call succeeds.
    pub async fn renew(&self) -> Result<(), StoreError> {
        for _ in 0..REGISTRATIONS {
            let start = self.lease.start_renewal();
            if let Some(renewal) = self.store.renew_lease(self.node.id, self.clock.now()).await?
                && self.apply(renewal.version).await?
            {
                self.note_durable(renewal.durable);
                self.lease.extend(start, self.node.lease);
                return Ok(());
            }
            // It was evicted, so the loaded data may lack any change.
            self.register().await?;
        }
        Err(StoreError::Unavailable {
            reason: "the other nodes keep evicting this node: its acknowledgements arrive too late".to_owned(),
        })
    }

    /// Records that `version` is on every synchronous standby: it was committed, or it was read by a transaction whose
    /// later commit waited for the standbys.
    pub fn note_durable(&self, version: Version) {
        self.durable.fetch_max(version.0, Ordering::AcqRel);
    }

    fn is_durable(&self, version: Version) -> bool {
        // Everything that readers of an embedded database see is on the disk.
        !self.store.is_shared() || version.0 <= self.durable.load(Ordering::Acquire)
    }

    /// Waits until a version that was read is known to be on every synchronous standby. The process that committed it
    /// may have failed to wait for one. If this is not known yet, this node renews its lease, which writes its own row
    /// and takes no lock of others. All waiting tasks share one renewal.
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
            reason: format!("this node has applied version {version}, which the current primary does not have"),
        })
    }

    /// Applies the changes up to `version` or later to the directory, and acknowledges them. Returns false if this node
    /// was evicted.
    async fn apply(&self, version: Version) -> Result<bool, StoreError> {
        let mut progress = self.progress.lock().await;
        let loaded = self.load_up_to(version, &mut progress).await?;
        self.report_verifications(&mut progress, loaded).await?;
        // A change that waits for this node must not be confirmed before the directory is replaced.
        if loaded > progress.acknowledged {
            if !self.store.acknowledge(self.node.id, loaded).await? {
                return Ok(false);
            }
            progress.acknowledged = loaded;
        }
        Ok(true)
    }

    /// Applies the changes up to `version` or later to the directory, without acknowledging them.
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

    /// Returns the version up to which this node has reported the uses of revoked keys.
    #[must_use]
    pub fn reported(&self) -> Version {
        Version(self.reported.load(Ordering::Acquire))
    }

    /// Reports the uses of keys that were revoked up to `loaded`. An acknowledgement follows the report, so that it
    /// states that no other of these keys was used on this node.
    async fn report_verifications(&self, progress: &mut Progress, loaded: Version) -> Result<(), StoreError> {
        if !progress.verified.is_empty() {
            let (keys, now) = (progress.verified.as_slice(), self.clock.now());
            store::retry(|| self.store.record_verifications(keys, now)).await?;
            progress.verified.clear();
        }
        self.reported.fetch_max(loaded.0, Ordering::AcqRel);
        Ok(())
    }

    /// Follows the store until the task is dropped.
    pub async fn follow(self: Arc<Self>, mut watch: ChangeWatch) {
        let interval = self.node.lease / RENEWALS;
        let mut renewed_at = self.clock.since_boot();
        let mut failing = false;
        loop {
            let left = interval.saturating_sub(self.clock.since_boot().saturating_sub(renewed_at));
            let changed = if failing { Ok(true) } else { watch.changed(left).await };
            let is_due = failing || self.clock.since_boot().saturating_sub(renewed_at) >= interval;
            let result = match changed {
                // The next iteration creates the watch again. The lease does not depend on it.
                Ok(_) | Err(_) if is_due => {
                    let started_at = self.clock.since_boot();
                    let renewed = self.renew().await;
                    if renewed.is_ok() {
                        renewed_at = started_at;
                    }
                    renewed
                }
                Ok(true) => self.apply_current().await,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    if failing {
                        tracing::info!("the database is reachable again");
                    }
                    failing = false;
                }
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "changes cannot be read from the database; this node stops verifying \
                                                 requests when its lease expires");
                    }
                    failing = true;
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    /// Applies changes, without a renewal.
    async fn apply_current(&self) -> Result<(), StoreError> {
        let version = self.store.current_version().await?;
        if self.apply(version).await? { Ok(()) } else { self.renew().await }
    }

    /// Removes this node from the registry, so that no change waits for it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.lease.end();
        self.store.remove_node(self.node.id, self.reported()).await.map(|_| ())
    }

    async fn load_up_to(&self, version: Version, progress: &mut Progress) -> Result<Version, StoreError> {
        let before = Snapshot::clone(&self.directory.load());
        if before.version() >= version {
            return Ok(before.version());
        }
        let changes = load::load_changes(&mut *self.store.read().await?, &self.public_key, &before).await?;
        let loaded = match changes {
            Some(loaded) => loaded,
            None => load::load_all(&self.store, &self.public_key, &before).await?,
        };
        Ok(self.swap(loaded, progress))
    }

    async fn load_all(&self, progress: &mut Progress) -> Result<Version, StoreError> {
        let before = Snapshot::clone(&self.directory.load());
        let loaded = load::load_all(&self.store, &self.public_key, &before).await?;
        Ok(self.swap(loaded, progress))
    }

    /// Replaces the snapshot, and returns the version of the new one.
    fn swap(&self, loaded: Loaded, progress: &mut Progress) -> Version {
        let Loaded { snapshot, revoked } = loaded;
        let version = snapshot.version();
        self.directory.swap(snapshot);
        // Requests that still read the previous snapshot can no longer be verified with these keys.
        progress.verified.extend(revoked.iter().filter(|key| key.retire()).map(|key| key.id));
        version
    }
}
