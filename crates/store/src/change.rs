//! Transactions that change something, and the feed of changes for other nodes. `audit` has the audit events that are
//! committed with a change, and `replay` the stored responses to signed writes.

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

/// A row of the feed: an object that a version changed.
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

/// An object that the in-memory directory must load again after a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A user and their memberships.
    User(UserId),
    /// A service account.
    ServiceAccount(ServiceAccountId),
    /// A workspace and its members.
    Workspace(WorkspaceId),
    /// A key.
    ApiKey(ApiKeyId),
    /// A project and its members.
    Project(ProjectId),
    /// The values that exist once in an installation: the token epoch and other settings.
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
    /// Writes the id, or `installation`.
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

/// The audit events of one change. There is at least one.
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

/// A transaction that holds the locked row. [`commit`](Self::commit) ends it and takes the audit events of the change.
/// If it is dropped, it is rolled back.
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

    /// Returns the version that the installation has after this change has committed.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the time of this change.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds `subject` to the objects that nodes load again after this change has committed.
    pub fn touch(&mut self, subject: impl Into<Subject>) {
        self.subjects.insert(subject.into());
    }

    /// Appends `events` to the audit log, stores `response` for a repeated signed request, adds the changed objects to
    /// the feed, and commits.
    ///
    /// # Errors
    /// After [`StoreError::Uncertain`], the change may have been committed. After all other errors, nothing was
    /// changed. [`StoreError::Conflict`] on [`replay::REPLAY_KEY_CONSTRAINT`]: a concurrent request with the same
    /// signature has a stored response, see [`replay::find_replay`]. On [`replay::NONCE_CONSTRAINT`]: another request
    /// used the nonce.
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
    /// Commits without a change, see [`Store::make_durable`].
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

/// The changes since a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changes {
    /// The changed objects, each once. After loading them, a directory has the version `up_to`.
    Subjects {
        /// The objects to load again, in the order of their last change.
        subjects: Vec<Subject>,
        /// The version that the directory then has.
        up_to: Version,
    },
    /// The feed does not contain the changes since this version, or the version is later than that of the database,
    /// because the database was restored. Load everything.
    TooOld,
}

/// Returns the committed version.
///
/// # Errors
/// The database does not answer.
pub async fn current_version(connection: &mut Connection) -> Result<Version, StoreError> {
    let row = connection.fetch_one("SELECT version FROM installation WHERE id = 1", params![]).await?;
    row.count("version").map(Version)
}

/// Returns the changes after `version`.
///
/// # Errors
/// The database does not answer.
pub async fn changes_since(connection: &mut Connection, version: Version) -> Result<Changes, StoreError> {
    // One statement, so that the versions and the changes are from the same time.
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

/// Deletes the changes up to `version` from the feed, and returns their number. Later queries for them return
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

/// Notifies when a change may have been committed.
pub struct ChangeWatch(Watch);

impl ChangeWatch {
    pub(crate) const fn new(watch: Watch) -> Self {
        Self(watch)
    }

    /// Waits until this or another process may have committed a change since the last call, for at most `limit`. The
    /// first call returns true. The result is a hint only: there may be no change after true, and [`changes_since`]
    /// also returns a change that this function missed.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn changed(&mut self, limit: Duration) -> Result<bool, StoreError> {
        self.0.changed(limit).await
    }
}

impl Store {
    /// Returns the committed version, which is on every synchronous standby when this returns. Without this check, a
    /// value that was read may come from a commit whose wait for the standby was cancelled.
    ///
    /// # Errors
    /// The database does not answer, or no standby has the committed changes.
    pub async fn make_durable(&self, now: Timestamp) -> Result<Version, StoreError> {
        self.begin_change(now).await?.make_durable().await
    }

    /// Returns the changes after `version`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn changes_since(&self, version: Version) -> Result<Changes, StoreError> {
        changes_since(&mut *self.read().await?, version).await
    }

    /// Returns the committed version.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn current_version(&self) -> Result<Version, StoreError> {
        current_version(&mut *self.read().await?).await
    }
}
