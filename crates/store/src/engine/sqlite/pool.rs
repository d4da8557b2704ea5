//! Connections to the file of a database: how they are opened, which statements run at once and which in a thread, and
//! what happens to a connection that is no longer used.

use std::{
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Cell, Cells, translate, unavailable};
use crate::{
    StoreError,
    value::{Statement, Value},
};

/// How long a statement waits for another process.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a task waits for a connection of this process. It is longer than the wait for another process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of prepared statements that a connection keeps.
const STATEMENTS: usize = 256;

/// A query that takes more instructions than this, about a millisecond, is stopped and runs in a thread. SQLite reports
/// every so many instructions of a statement.
const REPORT_INSTRUCTIONS: i32 = 10_000;
const MAX_REPORTS: u32 = 1;

/// How a connection is opened.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) path: PathBuf,
    /// `FULL`: a commit is on the disk when it returns. `NORMAL`: the next one that is synced syncs it too.
    pub(super) synchronous: &'static str,
    /// Whether it refuses to write.
    pub(super) query_only: bool,
}

impl Options {
    /// Opens a connection. This may wait for the disk.
    pub(super) fn connect(&self) -> Result<OpenConnection, rusqlite::Error> {
        // The file exists, and its name is not a URI.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let Self { synchronous, query_only, .. } = self;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA synchronous = {synchronous};
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = {query_only};"
        ))?;
        let left = Arc::new(AtomicU32::new(UNLIMITED));
        let reports = Arc::clone(&left);
        let is_used_up = move || {
            let left = reports.load(Ordering::Relaxed);
            if left != UNLIMITED {
                reports.store(left.saturating_sub(1), Ordering::Relaxed);
            }
            left == 0
        };
        connection.progress_handler(REPORT_INSTRUCTIONS, Some(is_used_up))?;
        Ok(OpenConnection { connection: Box::new(connection), left })
    }
}

const UNLIMITED: u32 = u32::MAX;

/// A connection, and how many more reports the statement that runs may cause.
pub(super) struct OpenConnection {
    connection: Box<Connection>,
    left: Arc<AtomicU32>,
}

/// What a statement returned.
#[derive(Default)]
pub(super) struct Ran {
    pub(super) rows: Vec<Cells>,
    /// The number of rows that it changed.
    pub(super) changed: u64,
}

/// Where a statement runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In the task that needs it, unless it is a query that takes long.
    Here,
    /// As [`Here`](Self::Here) if it only reads. A statement that writes runs in a thread.
    ThreadForWrites,
}

/// Why a statement did not run here.
enum NotHere {
    /// It runs in a thread instead.
    Long,
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for NotHere {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl OpenConnection {
    /// Runs statements without values.
    pub(super) fn execute_batch(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.connection.execute_batch(sql)
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Takes the lock for writing without a wait. A transaction that begins with a read could not wait for it later.
    pub(super) fn try_begin(&self) -> Result<(), rusqlite::Error> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let begun = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.raw_execute());
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        begun.map(|_| ())
    }

    /// Runs a statement to its end, or until it has returned so many rows.
    pub(super) fn run(&self, sql: &str, values: &[Value<'_>], most: usize) -> Result<Ran, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(sql)?;
        self.run_prepared(&mut statement, values, most)
    }

    fn run_here(&self, sql: &str, values: &[Value<'_>], most: usize, place: Place) -> Result<Ran, NotHere> {
        let mut statement = self.connection.prepare_cached(sql)?;
        if !statement.readonly() {
            // It could not be stopped: SQLite would roll the transaction back.
            return match place {
                Place::Here => Ok(self.run_prepared(&mut statement, values, most)?),
                Place::ThreadForWrites => Err(NotHere::Long),
            };
        }
        self.left.store(MAX_REPORTS, Ordering::Relaxed);
        let ran = self.run_prepared(&mut statement, values, most);
        self.left.store(UNLIMITED, Ordering::Relaxed);
        ran.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => NotHere::Long,
            _ => NotHere::Failed(error),
        })
    }

    fn run_prepared(
        &self,
        statement: &mut rusqlite::Statement<'_>,
        values: &[Value<'_>],
        most: usize,
    ) -> Result<Ran, rusqlite::Error> {
        for place in 1..=statement.parameter_count() {
            // SQLite numbers `$2`, `$1` in the order in which they appear.
            let name = statement.parameter_name(place).unwrap_or_default();
            let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
            let value = number.and_then(|number| values.get(number.checked_sub(1)?));
            let value = value.ok_or_else(|| rusqlite::Error::InvalidParameterName(name.to_owned()))?;
            statement.raw_bind_parameter(place, Bound(value))?;
        }
        let names: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while found.len() < most
            && let Some(row) = rows.next()?
        {
            let cells = (0..names.len()).map(|column| row.get_ref(column).map(Cell::from));
            found.push(Cells { names: Arc::clone(&names), values: cells.collect::<Result<_, _>>()? });
        }
        drop(rows);
        Ok(Ran { rows: found, changed: self.connection.changes() })
    }
}

/// A value that a statement borrows.
struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Value::I64(Some(number)) => ValueRef::Integer(*number),
            Value::Bool(Some(truth)) => ValueRef::Integer((*truth).into()),
            Value::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Value::Text(None) | Value::I64(None) | Value::Bool(None) | Value::Bytes(None) => ValueRef::Null,
        }))
    }
}

