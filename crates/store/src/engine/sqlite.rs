//! The embedded engine: SQLite in one file, with one writer and several readers. Other processes may use the file, too.
//! A statement runs in the task that needs it, because the change of a thread costs more than most statements. What waits
//! for the disk or takes long runs in a thread. See `docs/adr/0020`.

mod pool;

use std::{fs, io, mem, path::Path, sync::Arc, time::Duration};

use rusqlite::types::ValueRef;

use self::pool::{BUSY_TIMEOUT, OpenConnection, Options, Place, Pool, Pooled, Ran, in_thread};
use crate::{
    StoreError,
    file::{beside_database, find_database_files, require_local_disk, require_own_file},
    value::{Statement, Value},
};

const READERS: u32 = 4;

/// The pauses between attempts to get a lock of another process.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(20);

/// The polling interval of a watch, because SQLite has no notifications.
const WATCH_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Database {
    options: Options,
    /// One connection, so that writers queue in order of arrival. SQLite's own wait has no order.
    writer: Pool,
    /// A connection whose commits do not wait for the disk. It is only used while the connection of `writer` is taken, so
    /// that the two never wait for each other's lock.
    unsynced: Pool,
    readers: Pool,
}

impl Database {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        take_files(path)?;
        let options = Options { path: path.to_owned(), synchronous: "FULL", query_only: false };
        let writer = Pool::new(options.clone(), 1);
        writer.add(connect_writer(&options).await?.map_err(|error| unusable(path, error))?);
        let readers = Pool::new(Options { query_only: true, ..options.clone() }, READERS);
        // In WAL mode, a commit is then not synced itself. The next commit of the other connection syncs both.
        let unsynced = Pool::new(Options { synchronous: "NORMAL", ..options.clone() }, 1);
        Ok(Self { options, writer, unsynced, readers })
    }

    pub(super) async fn read(&self) -> Result<Link, StoreError> {
        let connection = self.readers.acquire().await?;
        Ok(Link { connection: Some(connection), turn: None, is_writer: false, failed: false, place: Place::Here })
    }

    pub(super) async fn begin(&self) -> Result<Link, StoreError> {
        let connection = begin_on(self.writer.acquire().await?).await?;
        Ok(Link::writer(connection, None, Place::ThreadForWrites))
    }

    pub(super) async fn begin_change(&self) -> Result<Link, StoreError> {
        let connection = begin_on(self.writer.acquire().await?).await?;
        Ok(Link::writer(connection, None, Place::Here))
    }

    pub(super) async fn begin_unsynced(&self) -> Result<Link, StoreError> {
        let turn = self.writer.acquire().await?;
        let connection = begin_on(self.unsynced.acquire().await?).await?;
        Ok(Link::writer(connection, Some(turn), Place::Here))
    }

    pub(super) async fn watch(&self) -> Result<Watch, StoreError> {
        let options = Options { query_only: true, ..self.options.clone() };
        let connection = in_thread(move || options.connect()).await?.map_err(translate)?;
        Ok(Watch { connection, seen: None })
    }

    pub(super) async fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        let refuse = |reason: String| StoreError::File { path: file.to_owned(), reason };
        let name = file.to_str().ok_or_else(|| refuse("a backup's name must be UTF-8: choose another".to_owned()))?;
        let name = name.to_owned();
        // SQLite would read these files as a part of the backup.
        let leftovers = find_database_files(file)?;
        if let Some(leftover) = leftovers.first() {
            let leftover = leftover.display();
            return Err(refuse(format!("{leftover} already exists: choose a new name, or move it away")));
        }
        // SQLite writes into an existing empty file. This one was created for its owner only.
        create_new_file(file).map_err(|error| {
            refuse(format!("the backup cannot be written ({error}): choose a new file in a directory that is writable"))
        })?;
        let (options, copy) = (self.options.clone(), file.to_owned());
        let written = in_thread(move || {
            let connection = options.connect().map_err(translate)?;
            connection.run("VACUUM INTO $1", &[name.into()], usize::MAX).map_err(translate)?;
            fs::File::open(&copy)
                .and_then(|file| file.sync_all())
                .map_err(|error| StoreError::File { path: copy, reason: error.to_string() })
        })
        .await
        .flatten();
        if written.is_err()
            && let Err(error) = fs::remove_file(file)
        {
            return Err(refuse(format!("the backup failed, and its files cannot be removed ({error}): remove them")));
        }
        written
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.unsynced.close().await;
        self.writer.close().await;
    }
}

