//! The embedded engine: SQLite in one file, with one writer and several readers. Other processes may use the file, too.

use std::{fs, io, path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction, TypeInfo as _,
    ValueRef as _,
    error::DatabaseError,
    pool::PoolConnection,
    query::Query,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use crate::{
    StoreError,
    file::{beside_database, find_database_files, require_local_disk, require_own_file},
    value::{Statement, Value},
};

const READERS: u32 = 4;

/// How long a writer waits for a writer of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for a lock that SQLite itself does not wait for.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long a task waits for a connection of this process. It is longer than the wait for another process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The polling interval of a watch, because SQLite has no notifications.
const WATCH_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Database {
    options: SqliteConnectOptions,
    /// One connection, so that writers queue in order of arrival. SQLite's own wait has no order.
    writer: SqlitePool,
    /// A connection whose commits do not wait for the disk. It is only used while the connection of `writer` is taken, so
    /// that the two never wait for each other's lock.
    unsynced: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        take_files(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(256)
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .disable_statement_logging();
        let writer = connect_writer(&options).await.map_err(|error| unusable(path, error))?;
        let readers = pool(READERS).connect_lazy_with(options.clone().pragma("query_only", "ON"));
        // In WAL mode, a commit is then not synced itself. The next commit of the other connection syncs both.
        let unsynced = pool(1).connect_lazy_with(options.clone().synchronous(SqliteSynchronous::Normal));
        Ok(Self { options, writer, unsynced, readers })
    }

    pub(super) async fn read(&self) -> Result<Link, StoreError> {
        Ok(Link::Reader(self.readers.acquire().await.map_err(translate)?))
    }

    pub(super) async fn begin(&self) -> Result<Link, StoreError> {
        // IMMEDIATE takes the write lock now. A transaction that begins with a read could not wait for the lock later.
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(translate)?;
        Ok(Link::Writer { transaction, turn: None, failed: false })
    }

    pub(super) async fn begin_unsynced(&self) -> Result<Link, StoreError> {
        let turn = self.writer.acquire().await.map_err(translate)?;
        let transaction = self.unsynced.begin_with("BEGIN IMMEDIATE").await.map_err(translate)?;
        Ok(Link::Writer { transaction, turn: Some(turn), failed: false })
    }

    pub(super) async fn watch(&self) -> Result<Watch, StoreError> {
        let options = self.options.clone().pragma("query_only", "ON");
        let connection = SqliteConnection::connect_with(&options).await.map_err(translate)?;
        Ok(Watch { connection, seen: None })
    }

    pub(super) async fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        let refuse = |reason: String| StoreError::File { path: file.to_owned(), reason };
        let name = file.to_str().ok_or_else(|| refuse("a backup's name must be UTF-8: choose another".to_owned()))?;
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
        let written = async {
            let mut connection = SqliteConnection::connect_with(&self.options).await.map_err(translate)?;
            sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await.map_err(translate)?;
            connection.close().await.map_err(translate)?;
            fs::File::open(file).and_then(|file| file.sync_all()).map_err(|error| refuse(error.to_string()))
        }
        .await;
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

/// Switches a new file to write-ahead logging under a lock that SQLite does not wait for. If two processes open it at
/// the same time, one of them has to retry.
async fn connect_writer(options: &SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let mut attempts = BUSY_TIMEOUT.as_millis() / RETRY_PAUSE.as_millis();
    loop {
        match pool(1).connect_with(options.clone()).await {
            Err(error) if attempts > 0 && primary_code(&error) == Some(BUSY) => {
                attempts -= 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_release(|connection, _| {
            Box::pin(async move {
                // When the disk is full, SQLite rolls back without a request. sqlx then assumes that the transaction is
                // still open, and could not begin another one. The ping waits for a rollback that is in progress.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
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

fn unusable(path: &Path, error: sqlx::Error) -> StoreError {
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

pub(crate) enum Link {
    Reader(PoolConnection<Sqlite>),
    Writer {
        /// Dropped before `turn`, so that its lock is released first.
        transaction: Transaction<'static, Sqlite>,
        /// The connection for writing that is not used meanwhile.
        turn: Option<PoolConnection<Sqlite>>,
        /// Whether a statement failed. SQLite may have rolled the transaction back, after which every further statement
        /// would commit separately. PostgreSQL accepts no further statement either.
        failed: bool,
    },
}

impl Link {
    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match self {
            Self::Reader(connection) => Ok(connection),
            Self::Writer { transaction, failed: false, .. } => Ok(transaction),
            Self::Writer { failed: true, .. } => Err(failed_before()),
        }
    }

    /// Records whether the statement failed.
    fn outcome<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        if let (Self::Writer { failed, .. }, Err(_)) = (self, &result) {
            *failed = true;
        }
        result.map_err(translate)
    }

    pub(super) async fn execute(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let result = query(sql, values).execute(self.connection()?).await;
        Ok(self.outcome(result)?.rows_affected())
    }

    pub(super) async fn fetch_all(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<Vec<Cells>, StoreError> {
        let result = query(sql, values).fetch_all(self.connection()?).await;
        Ok(self.outcome(result)?.into_iter().map(Cells).collect())
    }

    pub(super) async fn fetch_optional(
        &mut self,
        sql: Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Cells>, StoreError> {
        let result = query(sql, values).fetch_optional(self.connection()?).await;
        Ok(self.outcome(result)?.map(Cells))
    }

    pub(super) async fn check_integrity(&mut self) -> Result<Vec<String>, StoreError> {
        let rows = self.fetch_all("PRAGMA quick_check".into(), &[]).await?;
        let findings = rows.iter().map(|row| Ok(row.text("quick_check")?.unwrap_or_default()));
        findings.filter(|finding| !matches!(finding.as_deref(), Ok("ok"))).collect()
    }

    pub(super) async fn execute_schema(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.execute_script(sql).await
    }

    pub(super) async fn execute_script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let result = sqlx::raw_sql(sql).execute(self.connection()?).await;
        self.outcome(result)?;
        Ok(())
    }

    /// Executes a statement after which the transaction can be used again, although a statement failed. It fails if
    /// SQLite has rolled the transaction back.
    pub(super) async fn recover(&mut self, sql: &'static str) -> Result<(), StoreError> {
        if let Self::Writer { failed, .. } = self {
            *failed = false;
        }
        self.execute_script(sql).await
    }

    pub(super) fn require_usable(&self) -> Result<(), StoreError> {
        match self {
            Self::Reader(_) | Self::Writer { failed: false, .. } => Ok(()),
            Self::Writer { failed: true, .. } => Err(failed_before()),
        }
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Reader(_) => Ok(()),
            Self::Writer { transaction, turn, failed: false } => {
                let committed = transaction.commit().await.map_err(translate);
                drop(turn);
                committed
            }
            Self::Writer { failed: true, .. } => Err(failed_before()),
        }
    }
}

fn failed_before() -> StoreError {
    StoreError::Refused { reason: "a statement of this transaction failed before".into(), source: None }
}

fn query(sql: Statement, values: &[Value<'_>]) -> Query<'static, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Text(text) => query.bind(text.as_deref().map(str::to_owned)),
        Value::I64(number) => query.bind(*number),
        Value::Bool(truth) => query.bind(*truth),
        Value::Bytes(bytes) => query.bind(bytes.as_deref().map(<[u8]>::to_vec)),
    })
}

pub(crate) struct Cells(SqliteRow);

impl Cells {
    pub(super) fn text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.0.try_get(column).map_err(translate)
    }

    pub(super) fn i64(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.0.try_get(column).map_err(translate)
    }

    pub(super) fn bool(&self, column: &str) -> Result<Option<bool>, StoreError> {
        self.0.try_get(column).map_err(translate)
    }

    pub(super) fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.0.try_get_raw(column).map_err(translate)?;
        // sqlx would also return the bytes of a text.
        if !value.is_null() && value.type_info().name() == "TEXT" {
            return Err(StoreError::corrupt(format!("column `{column}` holds a text instead of bytes")));
        }
        self.0.try_get(column).map_err(translate)
    }
}

pub(crate) struct Watch {
    connection: SqliteConnection,
    seen: Option<i64>,
}

impl Watch {
    pub(super) async fn changed(&mut self, limit: Duration) -> Result<bool, StoreError> {
        let mut left = limit;
        loop {
            let now: i64 =
                sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await.map_err(translate)?;
            if self.seen.replace(now) != Some(now) {
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

fn extended_code(error: &dyn DatabaseError) -> u32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Returns the primary result code of an extended one.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error().map(|error| extended_code(error) & 0xff)
}

fn translate(error: sqlx::Error) -> StoreError {
    let unavailable = |reason: String| StoreError::Unavailable { reason };
    match &error {
        sqlx::Error::Database(database) => {
            let message = database.message();
            let code = extended_code(database.as_ref());
            match (code, code & 0xff) {
                (CONSTRAINT_PRIMARY_KEY | CONSTRAINT_ROWID, _) => {
                    StoreError::Conflict { constraint: constraint_name(message, true) }
                }
                (CONSTRAINT_UNIQUE, _) => StoreError::Conflict { constraint: constraint_name(message, false) },
                (SHORT_READ, _) | (_, CORRUPT | NOT_A_DATABASE) => StoreError::corrupt(message),
                (_, FULL) => StoreError::DiskFull,
                (_, READ_ONLY) => StoreError::ReadOnly,
                // Another process held the write lock for longer than the busy timeout.
                (_, BUSY | LOCKED) => StoreError::Contended { reason: message.to_owned() },
                (_, NO_MEMORY | IO | CANNOT_OPEN | PROTOCOL) => unavailable(message.to_owned()),
                _ => StoreError::Refused { reason: message.to_owned(), source: Some(error.into()) },
            }
        }
        sqlx::Error::PoolTimedOut => unavailable("no connection became free in 10 seconds".into()),
        sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            unavailable(error.to_string())
        }
        sqlx::Error::ColumnDecode { index, source } => StoreError::corrupt(format!("column {index}: {source}")),
        _ => StoreError::Refused { reason: error.to_string(), source: Some(error.into()) },
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
