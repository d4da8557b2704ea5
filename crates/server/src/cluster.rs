//! The nodes of an installation: the lease without which a node verifies no requests (`lease`), how a node loads the directory
//! (`load`) and applies what others changed (`follow`), and how a change waits until every node has applied it (`acknowledge`).

mod acknowledge;
mod follow;
mod lease;
mod load;

use std::sync::Arc;

use domain::{Clock, NodeId, Version};
use store::{Store, StoreError};

pub use self::{
    acknowledge::{Confirmation, Leases},
    follow::ClusterMember,
    lease::{NoLease, NodeLease},
};

/// This process's part in the cluster.
pub struct Cluster {
    store: Store,
    clock: Arc<dyn Clock>,
    role: Role,
}

/// What this process is to the other nodes.
enum Role {
    /// A server: it verifies requests and acknowledges changes.
    Member(Arc<ClusterMember>),
    /// A command on the host: it changes things, verifies no requests, and so is waited for by no one.
    HostCommand,
}

impl Cluster {
    /// The part of a server.
    #[must_use]
    pub fn of_member(store: Store, clock: Arc<dyn Clock>, member: Arc<ClusterMember>) -> Self {
        Self { store, clock, role: Role::Member(member) }
    }

    /// The part of a command on the host.
    #[must_use]
    pub const fn of_host_command(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, role: Role::HostCommand }
    }

    /// This node, and the version up to which it has reported which revoked keys it had verified with. None for a command on
    /// the host, which is not a node.
    #[must_use]
    pub fn own_report(&self) -> Option<(NodeId, Version)> {
        match &self.role {
            Role::Member(member) => Some((member.node(), member.reported())),
            Role::HostCommand => None,
        }
    }

    /// Applies what changed and renews the lease, where this process has one. A server does so by itself, several times a
    /// second.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn renew_lease(&self) -> Result<(), StoreError> {
        match &self.role {
            Role::Member(member) => member.renew().await,
            Role::HostCommand => Ok(()),
        }
    }

    /// Takes this process out of the registry, where it is in it, so that no change waits for it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn leave(&self) -> Result<(), StoreError> {
        match &self.role {
            Role::Member(member) => member.leave().await,
            Role::HostCommand => Ok(()),
        }
    }

    /// Observes the leases of all nodes, which is done before a change begins.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn observe_leases(&self) -> Result<Leases, StoreError> {
        Leases::observe_all(&self.store, self.clock.as_ref()).await
    }

    /// Waits until a change that was committed as `version` is effective on every node. `leases` were observed before it
    /// began.
    ///
    /// # Errors
    /// It is unknown which nodes have applied it.
    pub async fn confirm(&self, version: Version, leases: Leases) -> Result<Confirmation, StoreError> {
        if let Role::Member(member) = &self.role {
            member.note_durable(version);
        }
        self.wait_for_nodes(version, leases).await
    }

    /// Waits until every node has applied what is committed now, see `docs/adr/0011`. It writes nothing, and takes no lock,
    /// unless another node has just committed a change.
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
                Ok(Confirmation { version: counted.version, nodes: counted.nodes, expired: 0 })
            }
            Role::HostCommand => {
                let leases = self.observe_leases().await?;
                // It renews no lease by which it would know what is durable.
                let version = self.store.make_durable(self.clock.now()).await?;
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
                    // Like any other node that has not acknowledged it, this one is waited for.
                    None
                }
            },
            Role::HostCommand => None,
        };
        let waited = acknowledge::wait_for_nodes(&self.store, self.clock.as_ref(), version, own, leases).await;
        let confirmation = waited?;
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