/// Connections that are opened when they are needed, and used by one task at a time, in the order of arrival.
pub(super) struct Pool {
    shared: Arc<Shared>,
    size: u32,
}

struct Shared {
    options: Options,
    idle: Mutex<Vec<OpenConnection>>,
    permits: Arc<Semaphore>,
}

impl Shared {
    fn take_idle(&self) -> Option<OpenConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Pool {
    pub(super) fn new(options: Options, size: u32) -> Self {
        let permits = Arc::new(Semaphore::new(size as usize));
        Self { shared: Arc::new(Shared { options, idle: Mutex::default(), permits }), size }
    }

    /// Adds a connection that is open already.
    pub(super) fn add(&self, connection: OpenConnection) {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    pub(super) async fn acquire(&self) -> Result<Pooled, StoreError> {
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.shared.permits).acquire_owned()).await;
        let permit = permit
            .map_err(|_| unavailable(format!("no connection became free in {} seconds", ACQUIRE_TIMEOUT.as_secs())))?
            .map_err(|_| unavailable("it is closed".to_owned()))?;
        let connection = match self.shared.take_idle() {
            Some(connection) => connection,
            None => {
                let options = self.shared.options.clone();
                in_thread(move || options.connect()).await?.map_err(translate)?
            }
        };
        Ok(Pooled { connection: Some(connection), shared: Arc::clone(&self.shared), _permit: permit })
    }

    /// Waits until no connection is used, and closes all. The last connection to a file writes its log into it.
    pub(super) async fn close(&self) {
        // It fails if the pool is closed already.
        let all = self.shared.permits.acquire_many(self.size).await;
        self.shared.permits.close();
        drop(all);
        let idle = mem::take(&mut *self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner));
        // It fails if the process stops, which closes them, too.
        let _ = in_thread(move || drop(idle)).await;
    }
}

/// A connection that a task uses. When it is dropped, a transaction is rolled back, and the next task gets the connection.
pub(super) struct Pooled {
    /// `None` while it is dropped.
    connection: Option<OpenConnection>,
    shared: Arc<Shared>,
    /// Dropped last, so that the next task finds the connection.
    _permit: OwnedSemaphorePermit,
}

impl Pooled {
    fn open(&mut self) -> Result<&mut OpenConnection, StoreError> {
        self.connection.as_mut().ok_or_else(|| unavailable("a connection was lost".to_owned()))
    }

    /// Does something that takes a moment.
    pub(super) fn now<T>(
        &mut self,
        run: impl FnOnce(&OpenConnection) -> Result<T, rusqlite::Error>,
    ) -> Result<Result<T, rusqlite::Error>, StoreError> {
        self.open().map(|connection| run(connection))
    }

    /// Does something that may wait for the disk or take long, in a thread. If the task is dropped meanwhile, the thread
    /// continues to the end.
    pub(super) async fn in_thread<T: Send + 'static>(
        mut self,
        run: impl FnOnce(&OpenConnection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<(Self, Result<T, rusqlite::Error>), StoreError> {
        in_thread(move || {
            let result = run(self.open()?);
            Ok((self, result))
        })
        .await?
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // When the disk is full, SQLite has rolled back by itself.
        if connection.is_in_transaction() && connection.execute_batch("ROLLBACK").is_err() {
            // Closing it rolls back.
            return;
        }
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// Runs a statement on `pooled`, which is `None` afterwards if it is lost.
pub(super) async fn run(
    pooled: &mut Option<Pooled>,
    sql: Statement,
    values: &[Value<'_>],
    most: usize,
    place: Place,
) -> Result<Result<Ran, rusqlite::Error>, StoreError> {
    // A task with many statements lets others run in between.
    tokio::task::consume_budget().await;
    let lost = || unavailable("a connection was lost".to_owned());
    let ran = pooled.as_mut().ok_or_else(lost)?.open()?.run_here(sql.as_str(), values, most, place);
    match ran {
        Ok(ran) => Ok(Ok(ran)),
        Err(NotHere::Failed(error)) => Ok(Err(error)),
        Err(NotHere::Long) => {
            let values: Vec<Value<'static>> = values.iter().map(Value::to_static).collect();
            let taken = pooled.take().ok_or_else(lost)?;
            let (back, ran) = taken.in_thread(move |connection| connection.run(sql.as_str(), &values, most)).await?;
            *pooled = Some(back);
            Ok(ran)
        }
    }
}

/// Runs something in a thread for work that blocks.
pub(super) async fn in_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => Ok(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(unavailable(format!("this process is stopping: {error}"))),
        },
    }
}
