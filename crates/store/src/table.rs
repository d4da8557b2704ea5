//! The columns of each table, listed once. SELECT, INSERT and UPDATE are built from the list, the transfer of an
//! installation copies the listed columns, and a test compares them with the schema of both engines. Each list is a
//! constant at the top of the feature's file, next to the code that decodes a row.

use std::borrow::Cow;

use crate::{
    StoreError,
    connection::{Row, WriteConnection},
    value::{Statement, Value},
};

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ColumnType {
    /// TEXT.
    Text,
    /// BIGINT.
    I64,
    /// BOOLEAN.
    Bool,
    /// BYTEA.
    Bytes,
}

/// Encodes a column's value from the row's Rust type.
type Encode<T> = for<'a> fn(&'a T) -> Value<'a>;

/// How the generated statements use a column.
enum Access<T: 'static> {
    /// Written on insert. Read.
    Fixed(Encode<T>),
    /// Written on insert and update. Read.
    Mutable(Encode<T>),
    /// Written on insert. Not read, because other columns or the code imply it.
    Implied(Encode<T>),
    /// Written and read by separate statements only.
    Separate,
}

/// A column of a table whose rows have the Rust type `T`.
pub(crate) struct Column<T: 'static> {
    name: &'static str,
    kind: ColumnType,
    is_key: bool,
    access: Access<T>,
}

impl<T> Column<T> {
    /// Declares a column of the primary key. These columns come first in the list.
    pub(crate) const fn key(name: &'static str, kind: ColumnType, encode: Encode<T>) -> Self {
        Self { name, kind, is_key: true, access: Access::Fixed(encode) }
    }

    /// Declares a column that is written on insert and never updated.
    pub(crate) const fn fixed(name: &'static str, kind: ColumnType, encode: Encode<T>) -> Self {
        Self { name, kind, is_key: false, access: Access::Fixed(encode) }
    }

    /// Declares a column that is written on insert and update.
    pub(crate) const fn mutable(name: &'static str, kind: ColumnType, encode: Encode<T>) -> Self {
        Self { name, kind, is_key: false, access: Access::Mutable(encode) }
    }

    /// Declares a column that is written on insert and not read.
    pub(crate) const fn implied(name: &'static str, kind: ColumnType, encode: Encode<T>) -> Self {
        Self { name, kind, is_key: false, access: Access::Implied(encode) }
    }

    /// Declares a column with separate statements.
    pub(crate) const fn separate(name: &'static str, kind: ColumnType) -> Self {
        Self { name, kind, is_key: false, access: Access::Separate }
    }

    /// Declares a column of the primary key of a table with separate statements.
    pub(crate) const fn separate_key(name: &'static str, kind: ColumnType) -> Self {
        Self { name, kind, is_key: true, access: Access::Separate }
    }
}

/// A table whose rows have the Rust type `T`, or `()` if all its statements are written out.
pub(crate) struct Table<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column<T>],
}

impl<T> Table<T> {
    /// Selects the columns that [`FromRow`] decodes. `rest` follows `FROM TABLE`.
    pub(crate) fn select(&self, rest: &'static str) -> Statement {
        self.select_with("", rest)
    }

    /// As [`select`](Self::select), with `more` expressions in the list.
    pub(crate) fn select_with(&self, more: &'static str, rest: &'static str) -> Statement {
        Statement::built(format!("{} FROM {} {rest}", self.select_columns(more).as_str(), self.name))
    }

    /// Returns the start of such a statement: the columns, with `more` expressions, without the table.
    pub(crate) fn select_columns(&self, more: &'static str) -> Statement {
        let read = self.columns.iter().filter(|column| matches!(column.access, Access::Fixed(_) | Access::Mutable(_)));
        let mut columns: Vec<String> = read.map(|column| format!("{}.{}", self.name, column.name)).collect();
        if !more.is_empty() {
            columns.push(more.to_owned());
        }
        Statement::built(format!("SELECT {}", columns.join(", ")))
    }

    /// Prepares the insertion of `row`. [`Insert::run`] executes it.
    pub(crate) fn insert<'a>(&'static self, row: &'a T) -> Insert<'a, T> {
        let mut insert =
            Insert { table: self, columns: Vec::new(), expressions: Vec::new(), values: Vec::new(), end: "" };
        for column in self.columns {
            match column.access {
                Access::Fixed(encode) | Access::Mutable(encode) | Access::Implied(encode) => {
                    insert = insert.value(column.name, encode(row));
                }
                Access::Separate => {}
            }
        }
        insert
    }