/// The wait for a lock of another process. SQLite itself would block the thread meanwhile, and does not wait for some locks
/// at all, such as the one under which a new file is switched to write-ahead logging.
struct BusyWait {
    waited: Duration,
    pause: Duration,
}

impl BusyWait {
    const fn new() -> Self {
        Self { waited: Duration::ZERO, pause: FIRST_PAUSE }
    }

    /// Returns whether another attempt may succeed.
    fn may_retry(&self, error: &rusqlite::Error) -> bool {
        self.waited < BUSY_TIMEOUT && primary_code(error) == Some(BUSY)
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.waited += self.pause;
        self.pause = LAST_PAUSE.min(self.pause * 2);
    }
}

async fn connect_writer(options: &Options) -> Result<Result<OpenConnection, rusqlite::Error>, StoreError> {
    let mut wait = BusyWait::new();
    loop {
        let options = options.clone();
        match in_thread(move || options.connect()).await? {
            Err(error) if wait.may_retry(&error) => {}
            result => return Ok(result),
        }
        wait.pause().await;
    }
}

async fn begin_on(mut connection: Pooled) -> Result<Pooled, StoreError> {
    let mut wait = BusyWait::new();
    loop {
        match connection.now(OpenConnection::try_begin)? {
            Ok(()) => return Ok(connection),
            Err(error) if wait.may_retry(&error) => {}
            Err(error) => return Err(translate(error)),
        }
        wait.pause().await;
    }
}

/// Checks that the files of the database belong to this user and are on a local disk, and creates a database that is missing.
fn take_files(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if directory.exists() {
        require_local_disk(directory)?;
    }
    let is_there = require_own_file(path)?;
    for leftover in beside_database(path) {
        if require_own_file(&leftover)? && !is_there {
            return Err(StoreError::File {
                path: path.to_owned(),
                reason: format!(
                    "the database is missing, but {} exists and may contain changes of it: put the database back next \
                     to it, or move that file away",
                    leftover.display()
                ),
            });
        }
    }
    create_file(path)
}

/// Creates the file for its owner only. SQLite would create it readable for every user, and its `-wal` and `-shm` files
/// have the same mode.
fn create_file(path: &Path) -> Result<(), StoreError> {
    match create_new_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::File {
            path: path.to_owned(),
            reason: format!("the database file cannot be created ({error}): create its directory, or name another one"),
        }),
    }
}

