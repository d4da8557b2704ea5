//! Changes that share a transaction. One change runs at a time. While others wait, it hands its open transaction to the
//! next one instead of committing, and the last one commits for all. A change that fails is rolled back to a savepoint,
//! alone. See `docs/adr/0018`.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Version, merkle::CompactRange};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, oneshot},
};

use super::{CHANGES, Events, Subject, Touched};
use crate::{
    StoreError, StoredResponse, audit::NewEvents, connection::WriteConnection, engine::Database, params, replay,
    table::Insert,
};

/// The maximum number of changes in one transaction. Writers of other processes wait that long.
const MAX_CHANGES: usize = 64;
/// The number of events after which a transaction is committed: changes with many events take long.
const MAX_EVENTS: usize = 256;
/// How long a change waits for the changes before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Receives the version of the last change that was committed together with this one.
type Waiting = oneshot::Sender<Result<Version, StoreError>>;

/// The turn of the change that runs, with the open transaction of the changes before it.
pub(super) type Turn = OwnedMutexGuard<Option<Group>>;

/// The queue of the changes of this process.
#[derive(Default)]
pub(crate) struct ChangeQueue {
    turn: Arc<Mutex<Option<Group>>>,
    /// How many changes wait for their turn. While there are any, a transaction is handed on. Each of them then ends
    /// it, also if it gives up.
    waiting: AtomicUsize,
    changes: AtomicU64,
    commits: AtomicU64,
}

/// The numbers of changes and of commits of this process since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CommitCounts {
    /// The committed changes.
    pub changes: u64,
    /// The commits, each of one or more changes.
    pub commits: u64,
    /// The changes that wait for others now.
    pub waiting: u64,
}

impl ChangeQueue {
    pub(crate) fn counts(&self) -> CommitCounts {
        let waiting = self.waiting.load(Ordering::SeqCst);
        CommitCounts {
            changes: self.changes.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }

    /// Waits until no other change runs.
    pub(super) async fn take_turn(self: &Arc<Self>) -> Result<Turn, StoreError> {
        let mut place = Place::new(self);
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turn).lock_owned()).await;
        let turn = turn.map_err(|_| StoreError::Unavailable {
            reason: format!("the changes before this one took longer than {} s", TURN_TIMEOUT.as_secs()),
        })?;
        place.has_turn = true;
        Ok(turn)
    }

    /// Commits what is open if no change waits that would do it.
    async fn end_open_group(self: Arc<Self>) {
        let mut turn = self.turn.lock().await;
        if self.waiting.load(Ordering::SeqCst) == 0
            && let Some(group) = turn.take()
        {
            drop(turn);
            group.commit(&self).await;
        }
    }

    /// Commits a group in a task of its own, so that no caller interrupts it.
    pub(super) fn commit(self: &Arc<Self>, group: Group) {
        let queue = Arc::clone(self);
        run_to_end(async move { group.commit(&queue).await });
    }

    /// Ends a turn: commits the group, or leaves it to a change that waits.
    pub(super) fn pass_on(self: &Arc<Self>, turn: &mut Turn, group: Group, is_alone: bool) {
        if group.members.is_empty() {
            // Dropping it rolls back.
            return;
        }
        if is_alone || group.is_full() || self.waiting.load(Ordering::SeqCst) == 0 {
            self.commit(group);
        } else {
            **turn = Some(group);
        }
    }
}

/// Starts a task. Without a runtime, the process ends: what is not committed is rolled back.
fn run_to_end(task: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(task);
    }
}

/// The place of a change in the queue.
struct Place {
    queue: Arc<ChangeQueue>,
    has_turn: bool,
}

impl Place {
    fn new(queue: &Arc<ChangeQueue>) -> Self {
        queue.waiting.fetch_add(1, Ordering::SeqCst);
        Self { queue: Arc::clone(queue), has_turn: false }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
        if !self.has_turn {
            // The change before this one may have left its transaction to it.
            run_to_end(Arc::clone(&self.queue).end_open_group());
        }
    }
}

/// The changes of one transaction, and what is written once for all of them.
#[derive(Default)]
pub(super) struct Group {
    pub(super) connection: WriteConnection,
    /// The version of its last change.
    version: Version,
    events: NewEvents,
    touched: Vec<Touched>,
    /// The responses of its changes, which are written before the commit.
    responses: Vec<StoredResponse>,
    members: Vec<Waiting>,
    /// Changes that have read what the members changed, and changed nothing themselves.
    readers: Vec<Waiting>,
    has_savepoint: bool,
    /// Whether the change that ran last must be rolled back.
    has_failed_change: bool,
}

impl Group {
    /// Begins a transaction and locks the row, so that changes of all processes are serialized.
    pub(super) async fn open(database: &Database) -> Result<Self, StoreError> {
        let mut connection = WriteConnection::from(database.begin_change().await?);
        let row = connection
            .fetch_one(
                "UPDATE installation SET version = version + 1 WHERE id = 1 RETURNING version, audit_size, audit_range",
                params![],
            )
            .await?;
        let log = CompactRange::from_bytes(row.count("audit_size")?, &row.bytes("audit_range")?)
            .map_err(|error| StoreError::corrupt(format!("the head of the audit log: {error}")))?;
        let version = Version(row.count("version")?.saturating_sub(1));
        Ok(Self { connection, version, events: NewEvents::after(log), ..Self::default() })
    }

