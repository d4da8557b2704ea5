//! The registry of running servers: who they are, how long their leases are, and which version each has taken in.
//! Timing and waiting are the server's.

use std::time::Duration;

use domain::{NodeId, Timestamp};

use crate::{Row, Store, StoreError, Upkeep, Version, change, params};

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
    /// A hash of the settings that have to be the same on every node. None: a node of a release before these.
    pub settings_hash: Option<String>,
}

impl Node {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parse("id")?,
            name: row.text("name")?,
            software_version: row.text("software_version")?,
            lease: Duration::from_millis(row.count("lease_ms")?),
            settings_hash: row.opt_text("settings_hash")?,
        })
    }
}

/// A node as the registry has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredNode {
    /// The node.
    pub node: Node,
    /// What it has taken in.
    pub acknowledged: Version,
    /// When it registered, by its own clock.
    pub registered_at: Timestamp,
    /// When it last renewed its lease, by its own clock: for people to read.
    pub renewed_at: Timestamp,
    /// Grows with every renewal. While it stays, no lease has begun since it was first seen. None: renewals leave no
    /// mark in this database.
    pub mark: Option<LeaseMark>,
}

/// What a renewal of a node's lease showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// What the node must have taken in and acknowledged before it uses the lease.
    pub version: Version,
    /// What was committed before the renewal, and so is on every synchronous standby now that the renewal is.
    pub durable: Version,
}

/// Which version is committed, and how many of the nodes have acknowledged it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledgements {
    /// The version.
    pub version: Version,
    /// Registered nodes.
    pub nodes: u64,
    /// Those of them that have acknowledged the version.
    pub acknowledged: u64,
}

/// Tells one renewal of a node's lease from the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LeaseMark(i64);

