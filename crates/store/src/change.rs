//! Transactions that change something, and the feed of changes for other nodes. `audit` has the audit events that are
//! committed with a change, and `replay` the stored responses to signed writes.

mod group;

use std::{collections::BTreeSet, fmt, mem, ops, str::FromStr, sync::Arc, time::Duration};

use domain::{
    ApiKeyId, AuditEvent, Checkpoint, PrincipalId, ProjectId, ServiceAccountId, Timestamp, UserId, Version, WorkspaceId,
};

pub(crate) use group::ChangeQueue;
pub use group::CommitCounts;
use group::{Group, Turn};

use crate::{
    Maintenance, ReplayKey, Store, StoreError, StoredResponse, Value, audit,
    connection::{Connection, WriteConnection},
    engine::{Database, Watch},
    identity::{self, Sender},
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

/// A change in a transaction that holds the locked row. [`commit`](Self::commit) ends it and takes its audit events. If it
/// is dropped, it is rolled back. Changes that wait for each other share a transaction, and a change that is rolled back
/// does not affect the others.
#[must_use = "a change that is dropped is rolled back"]
pub struct Change {
    queue: Arc<ChangeQueue>,
    group: Group,
    turn: Turn,
    is_alone: bool,
    now: Timestamp,
    subjects: BTreeSet<Subject>,
}

/// A committed change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The version of the installation after this change.
    pub version: Version,
    /// The version of the last change that was committed together with this one.
    pub last: Version,
}

impl Change {
    /// Begins a change. If it is `alone`, it shares its transaction with no other.
    pub(crate) async fn begin(
        queue: &Arc<ChangeQueue>,
        database: &Database,
        now: Timestamp,
        is_alone: bool,
    ) -> Result<Self, StoreError> {
        let mut turn = queue.take_turn().await?;
        let group = turn.take();
        let mut change =
            Self { queue: Arc::clone(queue), group: Group::default(), turn, is_alone, now, subjects: BTreeSet::new() };
        match group {
            Some(group) if is_alone => queue.commit(group),
            Some(group) => {
                change.group = group;
                match change.group.begin_change().await {
                    Ok(()) => return Ok(change),
                    Err(error) => mem::take(&mut change.group).give_up(&error),
                }
            }
            None => {}
        }
        change.group = Group::open(database).await?;
        Ok(change)
    }

    /// Returns the version that the installation has after this change has committed.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.group.next_version()
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

    /// Returns the size and root of the audit log before this change, as a checkpoint that is ready to be signed.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn head_checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        let stored = audit::head_checkpoint(&mut self.group.connection).await?;
        let events = self.group.events();
        Ok(Checkpoint {
            size: events.log().size(),
            root: events.log().root(),
            restored_at: events.restored_at().or(stored.restored_at),
            ..stored
        })
    }

    /// Returns who sends this request, and what an earlier one stored that had the same signature, or the same key and
    /// nonce. It may be a change of the same transaction, whose response is written before the commit.
    ///
    /// # Errors
    /// The database does not answer, or a row is corrupt.
    pub async fn find_sender(
        &mut self,
        id: PrincipalId,
        key: Option<ApiKeyId>,
        replay: Option<&ReplayKey>,
    ) -> Result<Sender, StoreError> {
        let in_group = replay.and_then(|replay| replay::find_earlier_of(self.group.responses(), replay));
        let found = identity::find_sender(&mut self.group.connection, id, key, replay).await?;
        Ok(Sender { earlier: in_group.or(found.earlier), ..found })
    }

    /// Appends `events` to the audit log, stores `response` for a repeated signed request, adds the changed objects to
    /// the feed, and commits. If other changes wait, the last of them commits for all.
    ///
    /// # Errors
    /// After [`StoreError::Uncertain`], the change may have been committed. After all other errors, nothing was
    /// changed. [`StoreError::Conflict`] on [`replay::REPLAY_KEY_CONSTRAINT`]: a concurrent request with the same
    /// signature has a stored response, see [`find_sender`](Self::find_sender). On [`replay::NONCE_CONSTRAINT`]: another request
    /// used the nonce. [`StoreError::Contended`]: another change may have caused the error; begin again, with
    /// [`Store::begin_change_alone`].
    pub async fn commit(
        mut self,
        events: impl Into<Events>,
        response: Option<&StoredResponse>,
    ) -> Result<Committed, StoreError> {
        self.group.connection.require_usable()?;
        let version = self.version();
        let committed = self.group.add(&events.into(), mem::take(&mut self.subjects), response)?;
        self.end_turn();
        drop(self);
        match committed.await {
            Ok(result) => result.map(|last| Committed { version, last }),
            Err(_) => Err(StoreError::Uncertain { reason: "this process is stopping".to_owned() }),
        }
    }

    /// Ends a change that changes nothing, and waits until what it has read is committed: the transaction may contain
    /// changes before this one.
    ///
    /// # Errors
    /// [`StoreError::Contended`]: changes that this one has read were not committed, so that it has to begin again.
    pub async fn end_unchanged(mut self) -> Result<(), StoreError> {
        let Some(committed) = self.group.watch() else { return Ok(()) };
        drop(self);
        match committed.await {
            Ok(result) => result.map(|_| ()),
            Err(_) => Err(StoreError::Contended { reason: "this process is stopping".to_owned() }),
        }
    }

    fn end_turn(&mut self) {
        let group = mem::take(&mut self.group);
        self.queue.pass_on(&mut self.turn, group, self.is_alone);
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.group.fail_change();
        self.end_turn();
    }
}

impl ops::Deref for Change {
    type Target = WriteConnection;

    fn deref(&self) -> &WriteConnection {
        &self.group.connection
    }
}

impl ops::DerefMut for Change {
    fn deref_mut(&mut self) -> &mut WriteConnection {
        &mut self.group.connection
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
    pub async fn make_durable(&self) -> Result<Version, StoreError> {
        let mut maintenance = self.begin_maintenance().await?;
        let sql = "UPDATE installation SET version = version WHERE id = 1 RETURNING version";
        let version = maintenance.fetch_one(sql, params![]).await?.count("version")?;
        maintenance.commit().await?;
        Ok(Version(version))
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
