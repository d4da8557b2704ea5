//! Lists that people search, filter and sort: one page for the API, or one page with the numbers that a person sees.

use std::fmt;

use domain::list::{Choice as _, Cursor, Order as _, Search};
use store::{
    Connection,
    list::{List, Listed, MAX_COUNT, Window},
};

use super::{Paging, page};
use crate::error::AppError;

/// The number of rows of a page that a person looks at.
pub(super) const SCREEN_PAGE: i64 = 20;

/// The position of a page that a person looks at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// The first page.
    #[default]
    Start,
    /// The page after this cursor.
    After(String),
    /// The page before this cursor.
    Before(String),
}

/// One page of the rows that match a search, with their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// The number of rows on the pages before this one.
    pub skipped: Count,
    /// The cursor of the previous page, if there is one.
    pub previous: Option<String>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
    /// The number of rows that contain the text, for each filter of the list, in the order of its filters.
    pub counts: Vec<Count>,
    /// The number of rows on all pages.
    pub total: Count,
}

/// A number of rows. Rows beyond [`MAX_COUNT`] are not counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Count(u64);

impl Count {
    /// Returns the number, or `None` if it is larger than [`MAX_COUNT`].
    #[must_use]
    pub const fn exact(self) -> Option<u64> {
        if self.0 > MAX_COUNT { None } else { Some(self.0) }
    }
}

impl From<u64> for Count {
    fn from(count: u64) -> Self {
        Self(count)
    }
}

impl fmt::Display for Count {
    /// Writes the number with a comma between thousands. A number that is too large is `10,000+`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, more) = self.exact().map_or((MAX_COUNT, "+"), |count| (count, ""));
        match (number / 1000, number % 1000) {
            (0, units) => write!(f, "{units}{more}"),
            (thousands, units) => write!(f, "{thousands},{units:03}{more}"),
        }
    }
}

/// Returns one page for the API.
pub(super) async fn list_page<L: List, T>(
    connection: &mut Connection,
    list: &L,
    search: &Search<L::Order, L::Filter>,
    paging: &Paging,
    mut map: impl FnMut(L::Row) -> T,
) -> Result<api::Page<T>, AppError> {
    let limit = paging.limit()?;
    let from = match &paging.after {
        None => None,
        Some(after) => Some(parse::<L>(after, search).ok_or_else(|| {
            AppError::field("after", "malformed", "pass the `next` value of the previous page, with the same `sort`")
        })?),
    };
    let window = Window { from, backward: false, limit: limit + 1 };
    let rows = store::list::list(connection, list, search, &window).await?;
    Ok(page(rows, limit, |listed| listed.cursor.encode(), |listed| map(listed.row)))
}

fn parse<L: List>(cursor: &str, search: &Search<L::Order, L::Filter>) -> Option<Cursor<L::Id>> {
    Cursor::parse(cursor, search.order.sort_type())
}

/// Returns one page for a person. A cursor that no longer fits leads to the first page, and a position beyond the end to
/// the last one, so that an old link always shows rows if there are any.
pub(super) async fn look_through<L: List, T>(
    connection: &mut Connection,
    list: &L,
    search: &Search<L::Order, L::Filter>,
    place: &Place,
    map: impl FnMut(L::Row) -> T,
) -> Result<Found<T>, AppError> {
    let limit = SCREEN_PAGE;
    let (from, backward) = match place {
        Place::Start => (None, false),
        Place::After(cursor) => (parse::<L>(cursor, search), false),
        Place::Before(cursor) => match parse::<L>(cursor, search) {
            Some(cursor) => (Some(cursor), true),
            None => (None, false),
        },
    };
    let mut window = Window { from, backward, limit: limit + 1 };
    let mut rows = store::list::list(connection, list, search, &window).await?;
    if rows.is_empty() && window.from.is_some() {
        // Before the first row is the first page, and after the last row is the last page.
        window = Window { from: None, backward: !window.backward, limit: limit + 1 };
        rows = store::list::list(connection, list, search, &window).await?;
    }
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    if window.backward && rows.len() > length {
        rows.drain(..rows.len() - length);
    } else if window.backward && window.from.is_some() && rows.len() < length {
        // The first page is always full.
        window = Window { from: None, backward: false, limit: limit + 1 };
        rows = store::list::list(connection, list, search, &window).await?;
    }
    let more = rows.len() > length;
    rows.truncate(length);
    let skipped = match rows.first() {
        Some(first) if window.from.is_some() || window.backward => {
            store::list::count_before(connection, list, search, &first.cursor).await?
        }
        _ => 0,
    };
    let counts = store::list::count(connection, list, &search.text, L::Filter::ALL).await?;
    let at = L::Filter::ALL.iter().position(|filter| *filter == search.filter).unwrap_or_default();
    let total = counts.get(at).copied().unwrap_or_default();
    let cursor = |listed: &Listed<L::Row, L::Id>| listed.cursor.encode();
    let next = if window.backward { window.from.is_some() } else { more };
    Ok(Found {
        skipped: skipped.into(),
        previous: rows.first().filter(|_| skipped > 0).map(cursor),
        next: rows.last().filter(|_| next).map(cursor),
        counts: counts.into_iter().map(Count).collect(),
        total: total.into(),
        items: rows.into_iter().map(|listed| listed.row).map(map).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_written_with_thousands() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (10_000, "10,000"), (10_001, "10,000+")] {
            assert_eq!(Count(count).to_string(), text);
        }
    }
}