    /// Updates the mutable columns of the row with the primary key of `row`, and returns the number of rows.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub(crate) async fn update(&self, connection: &mut WriteConnection, row: &T) -> Result<u64, StoreError> {
        let (sql, values) = self.update_statement(row);
        connection.execute(sql, &values).await
    }

    fn update_statement<'a>(&self, row: &'a T) -> (Statement, Vec<Value<'a>>) {
        let (mut changes, mut conditions, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for column in self.columns {
            let (encode, list) = match column.access {
                Access::Mutable(encode) => (encode, &mut changes),
                Access::Fixed(encode) if column.is_key => (encode, &mut conditions),
                _ => continue,
            };
            values.push(encode(row));
            list.push(format!("{} = ${}", column.name, values.len()));
        }
        let (changes, conditions) = (changes.join(", "), conditions.join(" AND "));
        (Statement::built(format!("UPDATE {} SET {changes} WHERE {conditions}", self.name)), values)
    }

    fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().filter(|column| column.is_key).map(|column| column.name)
    }
}

/// The maximum number of rows in one statement.
const MAX_ROWS: usize = 64;
/// From this number on, the number of rows in a statement is a multiple of it, so that few statements have to be prepared,
/// and few are executed.
const ROW_STEP: usize = 8;

/// Returns how many of these rows the next statement inserts.
const fn rows_at_once(rows: usize) -> usize {
    match rows {
        ..ROW_STEP => rows,
        MAX_ROWS.. => MAX_ROWS,
        _ => rows / ROW_STEP * ROW_STEP,
    }
}

/// An INSERT that is being built.
pub(crate) struct Insert<'a, T: 'static> {
    table: &'static Table<T>,
    columns: Vec<&'static str>,
    expressions: Vec<Expression>,
    values: Vec<Value<'a>>,
    end: &'static str,
}

/// The text for a column, with or without the next value in it.
struct Expression {
    before: &'static str,
    has_value: bool,
    after: &'static str,
}

impl<'a, T> Insert<'a, T> {
    /// Also writes a column that is not part of the row's type.
    pub(crate) fn value(self, column: &'static str, value: impl Into<Value<'a>>) -> Self {
        self.expression_of(column, ("", ""), value)
    }

    /// Also writes a column that the database computes from a value between two texts.
    pub(crate) fn expression_of(
        mut self,
        column: &'static str,
        (before, after): (&'static str, &'static str),
        value: impl Into<Value<'a>>,
    ) -> Self {
        self.values.push(value.into());
        self.columns.push(column);
        self.expressions.push(Expression { before, has_value: true, after });
        self
    }

    /// Also writes a column that the database computes.
    pub(crate) fn expression(mut self, column: &'static str, sql: &'static str) -> Self {
        self.columns.push(column);
        self.expressions.push(Expression { before: sql, has_value: false, after: "" });
        self
    }

    /// Inserts nothing if the row exists.
    pub(crate) fn or_ignore(mut self) -> Self {
        self.end = " ON CONFLICT DO NOTHING";
        self
    }

    /// Inserts the row.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: the row exists. The database does not answer.
    pub(crate) async fn run(self, connection: &mut WriteConnection) -> Result<u64, StoreError> {
        let end = self.end;
        self.end_with(end.to_owned(), connection).await
    }

    /// Inserts rows of one table with the same columns, and few statements.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: a row exists. The database does not answer.
    pub(crate) async fn run_all(
        rows: impl IntoIterator<Item = Self>,
        connection: &mut WriteConnection,
    ) -> Result<(), StoreError> {
        let rows: Vec<Self> = rows.into_iter().collect();
        let mut rows = rows.as_slice();
        while !rows.is_empty() {
            let (written, rest) = rows.split_at(rows_at_once(rows.len()));
            rows = rest;
            let (sql, values) = Self::joined(written);
            connection.execute(sql, &values).await?;
        }
        Ok(())
    }

    fn joined(rows: &[Self]) -> (Statement, Vec<Value<'a>>) {
        let (mut head, mut lists, mut values) = (String::new(), Vec::new(), Vec::new());
        for row in rows {
            if head.is_empty() {
                head = format!("INSERT INTO {} ({}) VALUES ", row.table.name, row.columns.join(", "));
            }
            lists.push(row.list(values.len()));
            values.extend(row.values.iter().cloned());
        }
        (Statement::built(format!("{head}{}", lists.join(", "))), values)
    }

    /// Returns the list of the expressions of a row after this many values of a statement.
    fn list(&self, values_before: usize) -> String {
        let mut place = values_before;
        let expressions = self.expressions.iter().map(|Expression { before, has_value, after }| {
            place += usize::from(*has_value);
            if *has_value { format!("{before}${place}{after}") } else { (*before).to_owned() }
        });
        format!("({})", expressions.collect::<Vec<_>>().join(", "))
    }

