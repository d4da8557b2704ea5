//! The nodes of an installation: the lease that a node needs to verify requests (`lease`), how a node loads the
//! directory (`load`) and applies changes of others (`follow`), and how a change waits until every node has applied it
//! (`acknowledge`).

mod acknowledge;
mod follow;
mod lease;
mod load;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, NodeId, Version};
use store::{Committed, Store, StoreError};
use tokio::sync::OnceCell;

pub use self::{
    acknowledge::{Confirmation, Leases},
    follow::ClusterMember,
    lease::{NoLease, NodeLease},
};

/// How long an observation of the leases is used for the changes that begin.
const OBSERVATION_AGE: Duration = Duration::from_millis(50);

/// This process as a part of the cluster.
pub struct Cluster {
    store: Store,
    clock: Arc<dyn Clock>,
    role: Role,
    /// How many nodes the last change was confirmed by.
    nodes: AtomicU64,
    /// The waits of commits, by the last version of each.
    waits: Mutex<BTreeMap<Version, Weak<Wait>>>,
    /// The leases that were observed last, and the time since boot before that.
    observed: tokio::sync::Mutex<Option<(Duration, Leases)>>,
}

/// The wait of the changes of one commit. If the caller that waits is dropped, another one continues.
type Wait = OnceCell<Result<Confirmation, Arc<StoreError>>>;

/// The role of this process for the other nodes.
enum Role {
    /// A server: it verifies requests and acknowledges changes.
    Member(Arc<ClusterMember>),
    /// A command on the host: it makes changes and verifies no requests, so changes do not wait for it.
    HostCommand,
}

impl Cluster {
    /// Creates the part of a server.
    #[must_use]
    pub fn of_member(store: Store, clock: Arc<dyn Clock>, member: Arc<ClusterMember>) -> Self {
        Self::new(store, clock, Role::Member(member))
    }

    /// Creates the part of a command on the host.
    #[must_use]
    pub fn of_host_command(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self::new(store, clock, Role::HostCommand)
    }

    fn new(store: Store, clock: Arc<dyn Clock>, role: Role) -> Self {
        let (waits, observed) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { store, clock, role, nodes: AtomicU64::new(1), waits, observed }
    }

    /// Returns whether the last change was confirmed by several nodes. Pages only name nodes if there are several.
    #[must_use]
    pub fn has_several_nodes(&self) -> bool {
        self.nodes.load(Ordering::Relaxed) > 1
    }

    /// Returns this node's id, and the version up to which it has reported the uses of revoked keys. Returns `None` for
    /// a command on the host, which is not a node.
    #[must_use]
    pub fn own_report(&self) -> Option<(NodeId, Version)> {
        match &self.role {
            Role::Member(member) => Some((member.node(), member.reported())),
            Role::HostCommand => None,
        }
    }

    /// Applies changes and renews the lease, if this process has one. A server does this several times a second.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn renew_lease(&self) -> Result<(), StoreError> {
        match &self.role {
            Role::Member(member) => member.renew().await,
            Role::HostCommand => Ok(()),
        }
    }

    /// Removes this process from the registry, if it is registered, so that no change waits for it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn leave(&self) -> Result<(), StoreError> {
        match &self.role {
            Role::Member(member) => member.leave().await,
            Role::HostCommand => Ok(()),
        }
    }

    /// Returns the leases of all nodes, read now or a moment ago. This is done before a change begins. Changes that begin at
    /// the same time share what is read. An earlier observation is as good: a lease that was renewed after it counts from
    /// the commit.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn observe_leases(&self) -> Result<Leases, StoreError> {
        if !self.store.is_shared() {
            // An embedded database records no renewals, so that no observation from before the commit counts.
            return Ok(Leases::default());
        }
        let mut observed = self.observed.lock().await;
        let now = self.clock.since_boot();
        match observed.as_ref() {
            Some((at, leases)) if now.saturating_sub(*at) <= OBSERVATION_AGE => Ok(leases.clone()),
            _ => {
                let leases = Leases::observe_all(&self.store, self.clock.as_ref()).await?;
                *observed = Some((now, leases.clone()));
                Ok(leases)
            }
        }
    }

    /// Waits until a committed change is effective on every node. `leases` were read before it began. The changes of one
    /// commit share the wait for the last of them.
    ///
    /// # Errors
    /// It is unknown which nodes have applied it.
    pub async fn confirm(&self, committed: Committed, leases: Leases) -> Result<Confirmation, Arc<StoreError>> {
        let Committed { version, last } = committed;
        if let Role::Member(member) = &self.role {
            member.note_durable(last);
        }
        let wait = self.shared_wait(last);
        let confirmed = wait.get_or_init(|| async { self.wait_for_nodes(last, leases).await.map_err(Arc::new) }).await;
        confirmed.clone().map(|confirmation| Confirmation { version, ..confirmation })
    }

    /// Returns the wait of all changes that were committed together with the version `last`.
    fn shared_wait(&self, last: Version) -> Arc<Wait> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = waits.get(&last).and_then(Weak::upgrade) {
            return wait;
        }
        waits.retain(|_, wait| wait.strong_count() > 0);
        let wait = Arc::new(Wait::new());
        waits.insert(last, Arc::downgrade(&wait));
        wait
    }

    /// Waits until every node has applied the committed version, see `docs/adr/0011`. It writes nothing and takes no
    /// lock, unless another node has just committed a change.
    ///
    /// # Errors
    /// It is unknown which nodes have applied it, or whether it would survive the loss of the primary.
    pub async fn confirm_current(&self) -> Result<Confirmation, StoreError> {
        match &self.role {
            Role::Member(member) => {
                // At least the version that the caller has read.
                let counted = self.store.count_acknowledgements().await?;
                member.require_durable(counted.version).await?;
                if counted.acknowledged < counted.nodes {
                    return self.wait_for_nodes(counted.version, self.observe_leases().await?).await;
                }
                self.nodes.store(counted.nodes, Ordering::Relaxed);
                Ok(Confirmation { version: counted.version, nodes: counted.nodes, expired: 0 })
            }
            Role::HostCommand => {
                let leases = self.observe_leases().await?;
                // It has no lease whose renewal would show which version is durable.
                let version = self.store.make_durable().await?;
                self.wait_for_nodes(version, leases).await
            }
        }
    }

    async fn wait_for_nodes(&self, version: Version, leases: Leases) -> Result<Confirmation, StoreError> {
        let own = match &self.role {
            Role::Member(member) => match member.catch_up(version).await {
                Ok(()) => Some(member.node()),
                Err(error) => {
                    tracing::error!(%error, "a change was committed that this node cannot read yet");
                    // This node has not acknowledged it, so the change waits for it as for any other node.
                    None
                }
            },
            Role::HostCommand => None,
        };
        let waited = acknowledge::wait_for_nodes(&self.store, self.clock.as_ref(), version, own, leases).await;
        let confirmation = waited?;
        self.nodes.store(confirmation.nodes, Ordering::Relaxed);
        if confirmation.expired > 0 {
            tracing::warn!(
                version = version.0,
                nodes = confirmation.expired,
                "nodes did not acknowledge a change; they were evicted after their leases had ended"
            );
        }
        Ok(confirmation)
    }
}
