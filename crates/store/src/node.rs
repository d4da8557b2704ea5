//! The registry of running servers: who they are, how long their leases are, and which version each has taken in.
//! Timing and waiting are the server's.

use std::time::Duration;

use domain::{NodeId, Timestamp};

use crate::{Row, Store, StoreError, Version, params};

/// A running server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Names it; a new one at every start.
    pub id: NodeId,
    /// What people call it: its host and process.
    pub name: String,
    /// The release that it runs.
    pub software_version: String,
    /// How long it may go on accepting credentials without hearing from the database. Whole milliseconds.
    pub lease: Duration,
}

impl Node {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parse("id")?,
            name: row.text("name")?,
            software_version: row.text("software_version")?,
            lease: Duration::from_millis(row.count("lease_ms")?),
        })
    }
}

impl Store {
    /// Enters a node, before it loads anything: from then on, whoever revokes waits for it. One that is there already
    /// begins anew. `version` is what it has taken in: 0 before its first load.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn register_node(&self, node: &Node, version: Version, now: Timestamp) -> Result<(), StoreError> {
        let lease = i64::try_from(node.lease.as_millis()).unwrap_or(i64::MAX);
        let mut upkeep = self.begin_upkeep().await?;
        upkeep
            .execute(
                "INSERT INTO nodes (id, name, software_version, lease_ms, acknowledged_version, registered_at, renewed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $6)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, software_version = excluded.software_version,
                     lease_ms = excluded.lease_ms, acknowledged_version = excluded.acknowledged_version,
                     registered_at = excluded.registered_at, renewed_at = excluded.renewed_at",
                params![node.id, &node.name, &node.software_version, lease, version, now],
            )
            .await?;
        upkeep.commit().await
    }

    /// Notes that a node answers from `version` or a later one. False: it was given up for dead, and must register and
    /// load anew.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn acknowledge(&self, node: NodeId, version: Version, now: Timestamp) -> Result<bool, StoreError> {
        let mut upkeep = self.begin_upkeep().await?;
        let rows = upkeep
            .execute(
                "UPDATE nodes SET renewed_at = $3,
                     acknowledged_version = CASE WHEN acknowledged_version < $2 THEN $2 ELSE acknowledged_version END
                 WHERE id = $1",
                params![node, version, now],
            )
            .await?;
        upkeep.commit().await?;
        Ok(rows == 1)
    }

    /// Renews a node's lease, and tells the version that it must have taken in to use it. None: it was given up for
    /// dead, and must register and load anew.
    ///
    /// A read is enough here because all nodes of an embedded database are on its machine; an engine that can be
    /// deposed renews by a replicated write.
    ///
    /// # Errors
    /// The database does not answer, and the lease was not renewed.
    pub async fn renew_lease(&self, node: NodeId) -> Result<Option<Version>, StoreError> {
        let row = self
            .read()
            .await?
            .fetch_optional(
                "SELECT installation.version FROM installation, nodes WHERE installation.id = 1 AND nodes.id = $1",
                params![node],
            )
            .await?;
        row.map(|row| row.count("version").map(Version)).transpose()
    }

    /// The nodes other than `except` that have not acknowledged `version`. Who revokes waits until there are none, or
    /// until the longest of their leases is over, and then removes the rest.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unacknowledged_nodes(
        &self,
        version: Version,
        except: Option<NodeId>,
    ) -> Result<Vec<Node>, StoreError> {
        let rows = self
            .read()
            .await?
            .fetch_all(
                "SELECT id, name, software_version, lease_ms FROM nodes
                 WHERE acknowledged_version < $1 AND (CAST($2 AS TEXT) IS NULL OR id <> $2) ORDER BY id",
                params![version, except],
            )
            .await?;
        rows.iter().map(Node::from_row).collect()
    }

    /// Takes a node out: it stops, or it was given up for dead. False: it was not there.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn remove_node(&self, node: NodeId) -> Result<bool, StoreError> {
        let mut upkeep = self.begin_upkeep().await?;
        let rows = upkeep.execute("DELETE FROM nodes WHERE id = $1", params![node]).await?;
        upkeep.commit().await?;
        Ok(rows == 1)
    }
}