    /// Returns the version of the change that runs now.
    pub(super) const fn next_version(&self) -> Version {
        Version(self.version.0 + 1)
    }

    /// Returns the audit log with the events of the changes before.
    pub(super) const fn events(&self) -> &NewEvents {
        &self.events
    }

    /// Returns the responses of the changes before.
    pub(super) fn responses(&self) -> &[StoredResponse] {
        &self.responses
    }

    fn is_full(&self) -> bool {
        self.members.len() >= MAX_CHANGES || self.events.len() >= MAX_EVENTS
    }

    /// Begins a change after others.
    ///
    /// # Errors
    /// The transaction has ended: nothing of it was committed.
    pub(super) async fn begin_change(&mut self) -> Result<(), StoreError> {
        if self.has_failed_change {
            self.connection.roll_back_to_savepoint().await?;
        } else {
            let is_first = !mem::replace(&mut self.has_savepoint, true);
            self.connection.set_savepoint(is_first).await?;
        }
        self.has_failed_change = false;
        Ok(())
    }

    /// Rolls the change that ran last back, before anything else is done.
    pub(super) const fn fail_change(&mut self) {
        self.has_failed_change = true;
    }

    /// Adds the change that runs now. Returns what receives the result of the commit.
    pub(super) fn add(
        &mut self,
        events: &Events,
        subjects: impl IntoIterator<Item = Subject>,
        response: Option<&StoredResponse>,
    ) -> Result<oneshot::Receiver<Result<Version, StoreError>>, StoreError> {
        let version = self.next_version();
        if let Some(response) = response {
            replay::require_fresh(&self.responses, &response.replay)?;
        }
        self.events.append(&events.0)?;
        self.responses.extend(response.cloned());
        self.touched.extend(subjects.into_iter().map(|subject| Touched { version, subject }));
        self.version = version;
        let (waiting, committed) = oneshot::channel();
        self.members.push(waiting);
        Ok(committed)
    }

    /// Returns what receives the result of the commit for a change that only reads. `None` if it is the first change, so
    /// that it has read committed data only.
    pub(super) fn watch(&mut self) -> Option<oneshot::Receiver<Result<Version, StoreError>>> {
        if self.members.is_empty() {
            return None;
        }
        let (waiting, committed) = oneshot::channel();
        self.readers.push(waiting);
        Some(committed)
    }

    async fn commit(mut self, queue: &ChangeQueue) {
        let (members, version) = (mem::take(&mut self.members), self.version);
        let readers = mem::take(&mut self.readers);
        match self.write_and_commit().await {
            Ok(()) => {
                queue.changes.fetch_add(u64::try_from(members.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                queue.commits.fetch_add(1, Ordering::Relaxed);
                for waiting in members.into_iter().chain(readers) {
                    // A caller that has gone away does not need the result.
                    let _ = waiting.send(Ok(version));
                }
            }
            Err(error) => {
                for reader in readers {
                    let _ = reader.send(Err(ended(&error)));
                }
                fail(members, error);
            }
        }
    }

    async fn write_and_commit(self) -> Result<(), StoreError> {
        let Self { mut connection, version, events, touched, responses, has_failed_change, .. } = self;
        if has_failed_change {
            connection.roll_back_to_savepoint().await.map_err(|error| ended(&error))?;
        }
        events.insert(&mut connection).await?;
        replay::insert_responses(&mut connection, &responses).await?;
        let log = events.log();
        connection
            .execute(
                "UPDATE installation SET version = $1, audit_size = $2, audit_range = $3 WHERE id = 1",
                params![version, log.size().cast_signed(), log.to_bytes()],
            )
            .await?;
        Insert::run_all(touched.iter().map(|touched| CHANGES.insert(touched)), &mut connection).await?;
        connection.notify_on_commit();
        connection.commit().await
    }

    /// Tells every change that nothing was committed, so that it is tried again.
    pub(super) fn give_up(self, error: &StoreError) {
        for waiting in self.members.into_iter().chain(self.readers) {
            let _ = waiting.send(Err(ended(error)));
        }
    }
}

/// The error of a change whose transaction ended because of another one. Nothing of it was committed.
fn ended(error: &StoreError) -> StoreError {
    StoreError::Contended { reason: format!("the transaction ended because of another change: {error}") }
}

/// Tells each change the error of its commit. If one of several changes may be the cause, each is tried again alone.
fn fail(members: Vec<Waiting>, error: StoreError) {
    let several = members.len() > 1;
    let mut last = Some(error);
    for member in members {
        let error = match &last {
            Some(StoreError::Unavailable { reason }) => StoreError::Unavailable { reason: reason.clone() },
            Some(StoreError::Uncertain { reason }) => StoreError::Uncertain { reason: reason.clone() },
            Some(StoreError::DiskFull) => StoreError::DiskFull,
            Some(StoreError::ReadOnly) => StoreError::ReadOnly,
            Some(error) if several => ended(error),
            Some(_) | None => match last.take() {
                Some(error) => error,
                None => continue,
            },
        };
        let _ = member.send(Err(error));
    }
}
