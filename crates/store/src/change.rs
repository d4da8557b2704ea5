//! Transactions that change something, and the feed that tells other nodes what changed. The audit events that are committed
//! with them are in `audit`; the stored responses to signed writes are in `replay`.

use std::{collections::BTreeSet, fmt, ops, str::FromStr, time::Duration};

use domain::{
    ApiKeyId, AuditEvent, PrincipalId, ProjectId, ServiceAccountId, Timestamp, UserId, Version, WorkspaceId,
    merkle::CompactRange,
};

use crate::{
    Maintenance, Store, StoreError, StoredResponse, Value, audit,
    connection::{Connection, WriteConnection},
    engine::Watch,
    params, replay,
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
};

/// A row of the feed: what a version changed.
pub(crate) struct Touched {
    version: Version,
    subject: Subject,
}

pub(crate) static CHANGES: Table<Touched> = Table {
    name: "changes",
    columns: &[
        Column::key("version", I64, |row| row.version.into()),
        Column::key("subject", Text, |row| row.subject.to_string().into()),
    ],
};

impl From<Version> for Value<'_> {
    fn from(version: Version) -> Self {
        Self::I64(Some(version.0.cast_signed()))
    }
}

/// What the in-memory directory must load again after a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A user, their memberships with it.
    User(UserId),
    /// A service account.
    ServiceAccount(ServiceAccountId),
    /// A workspace, its members with it.
    Workspace(WorkspaceId),
    /// A key.
    ApiKey(ApiKeyId),
    /// A project, its members with it.
    Project(ProjectId),
    /// What is there once: the token epoch and other settings.
    Installation,
}

impl From<PrincipalId> for Subject {
    fn from(id: PrincipalId) -> Self {
        match id {
            PrincipalId::User(id) => Self::User(id),
            PrincipalId::ServiceAccount(id) => Self::ServiceAccount(id),
        }
    }
}

impl fmt::Display for Subject {
    /// The id, or `installation`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::ServiceAccount(id) => id.fmt(f),
            Self::Workspace(id) => id.fmt(f),
            Self::ApiKey(id) => id.fmt(f),
            Self::Project(id) => id.fmt(f),
            Self::Installation => f.write_str("installation"),
        }
    }
}

/// A text that is not the name of a subject.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not the subject of a change")]
pub struct SubjectError(String);

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        if text == "installation" {
            return Ok(Self::Installation);
        }
        text.parse()
            .map(Self::User)
            .or_else(|_| text.parse().map(Self::ServiceAccount))
            .or_else(|_| text.parse().map(Self::Workspace))
            .or_else(|_| text.parse().map(Self::ApiKey))
            .or_else(|_| text.parse().map(Self::Project))
            .map_err(|_| SubjectError(text.to_owned()))
    }
}

/// The audit events of one change: at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Events(Vec<AuditEvent>);

impl From<AuditEvent> for Events {
    fn from(event: AuditEvent) -> Self {
        Self(vec![event])
    }
}

impl From<(AuditEvent, Vec<AuditEvent>)> for Events {
    /// The first event, then the others in order.
    fn from((first, mut rest): (AuditEvent, Vec<AuditEvent>)) -> Self {
        rest.insert(0, first);
        Self(rest)
    }
}

/// A transaction that holds the locked row. It ends with [`commit`](Self::commit), which takes the audit events of the change;
/// dropped, it is rolled back.
#[must_use = "a change that is dropped is rolled back"]
pub struct Change {
    connection: WriteConnection,
    now: Timestamp,
    version: Version,
    log: CompactRange,
    subjects: BTreeSet<Subject>,
}

impl Change {
    pub(crate) async fn begin(mut connection: WriteConnection, now: Timestamp) -> Result<Self, StoreError> {
        let row = connection
            .fetch_one(
                "UPDATE installation SET version = version + 1 WHERE id = 1 RETURNING version, audit_size, audit_range",
                params![],
            )
            .await?;
        let log = CompactRange::from_bytes(row.count("audit_size")?, &row.bytes("audit_range")?)
            .map_err(|error| StoreError::corrupt(format!("the head of the audit log: {error}")))?;
        let version = Version(row.count("version")?);
        Ok(Self { connection, now, version, log, subjects: BTreeSet::new() })
    }

    /// The version that this change will have made once it has committed.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The time of this change.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds `subject` to what nodes must load again once this change has committed.
    pub fn touch(&mut self, subject: impl Into<Subject>) {
        self.subjects.insert(subject.into());
    }

