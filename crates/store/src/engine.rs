//! One interface for all engines. The differences between them are in the submodules.

mod postgres;
mod sqlite;

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::{
    StoreError,
    value::{Statement, Value},
};

/// The database to use.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Engine {
    /// The embedded database.
    Sqlite {
        /// Its file, in an existing directory.
        path: PathBuf,
    },
    /// A PostgreSQL server, which any number of nodes share.
    Postgres {
        /// Its URL.
        url: PostgresUrl,
    },
}

/// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with parameters such as `?sslrootcert=FILE`. Its `Display` output
/// contains no secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl From<String> for PostgresUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password may contain any character, so the host begins after the last `@`. A parameter may contain a
        // password, too.
        let (user, place) = self.0.rsplit_once('@').unwrap_or(("", &self.0));
        let place = place.split_once('?').map_or(place, |(place, _)| place);
        match (user.split_once("://"), place.contains("://")) {
            (Some((scheme, _)), _) => write!(f, "{scheme}://{place}"),
            (None, true) if user.is_empty() => f.write_str(place),
            // Any part of it may be a password.
            (None, _) => f.write_str("the address of the database"),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// An open database. Writers queue for one connection, and readers have several.
pub(crate) enum Database {
    Sqlite(sqlite::Database),
    Postgres(Box<postgres::Database>),
}

impl Database {
    pub(crate) async fn open(engine: &Engine) -> Result<Self, StoreError> {
        match engine {
            Engine::Sqlite { path } => sqlite::Database::open(path).await.map(Self::Sqlite),
            Engine::Postgres { url } => {
                postgres::Database::open(url).await.map(|database| Self::Postgres(Box::new(database)))
            }
        }
    }

    /// Returns a read connection.
    pub(crate) async fn read(&self) -> Result<Link, StoreError> {
        match self {
            Self::Sqlite(database) => database.read().await.map(Link::Sqlite),
            Self::Postgres(database) => database.read().await.map(Link::Postgres),
        }
    }

    /// Returns a connection in a transaction that may write. Dropping it rolls back.
    pub(crate) async fn begin(&self) -> Result<Link, StoreError> {
        match self {
            Self::Sqlite(database) => database.begin().await.map(Link::Sqlite),
            Self::Postgres(database) => database.begin().await.map(Link::Postgres),
        }
    }

    /// As [`begin`](Self::begin), for changes. Each of their statements writes few rows, and other changes wait.
    pub(crate) async fn begin_change(&self) -> Result<Link, StoreError> {
        match self {
            Self::Sqlite(database) => database.begin_change().await.map(Link::Sqlite),
            Self::Postgres(database) => database.begin().await.map(Link::Postgres),
        }
    }

    /// Returns a connection in a transaction for leases, which do not wait for changes.
    pub(crate) async fn begin_lease(&self) -> Result<Link, StoreError> {
        match self {
            Self::Sqlite(_) => self.begin().await,
            Self::Postgres(database) => database.begin_lease().await.map(Link::Postgres),
        }
    }

    /// As [`begin_lease`](Self::begin_lease), for data that may be lost in a crash of the database and should not wait
    /// for its disk.
    pub(crate) async fn begin_unsynced(&self) -> Result<Link, StoreError> {
        match self {
            Self::Sqlite(database) => database.begin_unsynced().await.map(Link::Sqlite),
            Self::Postgres(database) => database.begin_unsynced().await.map(Link::Postgres),
        }
    }

    /// Returns a connection that reads leases. It does not wait for other readers.
    pub(crate) async fn read_for_lease(&self) -> Result<Link, StoreError> {
        match self {
            Self::Sqlite(_) => self.read().await,
            Self::Postgres(database) => database.read_for_lease().await.map(Link::Postgres),
        }
    }

    /// Returns whether a standby may be promoted while this database still answers. In that case, only a replicated
    /// write proves that this database is the primary.
    pub(crate) const fn can_be_demoted(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
        }
    }

    pub(crate) async fn watch(&self) -> Result<Watch, StoreError> {
        match self {
            Self::Sqlite(database) => database.watch().await.map(Watch::Sqlite),
            Self::Postgres(database) => database.watch().await.map(|watch| Watch::Postgres(Box::new(watch))),
        }
    }

    /// Writes a consistent copy of the database into a new file.
    pub(crate) async fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(database) => database.back_up(file).await,
            Self::Postgres(_) => Err(StoreError::Server {
                reason: "its backups are made with pg_dump or pg_basebackup, see docs/postgresql.md".to_owned(),
            }),
        }
    }

    /// Waits until all connections are closed and all data is in the main file.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(database) => database.close().await,
            Self::Postgres(database) => database.close().await,
        }
    }
}

/// A connection of an engine.
pub(crate) enum Link {
    Sqlite(sqlite::Link),
    Postgres(postgres::Link),
    /// Its transaction has ended.
    Ended,
}

fn ended() -> StoreError {
    StoreError::Refused { reason: "this transaction has ended".to_owned(), source: None }
}

