//! PostgreSQL 15 or later over the network. All nodes read from and write to one primary. For callers, it behaves like
//! SQLite.

use std::{cell::Cell, future::Future, sync::LazyLock, time::Duration};

use domain::secret::redact;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Row as _,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgListener, PgPoolOptions, PgRow, PgSslMode},
    query::Query,
};
use tracing::{
    Dispatch, Level, Metadata, Subscriber, instrument::WithSubscriber as _, level_filters::LevelFilter, span,
};

use super::PostgresUrl;
use crate::{
    StoreError,
    value::{Statement, Value},
};

/// Changes are serialized, so few connections are enough. The others are for nonces and uses of keys.
const WRITERS: u32 = 8;
const READERS: u32 = 4;
/// Leases have their own connections, because they must not wait for changes.
const LEASES: u32 = 2;

/// How long a task waits for a connection, including the time to open it.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server executes a statement, how long it waits for a lock, and how long a transaction may be idle. The
/// server disconnects a node that was paused while it held the locked row, so that the others continue.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a migration may take. Building the index of a large table takes minutes.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);
/// How long after the limit of a statement a response is still expected. The server has ended every statement by then.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = STATEMENT_TIMEOUT.saturating_add(ANSWER_MARGIN);
/// A lease is about to expire after this time. Another connection may respond sooner.
const LEASE_ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may be idle, and its maximum age. New connections follow a server that moved to another IP
/// address.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
const MAX_LIFETIME: Duration = Duration::from_mins(30);
/// How long a connection is idle before it is tested by a round trip, because a restart of the server closes it.
const TEST_AFTER: Duration = Duration::from_millis(500);

/// The channel on which a change notifies the other nodes after its commit. A node that misses a notification reads the
/// change when it polls.
const CHANNEL: &str = "keyward_changes";
/// Without the first setting, the server would write the transaction of the notification to its disk, too.
const NOTIFY: &str = "SET LOCAL synchronous_commit = off; NOTIFY keyward_changes";
/// How often a node polls if the server does not support NOTIFY.
const POLL: Duration = Duration::from_millis(100);

pub(crate) struct Database {
    listener: PgConnectOptions,
    writers: PgPool,
    readers: PgPool,
    leases: PgPool,
}

impl Database {
    pub(super) async fn open(url: &PostgresUrl) -> Result<Self, StoreError> {
        let options = connect_options(url)?;
        let (read_only, leases) = (
            options.clone().options([("default_transaction_read_only", "on")]),
            options.clone().options([("statement_timeout", milliseconds(LEASE_ANSWER_TIMEOUT))]),
        );
        let database = Self {
            writers: pool(WRITERS).connect_lazy_with(options.clone()),
            readers: pool(READERS).connect_lazy_with(read_only),
            leases: pool(LEASES).connect_lazy_with(leases),
            listener: options,
        };
        // A separate connection reports errors in the URL, the user or the database. A pool would only retry.
        let first = async {
            let mut connection = database.listener.connect().await?;
            require_primary(&mut connection).await?;
            connection.close().await
        };
        match tokio::time::timeout(ACQUIRE_TIMEOUT, first).await {
            Ok(Ok(())) => Ok(database),
            Ok(Err(error)) => Err(unusable(url, error)),
            Err(_) => Err(translate(sqlx::Error::PoolTimedOut)),
        }
    }

    pub(super) async fn read(&self) -> Result<Link, StoreError> {
        Ok(Link::new(self.readers.acquire().await.map_err(translate)?, ANSWER_TIMEOUT))
    }

    pub(super) async fn begin(&self) -> Result<Link, StoreError> {
        begin(&self.writers, ANSWER_TIMEOUT).await
    }

    pub(super) async fn begin_lease(&self) -> Result<Link, StoreError> {
        begin(&self.leases, LEASE_ANSWER_TIMEOUT).await
    }

