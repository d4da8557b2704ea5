//! The connection that executes all statements: five value types (text, i64, bool, bytes, null) and `$1` placeholders,
//! the same on every engine. This file contains no SQL. The differences between engines are in `engine`.

use std::{fmt::Display, ops, str::FromStr};

use domain::{
    Timestamp,
    id::{Id, Kind},
};

use crate::{
    StoreError,
    engine::{Cells, Link},
    params,
    value::{Statement, Value},
};

/// A read connection to the database, inside or outside a transaction. After a failed statement, a transaction accepts
/// no further statement. A statement that may conflict without ending the transaction uses `ON CONFLICT`.
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
    /// Returns all rows of a query.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn fetch_all(&mut self, sql: impl Into<Statement>, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(self.link.fetch_all(sql.into(), values).await?.into_iter().map(Row).collect())
    }

    /// Returns the first row of a query, if it has one.
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

    /// Returns the first row of a query that always has one.
    ///
    /// # Errors
    /// The database does not answer, refuses, or returns no row: [`StoreError::Corrupt`].
    pub async fn fetch_one(&mut self, sql: impl Into<Statement>, values: &[Value<'_>]) -> Result<Row, StoreError> {
        let sql = sql.into();
        let row = self.link.fetch_optional(sql.clone(), values).await?.map(Row);
        row.ok_or_else(|| StoreError::corrupt(format!("no row where there is always one, in `{}`", sql.as_str())))
    }

    /// Returns the first row of a query, decoded, if it has one.
    pub(crate) async fn find<R: FromRow>(
        &mut self,
        sql: impl Into<Statement>,
        values: &[Value<'_>],
    ) -> Result<Option<R>, StoreError> {
        self.fetch_optional(sql, values).await?.as_ref().map(R::from_row).transpose()
    }

    /// Returns all rows of a query, decoded.
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

/// Adds `ids` to the values of a statement, and returns their placeholders for `IN (…)`. The list is never empty: an
/// empty text, which is no id, fills an empty list.
pub(crate) fn push_list<I: Display>(values: &mut Vec<Value<'_>>, ids: &[I]) -> String {
    // The last value pads the list to a power of two, so that few statements have to be prepared.
    let places = ids.len().next_power_of_two();
    let first = values.len() + 1;
    values.extend(ids.iter().map(|id| Value::from(id.to_string())));
    let last = ids.last().map_or_else(String::new, I::to_string);
    values.resize(first - 1 + places, Value::from(last));
    (first..first + places).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

impl Connection {
    /// Returns all rows of a query for several ids. `before` ends with the column, `IN (…)` follows, then `after`. If
    /// the ids differ, each row is returned once. The order is not defined.
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

/// A connection outside a transaction, for reading. Every statement sees the data that was committed when it began.
///
/// It has no method that writes:
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

/// A connection inside a transaction that may write, such as [`Change`](crate::Change) and
/// [`Maintenance`](crate::Maintenance).
pub struct WriteConnection(pub(crate) Connection);

impl Default for WriteConnection {
    /// Returns a connection that has ended.
    fn default() -> Self {
        Self(Link::Ended.into())
    }
}

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

    /// Notifies the watching nodes after this transaction has committed.
    pub(crate) const fn notify_on_commit(&mut self) {
        self.0.link.notify_on_commit();
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.0.link.commit().await
    }

    /// Sets a savepoint in the transaction, in place of the earlier one.
    pub(crate) async fn set_savepoint(&mut self, is_first: bool) -> Result<(), StoreError> {
        self.0.link.set_savepoint(is_first).await
    }

    /// Rolls back to the savepoint, also after a failed statement. The savepoint remains.
    pub(crate) async fn roll_back_to_savepoint(&mut self) -> Result<(), StoreError> {
        self.0.link.roll_back_to_savepoint().await
    }

    /// Returns an error if a statement has failed, so that the transaction accepts no further statement.
    pub(crate) fn require_usable(&self) -> Result<(), StoreError> {
        self.0.link.require_usable()
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
    /// [`StoreError::Corrupt`] contains the name of a column that is missing or has an invalid value.
    fn from_row(row: &Row) -> Result<Self, StoreError>;
}

/// Returns the id after which a page begins. Without `after`, it is the empty text, which sorts before every id.
pub(crate) fn page_start(after: Option<impl Display>) -> String {
    after.map_or_else(String::new, |id| id.to_string())
}

/// Returns the last id of a page with `size` rows after `after`. Returns `None` if there are fewer. `from` is a table, with a
/// condition that ends with AND.
pub(crate) async fn find_page_end<K: Kind>(
    connection: &mut Connection,
    from: &'static str,
    after: Option<Id<K>>,
    size: u16,
) -> Result<Option<Id<K>>, StoreError> {
    let sql = Statement::concat(&["SELECT id FROM", from, "id > $1 ORDER BY id LIMIT 1 OFFSET $2"]);
    let before_last = i64::from(size.saturating_sub(1));
    connection
        .fetch_optional(sql, params![page_start(after), before_last])
        .await?
        .map(|row| row.parse("id"))
        .transpose()
}

/// Returns the text up to which a page ends. Without `up_to`, it sorts after every id.
pub(crate) fn page_end(up_to: Option<impl Display>) -> String {
    up_to.map_or_else(|| "~".to_owned(), |id| id.to_string())
}

/// A row of a result. Columns have names. A value that is missing, has the wrong type or cannot be parsed is
/// [`StoreError::Corrupt`], with the name of the column.
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

    /// Returns the TEXT in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.0.text(column)
    }

    /// Returns the BIGINT in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_i64(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.0.i64(column)
    }

    /// Returns the BOOLEAN in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_bool(&self, column: &str) -> Result<Option<bool>, StoreError> {
        self.0.bool(column)
    }

    /// Returns the BYTEA in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type.
    pub fn opt_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.bytes(column)
    }

    /// Returns the time in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type, or out of range for a time.
    pub fn opt_timestamp(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        self.opt_i64(column)?
            .map(|time| Timestamp::from_microsecond(time).map_err(|error| unreadable(column, &error)))
            .transpose()
    }

    /// Parses the TEXT in `column`, such as an id or an enum.
    ///
    /// # Errors
    /// It is missing, of another type, or does not parse.
    pub fn parse<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, StoreError> {
        present(column, self.opt_parse(column)?)
    }

    /// Parses the TEXT in `column`, if there is one.
    ///
    /// # Errors
    /// It is of another type, or does not parse.
    pub fn opt_parse<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.opt_text(column)?.map(|text| text.parse().map_err(|error| unreadable(column, &error))).transpose()
    }

    /// Returns the BIGINT in `column`, which is a count and must not be negative.
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
