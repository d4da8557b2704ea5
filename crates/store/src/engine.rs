//! The engines, behind one face. All that differs between them is in the files below this one.

mod sqlite;

use std::path::{Path, PathBuf};

use crate::{
    StoreError,
    connection::{Connection, Value},
};

/// Which database, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Engine {
    /// The embedded one.
    Sqlite {
        /// Its file, in a directory that exists.
        path: PathBuf,
    },
}

/// A database that was opened: one way in for writers, who queue, and several for readers.
pub(crate) enum Database {
    Sqlite(sqlite::Database),
}

impl Database {
    pub(crate) async fn open(engine: &Engine) -> Result<Self, StoreError> {
        match engine {
            Engine::Sqlite { path } => sqlite::Database::open(path).await.map(Self::Sqlite),
        }
    }

    /// A connection that only reads.
    pub(crate) async fn read(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite(database) => database.read().await.map(|link| Connection { link: Link::Sqlite(link) }),
        }
    }

    /// A connection in a transaction that may write. Dropping it rolls back.
    pub(crate) async fn begin(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite(database) => database.begin().await.map(|link| Connection { link: Link::Sqlite(link) }),
        }
    }

    pub(crate) async fn watch(&self) -> Result<Watch, StoreError> {
        match self {
            Self::Sqlite(database) => database.watch().await.map(Watch::Sqlite),
        }
    }

    /// Writes all of it, as of one moment, into a new file.
    pub(crate) async fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(database) => database.back_up(file).await,
        }
    }

    /// Waits until all connections are closed and the file is whole on its own.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(database) => database.close().await,
        }
    }
}

/// A connection of some engine.
pub(crate) enum Link {
    Sqlite(sqlite::Link),
}

impl Link {
    pub(crate) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(link) => link.execute(sql, values).await,
        }
    }

    pub(crate) async fn fetch_all(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Cells>, StoreError> {
        match self {
            Self::Sqlite(link) => Ok(link.fetch_all(sql, values).await?.into_iter().map(Cells::Sqlite).collect()),
        }
    }

    pub(crate) async fn fetch_optional(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Cells>, StoreError> {
        match self {
            Self::Sqlite(link) => Ok(link.fetch_optional(sql, values).await?.map(Cells::Sqlite)),
        }
    }

    /// Runs several statements at once, without values.
    pub(crate) async fn execute_script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(link) => link.execute_script(sql).await,
        }
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(link) => link.commit().await,
        }
    }
}

/// A row of some engine.
pub(crate) enum Cells {
    Sqlite(sqlite::Cells),
}

macro_rules! cells {
    ($($name:ident -> $type:ty;)*) => {
        impl Cells {$(
            pub(crate) fn $name(&self, column: &str) -> Result<Option<$type>, StoreError> {
                match self {
                    Self::Sqlite(cells) => cells.$name(column),
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

/// Tells when something may have been committed, by whomever.
pub(crate) enum Watch {
    Sqlite(sqlite::Watch),
}

impl Watch {
    pub(crate) async fn data_changed_hint(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(watch) => watch.data_changed_hint().await,
        }
    }
}