    pub(super) async fn begin_unsynced(&self) -> Result<Link, StoreError> {
        let mut link = self.begin_lease().await?;
        link.execute_script("SET LOCAL synchronous_commit = off").await?;
        Ok(link)
    }

    pub(super) async fn read_for_lease(&self) -> Result<Link, StoreError> {
        Ok(Link::new(self.leases.acquire().await.map_err(translate)?, LEASE_ANSWER_TIMEOUT))
    }

    pub(super) async fn watch(&self) -> Result<Watch, StoreError> {
        let mut watch = Watch { options: self.listener.clone(), listener: None, polls: false, is_first: true };
        watch.listen().await?;
        Ok(watch)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.leases.close().await;
        self.writers.close().await;
    }
}

async fn begin(pool: &PgPool, answer_timeout: Duration) -> Result<Link, StoreError> {
    let mut link = Link::new(pool.acquire().await.map_err(translate)?, answer_timeout);
    // Set in every transaction, because the operator may have set another default for the role or the database.
    link.execute_script("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    link.transaction = Transaction::Open;
    Ok(link)
}

fn connect_options(url: &PostgresUrl) -> Result<PgConnectOptions, StoreError> {
    let unreadable = |why: &str| StoreError::Server {
        reason: format!(
            "its URL is invalid ({why}): write postgres://USER@HOST:PORT/DATABASE, with the password in PGPASSWORD or \
             ~/.pgpass; in the URL, a user name or password has # as %23, / as %2F, ? as %3F, % as %25, @ as %40, : \
             as %3A, [ as %5B, ] as %5D and a space as %20"
        ),
    };
    let Some((_, rest)) = url.0.split_once("://").filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"))
    else {
        return Err(unreadable("it does not begin with postgres://"));
    };
    // If a password contains an unencoded `/`, `?` or `#`, the rest would be parsed as the database name, and errors
    // would contain it.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest[authority.len()..].contains('@') || authority.matches('@').count() > 1 {
        return Err(unreadable("a character of the user name or password is not percent-encoded"));
    }
    // The error message of the parser may contain a value.
    let options: PgConnectOptions = url.0.parse().map_err(|_: sqlx::Error| {
        let is_parameter = rest.contains('?') && format!("postgres://{authority}").parse::<PgConnectOptions>().is_ok();
        unreadable(if is_parameter {
            "a parameter after the `?` has an unsupported value; for example, `sslmode` must be disable, prefer, \
             require, verify-ca or verify-full"
        } else {
            "a character of it is not percent-encoded, or the port is not a number"
        })
    })?;
    let is_local = options.get_socket().is_some() || is_loopback(options.get_host());
    // `prefer` falls back to plain text, which an attacker in the network can cause.
    let options = match options.get_ssl_mode() {
        PgSslMode::Allow | PgSslMode::Prefer if !is_local => options.ssl_mode(PgSslMode::VerifyFull),
        PgSslMode::Disable if !is_local => {
            return Err(StoreError::Server {
                reason: "`sslmode=disable` is safe only on this machine: leave it out, and name the authority of the \
                         server's certificate with `sslrootcert=FILE` where it is your own"
                    .to_owned(),
            });
        }
        _ => options,
    };
    Ok(options
        .application_name("keyward")
        .statement_cache_capacity(256)
        .options([
            ("statement_timeout", milliseconds(STATEMENT_TIMEOUT)),
            ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
            ("idle_in_transaction_session_timeout", milliseconds(IDLE_IN_TRANSACTION_TIMEOUT)),
            // The minimum for standbys. The settings of the role may be weaker.
            ("synchronous_commit", "on".to_owned()),
        ])
        .disable_statement_logging())
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn milliseconds(time: Duration) -> String {
    time.as_millis().to_string()
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .max_lifetime(MAX_LIFETIME)
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for >= TEST_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|connection, _| Box::pin(require_primary(connection)))
}