fn create_new_file(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

fn unusable(path: &Path, error: rusqlite::Error) -> StoreError {
    let no_access = primary_code(&error) == Some(CANNOT_OPEN);
    let reason = match translate(error) {
        StoreError::Corrupt { what } => {
            format!("it is not a usable database ({what}): name another file, or restore a backup")
        }
        StoreError::Unavailable { reason } if no_access => {
            // SQLite reports no details. The operating system may.
            let reason = match fs::OpenOptions::new().append(true).open(path) {
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return StoreError::ReadOnly,
                Err(error) => error.to_string(),
                Ok(_) => reason,
            };
            format!(
                "it cannot be opened ({reason}): the user that runs keyward must be able to read and write it, and to \
                 create files beside it"
            )
        }
        other => return other,
    };
    StoreError::File { path: path.to_owned(), reason }
}

pub(crate) struct Link {
    /// `None` if it was lost. Dropped before `turn`, so that its lock is released first.
    connection: Option<Pooled>,
    /// The connection for writing that is not used meanwhile.
    turn: Option<Pooled>,
    /// Whether it is in a transaction.
    is_writer: bool,
    /// Whether a statement of the transaction failed. SQLite may have rolled it back, after which every further statement
    /// would commit separately. PostgreSQL accepts no further statement either.
    failed: bool,
    place: Place,
}

impl Link {
    const fn writer(connection: Pooled, turn: Option<Pooled>, place: Place) -> Self {
        Self { connection: Some(connection), turn, is_writer: true, failed: false, place }
    }

    async fn run(&mut self, sql: Statement, values: &[Value<'_>], most: usize) -> Result<Ran, StoreError> {
        self.require_usable()?;
        // If this is dropped while a thread runs the statement, its outcome is unknown.
        let failed = mem::replace(&mut self.failed, self.is_writer);
        let ran = pool::run(&mut self.connection, sql, values, most, self.place).await?.map_err(translate)?;
        self.failed = failed;
        Ok(ran)
    }

    pub(super) async fn execute(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(self.run(sql, values, usize::MAX).await?.changed)
    }

    pub(super) async fn fetch_all(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<Vec<Cells>, StoreError> {
        Ok(self.run(sql, values, usize::MAX).await?.rows)
    }

    pub(super) async fn fetch_optional(
        &mut self,
        sql: Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Cells>, StoreError> {
        Ok(self.run(sql, values, 1).await?.rows.pop())
    }

    pub(super) async fn check_integrity(&mut self) -> Result<Vec<String>, StoreError> {
        let rows = self.fetch_all("PRAGMA quick_check".into(), &[]).await?;
        let findings = rows.iter().map(|row| Ok(row.text("quick_check")?.unwrap_or_default()));
        findings.filter(|finding| !matches!(finding.as_deref(), Ok("ok"))).collect()
    }

    pub(super) async fn execute_schema(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.require_usable()?;
        self.failed = self.is_writer;
        let connection = self.connection.take().ok_or_else(failed_before)?;
        let (connection, executed) = connection.in_thread(move |connection| connection.execute_batch(sql)).await?;
        self.connection = Some(connection);
        executed.map_err(translate)?;
        self.failed = false;
        Ok(())
    }

    pub(super) fn execute_script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.require_usable()?;
        let connection = self.connection.as_mut().ok_or_else(failed_before)?;
        let executed = connection.now(|connection| connection.execute_batch(sql))?;
        self.failed = self.is_writer && executed.is_err();
        executed.map_err(translate)
    }

    /// Executes a statement after which the transaction can be used again, although a statement failed. It fails if
    /// SQLite has rolled the transaction back.
    pub(super) fn recover(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.failed = false;
        self.execute_script(sql)
    }

    pub(super) fn require_usable(&self) -> Result<(), StoreError> {
        if self.failed { Err(failed_before()) } else { Ok(()) }
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.require_usable()?;
        let Self { connection: Some(connection), turn, is_writer: true, .. } = self else { return Ok(()) };
        let committed = connection.in_thread(|connection| connection.execute_batch("COMMIT")).await;
        let (connection, committed) = committed.map_err(|error| StoreError::Uncertain { reason: error.to_string() })?;
        drop((connection, turn));
        committed.map_err(translate)
    }
}

fn failed_before() -> StoreError {
    StoreError::Refused { reason: "a statement of this transaction failed before".into(), source: None }
}

fn unavailable(reason: String) -> StoreError {
    StoreError::Unavailable { reason }
}

/// A row.
pub(crate) struct Cells {
    names: Arc<[String]>,
    values: Vec<Cell>,
}

/// A value as it is in the file. A column may contain any type.
enum Cell {
    Null,
    I64(i64),
    F64,
    Text(Vec<u8>),
    Bytes(Vec<u8>),
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::I64(number),
            ValueRef::Real(_) => Self::F64,
            ValueRef::Text(text) => Self::Text(text.to_vec()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl Cell {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::I64(_) => "an integer",
            Self::F64 => "a number that is no integer",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl Cells {
    fn cell(&self, column: &str) -> Result<&Cell, StoreError> {
        let place = self.names.iter().rposition(|name| name == column);
        let cell = place.and_then(|place| self.values.get(place));
        cell.ok_or_else(|| StoreError::corrupt(format!("column `{column}` is missing")))
    }

    pub(super) fn text(&self, column: &str) -> Result<Option<String>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => String::from_utf8(text.clone())
                .map(Some)
                .map_err(|error| StoreError::corrupt(format!("column `{column}`: {error}"))),
            other => Err(mismatch(column, other, "a text")),
        }
    }

    pub(super) fn i64(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::I64(number) => Ok(Some(*number)),
            other => Err(mismatch(column, other, "an integer")),
        }
    }

    pub(super) fn bool(&self, column: &str) -> Result<Option<bool>, StoreError> {
        Ok(self.i64(column)?.map(|number| number != 0))
    }

    pub(super) fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes.clone())),
            other => Err(mismatch(column, other, "bytes")),
        }
    }
}

