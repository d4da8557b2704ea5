//! The registry of nodes: their leases, and the version that each has applied. `server` has the timing and the waits.

use std::time::Duration;

use domain::{NodeId, Timestamp};

use crate::{
    Connection, Maintenance, ReadConnection, Row, Store, StoreError, Version, change,
    connection::FromRow,
    migrations, params,
    table::{
        Column,
        ColumnType::{Bool, I64, Text},
        Table,
    },
};

/// A node and the version that it has applied when it registers.
pub(crate) struct Registration {
    node: Node,
    acknowledged: Version,
    now: Timestamp,
}

pub(crate) static NODES: Table<Registration> = Table {
    name: "nodes",
    columns: &[
        Column::key("id", Text, |row| row.node.id.into()),
        Column::mutable("name", Text, |row| (&row.node.name).into()),
        Column::mutable("software_version", Text, |row| (&row.node.software_version).into()),
        Column::mutable("lease_ms", I64, |row| i64::try_from(row.node.lease.as_millis()).unwrap_or(i64::MAX).into()),
        Column::mutable("acknowledged_version", I64, |row| row.acknowledged.into()),
        Column::mutable("registered_at", I64, |row| row.now.into()),
        Column::fixed("renewed_at", I64, |row| row.now.into()),
        Column::mutable("settings_hash", Text, |row| row.node.settings_hash.as_ref().into()),
        Column::mutable("reports_use", Bool, |_| true.into()),
        Column::mutable("known_format", I64, |_| migrations::latest().cast_signed().into()),
    ],
};

pub(crate) static LOST_NODES: Table<()> = Table {
    name: "lost_nodes",
    columns: &[Column::separate_key("version", I64), Column::separate_key("acknowledged_version", I64)],
};

/// A running server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its id, which is new at every start.
    pub id: NodeId,
    /// Its name for people: its host and process.
    pub name: String,
    /// Its release.
    pub software_version: String,
    /// How long it may accept credentials without an answer from the database, in whole milliseconds.
    pub lease: Duration,
    /// A hash of the settings that must be the same on every node. `None` for a node of an earlier release.
    pub settings_hash: Option<String>,
}

impl FromRow for Node {
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

/// A node in the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredNode {
    /// The node.
    pub node: Node,
    /// The version that it has acknowledged.
    pub acknowledged: Version,
    /// The format of the database that it knows. `None` for a node of a release that knew no limits of keys.
    pub known_format: Option<u64>,
    /// When it registered, by its own clock.
    pub registered_at: Timestamp,
    /// When it last renewed its lease, by its own clock. It is only displayed.
    pub renewed_at: Timestamp,
    /// A value that grows with every renewal. While it does not change, no lease has begun since it was first read.
    /// `None` if this database does not record renewals.
    pub mark: Option<LeaseMark>,
}

/// The result of renewing a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// The version that the node must have applied and acknowledged before it uses the lease.
    pub version: Version,
    /// The version that was committed before the renewal. Like the renewal, it is on every synchronous standby.
    pub durable: Version,
}

/// The committed version, and the number of nodes that have acknowledged it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledgements {
    /// The version.
    pub version: Version,
    /// The number of registered nodes.
    pub nodes: u64,
    /// The number of these nodes that have acknowledged the version.
    pub acknowledged: u64,
}

/// Distinguishes the renewals of a node's lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LeaseMark(i64);

