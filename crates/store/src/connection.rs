//! The thin connection that all statements go through: five value types (text, i64, bool, bytes, null), `$1` places,
//! the same on every engine. No SQL lives here, and nothing of an engine: that is `engine`.

use std::{borrow::Cow, fmt::Display, ops, str::FromStr};

use domain::{
    PrincipalId, Timestamp,
    id::{Id, Kind},
};

use crate::{
    StoreError,
    engine::{Cells, Link},
};

/// A value for a `$n` place of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// TEXT.
    Text(Option<Cow<'a, str>>),
    /// BIGINT.
    I64(Option<i64>),
    /// BOOLEAN.
    Bool(Option<bool>),
    /// BYTEA.
    Bytes(Option<Cow<'a, [u8]>>),
}

/// The values for the places of a statement, in order: `params![id, now, None::<&str>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::connection::Value::from($value)),*] as &[$crate::connection::Value<'_>]
    };
}

macro_rules! values {
    ($([$($generics:tt)*] $from:ty => $variant:ident, $value:ident, $into:expr;)*) => {$(
        impl<'a, $($generics)*> From<$from> for Value<'a> {
            fn from($value: $from) -> Self {
                Self::$variant(Some($into))
            }
        }

        impl<'a, $($generics)*> From<Option<$from>> for Value<'a> {
            fn from(value: Option<$from>) -> Self {
                value.map_or(Self::$variant(None), Self::from)
            }
        }
    )*};
}

values! {
    [] &'a str => Text, text, Cow::Borrowed(text);
    [] &'a String => Text, text, Cow::Borrowed(text.as_str());
    [] String => Text, text, Cow::Owned(text);
    [] Cow<'a, str> => Text, text, text;
    [] i64 => I64, number, number;
    [] bool => Bool, truth, truth;
    [] &'a [u8] => Bytes, bytes, Cow::Borrowed(bytes);
    [] &'a Vec<u8> => Bytes, bytes, Cow::Borrowed(bytes.as_slice());
    [] Vec<u8> => Bytes, bytes, Cow::Owned(bytes);
    [const N: usize] &'a [u8; N] => Bytes, bytes, Cow::Borrowed(bytes.as_slice());
    [const N: usize] [u8; N] => Bytes, bytes, Cow::Owned(bytes.to_vec());
    // Microseconds since 1970: what both engines keep without loss, and what sorts.
    [] Timestamp => I64, time, time.as_microsecond();
    [K: Kind] Id<K> => Text, id, Cow::Owned(id.to_string());
    [K: Kind] &'a Id<K> => Text, id, Cow::Owned(id.to_string());
    [] PrincipalId => Text, id, Cow::Owned(id.to_string());
    [] &'a PrincipalId => Text, id, Cow::Owned(id.to_string());
}

/// A connection to the database, inside a transaction or not. A statement that fails inside a transaction is its last:
/// what can fail and should not end it asks first, or says `ON CONFLICT`.
pub struct Connection {
    pub(crate) link: Link,
}

impl Connection {
    /// Runs a statement and tells how many rows it changed.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.link.execute(sql, values).await
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn fetch_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(self.link.fetch_all(sql, values).await?.into_iter().map(Row).collect())
    }

    /// The first row of a query, if it has one.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn fetch_optional(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.link.fetch_optional(sql, values).await?.map(Row))
    }

    /// The first row of a query that always has one.
    ///
    /// # Errors
    /// The database does not answer, refuses, or has no such row: [`StoreError::Corrupt`].
    pub async fn fetch_one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Row, StoreError> {
        let row = self.fetch_optional(sql, values).await?;
        row.ok_or_else(|| StoreError::corrupt(format!("no row where there is always one, in `{sql}`")))
    }
}

/// A connection for reading. Every statement sees what was committed when it began.
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

/// A row of an answer. Columns are named; a value of the wrong type, a missing one or one that does not parse is
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