fn mismatch(column: &str, found: &Cell, expected: &str) -> StoreError {
    StoreError::corrupt(format!("column `{column}` holds {} instead of {expected}", found.kind()))
}

pub(crate) struct Watch {
    connection: OpenConnection,
    seen: Option<i64>,
}

impl Watch {
    pub(super) async fn changed(&mut self, limit: Duration) -> Result<bool, StoreError> {
        let mut left = limit;
        loop {
            let read = self.connection.run("PRAGMA data_version", &[], 1).map_err(translate)?;
            let now = read.rows.first().map(|row| row.i64("data_version")).transpose()?.flatten();
            if mem::replace(&mut self.seen, now) != now {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            let pause = left.min(WATCH_PAUSE);
            tokio::time::sleep(pause).await;
            left -= pause;
        }
    }
}

// Result codes, https://www.sqlite.org/rescode.html
const CONSTRAINT_PRIMARY_KEY: u32 = 1555;
const CONSTRAINT_UNIQUE: u32 = 2067;
const CONSTRAINT_ROWID: u32 = 2579;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NO_MEMORY: u32 = 7;
const READ_ONLY: u32 = 8;
const IO: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const PROTOCOL: u32 = 15;
const NOT_A_DATABASE: u32 = 26;
/// `SQLITE_IOERR_SHORT_READ`: a page is missing from the file.
const SHORT_READ: u32 = 522;

fn extended_code(error: &rusqlite::Error) -> Option<u32> {
    error.sqlite_extended_error_code().map(i32::cast_unsigned)
}

/// Returns the primary result code of an extended one.
fn primary_code(error: &rusqlite::Error) -> Option<u32> {
    extended_code(error).map(|code| code & 0xff)
}

fn translate(error: rusqlite::Error) -> StoreError {
    let message = error.to_string();
    let code = extended_code(&error).unwrap_or(0);
    match (code, code & 0xff) {
        (CONSTRAINT_PRIMARY_KEY | CONSTRAINT_ROWID, _) => {
            StoreError::Conflict { constraint: constraint_name(&message, true) }
        }
        (CONSTRAINT_UNIQUE, _) => StoreError::Conflict { constraint: constraint_name(&message, false) },
        (SHORT_READ, _) | (_, CORRUPT | NOT_A_DATABASE) => StoreError::corrupt(message),
        (_, FULL) => StoreError::DiskFull,
        (_, READ_ONLY) => StoreError::ReadOnly,
        // Another process held the write lock for longer than the busy timeout.
        (_, BUSY | LOCKED) => StoreError::Contended { reason: message },
        (_, NO_MEMORY | IO | CANNOT_OPEN | PROTOCOL) => unavailable(message),
        _ => StoreError::Refused { reason: message, source: Some(error.into()) },
    }
}

/// Returns the name that PostgreSQL gives the constraint by default, from `UNIQUE constraint failed: TABLE.A, TABLE.B`.
/// SQLite reports only the columns.
fn constraint_name(message: &str, primary_key: bool) -> String {
    let columns = message.rsplit(": ").next().unwrap_or(message);
    let mut columns = columns.split(", ").map(|column| column.split_once('.').unwrap_or((column, "")));
    let Some((table, first)) = columns.next() else { return message.to_owned() };
    if primary_key {
        return format!("{table}_pkey");
    }
    let columns: Vec<_> = [first].into_iter().chain(columns.map(|(_, column)| column)).collect();
    format!("{table}_{}_key", columns.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_have_the_names_that_postgresql_generates() {
        for (message, primary_key, name) in [
            ("UNIQUE constraint failed: replays.replay_key", true, "replays_pkey"),
            ("UNIQUE constraint failed: changes.version, changes.subject", true, "changes_pkey"),
            ("UNIQUE constraint failed: audit_events.id", false, "audit_events_id_key"),
            ("UNIQUE constraint failed: replays.key_id, replays.nonce", false, "replays_key_id_nonce_key"),
        ] {
            assert_eq!(constraint_name(message, primary_key), name);
        }
    }
}
