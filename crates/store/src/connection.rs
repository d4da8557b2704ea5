//! The thin connection that all statements go through: five value types (text, i64, bool, bytes, null), `$1` placeholders,
//! the same on every engine. This file holds no SQL and nothing that differs between engines; that is in `engine`.

use std::{fmt::Display, ops, str::FromStr};

use domain::Timestamp;

use crate::{
    StoreError,
    engine::{Cells, Link},
    value::{Statement, Value},
};

/// A connection to the database, inside a transaction or not, that reads. A statement that fails inside a transaction is its
/// last: a statement that may conflict and should not end the transaction says `ON CONFLICT`.
pub struct Connection {
    pub(crate) link: Link,
}

impl From<Link> for Connection {
    fn from(link: Link) -> Self {
        Self { link }
    }
}

impl From<Link> for ReadConnection {
    fn from(link: Link) -> Self {
        Self(link.into())
    }
}

impl From<Link> for WriteConnection {
    fn from(link: Link) -> Self {
        Self(link.into())
    }
}

impl Connection {
    /// All rows of a query.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn fetch_all(&mut self, sql: impl Into<Statement>, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(self.link.fetch_all(sql.into(), values).await?.into_iter().map(Row).collect())
    }

    /// The first row of a query, if it has one.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn fetch_optional(
        &mut self,
        sql: impl Into<Statement>,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.link.fetch_optional(sql.into(), values).await?.map(Row))
    }

    /// The first row of a query that always has one.
    ///
    /// # Errors
    /// The database does not answer, refuses, or has no such row: [`StoreError::Corrupt`].
    pub async fn fetch_one(&mut self, sql: impl Into<Statement>, values: &[Value<'_>]) -> Result<Row, StoreError> {
        let sql = sql.into();
        let row = self.link.fetch_optional(sql.clone(), values).await?.map(Row);
        row.ok_or_else(|| StoreError::corrupt(format!("no row where there is always one, in `{}`", sql.as_str())))
    }

    /// The first row of a query, decoded, if it has one.
    pub(crate) async fn find<R: FromRow>(
        &mut self,
        sql: impl Into<Statement>,
        values: &[Value<'_>],
    ) -> Result<Option<R>, StoreError> {
        self.fetch_optional(sql, values).await?.as_ref().map(R::from_row).transpose()
    }

    /// All rows of a query, decoded.
    pub(crate) async fn list<R: FromRow>(
        &mut self,
        sql: impl Into<Statement>,
        values: &[Value<'_>],
    ) -> Result<Vec<R>, StoreError> {
        self.fetch_all(sql, values).await?.iter().map(R::from_row).collect()
    }
}

/// The number of values in the list of one statement.
pub(crate) const LIST_MAX: usize = 256;

/// Adds `ids` to the values of a statement, and returns their placeholders for `IN (…)`. No id is the empty text, which stands
/// in a list that is empty otherwise.
pub(crate) fn push_list<I: Display>(values: &mut Vec<Value<'_>>, ids: &[I]) -> String {
    // The last value fills up the list, so that few statements have to be prepared: one for each power of two.
    let places = ids.len().next_power_of_two();
    let first = values.len() + 1;
    values.extend(ids.iter().map(|id| Value::from(id.to_string())));
    let last = ids.last().map_or_else(String::new, I::to_string);
    values.resize(first - 1 + places, Value::from(last));
    (first..first + places).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

impl Connection {
    /// All rows of a query about several ids: `before` ends with the column, `IN (…)` follows, then `after`. Each row comes
    /// once where the ids differ; the order is not defined.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub(crate) async fn fetch_in<I: Display>(
        &mut self,
        before: impl Into<Statement>,
        ids: &[I],
        after: &'static str,
    ) -> Result<Vec<Row>, StoreError> {
        let before = before.into();
        let mut rows = Vec::new();
        for ids in ids.chunks(LIST_MAX) {
            let mut values = Vec::new();
            let list = push_list(&mut values, ids);
            let sql = Statement::built(format!("{} IN ({list}) {after}", before.as_str()));
            rows.extend(self.fetch_all(sql, &values).await?);
        }
        Ok(rows)
    }
}

/// A connection outside of a transaction, for reading. Every statement sees what was committed when it began.
///
/// It has no way to write:
///
/// ```compile_fail,E0599
/// async fn delete_all(connection: &mut store::ReadConnection) {
///     let _ = connection.execute("DELETE FROM users", store::params![]).await;
/// }
/// ```
pub struct ReadConnection(pub(crate) Connection);

impl ops::Deref for ReadConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl ops::DerefMut for ReadConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A connection inside a transaction that may write. [`Change`](crate::Change) and [`Maintenance`](crate::Maintenance) are
/// such.
pub struct WriteConnection(pub(crate) Connection);

impl WriteConnection {
    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn execute(&mut self, sql: impl Into<Statement>, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.0.link.execute(sql.into(), values).await
    }

    /// Runs several statements that create or change tables.
    pub(crate) async fn execute_schema(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.0.link.execute_schema(sql).await
    }

    /// Wakes up the watching nodes once this transaction has committed.
    pub(crate) const fn notify_on_commit(&mut self) {
        self.0.link.notify_on_commit();
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.0.link.commit().await
    }
}

impl ops::Deref for WriteConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl ops::DerefMut for WriteConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A type that a row of a query decodes to.
pub(crate) trait FromRow: Sized {
    /// Decodes a row.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names a column that is missing or holds what the type cannot.
    fn from_row(row: &Row) -> Result<Self, StoreError>;
}

/// Where the page after `after` begins: every id is greater than the empty text.
pub(crate) fn page_start(after: Option<impl Display>) -> String {
    after.map_or_else(String::new, |id| id.to_string())
}

/// A row of a result. Columns are named; a value of the wrong type, a missing one or one that does not parse is
/// [`StoreError::Corrupt`], which names the column.
pub struct Row(Cells);

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident, $optional:ident -> $type:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// It is missing or of another type.
        pub fn $name(&self, column: &str) -> Result<$type, StoreError> {
            present(column, self.$optional(column)?)
        }
    )*};
}

