//! Copying an installation from one database into another, of any engine, and comparing the two row by row.

use crate::{
    Connection, Row, Statement, Store, StoreError, Value, audit, change, params,
    schema::{COPIED, ColumnLayout, Layout},
};

/// Rows that are read at a time.
const PAGE: i64 = 500;

type Values = Vec<Value<'static>>;

/// A table that is copied, and its statements.
struct Table {
    name: &'static str,
    columns: Vec<ColumnLayout>,
    /// The number of columns in the primary key. They come first.
    keys: usize,
    first_page: Statement,
    next_page: Statement,
    insert: Statement,
}

impl Table {
    fn new(layout: &dyn Layout) -> Self {
        let (name, columns) = (layout.name(), layout.columns());
        let names = columns.iter().map(|column| column.name).collect::<Vec<_>>();
        let keys = columns.iter().take_while(|column| column.is_key).count();
        let places = |count: usize| (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let (all, key, limit) = (names.join(", "), names[..keys].join(", "), keys + 1);
        Self {
            name,
            first_page: Statement::built(format!("SELECT {all} FROM {name} ORDER BY {key} LIMIT $1")),
            next_page: Statement::built(format!(
                "SELECT {all} FROM {name} WHERE ({key}) > ({}) ORDER BY {key} LIMIT ${limit}",
                places(keys)
            )),
            insert: Statement::built(format!("INSERT INTO {name} ({all}) VALUES ({})", places(columns.len()))),
            columns,
            keys,
        }
    }

    fn decode(&self, row: &Row) -> Result<Values, StoreError> {
        self.columns.iter().map(|column| column.decode(row)).collect()
    }

    async fn page(&self, connection: &mut Connection, after: Option<&Values>) -> Result<Vec<Values>, StoreError> {
        let rows = match after {
            None => connection.fetch_all(self.first_page.clone(), params![PAGE]).await?,
            Some(last) => {
                let mut values = last[..self.keys].to_vec();
                values.push(Value::from(PAGE));
                connection.fetch_all(self.next_page.clone(), &values).await?
            }
        };
        rows.iter().map(|row| self.decode(row)).collect()
    }
}

/// The number of rows and events that were copied and compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transferred {
    /// Rows of all tables.
    pub rows: u64,
    /// Events of the audit log. Its chain was verified in the copy.
    pub events: u64,
}

fn not_copied(reason: impl Into<String>) -> StoreError {
    StoreError::NotCopied { reason: reason.into() }
}

/// Checks that no server uses a database that is to be copied.
///
/// # Errors
/// A server uses it, or the database does not answer.
pub async fn require_quiet(from: &Store) -> Result<(), StoreError> {
    if from.list_nodes().await?.is_empty() {
        return Ok(());
    }
    Err(not_copied(
        "servers are registered on the source: stop them. A server that was killed is evicted by the next change, \
         such as one by `keyward admin`",
    ))
}

/// Copies `from` into `to`, which must be new, in one transaction, and then compares them row by row. `from` must not
/// change during the copy. Nodes are not copied.
///
/// # Errors
/// A database does not answer, `to` is not new, `from` changed, or the copy differs from the original.
pub async fn copy(from: &Store, to: &Store) -> Result<Transferred, StoreError> {
    require_quiet(from).await?;
    let version = from.current_version().await?;
    let mut target = to.begin_maintenance().await?;
    if change::current_version(&mut target).await?.0 != 0 {
        return Err(not_copied("the target already contains an installation: name a new database"));
    }
    target.execute("DELETE FROM installation", params![]).await?;
    let mut source = from.read().await?;
    for table in COPIED.map(Table::new) {
        let mut last = None;
        loop {
            let rows = table.page(&mut source, last.as_ref()).await?;
            for row in &rows {
                target.execute(table.insert.clone(), row).await?;
            }
            match rows.into_iter().next_back() {
                Some(row) => last = Some(row),
                None => break,
            }
        }
    }
    if from.current_version().await? != version {
        return Err(not_copied(
            "the source changed during the copy: stop all servers and commands that write to it, \
                               and start again",
        ));
    }
    target.commit().await?;
    compare(from, to).await
}

/// Compares two databases row by row, and verifies the audit log of the second.
///
/// # Errors
/// A database does not answer, or there is a difference.
pub async fn compare(one: &Store, other: &Store) -> Result<Transferred, StoreError> {
    let (mut one, mut other) = (one.read().await?, other.read().await?);
    let mut compared = Transferred::default();
    for table in COPIED.map(Table::new) {
        let mut last = None;
        loop {
            let left = table.page(&mut one, last.as_ref()).await?;
            let right = table.page(&mut other, last.as_ref()).await?;
            if left != right {
                let at = left.iter().zip(&right).position(|(left, right)| left != right);
                let at = at.map_or(left.len().min(right.len()), |at| at);
                let row = left.get(at).or(right.get(at)).map(|row| &row[..table.keys]);
                let name = table.name;
                return Err(not_copied(format!("the databases differ in `{name}`, at {row:?}: do not use the copy")));
            }
            compared.rows += left.len() as u64;
            match left.into_iter().next_back() {
                Some(row) => last = Some(row),
                None => break,
            }
        }
    }
    let report = audit::verify_log(&mut other, None).await?;
    if let Some(finding) = report.findings.first() {
        return Err(not_copied(format!("the audit log does not verify: {finding}")));
    }
    compared.events = report.size;
    Ok(compared)
}