impl Store {
    /// Enters a node, before it loads anything: from then on, whoever revokes waits for it. One that is there already
    /// begins anew. `version` is what it has taken in: 0 before its first load.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn register_node(&self, node: &Node, version: Version, now: Timestamp) -> Result<(), StoreError> {
        let lease = i64::try_from(node.lease.as_millis()).unwrap_or(i64::MAX);
        let mut lease_change = self.begin_lease().await?;
        lease_change
            .execute(
                "INSERT INTO nodes (id, name, software_version, lease_ms, acknowledged_version, registered_at, renewed_at,
                     settings_hash, reports_use)
                 VALUES ($1, $2, $3, $4, $5, $6, $6, $7, TRUE)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, software_version = excluded.software_version,
                     reports_use = excluded.reports_use,
                     lease_ms = excluded.lease_ms, acknowledged_version = excluded.acknowledged_version,
                     registered_at = excluded.registered_at, settings_hash = excluded.settings_hash,
                     renewed_at = CASE WHEN nodes.renewed_at < excluded.renewed_at THEN excluded.renewed_at
                         ELSE nodes.renewed_at + 1 END",
                params![node.id, &node.name, &node.software_version, lease, version, now, node.settings_hash.as_deref()],
            )
            .await?;
        lease_change.commit().await
    }

    /// Notes that a node answers from `version` or a later one. False: it was given up for dead, and must register and
    /// load anew before it judges again.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn acknowledge(&self, node: NodeId, version: Version) -> Result<bool, StoreError> {
        // It is true whether or not it is kept: where it gets lost, whoever revokes waits for the lease.
        let mut lease_change = self.database.begin_fleeting().await.map(Upkeep::new)?;
        let rows = lease_change
            .execute(
                "UPDATE nodes SET
                     acknowledged_version = CASE WHEN acknowledged_version < $2 THEN $2 ELSE acknowledged_version END
                 WHERE id = $1",
                params![node, version],
            )
            .await?;
        lease_change.commit().await?;
        Ok(rows == 1)
    }

    /// Renews a node's lease, and tells the version that it must have taken in and acknowledged to use it. None: it was
    /// evicted, and must register and load anew. The lease runs from before this was called.
    ///
    /// # Errors
    /// The database does not answer, or no standby has the renewal; the lease was not renewed.
    pub async fn renew_lease(&self, node: NodeId, now: Timestamp) -> Result<Option<Renewal>, StoreError> {
        let mut durable = None;
        if self.database.can_be_deposed() {
            let mut lease_change = self.begin_lease().await?;
            // In the same transaction, because what is read over another connection may be another server's.
            durable = Some(change::current_version(&mut lease_change).await?);
            let rows = lease_change
                .execute(
                    "UPDATE nodes SET renewed_at = CASE WHEN renewed_at < $2 THEN $2 ELSE renewed_at + 1 END
                     WHERE id = $1",
                    params![node, now],
                )
                .await?;
            lease_change.commit().await?;
            if rows == 0 {
                return Ok(None);
            }
        }
        // After the renewal has committed: whoever revokes and does not see the renewal is seen here.
        let row = self
            .database
            .read_for_lease()
            .await?
            .fetch_optional(
                "SELECT installation.version FROM installation, nodes WHERE installation.id = 1 AND nodes.id = $1",
                params![node],
            )
            .await?;
        let version = row.map(|row| row.count("version").map(Version)).transpose()?;
        // What an embedded database shows to readers is on the disk.
        Ok(version.map(|version| Renewal { version, durable: durable.unwrap_or(version) }))
    }

    /// Which version is committed and how many nodes have acknowledged it, both at one moment. It waits for no change, and
    /// not in front of a lease.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn count_acknowledgements(&self) -> Result<Acknowledgements, StoreError> {
        let row = self
            .read()
            .await?
            .fetch_one(
                "SELECT installation.version, COUNT(nodes.id) AS nodes,
                     COUNT(CASE WHEN nodes.acknowledged_version >= installation.version THEN nodes.id END) AS acknowledged
                 FROM installation LEFT JOIN nodes ON nodes.id IS NOT NULL
                 WHERE installation.id = 1 GROUP BY installation.version",
                params![],
            )
            .await?;
        Ok(Acknowledgements {
            version: Version(row.count("version")?),
            nodes: row.count("nodes")?,
            acknowledged: row.count("acknowledged")?,
        })
    }

    /// All nodes, in the order of their ids, which is the order in which they started.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list_nodes(&self) -> Result<Vec<RegisteredNode>, StoreError> {
        let rows = self
            .database
            .read_for_lease()
            .await?
            .fetch_all(
                "SELECT id, name, software_version, lease_ms, acknowledged_version, registered_at, renewed_at,
                     settings_hash
                 FROM nodes ORDER BY id",
                params![],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(RegisteredNode {
                    node: Node::from_row(row)?,
                    acknowledged: Version(row.count("acknowledged_version")?),
                    registered_at: row.timestamp("registered_at")?,
                    renewed_at: row.timestamp("renewed_at")?,
                    mark: self.database.can_be_deposed().then_some(LeaseMark(row.i64("renewed_at")?)),
                })
            })
            .collect()
    }

    /// Takes a node out because it stops, and has written down what it verified with keys that were revoked up to `reported`.
    /// False: it was not there.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn remove_node(&self, node: NodeId, reported: Version) -> Result<bool, StoreError> {
        let mut lease_change = self.begin_lease().await?;
        let removed = lease_change
            .fetch_optional("DELETE FROM nodes WHERE id = $1 RETURNING acknowledged_version", params![node])
            .await?;
        end_removal(lease_change, removed, reported).await
    }

    /// Gives a node up for dead whose lease has run out, unless it came back: it has acknowledged `version`, or its
    /// lease has another mark.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn give_up_node(
        &self,
        node: NodeId,
        version: Version,
        mark: Option<LeaseMark>,
    ) -> Result<bool, StoreError> {
        let mut lease_change = self.begin_lease().await?;
        let removed = lease_change
            .fetch_optional(
                "DELETE FROM nodes WHERE id = $1 AND acknowledged_version < $2
                     AND (CAST($3 AS BIGINT) IS NULL OR renewed_at = $3)
                 RETURNING acknowledged_version",
                params![node, version, mark.map(|mark| mark.0)],
            )
            .await?;
        end_removal(lease_change, removed, Version::default()).await
    }

    async fn begin_lease(&self) -> Result<Upkeep, StoreError> {
        self.database.begin_lease().await.map(Upkeep::new)
    }
}

/// Writes down up to where a node that is gone can answer for what it verified, and commits. False: it was not there.
async fn end_removal(mut lease_change: Upkeep, removed: Option<Row>, reported: Version) -> Result<bool, StoreError> {
    if let Some(row) = &removed {
        let acknowledged = Version(row.count("acknowledged_version")?).max(reported);
        lease_change
            .execute(
                "INSERT INTO lost_nodes (version, acknowledged_version)
                 SELECT version, CAST($1 AS BIGINT) FROM installation WHERE id = 1
                 ON CONFLICT (version, acknowledged_version) DO NOTHING",
                params![acknowledged],
            )
            .await?;
    }
    lease_change.commit().await?;
    Ok(removed.is_some())
}