impl Row {
    columns! {
        /// The TEXT in `column`.
        text, opt_text -> String;
        /// The BIGINT in `column`.
        i64, opt_i64 -> i64;
        /// The BOOLEAN in `column`.
        bool, opt_bool -> bool;
        /// The BYTEA in `column`.
        bytes, opt_bytes -> Vec<u8>;
        /// The time in `column`, a BIGINT of microseconds since 1970.
        timestamp, opt_timestamp -> Timestamp;
    }

    /// The TEXT in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.0.text(column)
    }

    /// The BIGINT in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_i64(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.0.i64(column)
    }

    /// The BOOLEAN in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_bool(&self, column: &str) -> Result<Option<bool>, StoreError> {
        self.0.bool(column)
    }

    /// The BYTEA in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.bytes(column)
    }

    /// The time in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type or beyond what a time can be.
    pub fn opt_timestamp(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        self.opt_i64(column)?
            .map(|time| Timestamp::from_microsecond(time).map_err(|error| unreadable(column, &error)))
            .transpose()
    }

    /// What the TEXT in `column` says: an id, an enum.
    ///
    /// # Errors
    /// It is missing, of another type, or does not parse.
    pub fn parse<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, StoreError> {
        present(column, self.opt_parse(column)?)
    }

    /// What the TEXT in `column` says, if there is one.
    ///
    /// # Errors
    /// It is of another type, or does not parse.
    pub fn opt_parse<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.opt_text(column)?.map(|text| text.parse().map_err(|error| unreadable(column, &error))).transpose()
    }

    /// The BIGINT in `column`, which counts something and so is not negative.
    ///
    /// # Errors
    /// It is missing, of another type, or negative.
    pub fn count(&self, column: &str) -> Result<u64, StoreError> {
        let number = self.i64(column)?;
        u64::try_from(number).map_err(|_| unreadable(column, &format_args!("{number} is below zero")))
    }
}

fn present<T>(column: &str, value: Option<T>) -> Result<T, StoreError> {
    value.ok_or_else(|| StoreError::corrupt(format!("column `{column}` is empty")))
}

fn unreadable(column: &str, error: &dyn Display) -> StoreError {
    StoreError::corrupt(format!("column `{column}`: {error}"))
}
