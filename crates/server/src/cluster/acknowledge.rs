//! Waiting until no node accepts a revoked credential: each node has acknowledged the change, or its lease has ended.

use std::{collections::BTreeMap, fmt, time::Duration};

use domain::{Clock, NodeId, Version};
use store::{
    Store, StoreError,
    node::{LeaseMark, RegisteredNode},
};

/// How long a change waits for a node beyond its lease, because the rates of two clocks differ.
const EPSILON: Duration = Duration::from_millis(50);
/// The pauses between checks of which nodes have acknowledged a change. They are short at first, and then longer.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(10);

/// The leases that were read before a change began, and when each was first read. A lease with the same mark ends at
/// most its length after it was first read, so that the time that a change spent waiting counts.
#[derive(Clone, Debug, Default)]
pub struct Leases(BTreeMap<NodeId, ObservedLease>);

#[derive(Clone, Copy, Debug)]
struct ObservedLease {
    mark: Option<LeaseMark>,
    /// Time since boot.
    since: Duration,
    length: Duration,
}

impl Leases {
    /// Reads the leases of all nodes now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn observe_all(store: &Store, clock: &dyn Clock) -> Result<Self, StoreError> {
        let nodes = store.list_nodes().await?;
        let mut leases = Self::default();
        let now = clock.since_boot();
        for node in &nodes {
            leases.observe(node, now);
        }
        Ok(leases)
    }

    /// Records a node's lease, and returns the latest time at which it ends unless the node renews it.
    fn observe(&mut self, registered: &RegisteredNode, now: Duration) -> Duration {
        let length = registered.node.lease;
        let fresh = ObservedLease { mark: registered.mark, since: now, length };
        let observed = self.0.entry(registered.node.id).or_insert_with(|| ObservedLease { ..fresh });
        if observed.mark != registered.mark {
            *observed = fresh;
        }
        observed.length = observed.length.max(length);
        observed.since + observed.length + EPSILON
    }

    /// Removes leases without a mark, because they may have been renewed until the change committed.
    fn forget_unmarked(&mut self) {
        self.0.retain(|_, observed| observed.mark.is_some());
    }

    fn longest(&self) -> Duration {
        self.0.values().map(|observed| observed.length).max().unwrap_or_default()
    }
}

/// How a change was confirmed by every node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Confirmation {
    /// The version of the change.
    pub version: Version,
    /// The number of nodes that have applied it.
    pub nodes: u64,
    /// The number of nodes that did not acknowledge it and whose leases have ended, so that they accept no credential.
    pub expired: u64,
}

impl fmt::Display for Confirmation {
    /// Writes a dictionary of structured fields (RFC 9651), the value of the `Keyward-Confirmed` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, nodes, expired } = self;
        write!(f, "version={version}, nodes={nodes}, expired={expired}")
    }
}

/// Waits until every node has acknowledged `version` or its lease has ended. It does not wait for `own`, which has
/// applied it. `leases` were read before the change began.
///
/// # Errors
/// The store did not answer for so long that it is unknown which nodes have acknowledged it.
pub(super) async fn wait_for_nodes(
    store: &Store,
    clock: &dyn Clock,
    version: Version,
    own: Option<NodeId>,
    mut leases: Leases,
) -> Result<Confirmation, StoreError> {
    leases.forget_unmarked();
    let began = clock.since_boot();
    let mut expired = 0;
    let mut pause = FIRST_PAUSE;
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
                    } else if now <= leases.observe(registered, now).min(began + registered.node.lease + EPSILON) {
                        // A renewal that was sent after the commit reads this version before it takes effect.
                        is_waiting = true;
                    } else {
                        match store.evict_node(id, version, registered.mark).await {
                            Ok(true) => expired += 1,
                            // It is back, or another process is evicting it.
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
        pause = LAST_PAUSE.min(pause * 2);
    }
}
