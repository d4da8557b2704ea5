//! Transactions that change something, and the feed that tells others what did. What is written to the audit log with
//! them is in `audit`; the first answers to signed writes are in `replay`.

use std::{collections::BTreeSet, fmt, ops, str::FromStr, time::Duration};

use domain::{
    ApiKeyId, AuditEvent, PrincipalId, ProjectId, ServiceAccountId, Timestamp, UserId, Version, WorkspaceId,
    merkle::CompactRange,
};

use crate::{Answer, Store, StoreError, Value, audit, connection::Connection, engine::Watch, params, replay};

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

/// A text that names nothing that the directory holds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` names nothing that changes are about")]
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

/// A transaction that holds the locked row. It ends with [`commit`](Self::commit), which wants the audit events that it
/// belongs to; dropped, it leaves nothing behind.
#[must_use = "a change that is dropped is rolled back"]
pub struct Change {
    connection: Connection,
    now: Timestamp,
    version: Version,
    log: CompactRange,
    subjects: BTreeSet<Subject>,
}

impl Change {
    pub(crate) async fn begin(mut connection: Connection, now: Timestamp) -> Result<Self, StoreError> {
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

    /// What this change calls now.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Notes that `subject` must be loaded again once this change has committed.
    pub fn touch(&mut self, subject: impl Into<Subject>) {
        self.subjects.insert(subject.into());
    }

    /// Appends `events` to the audit log, keeps `answer` for whoever sends the same signed request again, tells the
    /// feed, and commits all of it with the change.
    ///
    /// # Errors
    /// [`StoreError::Uncertain`]: it may have been changed. All others: nothing was changed. [`StoreError::Conflict`] over [`replay::REPLAY_KEY_CONSTRAINT`]: the same signed request was
    /// answered meanwhile, see [`replay::find_replay`]; over [`replay::NONCE_CONSTRAINT`]: another one used its nonce.
    pub async fn commit(mut self, events: impl Into<Events>, answer: Option<&Answer>) -> Result<Version, StoreError> {
        let Events(events) = events.into();
        audit::append(&mut self.connection, &mut self.log, &events).await?;
        self.connection
            .execute(
                "UPDATE installation SET audit_size = $1, audit_range = $2 WHERE id = 1",
                params![self.log.size().cast_signed(), self.log.to_bytes()],
            )
            .await?;
        for subject in &self.subjects {
            self.connection
                .execute(
                    "INSERT INTO changes (version, subject) VALUES ($1, $2)",
                    params![self.version, subject.to_string()],
                )
                .await?;
        }
        if let Some(answer) = answer {
            replay::insert_answer(&mut self.connection, answer).await?;
        }
        self.connection.link.notify_on_commit();
        self.connection.link.commit().await?;
        Ok(self.version)
    }
}

impl Change {
    /// Ends a change that changes nothing, and tells the version of what is committed, which is on every synchronous
    /// standby once this returns: what was read may have been committed by somebody who did not live to hear that.
    ///
    /// # Errors
    /// The database does not answer, or no standby has what is committed.
    pub async fn make_durable(mut self) -> Result<Version, StoreError> {
        let sql = "UPDATE installation SET version = version - 1 WHERE id = 1 RETURNING version";
        let version = self.connection.fetch_one(sql, params![]).await?.count("version")?;
        self.connection.link.commit().await?;
        Ok(Version(version))
    }
}

impl ops::Deref for Change {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl ops::DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// A transaction for what changes no meaning. It has no version and no audit event, and nobody's directory hears of it.
#[must_use = "upkeep that is dropped is rolled back"]
pub struct Upkeep {
    connection: Connection,
}

impl Upkeep {
    pub(crate) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Commits.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.connection.link.commit().await
    }
}

impl ops::Deref for Upkeep {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl ops::DerefMut for Upkeep {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// What the feed knows since some version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changes {
    /// What changed, each once. Loading these brings a directory to `up_to`.
    Subjects {
        /// What to load again, in the order of their last change.
        subjects: Vec<Subject>,
        /// The version that the directory then has.
        up_to: Version,
    },
    /// The feed does not reach back so far, or the version is of the future of a database that was restored: load
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
    let head = rows.first().ok_or_else(|| StoreError::corrupt("the installation's row is gone"))?;
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

/// Forgets the changes up to `version`, and tells how many there were. Who asks for them later is told
/// [`Changes::TooOld`].
///
/// # Errors
/// The database does not answer.
pub async fn prune_changes(upkeep: &mut Upkeep, version: Version) -> Result<u64, StoreError> {
    upkeep
        .execute(
            "UPDATE installation SET feed_start = $1 WHERE id = 1 AND feed_start < $1 AND version >= $1",
            params![version],
        )
        .await?;
    upkeep
        .execute("DELETE FROM changes WHERE version <= (SELECT feed_start FROM installation WHERE id = 1)", params![])
        .await
}

/// Tells when something may have been committed.
pub struct ChangeWatch(Watch);

impl ChangeWatch {
    pub(crate) const fn new(watch: Watch) -> Self {
        Self(watch)
    }

    /// Waits until anybody, in this process or another, may have committed a change since the last call, at most for
    /// `limit`; true the first time. Where it says true there may be nothing new, and what it says nothing of shows in
    /// [`changes_since`] all the same: a wake-up, not a promise.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn changed(&mut self, limit: Duration) -> Result<bool, StoreError> {
        self.0.changed(limit).await
    }
}

impl Store {
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