    /// Inserts the row. If a row with the same primary key exists, updates its mutable columns and applies the
    /// assignments in `more`.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub(crate) async fn run_or_update(
        self,
        more: &[&'static str],
        connection: &mut WriteConnection,
    ) -> Result<u64, StoreError> {
        let mutable = self.table.columns.iter().filter(|column| matches!(column.access, Access::Mutable(_)));
        let mut changes: Vec<_> = mutable.map(|column| format!("{0} = excluded.{0}", column.name)).collect();
        changes.extend(more.iter().map(|&more| more.to_owned()));
        let keys = self.table.keys().collect::<Vec<_>>().join(", ");
        let end = format!(" ON CONFLICT ({keys}) DO UPDATE SET {}", changes.join(", "));
        self.end_with(end, connection).await
    }

    async fn end_with(self, end: String, connection: &mut WriteConnection) -> Result<u64, StoreError> {
        let (sql, values) = Self::joined(&[self]);
        connection.execute(Statement::built(format!("{}{end}", sql.as_str())), &values).await
    }
}

/// The name and columns of a table, without the Rust type of its rows.
pub(crate) trait Layout: Sync {
    /// Returns the name of the table.
    fn name(&self) -> &'static str;

    /// Returns the columns, with those of the primary key first.
    fn columns(&self) -> Vec<ColumnLayout>;
}

/// A column as declared in the schema.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ColumnLayout {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: ColumnType,
    /// Whether it belongs to the primary key.
    pub(crate) is_key: bool,
}

impl<T> Layout for Table<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn columns(&self) -> Vec<ColumnLayout> {
        self.columns.iter().map(|&Column { name, kind, is_key, .. }| ColumnLayout { name, kind, is_key }).collect()
    }
}

impl ColumnLayout {
    /// Returns the value of this column in a row.
    pub(crate) fn decode(&self, row: &Row) -> Result<Value<'static>, StoreError> {
        Ok(match self.kind {
            ColumnType::Text => Value::Text(row.opt_text(self.name)?.map(Cow::Owned)),
            ColumnType::I64 => Value::I64(row.opt_i64(self.name)?),
            ColumnType::Bool => Value::Bool(row.opt_bool(self.name)?),
            ColumnType::Bytes => Value::Bytes(row.opt_bytes(self.name)?.map(Cow::Owned)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnType::{Bool, Text};

    struct Sample {
        id: String,
        title: String,
        disabled: bool,
    }

    static SAMPLES: Table<Sample> = Table {
        name: "samples",
        columns: &[
            Column::key("id", Text, |sample| (&sample.id).into()),
            Column::mutable("title", Text, |sample| (&sample.title).into()),
            Column::separate("secret", Text),
            Column::mutable("disabled", Bool, |sample| sample.disabled.into()),
        ],
    };

    #[test]
    fn select_lists_the_columns_that_a_row_decodes() {
        assert_eq!(
            SAMPLES.select("WHERE id = $1").as_str(),
            "SELECT samples.id, samples.title, samples.disabled FROM samples WHERE id = $1"
        );
        assert_eq!(
            SAMPLES.select_with("samples.secret", "ORDER BY id").as_str(),
            "SELECT samples.id, samples.title, samples.disabled, samples.secret FROM samples ORDER BY id"
        );
    }

    #[test]
    fn several_rows_are_inserted_by_one_statement() {
        let samples = ["x", "y"].map(|id| Sample { id: id.into(), title: "t".into(), disabled: true });
        let rows: Vec<_> =
            samples.iter().map(|row| SAMPLES.insert(row).expression("secret", "(SELECT 1)").value("more", 7)).collect();
        let (sql, values) = Insert::joined(&rows);
        assert_eq!(
            sql.as_str(),
            "INSERT INTO samples (id, title, disabled, secret, more) VALUES ($1, $2, $3, (SELECT 1), $4), \
             ($5, $6, $7, (SELECT 1), $8)"
        );
        let t = || Value::from("t");
        let expected = [Value::from("x"), t(), true.into(), 7.into(), Value::from("y"), t(), true.into(), 7.into()];
        assert_eq!(values, expected);
    }

    #[test]
    fn rows_are_split_into_few_statements() {
        let statements = |mut rows: usize| {
            let mut sizes = Vec::new();
            while rows > 0 {
                sizes.push(rows_at_once(rows));
                rows -= rows_at_once(rows);
            }
            sizes
        };
        assert!(statements(0).is_empty());
        assert_eq!(statements(7), [7]);
        assert_eq!(statements(8), [8]);
        assert_eq!(statements(31), [24, 7]);
        assert_eq!(statements(150), [64, 64, 16, 6]);
    }

    #[test]
    fn update_writes_the_mutable_columns_of_the_row_with_that_key() {
        let sample = Sample { id: "x".into(), title: "t".into(), disabled: true };
        let (sql, values) = SAMPLES.update_statement(&sample);
        assert_eq!(sql.as_str(), "UPDATE samples SET title = $2, disabled = $3 WHERE id = $1");
        assert_eq!(values, [Value::from("x"), Value::from("t"), Value::from(true)]);
    }
}
