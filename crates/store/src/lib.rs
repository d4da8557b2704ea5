//! All SQL: the stored data, its changes, and the feed of changes. The rules are in `domain`. The caller has already
//! authenticated and authorized the request.
//!
//! Each feature's file begins with the columns of its tables, see [`schema`]. Unless a function says otherwise, its
//! errors are those of the database: it does not answer, or a row cannot be decoded.

pub mod api_key;
pub mod audit;
pub mod change;
pub mod connection;
mod engine;
mod error;
pub mod file;
pub mod identity;
pub mod installation;
pub mod installation_key;
pub mod integrity;
pub mod invitation;
mod key_blob;
pub mod key_review;
pub mod key_use;
pub mod list;
mod maintenance;
pub mod member;
mod migrations;
pub mod name;
pub mod node;
pub mod policy;
mod policy_row;
pub mod project;
pub mod proof;
pub mod recovery;
pub mod replay;
pub mod rotation;
pub mod schema;
pub mod service_account;
pub mod session;
pub mod set_up;
mod table;
pub mod transfer;
pub mod user;
mod value;
pub mod workspace;

use std::{path::Path, sync::Arc, time::Duration};

use domain::{Random, Timestamp};
pub use domain::{ReplayKey, Version};

pub use change::{Change, ChangeWatch, Changes, CommitCounts, Committed, Events, Subject};
pub use connection::{Connection, ReadConnection, Row, WriteConnection};
pub use engine::{Engine, PostgresUrl};
pub use error::StoreError;
pub use maintenance::Maintenance;
pub use migrations::latest as latest_format;
pub use replay::{StoredBody, StoredResponse};
pub use table::ColumnType;
pub use value::{Statement, Value};

/// The database to open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreOptions {
    /// The engine and its location.
    pub engine: Engine,
}

/// An open database. Cloning it is cheap, and all clones share its connections.
#[derive(Clone)]
pub struct Store {
    database: Arc<engine::Database>,
    changes: Arc<change::ChangeQueue>,
}

impl Store {
    /// Opens a database, creates missing files and tables, and migrates it to the format of this release.
    ///
    /// # Errors
    /// The file cannot be used, belongs to a later release, or does not match the migrations that were applied to it.
    pub async fn open(options: &StoreOptions, now: Timestamp, random: &dyn Random) -> Result<Self, StoreError> {
        let database = engine::Database::open(&options.engine).await?;
        // Several processes may create or migrate the database at the same time.
        let new = &database;
        retry(|| async move {
            let mut connection = WriteConnection::from(new.begin().await?);
            migrations::migrate(&mut connection, now).await?;
            installation::create_if_missing(&mut connection, now, random).await?;
            connection.commit().await
        })
        .await?;
        Ok(Self { database: Arc::new(database), changes: Arc::default() })
    }

    /// Returns a connection for reading.
    ///
    /// # Errors
    /// No connection was available in time.
    pub async fn read(&self) -> Result<ReadConnection, StoreError> {
        self.database.read().await.map(ReadConnection::from)
    }

    /// Begins a change. It locks the row before it reads anything, so that changes are serialized. Data that was read
    /// earlier must be read again through the change. `now` is the time of the change. Changes of this process that wait
    /// for each other are committed together.
    ///
    /// # Errors
    /// The lock was not released in time, or the installation's row is corrupt.
    pub async fn begin_change(&self, now: Timestamp) -> Result<Change, StoreError> {
        Change::begin(&self.changes, &self.database, now, false).await
    }

    /// As [`begin_change`](Self::begin_change), for a change that is committed alone, because a commit with others has
    /// failed.
    ///
    /// # Errors
    /// As [`begin_change`](Self::begin_change).
    pub async fn begin_change_alone(&self, now: Timestamp) -> Result<Change, StoreError> {
        Change::begin(&self.changes, &self.database, now, true).await
    }

    /// Returns how many changes this process has committed, and with how many commits.
    #[must_use]
    pub fn commit_counts(&self) -> CommitCounts {
        self.changes.counts()
    }

    /// Begins a transaction for maintenance, which has no audit event: last uses, leases, the deletion of expired rows.
    ///
    /// # Errors
    /// The lock was not released in time.
    pub async fn begin_maintenance(&self) -> Result<Maintenance, StoreError> {
        self.database.begin().await.map(Maintenance::from)
    }

    /// Returns a watch on the commits of all processes, over its own connection.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn watch(&self) -> Result<ChangeWatch, StoreError> {
        self.database.watch().await.map(ChangeWatch::new)
    }

    /// Writes a consistent copy of the database into a new file that only its owner can read. Reads and writes
    /// continue.
    ///
    /// # Errors
    /// The file exists or cannot be written. An incomplete file is removed.
    pub async fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        self.database.back_up(file).await
    }

    /// Returns whether nodes on several machines may share this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.database.can_be_demoted()
    }

    /// Waits for the changes in progress and closes all connections. Every later use is [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Returns whether a database contains an installation that has changed since it was created. Neither its format nor
/// its content is changed.
///
/// # Errors
/// The file or server cannot be used, or the file is no database.
pub async fn holds_installation(options: &StoreOptions) -> Result<bool, StoreError> {
    let database = engine::Database::open(&options.engine).await?;
    let found = async {
        let mut connection = ReadConnection::from(database.read().await?);
        if !connection.link.has_table("installation").await? {
            return Ok(false);
        }
        let row = connection.fetch_optional("SELECT version FROM installation WHERE id = 1", params![]).await?;
        Ok(row.map(|row| row.count("version")).transpose()?.is_some_and(|version| version > 0))
    }
    .await;
    database.close().await;
    found
}

/// How often an operation that conflicted is attempted, and the pauses in between: each is twice the previous one, up
/// to a maximum.
const ATTEMPTS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// Retries an operation that conflicted with another transaction, a limited number of times.
///
/// # Errors
/// The error of the last attempt.
pub async fn retry<T, E: MayConflict, F>(mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.is_contention() => {
                tokio::time::sleep(pause).await;
                pause = LAST_PAUSE.min(pause * 2);
            }
            result => return result,
        }
    }
    attempt().await
}

/// An error after which the operation may be retried.
pub trait MayConflict {
    /// Returns whether the operation conflicted with another transaction. Nothing was changed, and a retry may succeed.
    fn is_contention(&self) -> bool;
}

impl MayConflict for StoreError {
    fn is_contention(&self) -> bool {
        matches!(self, Self::Contended { .. })
    }
}
