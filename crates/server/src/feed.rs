//! Keeps the directory true: loads it, follows the store's changes, acknowledges them, and holds the lease without
//! which a node does not judge.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, NodeId};
use store::{ChangeWatch, Changes, Connection, Store, StoreError, Subject, Version, change, node::Node};
use tokio::sync::Mutex;

use crate::{
    directory::{Directory, Snapshot},
    error::AppError,
};

/// How often a node looks for what others changed.
const TICK: Duration = Duration::from_millis(20);
/// Keys or projects that are loaded at a time.
const LOAD_CHUNK: i64 = 10_000;
/// What a revoker waits beyond the longest lease.
const EPSILON: Duration = Duration::from_millis(100);

/// A node's view of the store's changes.
pub struct Feed {
    store: Store,
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    node: Node,
    /// One catches up at a time; holds the version that was acknowledged.
    acknowledged: Mutex<Version>,
    /// Microseconds since boot until which this node may judge.
    lease_until: AtomicU64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Feed {
    /// Registers this node, loads the directory, and takes the first lease.
    ///
    /// # Errors
    /// The store does not answer or is corrupt.
    pub async fn start(store: Store, clock: Arc<dyn Clock>, node: Node) -> Result<Self, StoreError> {
        let feed = Self {
            store,
            clock,
            directory: Arc::default(),
            node,
            acknowledged: Mutex::default(),
            lease_until: AtomicU64::new(0),
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

    /// Whether this node may judge now: it heard from the store less than a lease ago.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        micros(self.clock.since_boot()) < self.lease_until.load(Ordering::Acquire)
    }

    /// Refuses where this node may not judge.
    ///
    /// # Errors
    /// 503
    pub fn require_lease(&self) -> Result<(), AppError> {
        if self.holds_lease() { Ok(()) } else { Err(AppError::Unavailable("this node holds no lease".to_owned())) }
    }

    /// Registers before the first load: from then on, whoever revokes waits for this node.
    async fn register(&self) -> Result<(), StoreError> {
        let mut acknowledged = self.acknowledged.lock().await;
        self.store.register_node(&self.node, Version::default(), self.clock.now()).await?;
        let loaded = self.load_all().await?;
        self.store.acknowledge(self.node.id, loaded, self.clock.now()).await?;
        *acknowledged = loaded;
        Ok(())
    }

    /// Renews the lease: it runs from before the store was asked. Takes in what changed first.
    ///
    /// # Errors
    /// The store does not answer; the lease runs out unless a later call succeeds.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let asked_at = self.clock.since_boot();
        match self.store.renew_lease(self.node.id).await? {
            Some(version) => {
                let mut acknowledged = self.acknowledged.lock().await;
                let loaded = self.load_up_to(version).await?;
                if loaded > *acknowledged {
                    self.store.acknowledge(self.node.id, loaded, self.clock.now()).await?;
                    *acknowledged = loaded;
                }
            }
            // Given up for dead: what was loaded may be anything.
            None => self.register().await?,
        }
        // Of two renewals at a time, the one that asked first may end last.
        self.lease_until.fetch_max(micros(asked_at + self.node.lease), Ordering::AcqRel);
        Ok(())
    }

    /// Brings the directory to `version` or later.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn catch_up(&self, version: Version) -> Result<(), StoreError> {
        if self.directory.load().version() >= version {
            return Ok(());
        }
        let _one_at_a_time = self.acknowledged.lock().await;
        self.load_up_to(version).await.map(|_| ())
    }

    /// Waits until no node can be found that would still judge by what was before `version`: each has acknowledged it,
    /// or its lease has run out.
    ///
    /// # Errors
    /// The store did not answer until the longest lease had run out: then, too, no node judges by what was before.
    pub async fn confirm(
        store: &Store,
        clock: &dyn Clock,
        version: Version,
        except: Option<NodeId>,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let began = clock.since_boot();
        let mut longest = lease;
        loop {
            let answer = store.unacknowledged_nodes(version, except).await;
            let waited = clock.since_boot().saturating_sub(began);
            match answer {
                Ok(nodes) if nodes.is_empty() => return Ok(()),
                Ok(nodes) => {
                    longest = nodes.iter().map(|node| node.lease).max().unwrap_or(lease);
                    if waited > longest + EPSILON {
                        for node in nodes {
                            store.remove_node(node.id).await?;
                        }
                        return Ok(());
                    }
                }
                Err(error) if waited > longest + EPSILON => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Follows the store until the task that runs this is dropped.
    pub async fn follow(self: Arc<Self>, mut watch: ChangeWatch) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut renewed_at = self.clock.since_boot();
        let mut failing = false;
        loop {
            ticks.tick().await;
            let due = self.clock.since_boot().saturating_sub(renewed_at) >= self.node.lease / 4;
            let result = match watch.data_changed_hint().await {
                Ok(changed) if changed || due || failing => self.renew().await,
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    renewed_at = self.clock.since_boot();
                    if failing {
                        tracing::info!("the store answers again");
                    }
                    failing = false;
                }
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "the store does not answer; this node stops judging when its lease ends");
                    }
                    failing = true;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Takes this node out of the registry, so that nobody waits for it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.lease_until.store(0, Ordering::Release);
        self.store.remove_node(self.node.id).await.map(|_| ())
    }

    async fn load_up_to(&self, version: Version) -> Result<Version, StoreError> {
        let before = Snapshot::clone(&self.directory.load());
        if before.version() >= version {
            return Ok(before.version());
        }
        let mut connection = self.store.read().await?;
        match change::changes_since(&mut connection, before.version()).await? {
            Changes::Subjects { subjects, up_to } => {
                let mut after = before;
                for subject in subjects {
                    match subject {
                        Subject::ApiKey(id) => {
                            match store::api_key::find_api_key_anywhere(&mut connection, id).await? {
                                Some(key) => after.put_key(&key),
                                None => after.remove_key(id),
                            }
                        }
                        Subject::User(id) => load_identity(&mut after, &mut connection, id.into()).await?,
                        Subject::ServiceAccount(id) => load_identity(&mut after, &mut connection, id.into()).await?,
                        Subject::Installation => {
                            after.put_installation(&store::installation::find_installation(&mut connection).await?);
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
                Ok(up_to)
            }
            Changes::TooOld => {
                drop(connection);
                self.load_all().await
            }
        }
    }

    /// Loads everything. What changes meanwhile is in a version later than the one read first, and is loaded again.
    async fn load_all(&self) -> Result<Version, StoreError> {
        let mut connection = self.store.read().await?;
        let version = change::current_version(&mut connection).await?;
        let installation = store::installation::find_installation(&mut connection).await?;
        let mut snapshot = Snapshot::default();
        for identity in store::identity::list_identities(&mut connection).await? {
            snapshot.put_identity(identity);
        }
        let mut after = None;
        loop {
            let keys = store::api_key::list_unrevoked_api_keys(&mut connection, after, LOAD_CHUNK).await?;
            for key in &keys {
                snapshot.put_key(key);
            }
            let Some(last) = keys.last() else { break };
            after = Some(last.id);
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
        snapshot.put_installation(&installation);
        snapshot.set_version(version);
        self.directory.swap(snapshot);
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
