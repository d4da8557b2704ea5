//! Errors of the database, grouped by the person that has to act. The server maps them to HTTP responses.

use std::{error::Error, path::PathBuf};

/// An error of the store. Nothing was changed unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database does not answer, or not in time. Callers answer 503, never 401.
    #[error(
        "the database does not respond ({reason}): try again; if the error persists, check the database and its \
             disk"
    )]
    Unavailable {
        /// The engine's message.
        reason: String,
    },
    /// It is unknown whether a change was committed: the connection was lost during the commit, or no standby has the
    /// change. Callers answer 503. If the client sends the same signed request again, the change happens once.
    #[error(
        "the database did not report whether it committed ({reason}): check whether the change was made, or send the \
         same signed request again, which is processed only once"
    )]
    Uncertain {
        /// The engine's message.
        reason: String,
    },
    /// This transaction conflicted with others: a deadlock, a serialization failure, or a lock timeout. The operation
    /// can be retried, see [`crate::retry`].
    #[error("the transaction conflicted with another one ({reason}): try again")]
    Contended {
        /// The engine's message.
        reason: String,
    },
    /// The configuration of the database server prevents its use.
    #[error("the database server cannot be used: {reason}")]
    Server {
        /// The reason, and how to correct it.
        reason: String,
    },
    /// An installation was not copied into another database.
    #[error("the installation was not copied: {reason}")]
    NotCopied {
        /// The reason, and how to correct it.
        reason: String,
    },
    /// The disk is full.
    #[error("the disk that holds the database is full: free some space, then try again")]
    DiskFull,
    /// The database cannot be written to.
    #[error(
        "the database is read-only: the user that runs keyward must own its file and directory, and the file system \
         must be mounted for writing; a PostgreSQL server must be the primary"
    )]
    ReadOnly,
    /// A value that must be unique exists already.
    #[error("`{constraint}` already exists")]
    Conflict {
        /// The constraint, with PostgreSQL's default name: `TABLE_COLUMN_COLUMN_key`, `TABLE_pkey`.
        constraint: String,
    },
    /// The database contains invalid data.
    #[error(
        "the database contains data that keyward did not write: {what}; restore a backup, and run `keyward audit \
             verify`"
    )]
    Corrupt {
        /// The location and the error.
        what: String,
    },
    /// The database was written by a later release.
    #[error(
        "the database has format {found}, this release knows formats up to {known}: start the release that wrote it, or a \
         later one"
    )]
    NewerDatabase {
        /// The format of the database.
        found: u64,
        /// The latest format that this release knows.
        known: u64,
    },
    /// A migration is not the one that was applied to this database.
    #[error(
        "migration {version} (`{name}`) is not the one that was applied to this database: it was written by another \
         build of keyward; start that one, or restore a backup"
    )]
    MigrationChanged {
        /// The migration's number.
        version: u64,
        /// The migration's name.
        name: String,
    },
    /// The database file or another file of the installation cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason, and how to correct it.
        reason: String,
    },
    /// The key does not belong to the installation in this database.
    #[error(
        "this is not the key of the installation in this database, or that key was replaced: copy `installation.key` from \
         another node, or from where you keep it, and start again; if it is lost, `keyward admin replace-installation-key` \
         creates a new one"
    )]
    ForeignKey,
    /// Internal error: a statement is wrong, or violates a constraint that the code has to check first.
    #[error("the database refused a statement: {reason}; this is a bug in keyward, please report it")]
    Refused {
        /// The engine's message.
        reason: String,
        /// The engine's error, if there is one.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl StoreError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// Returns whether this is a conflict on the constraint of this name.
    #[must_use]
    pub fn is_conflict(&self, name: &str) -> bool {
        matches!(self, Self::Conflict { constraint } if constraint == name)
    }
}