impl Store {
    /// Registers a node, before it loads anything. From then on, a revocation waits for it. A node that is already
    /// registered is registered again. `version` is the version that it has applied: 0 before its first load.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn register_node(&self, node: &Node, version: Version, now: Timestamp) -> Result<(), StoreError> {
        let registration = Registration { node: node.clone(), acknowledged: version, now };
        let renewed_at = "renewed_at = CASE WHEN nodes.renewed_at < excluded.renewed_at THEN excluded.renewed_at
            ELSE nodes.renewed_at + 1 END";
        let mut lease_change = self.begin_lease().await?;
        NODES.insert(&registration).run_or_update(&[renewed_at], &mut lease_change).await?;
        lease_change.commit().await
    }

    /// Records that a node has applied `version`. Returns false if the node was evicted. It must then register and load
    /// again before it verifies requests.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn acknowledge(&self, node: NodeId, version: Version) -> Result<bool, StoreError> {
        // A crash of the database may lose this write. The revocation then waits for the lease.
        let mut lease_change = self.database.begin_unsynced().await.map(Maintenance::from)?;
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

    /// Renews a node's lease, and returns the version that the node must have applied and acknowledged to use it.
    /// Returns `None` if the node was evicted. It must then register and load again. The lease begins before this
    /// function is called.
    ///
    /// # Errors
    /// The database does not answer, or no standby has the renewal. The lease was not renewed.
    pub async fn renew_lease(&self, node: NodeId, now: Timestamp) -> Result<Option<Renewal>, StoreError> {
        let mut durable = None;
        if self.database.can_be_demoted() {
            let mut lease_change = self.begin_lease().await?;
            // In the same transaction, because another connection may lead to another server.
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
        // Read after the renewal has committed: a revocation that did not see the renewal is visible here.
        let row = ReadConnection::from(self.database.read_for_lease().await?)
            .fetch_optional(
                "SELECT installation.version FROM installation, nodes WHERE installation.id = 1 AND nodes.id = $1",
                params![node],
            )
            .await?;
        let version = row.map(|row| row.count("version").map(Version)).transpose()?;
        // In an embedded database, everything that readers see is on the disk.
        Ok(version.map(|version| Renewal { version, durable: durable.unwrap_or(version) }))
    }

    /// Returns the committed version and the number of nodes that have acknowledged it, both at the same time. It does
    /// not wait for changes, and leases do not wait for it.
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

    /// Returns all nodes, in the order of their ids, which is the order in which they started.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list_nodes(&self) -> Result<Vec<RegisteredNode>, StoreError> {
        let rows = ReadConnection::from(self.database.read_for_lease().await?)
            .fetch_all(NODES.select("ORDER BY id"), params![])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(RegisteredNode {
                    node: Node::from_row(row)?,
                    acknowledged: Version(row.count("acknowledged_version")?),
                    known_format: row.opt_i64("known_format")?.and_then(|format| u64::try_from(format).ok()),
                    registered_at: row.timestamp("registered_at")?,
                    renewed_at: row.timestamp("renewed_at")?,
                    mark: self.database.can_be_demoted().then_some(LeaseMark(row.i64("renewed_at")?)),
                })
            })
            .collect()
    }

    /// Removes a node that stops and has recorded the uses of keys that were revoked up to `reported`. Returns false if
    /// it was not registered.
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

    /// Evicts a node whose lease has expired, unless it has acknowledged `version` or has renewed its lease since then.
    /// A renewed lease has another mark.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn evict_node(
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

    async fn begin_lease(&self) -> Result<Maintenance, StoreError> {
        self.database.begin_lease().await.map(Maintenance::from)
    }
}

/// What a node of an earlier release does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Limits of keys. A node without them would accept a key without its limits.
    KeyLimits,
    /// Rotations of keys. A node without them would revoke a key without the successors that it registered for itself,
    /// and would accept a later expiry of a rotated key.
    KeyRotations,
    /// Policies for keys. A node without them would accept a key that a policy refuses.
    KeyPolicies,
}

impl Feature {
    /// Returns the first format of the database with this feature.
    const fn format(self) -> u64 {
        match self {
            Self::KeyLimits => migrations::KEY_LIMITS,
            Self::KeyRotations => migrations::KEY_ROTATIONS,
            Self::KeyPolicies => migrations::KEY_POLICIES,
        }
    }
}

/// Returns the names of the registered nodes that do not know a feature, in the order in which they started.
///
/// # Errors
/// The database does not answer.
pub async fn list_nodes_without(connection: &mut Connection, feature: Feature) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM nodes WHERE known_format IS NULL OR known_format < $1 ORDER BY id";
    let rows = connection.fetch_all(sql, params![feature.format().cast_signed()]).await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// Records up to which version a stopped node has reported its uses, and commits. Returns false if it was not
/// registered.
async fn end_removal(
    mut lease_change: Maintenance,
    removed: Option<Row>,
    reported: Version,
) -> Result<bool, StoreError> {
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