    /// Appends `events` to the audit log, stores `response` for a client that sends the same signed request again, adds what
    /// changed to the feed, and commits all of it with the change.
    ///
    /// # Errors
    /// [`StoreError::Uncertain`]: it may have been changed. All others: nothing was changed. [`StoreError::Conflict`] over
    /// [`replay::REPLAY_KEY_CONSTRAINT`]: a concurrent request with the same signature has a stored response, see
    /// [`replay::find_replay`]; over [`replay::NONCE_CONSTRAINT`]: another request used the nonce.
    pub async fn commit(
        mut self,
        events: impl Into<Events>,
        response: Option<&StoredResponse>,
    ) -> Result<Version, StoreError> {
        let Events(events) = events.into();
        audit::append(&mut self.connection, &mut self.log, &events).await?;
        self.connection
            .execute(
                "UPDATE installation SET audit_size = $1, audit_range = $2 WHERE id = 1",
                params![self.log.size().cast_signed(), self.log.to_bytes()],
            )
            .await?;
        for &subject in &self.subjects {
            CHANGES.insert(&Touched { version: self.version, subject }).run(&mut self.connection).await?;
        }
        if let Some(response) = response {
            replay::insert_response(&mut self.connection, response).await?;
        }
        self.connection.notify_on_commit();
        self.connection.commit().await?;
        Ok(self.version)
    }
}

impl Change {
    /// Ends a change that changes nothing, see [`Store::make_durable`].
    async fn make_durable(mut self) -> Result<Version, StoreError> {
        let sql = "UPDATE installation SET version = version - 1 WHERE id = 1 RETURNING version";
        let version = self.connection.fetch_one(sql, params![]).await?.count("version")?;
        self.connection.commit().await?;
        Ok(Version(version))
    }
}

impl ops::Deref for Change {
    type Target = WriteConnection;

    fn deref(&self) -> &WriteConnection {
        &self.connection
    }
}

impl ops::DerefMut for Change {
    fn deref_mut(&mut self) -> &mut WriteConnection {
        &mut self.connection
    }
}

/// What the feed holds since some version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changes {
    /// What changed, each once. Loading these brings a directory to `up_to`.
    Subjects {
        /// What to load again, in the order of their last change.
        subjects: Vec<Subject>,
        /// The version that the directory then has.
        up_to: Version,
    },
    /// The feed does not reach back to the version, or the version is later than the database's, which was restored: load
    /// everything.
    TooOld,
}

/// The version of what is committed.
///
/// # Errors
/// The database does not answer.
pub async fn current_version(connection: &mut Connection) -> Result<Version, StoreError> {
    let row = connection.fetch_one("SELECT version FROM installation WHERE id = 1", params![]).await?;
    row.count("version").map(Version)
}

/// What changed after `version`.
///
/// # Errors
/// The database does not answer.
pub async fn changes_since(connection: &mut Connection, version: Version) -> Result<Changes, StoreError> {
    // One statement, so that the versions and the changes are of one moment.
    let rows = connection
        .fetch_all(
            "SELECT installation.version, installation.feed_start, changes.subject
             FROM installation LEFT JOIN changes ON changes.version > $1
             WHERE installation.id = 1 ORDER BY changes.version DESC, changes.subject",
            params![version],
        )
        .await?;
    let head = rows.first().ok_or_else(|| StoreError::corrupt("the row of the installation is missing"))?;
    let up_to = Version(head.count("version")?);
    if version < Version(head.count("feed_start")?) || version > up_to {
        return Ok(Changes::TooOld);
    }
    let mut seen = BTreeSet::new();
    let mut subjects = Vec::new();
    for row in &rows {
        if let Some(subject) = row.opt_parse("subject")?.filter(|&subject: &Subject| seen.insert(subject)) {
            subjects.push(subject);
        }
    }
    subjects.reverse();
    Ok(Changes::Subjects { subjects, up_to })
}

/// Deletes the changes up to `version` from the feed, and returns how many there were. A later look for them returns
/// [`Changes::TooOld`].
///
/// # Errors
/// The database does not answer.
pub async fn prune_changes(maintenance: &mut Maintenance, version: Version) -> Result<u64, StoreError> {
    maintenance
        .execute(
            "UPDATE installation SET feed_start = $1 WHERE id = 1 AND feed_start < $1 AND version >= $1",
            params![version],
        )
        .await?;
    maintenance
        .execute("DELETE FROM changes WHERE version <= (SELECT feed_start FROM installation WHERE id = 1)", params![])
        .await
}

/// Tells when something may have been committed.
pub struct ChangeWatch(Watch);

impl ChangeWatch {
    pub(crate) const fn new(watch: Watch) -> Self {
        Self(watch)
    }

    /// Waits until this process or another one may have committed a change since the last call, at most for `limit`; returns
    /// true the first time. It is a wake-up only: there may be nothing new after true, and a change that it misses is in
    /// [`changes_since`] as well.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn changed(&mut self, limit: Duration) -> Result<bool, StoreError> {
        self.0.changed(limit).await
    }
}

impl Store {
    /// The committed version, which is on every synchronous standby once this returns. Without that, what was read may come
    /// from a commit whose wait for the standby was cut off.
    ///
    /// # Errors
    /// The database does not answer, or no standby has what is committed.
    pub async fn make_durable(&self, now: Timestamp) -> Result<Version, StoreError> {
        self.begin_change(now).await?.make_durable().await
    }

    /// What changed after `version`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn changes_since(&self, version: Version) -> Result<Changes, StoreError> {
        changes_since(&mut *self.read().await?, version).await
    }

    /// The version of what is committed.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn current_version(&self) -> Result<Version, StoreError> {
        current_version(&mut *self.read().await?).await
    }
}
