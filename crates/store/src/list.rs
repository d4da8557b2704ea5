//! Lists that people search, filter and sort. Each list implements [`List`] in the file of its feature. The statements
//! are built here, from text in the code only.

use std::{fmt::Display, str::FromStr};

use domain::list::{Choice, Cursor, Order, Search, SortType, SortValue, containing};

use crate::{
    Connection, Row, StoreError,
    value::{Statement, Value},
};

/// The largest number that [`count`] and [`count_before`] count to. With more rows, they return one more than this
/// number, so that a count reads a bounded number of rows that match.
pub const MAX_COUNT: u64 = 10_000;

/// A list.
pub trait List: Sync {
    /// Its orders.
    type Order: Order;
    /// Its filters.
    type Filter: Choice;
    /// The type of its ids.
    type Id: FromStr<Err: Display> + Display + Clone + Send;
    /// A decoded row.
    type Row: Send;

    /// The column with the id.
    const ID: &'static str;
    /// The columns that are searched.
    const SEARCHED: &'static [&'static str];

    /// Returns the columns of a row, beginning with `SELECT`.
    fn select(&self) -> Statement;

    /// Returns the tables and the conditions of all rows, from `FROM` to the end of `WHERE`. Adds their values.
    fn from<'a>(&'a self, values: &mut Vec<Value<'a>>) -> Statement;

    /// Returns the condition of a filter. Adds its values.
    fn filter<'a>(&'a self, filter: Self::Filter, values: &mut Vec<Value<'a>>) -> Statement;

    /// Returns the value that rows are sorted by. It is never NULL.
    fn order(order: Self::Order) -> &'static str;

    /// Decodes a row.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    fn decode(row: &Row) -> Result<Self::Row, StoreError>;
}

/// Which rows of a list to return.
#[derive(Clone, Debug)]
pub struct Window<I> {
    /// The row next to which the page begins. `None`: the page begins at the start of the list.
    pub from: Option<Cursor<I>>,
    /// Whether to return the rows before `from`, instead of those after it.
    pub backward: bool,
    /// The maximum number of rows.
    pub limit: i64,
}

/// A row with its position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed<R, I> {
    /// The row.
    pub row: R,
    /// Its position.
    pub cursor: Cursor<I>,
}

/// Adds a value, and returns its placeholder.
pub(crate) fn push<'a>(values: &mut Vec<Value<'a>>, value: impl Into<Value<'a>>) -> String {
    values.push(value.into());
    format!("${}", values.len())
}

/// Returns the tables and the conditions of the rows that contain a text.
fn matching<'a, L: List>(list: &'a L, text: &str, values: &mut Vec<Value<'a>>) -> String {
    let from = list.from(values);
    let text = text.trim();
    if text.is_empty() {
        return from.as_str().to_owned();
    }
    let place = push(values, containing(text));
    let columns = L::SEARCHED.iter().map(|column| format!("LOWER({column}) LIKE LOWER({place}) ESCAPE '\\'"));
    format!("{} AND ({})", from.as_str(), columns.collect::<Vec<_>>().join(" OR "))
}

/// Returns the condition of the rows on one side of a position.
fn beyond<L: List>(order: L::Order, from: &Cursor<L::Id>, descends: bool, values: &mut Vec<Value<'_>>) -> String {
    let side = if descends { '<' } else { '>' };
    let value = match &from.value {
        SortValue::Id => None,
        SortValue::Text(text) => Some(push(values, text.clone())),
        SortValue::Number(number) => Some(push(values, *number)),
    };
    let id = push(values, from.id.to_string());
    match value {
        None => format!("{} {side} {id}", L::ID),
        Some(value) => format!("({}, {}) {side} ({value}, {id})", L::order(order), L::ID),
    }
}

/// Returns rows that match a search, in its order.
///
/// # Errors
/// The database does not answer.
pub async fn list<L: List>(
    connection: &mut Connection,
    list: &L,
    search: &Search<L::Order, L::Filter>,
    window: &Window<L::Id>,
) -> Result<Vec<Listed<L::Row, L::Id>>, StoreError> {
    let mut values = Vec::new();
    let matching = matching(list, &search.text, &mut values);
    let filter = list.filter(search.filter, &mut values);
    let descends = search.descending != window.backward;
    let position = window
        .from
        .as_ref()
        .map_or_else(String::new, |from| format!("AND {}", beyond::<L>(search.order, from, descends, &mut values)));
    let limit = push(&mut values, window.limit);
    let (by, id) = (L::order(search.order), L::ID);
    let direction = if descends { "DESC" } else { "ASC" };
    let order = match search.order.sort_type() {
        SortType::Id => format!("{id} {direction}"),
        SortType::Text | SortType::Number => format!("{by} {direction}, {id} {direction}"),
    };
    let sql = format!(
        "{}, {id} AS sort_id, {by} AS sort_value {matching} AND {} {position} ORDER BY {order} LIMIT {limit}",
        list.select().as_str(),
        filter.as_str()
    );
    let rows = connection.fetch_all(Statement::built(sql), &values).await?;
    let listed = |row: &Row| {
        let value = match search.order.sort_type() {
            SortType::Id => SortValue::Id,
            SortType::Text => SortValue::Text(row.text("sort_value")?),
            SortType::Number => SortValue::Number(row.i64("sort_value")?),
        };
        Ok(Listed { row: L::decode(row)?, cursor: Cursor { id: row.parse("sort_id")?, value } })
    };
    let mut rows = rows.iter().map(listed).collect::<Result<Vec<_>, StoreError>>()?;
    if window.backward {
        rows.reverse();
    }
    Ok(rows)
}

/// Returns the number of rows that contain a text, for each of these filters, in one statement. See [`MAX_COUNT`].
///
/// # Errors
/// The database does not answer.
pub async fn count<L: List>(
    connection: &mut Connection,
    list: &L,
    text: &str,
    filters: &[L::Filter],
) -> Result<Vec<u64>, StoreError> {
    let mut values = Vec::new();
    let matching = matching(list, text, &mut values);
    let counts = filters.iter().enumerate().map(|(at, filter)| {
        let filter = list.filter(*filter, &mut values);
        let rows = format!("SELECT 1 AS one {matching} AND {} LIMIT {}", filter.as_str(), MAX_COUNT + 1);
        format!("(SELECT COUNT(*) FROM ({rows}) AS rows{at}) AS count{at}")
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    if counts.is_empty() {
        return Ok(Vec::new());
    }
    let row = connection.fetch_one(Statement::built(format!("SELECT {counts}")), &values).await?;
    (0..filters.len()).map(|at| row.count(&format!("count{at}"))).collect()
}

/// Returns the number of rows before a position. See [`MAX_COUNT`].
///
/// # Errors
/// The database does not answer.
pub async fn count_before<L: List>(
    connection: &mut Connection,
    list: &L,
    search: &Search<L::Order, L::Filter>,
    position: &Cursor<L::Id>,
) -> Result<u64, StoreError> {
    let mut values = Vec::new();
    let matching = matching(list, &search.text, &mut values);
    let filter = list.filter(search.filter, &mut values);
    let position = beyond::<L>(search.order, position, !search.descending, &mut values);
    let sql = format!(
        "SELECT COUNT(*) AS counted FROM (SELECT 1 AS one {matching} AND {} AND {position} LIMIT {}) AS before",
        filter.as_str(),
        MAX_COUNT + 1
    );
    connection.fetch_one(Statement::built(sql), &values).await?.count("counted")
}