/// Key state is read from the primary only, because a standby may be behind. A server without this setting is no
/// standby.
async fn require_primary(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "SELECT COALESCE(current_setting('in_hot_standby', true), 'off') = 'on'";
    let is_standby: bool = sqlx::query_scalar(sql).fetch_one(connection).await?;
    if is_standby {
        return Err(sqlx::Error::Configuration("this server is a standby: name the primary".into()));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// The transaction neither committed nor was rolled back.
    Open,
    /// A statement failed. The server accepts no further statement.
    Failed,
}

pub(crate) struct Link {
    /// Removed when the link ends.
    connection: Option<PoolConnection<Postgres>>,
    answer_timeout: Duration,
    transaction: Transaction,
    /// A response is outstanding: the connection can only be closed.
    is_waiting: bool,
    /// Whether to notify the other nodes after the commit.
    notifies: bool,
}

impl Link {
    const fn new(connection: PoolConnection<Postgres>, answer_timeout: Duration) -> Self {
        Self {
            connection: Some(connection),
            answer_timeout,
            transaction: Transaction::None,
            is_waiting: false,
            notifies: false,
        }
    }

    /// Notifies the other nodes after this transaction has committed.
    pub(super) const fn notify_on_commit(&mut self) {
        self.notifies = true;
    }

    /// Runs one statement. If the future is dropped before the response, the connection is closed.
    async fn run<'a, T, F>(
        &'a mut self,
        statement: impl FnOnce(&'a mut PoolConnection<Postgres>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>> + 'a,
        T: 'a,
    {
        let Self { connection: Some(connection), answer_timeout, transaction, is_waiting, .. } = self else {
            return Err(failed_before());
        };
        if *transaction == Transaction::Failed {
            return Err(failed_before());
        }
        *is_waiting = true;
        let result = match tokio::time::timeout(*answer_timeout, statement(connection)).await {
            Ok(result) => {
                *is_waiting = false;
                result.map_err(translate)
            }
            Err(_) => Err(StoreError::Unavailable {
                reason: format!("no answer from the server in {} s", answer_timeout.as_secs()),
            }),
        };
        if *transaction == Transaction::Open && result.is_err() {
            *transaction = Transaction::Failed;
        }
        result
    }

    pub(super) async fn execute(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let query = query(sql, values);
        Ok(self.run(|connection| query.execute(&mut **connection)).await?.rows_affected())
    }

    pub(super) async fn fetch_all(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<Vec<Cells>, StoreError> {
        let query = query(sql, values);
        Ok(self.run(|connection| query.fetch_all(&mut **connection)).await?.into_iter().map(Cells).collect())
    }

    pub(super) async fn fetch_optional(
        &mut self,
        sql: Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Cells>, StoreError> {
        let query = query(sql, values);
        Ok(self.run(|connection| query.fetch_optional(&mut **connection)).await?.map(Cells))
    }

    pub(super) async fn execute_script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.run(|connection| sqlx::raw_sql(sql).execute(&mut **connection)).await?;
        Ok(())
    }

    /// Executes a statement after which the transaction can be used again, although a statement failed.
    pub(super) async fn recover(&mut self, sql: &'static str) -> Result<(), StoreError> {
        if self.is_waiting {
            return Err(failed_before());
        }
        if self.transaction == Transaction::Failed {
            self.transaction = Transaction::Open;
        }
        self.execute_script(sql).await
    }

    pub(super) fn require_usable(&self) -> Result<(), StoreError> {
        if self.transaction == Transaction::Failed || self.is_waiting { Err(failed_before()) } else { Ok(()) }
    }

    /// Runs statements that create tables. Text is compared and sorted by its bytes, as in SQLite. The server's default
    /// depends on a language and on the version of its C library.
    pub(super) async fn execute_schema(&mut self, sql: &'static str) -> Result<(), StoreError> {
        // Changes of other nodes wait for a lock meanwhile, and fail after a while. Requests are verified all the time.
        self.answer_timeout = MIGRATION_TIMEOUT.saturating_add(ANSWER_MARGIN);
        let timeout = milliseconds(MIGRATION_TIMEOUT);
        let sql = format!("SET LOCAL statement_timeout = {timeout};\n{}", with_byte_order(sql));
        self.run(|connection| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **connection)).await?;
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        match self.transaction {
            Transaction::None => return Ok(()),
            Transaction::Open => {}
            Transaction::Failed => return Err(failed_before()),
        }
        let committed = self
            .run(|connection| {
                let committing = async {
                    let result = sqlx::raw_sql("COMMIT").execute(&mut **connection).await;
                    result.map(|_| WARNED.with(Cell::get))
                };
                WARNED.scope(Cell::new(false), committing).with_subscriber(WARNINGS.clone())
            })
            .await;
        match committed {
            Ok(false) => self.transaction = Transaction::None,
            Ok(true) => {
                self.transaction = Transaction::None;
                return Err(StoreError::Uncertain {
                    reason: "the wait for the synchronous standby was cancelled: the server committed it alone".into(),
                });
            }
            Err(error) => {
                // The state of the connection is unknown, so it is closed.
                self.is_waiting = true;
                return Err(match error {
                    // After these errors, nothing was committed.
                    StoreError::Contended { .. } | StoreError::Conflict { .. } | StoreError::Refused { .. } => error,
                    _ => StoreError::Uncertain { reason: error.to_string() },
                });
            }
        }
        if self.notifies {
            // The caller does not wait for it.
            tokio::spawn(async move {
                if let Err(error) = self.execute_script(NOTIFY).await {
                    tracing::debug!(%error, "the other nodes could not be notified; they poll");
                }
            });
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.is_waiting {
            connection.close_on_drop();
        } else if self.transaction != Transaction::None {
            let answer_timeout = self.answer_timeout;
            tokio::spawn(async move {
                let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
                match tokio::time::timeout(answer_timeout, rollback).await {
                    Ok(Ok(_)) => {}
                    // The server rolls back when the connection closes.
                    Ok(Err(_)) | Err(_) => connection.close_on_drop(),
                }
            });
        }
    }
}

fn failed_before() -> StoreError {
    StoreError::Refused { reason: "a statement of this transaction failed before".into(), source: None }
}

/// Replaces the word `TEXT` with `TEXT COLLATE "C"`.
fn with_byte_order(sql: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut ordered = String::with_capacity(sql.len() * 2);
    for (at, part) in sql.split("TEXT").enumerate() {
        if at > 0 {
            ordered.push_str("TEXT");
            if !ordered[..ordered.len() - 4].ends_with(is_word) && !part.starts_with(is_word) {
                ordered.push_str(" COLLATE \"C\"");
            }
        }
        ordered.push_str(part);
    }
    ordered
}

fn query(sql: Statement, values: &[Value<'_>]) -> Query<'static, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Text(text) => query.bind(text.as_deref().map(str::to_owned)),
        Value::I64(number) => query.bind(*number),
        Value::Bool(truth) => query.bind(*truth),
        Value::Bytes(bytes) => query.bind(bytes.as_deref().map(<[u8]>::to_vec)),
    })
}

pub(crate) struct Cells(PgRow);

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
        self.0.try_get(column).map_err(translate)
    }
}