impl Link {
    pub(crate) async fn execute(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(link) => link.execute(sql, values).await,
            Self::Postgres(link) => link.execute(sql, values).await,
            Self::Ended => Err(ended()),
        }
    }

    pub(crate) async fn fetch_all(&mut self, sql: Statement, values: &[Value<'_>]) -> Result<Vec<Cells>, StoreError> {
        match self {
            Self::Sqlite(link) => Ok(link.fetch_all(sql, values).await?.into_iter().map(Cells::Sqlite).collect()),
            Self::Postgres(link) => Ok(link.fetch_all(sql, values).await?.into_iter().map(Cells::Postgres).collect()),
            Self::Ended => Err(ended()),
        }
    }

    pub(crate) async fn fetch_optional(
        &mut self,
        sql: Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Cells>, StoreError> {
        match self {
            Self::Sqlite(link) => Ok(link.fetch_optional(sql, values).await?.map(Cells::Sqlite)),
            Self::Postgres(link) => Ok(link.fetch_optional(sql, values).await?.map(Cells::Postgres)),
            Self::Ended => Err(ended()),
        }
    }

    /// Runs several statements without values that create or change tables. The types are TEXT, BIGINT, BOOLEAN and
    /// BYTEA, and TEXT is sorted by its bytes.
    pub(crate) async fn execute_schema(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(link) => link.execute_schema(sql).await,
            Self::Postgres(link) => link.execute_schema(sql).await,
            Self::Ended => Err(ended()),
        }
    }

    /// Returns whether a table of that name exists.
    pub(crate) async fn has_table(&mut self, name: &'static str) -> Result<bool, StoreError> {
        let sql = match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = $1",
            Self::Postgres(_) | Self::Ended => {
                "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables
                 WHERE table_schema = current_schema() AND CAST(table_name AS TEXT) = CAST($1 AS TEXT)"
            }
        };
        let name = [Value::Text(Some(Cow::Borrowed(name)))];
        Ok(self.fetch_optional(sql.into(), &name).await?.is_some())
    }

    /// Returns the expression for the hexadecimal digits of a BYTEA column, in lower or upper case.
    pub(crate) fn hex_of(&self, column: &'static str) -> String {
        match self {
            Self::Sqlite(_) => format!("hex({column})"),
            Self::Postgres(_) | Self::Ended => format!("encode({column}, 'hex')"),
        }
    }

    /// Returns the errors that the engine finds in its files.
    pub(crate) async fn check_integrity(&mut self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Sqlite(link) => link.check_integrity().await,
            // PostgreSQL's own programs check its files, on its own machine.
            Self::Postgres(_) => Ok(Vec::new()),
            Self::Ended => Err(ended()),
        }
    }

    /// Notifies the watching nodes after this transaction has committed.
    pub(crate) const fn notify_on_commit(&mut self) {
        match self {
            // Watching nodes poll the file.
            Self::Sqlite(_) | Self::Ended => {}
            Self::Postgres(link) => link.notify_on_commit(),
        }
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(link) => link.commit().await,
            Self::Postgres(link) => link.commit().await,
            Self::Ended => Err(ended()),
        }
    }

    /// Sets a savepoint, in place of the earlier one unless it is the first.
    pub(crate) async fn set_savepoint(&mut self, is_first: bool) -> Result<(), StoreError> {
        let sql = if is_first { "SAVEPOINT one_change" } else { "RELEASE SAVEPOINT one_change; SAVEPOINT one_change" };
        match self {
            Self::Sqlite(link) => link.execute_script(sql),
            Self::Postgres(link) => link.execute_script(sql).await,
            Self::Ended => Err(ended()),
        }
    }

    /// Rolls back to the savepoint, also after a failed statement.
    ///
    /// # Errors
    /// The transaction has ended. Only dropping the link is possible.
    pub(crate) async fn roll_back_to_savepoint(&mut self) -> Result<(), StoreError> {
        let sql = "ROLLBACK TO SAVEPOINT one_change";
        match self {
            Self::Sqlite(link) => link.recover(sql),
            Self::Postgres(link) => link.recover(sql).await,
            Self::Ended => Err(ended()),
        }
    }

    /// Returns an error if a statement has failed, so that the transaction accepts no further statement.
    pub(crate) fn require_usable(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(link) => link.require_usable(),
            Self::Postgres(link) => link.require_usable(),
            Self::Ended => Err(ended()),
        }
    }
}

impl SqlSafeStr for Statement {
    fn into_sql_str(self) -> SqlStr {
        match self.into_text() {
            Cow::Borrowed(sql) => sql.into_sql_str(),
            // `Statement` only consists of text from the code.
            Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
        }
    }
}

/// A row of an engine.
pub(crate) enum Cells {
    Sqlite(sqlite::Cells),
    Postgres(postgres::Cells),
}

macro_rules! cells {
    ($($name:ident -> $type:ty;)*) => {
        impl Cells {$(
            pub(crate) fn $name(&self, column: &str) -> Result<Option<$type>, StoreError> {
                match self {
                    Self::Sqlite(cells) => cells.$name(column),
                    Self::Postgres(cells) => cells.$name(column),
                }
            }
        )*}
    };
}

cells! {
    text -> String;
    i64 -> i64;
    bool -> bool;
    bytes -> Vec<u8>;
}

/// Waits for the commits of all processes.
pub(crate) enum Watch {
    Sqlite(sqlite::Watch),
    Postgres(Box<postgres::Watch>),
}

impl Watch {
    pub(crate) async fn changed(&mut self, limit: Duration) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(watch) => watch.changed(limit).await,
            Self::Postgres(watch) => watch.changed(limit).await,
        }
    }
}