/// A connection that receives notifications from the server.
pub(crate) struct Watch {
    options: PgConnectOptions,
    /// `None` if it has to be opened again.
    listener: Option<PgListener>,
    /// Whether to poll, because the server does not support NOTIFY. This applies to some servers with PostgreSQL's
    /// protocol.
    polls: bool,
    is_first: bool,
}

impl Watch {
    async fn listen(&mut self) -> Result<(), StoreError> {
        // A separate pool: closing the database does not wait for the watch.
        let pool = pool(1).max_lifetime(None).idle_timeout(None).connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(translate)?;
        match listener.listen(CHANNEL).await {
            Ok(()) => self.listener = Some(listener),
            Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("0A000" | "42601")) => {
                tracing::info!("the database has no NOTIFY; this node polls every {} ms", POLL.as_millis());
                self.polls = true;
            }
            Err(error) => return Err(translate(error)),
        }
        Ok(())
    }

    pub(super) async fn changed(&mut self, limit: Duration) -> Result<bool, StoreError> {
        if std::mem::take(&mut self.is_first) {
            return Ok(true);
        }
        if self.polls {
            tokio::time::sleep(POLL.min(limit)).await;
            return Ok(POLL <= limit);
        }
        let Some(listener) = &mut self.listener else {
            self.listen().await?;
            // A notification may have been lost in the meantime.
            return Ok(true);
        };
        match tokio::time::timeout(limit, listener.try_recv()).await {
            Err(_) => Ok(false),
            Ok(Ok(Some(_))) => {
                while listener.next_buffered().is_some() {}
                Ok(true)
            }
            // The connection was lost and reopened.
            Ok(Ok(None)) => Ok(true),
            Ok(Err(error)) => {
                self.listener = None;
                Err(translate(error))
            }
        }
    }
}

tokio::task_local! {
    /// Whether the server sent a warning during this task's COMMIT.
    static WARNED: Cell<bool>;
}

/// Receives the warnings of the server during a COMMIT. If a wait for a synchronous standby is cancelled, PostgreSQL
/// reports success with a warning, which sqlx only writes to the log.
static WARNINGS: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Warnings));

struct Warnings;

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::postgres::notice" && *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if self.enabled(event.metadata()) {
            // Outside a COMMIT, no task needs the warning.
            let _ = WARNED.try_with(|warned| warned.set(true));
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn unusable(url: &PostgresUrl, error: sqlx::Error) -> StoreError {
    let refusal = match &error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let is_ours = ["28", "3D", "42"].iter().any(|class| code.starts_with(class));
            is_ours.then(|| format!("{}: check the user, its password and the database", database.message()))
        }
        sqlx::Error::Configuration(reason) => Some(redact(&reason.to_string()).into_owned()),
        sqlx::Error::Tls(reason) => Some(format!(
            "its certificate is not trusted ({reason}): name the authority that signed it with `sslrootcert=FILE`"
        )),
        _ => None,
    };
    match refusal {
        Some(reason) => StoreError::Server { reason: format!("{url}: {reason}") },
        None => translate(error),
    }
}

fn translate(error: sqlx::Error) -> StoreError {
    let unavailable = |reason: String| StoreError::Unavailable { reason };
    match error {
        sqlx::Error::Database(database) => match database.try_downcast::<PgDatabaseError>() {
            Ok(database) => translate_code(*database),
            Err(database) => StoreError::Refused { reason: database.message().to_owned(), source: None },
        },
        sqlx::Error::PoolTimedOut => unavailable("no connection became free in 5 seconds".into()),
        sqlx::Error::ColumnDecode { index, source } => StoreError::corrupt(format!("column {index}: {source}")),
        error @ (sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Configuration(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed) => unavailable(error.to_string()),
        error => StoreError::Refused { reason: error.to_string(), source: Some(error.into()) },
    }
}

/// Maps SQLSTATE codes, see appendix A of the PostgreSQL documentation.
fn translate_code(error: PgDatabaseError) -> StoreError {
    let message = error.message().to_owned();
    match error.code() {
        // Two processes created the same table at the same time.
        "23505" if error.schema() == Some("pg_catalog") => StoreError::Contended { reason: message },
        "23505" => StoreError::Conflict { constraint: error.constraint().unwrap_or(&message).to_owned() },
        // A serialization failure, a deadlock, the same table, type or column created twice at the same time, or a lock
        // timeout.
        "40001" | "40P01" | "42P07" | "42710" | "42701" | "55P03" => StoreError::Contended { reason: message },
        "25006" => StoreError::ReadOnly,
        "53100" => StoreError::DiskFull,
        "XX001" | "XX002" => StoreError::corrupt(message),
        // A statement or an idle transaction timed out, or the wait was cancelled.
        "57014" | "25P03" => StoreError::Unavailable { reason: message },
        // The connection, resources, an operator's intervention, the system, its configuration, the credentials.
        code if ["08", "53", "57", "58", "F0", "28", "3D"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable { reason: message }
        }
        code => StoreError::Refused { reason: format!("{message} ({code})"), source: Some(Box::new(error)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_columns_of_a_migration_sort_by_bytes_and_nothing_else_changes() {
        let sql = "CREATE TABLE t (\n    id TEXT PRIMARY KEY,\n    a TEXT,\n    my_TEXT BIGINT,\n    b TEXT\n);";
        let expected = "CREATE TABLE t (\n    id TEXT COLLATE \"C\" PRIMARY KEY,\n    a TEXT COLLATE \"C\",\n    \
                        my_TEXT BIGINT,\n    b TEXT COLLATE \"C\"\n);";
        assert_eq!(with_byte_order(sql), expected);
    }

    #[test]
    fn a_remote_server_needs_verified_tls() {
        let mode = |url: &str| connect_options(&PostgresUrl(url.to_owned())).map(|options| options.get_ssl_mode());
        for local in ["postgres://u@localhost/d", "postgres://u@127.0.0.1:5433/d", "postgres://u@%2Ftmp/d"] {
            assert!(matches!(mode(local), Ok(PgSslMode::Prefer)), "{local}");
        }
        assert!(matches!(mode("postgres://u@db.example.com/d"), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(mode("postgres://u@db.example.com/d?sslmode=prefer"), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(mode("postgres://u@db.example.com/d?sslmode=verify-ca"), Ok(PgSslMode::VerifyCa)));
        let refused = mode("postgres://u@db.example.com/d?sslmode=disable").expect_err("plain text").to_string();
        assert!(refused.contains("sslrootcert"), "{refused}");
    }

    #[test]
    fn a_malformed_url_is_refused_without_showing_its_password() {
        for url in [
            "postgres://keyward:p#ss/w?rd%@127.0.0.1/keyward",
            "postgres://keyward:p#ssw?rd@127.0.0.1/keyward",
            "postgres://keyward:1234/w?rd@127.0.0.1/keyward",
            "postgres://keyward:12#ssw?rd@127.0.0.1/keyward",
            "postgres://keyward:w?rd@127.0.0.1/keyward",
            "postgres://keyward:p@ssw@rd@127.0.0.1/keyward",
            "postgres://keyward:w%rd@127.0.0.1:port/keyward",
            "postgres://keyward:p[ss:w]rd@127.0.0.1:5432x/keyward",
            "keyward:p#ssw?rd@127.0.0.1/keyward",
            "mysql://keyward:p#ssw?rd@127.0.0.1/keyward",
        ] {
            let refused = connect_options(&PostgresUrl(url.to_owned())).expect_err(url).to_string();
            for piece in ["p#ss", "w?rd", "p@ss", "p[ss", "ss:w", "w%rd", "1234", "#ssw"] {
                assert!(!refused.contains(piece), "{url}: {refused}");
            }
            for way_out in ["# as %23", "/ as %2F", "% as %25", "PGPASSWORD", "~/.pgpass"] {
                assert!(refused.contains(way_out), "{url}: {refused}");
            }
        }
        let parameter = PostgresUrl("postgres://keyward:hunter2@127.0.0.1/keyward?sslmode=hunter2".to_owned());
        let refused = connect_options(&parameter).expect_err("no such mode").to_string();
        assert!(refused.contains("sslmode") && !refused.contains("hunter2"), "{refused}");
        let encoded = PostgresUrl("postgres://keyward:p%23ss%2Fw%3Frd%25@127.0.0.1/keyward".to_owned());
        assert!(connect_options(&encoded).is_ok());
    }
}
