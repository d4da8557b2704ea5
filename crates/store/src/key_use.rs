//! Counters of the use of keys over time. They are written without an audit event, and older ones are deleted, so that
//! a key has a limited number of rows.

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, PrincipalId, ServiceAccountId, Timestamp,
    key_use::{RefusalReason, UseCounts, UseSpan, UseWindow},
    principal::WorkspaceAccess,
};

use crate::{
    Change, Connection, Maintenance, Row, Statement, StoreError, Value, params,
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
};

/// All statements are written out.
pub(crate) static USE_COUNTERS: Table<()> = Table {
    name: "use_counters",
    columns: &[
        Column::separate_key("key_id", Text),
        Column::separate_key("span", Text),
        Column::separate_key("starts_at", I64),
        Column::separate(ACCEPTED, I64),
        Column::separate(RefusalReason::BadSignature.as_str(), I64),
        Column::separate(RefusalReason::KeyRevoked.as_str(), I64),
        Column::separate(RefusalReason::KeyExpired.as_str(), I64),
        Column::separate(RefusalReason::KeyDisabled.as_str(), I64),
        Column::separate(RefusalReason::OwnerDisabled.as_str(), I64),
        Column::separate(RefusalReason::WrongTime.as_str(), I64),
        Column::separate(RefusalReason::Replayed.as_str(), I64),
        Column::separate(RefusalReason::HostNotListed.as_str(), I64),
        Column::separate(RefusalReason::Invalid.as_str(), I64),
        Column::separate(RefusalReason::Forbidden.as_str(), I64),
        Column::separate(RefusalReason::RateLimited.as_str(), I64),
    ],
};

const ACCEPTED: &str = "accepted";

/// The columns of a row's counts, in the order of [`USE_COUNTERS`].
fn count_columns() -> impl Iterator<Item = &'static str> {
    [ACCEPTED].into_iter().chain(RefusalReason::ALL.map(RefusalReason::as_str))
}

fn read_counts(row: &Row) -> Result<UseCounts, StoreError> {
    let mut counts = UseCounts::accepted(row.count(ACCEPTED)?);
    for reason in RefusalReason::ALL {
        counts.add_refused(reason, row.count(reason.as_str())?);
    }
    Ok(counts)
}

/// Requests with a key in one hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyUseCounts {
    /// The key.
    pub key: ApiKeyId,
    /// A time in the hour.
    pub at: Timestamp,
    /// Their numbers.
    pub counts: UseCounts,
}

/// The maximum number of rows in one statement.
const MAX_ROWS: usize = 64;

/// Adds to the counters of the hours and days. Keys that do not exist, or whose owner was deleted, are left out.
pub async fn record_use_counts(maintenance: &mut Maintenance, uses: &[KeyUseCounts]) -> Result<(), StoreError> {
    let mut sums: BTreeMap<(ApiKeyId, UseSpan, Timestamp), UseCounts> = BTreeMap::new();
    for used in uses {
        for span in UseSpan::ALL {
            *sums.entry((used.key, span, span.start(used.at, 0))).or_default() += used.counts;
        }
    }
    // All nodes use the same order, so that two nodes do not wait for each other.
    let rows: Vec<_> = sums.into_iter().collect();
    let mut rows = rows.as_slice();
    while !rows.is_empty() {
        // The number is a power of two, so that few statements have to be prepared.
        let (written, rest) = rows.split_at(1 << rows.len().min(MAX_ROWS).ilog2());
        rows = rest;
        let mut values: Vec<Value<'_>> = Vec::new();
        for ((key, span, starts_at), counts) in written {
            values.extend([key.into(), span.as_str().into(), (*starts_at).into(), number(counts.accepted).into()]);
            values.extend(RefusalReason::ALL.map(|reason| Value::from(number(counts.refused_for(reason)))));
        }
        maintenance.execute(add_statement(written.len()), &values).await?;
    }
    Ok(())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn add_statement(rows: usize) -> Statement {
    let columns: Vec<&str> = ["key_id", "span", "starts_at"].into_iter().chain(count_columns()).collect();
    let width = columns.len();
    let row = |row: usize| (1..=width).map(|at| format!("${}", row * width + at)).collect::<Vec<_>>().join(", ");
    let values = (0..rows).map(|number| format!("({})", row(number))).collect::<Vec<_>>().join(", ");
    let selected = (1..=width).map(|at| format!("added.column{at}")).collect::<Vec<_>>().join(", ");
    let changes = count_columns().map(|name| format!("{name} = use_counters.{name} + excluded.{name}"));
    Statement::built(format!(
        "INSERT INTO use_counters ({}) SELECT {selected} FROM (VALUES {values}) AS added
         WHERE EXISTS (SELECT 1 FROM api_keys WHERE api_keys.id = added.column1 AND NOT EXISTS
            (SELECT 1 FROM service_accounts WHERE service_accounts.id = api_keys.owner_id
             AND service_accounts.deleted_at IS NOT NULL))
         ON CONFLICT (key_id, span, starts_at) DO UPDATE SET {}",
        columns.join(", "),
        changes.collect::<Vec<_>>().join(", "),
    ))
}

/// Deletes counters that are older than those that are shown, at most `limit` of them, and returns their number.
pub async fn delete_old_use_counters(
    maintenance: &mut Maintenance,
    now: Timestamp,
    limit: i64,
) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for span in UseSpan::ALL {
        let oldest = span.start(now, span.kept() - 1);
        let left = limit - i64::try_from(deleted).unwrap_or(limit);
        deleted += maintenance
            .execute(
                "DELETE FROM use_counters WHERE (key_id, span, starts_at) IN
                     (SELECT key_id, span, starts_at FROM use_counters WHERE span = $1 AND starts_at < $2
                      ORDER BY starts_at, key_id LIMIT $3)",
                params![span.as_str(), oldest, left],
            )
            .await?;
    }
    Ok(deleted)
}

/// Deletes the counters of the keys of a service account.
pub(crate) async fn delete_use_counters_of(change: &mut Change, owner: ServiceAccountId) -> Result<(), StoreError> {
    let sql = "DELETE FROM use_counters WHERE key_id IN (SELECT id FROM api_keys WHERE owner_id = $1)";
    change.execute(sql, params![owner]).await?;
    Ok(())
}

/// The keys whose use is read.
#[derive(Clone, Copy, Debug)]
pub enum UsedKeys {
    /// One key.
    Key(ApiKeyId),
    /// All keys of a principal, including revoked ones.
    Of(PrincipalId),
    /// All keys of the service accounts of a workspace, including revoked ones.
    OfServiceAccounts(WorkspaceAccess),
}

impl UsedKeys {
    /// Returns the condition of the statement with its placeholder `$3`, and the value.
    fn condition(self) -> (&'static str, Value<'static>) {
        match self {
            Self::Key(id) => ("key_id = $3", id.into()),
            Self::Of(owner) => ("key_id IN (SELECT id FROM api_keys WHERE owner_id = $3)", owner.into()),
            Self::OfServiceAccounts(access) => (
                "key_id IN (SELECT api_keys.id FROM api_keys
                     JOIN service_accounts ON service_accounts.id = api_keys.owner_id
                     WHERE service_accounts.workspace_id = $3 AND service_accounts.deleted_at IS NULL)",
                access.workspace().into(),
            ),
        }
    }

    async fn sum(
        self,
        connection: &mut Connection,
        by: &'static str,
        window: UseWindow,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError> {
        let (condition, value) = self.condition();
        let sums = count_columns().map(|name| format!("CAST(SUM({name}) AS BIGINT) AS {name}"));
        let sql = Statement::built(format!(
            "SELECT {by}, {} FROM use_counters WHERE span = $1 AND starts_at >= $2 AND {condition}
             GROUP BY {by} ORDER BY {by}",
            sums.collect::<Vec<_>>().join(", ")
        ));
        let from = window.span().start(now, window.count() - 1);
        connection.fetch_all(sql, &[window.span().as_str().into(), from.into(), value]).await
    }
}

/// Returns the requests with these keys in each hour or day of a window, by its start. Hours and days without a request
/// are left out.
pub async fn list_use_by_time(
    connection: &mut Connection,
    keys: UsedKeys,
    window: UseWindow,
    now: Timestamp,
) -> Result<BTreeMap<Timestamp, UseCounts>, StoreError> {
    let rows = keys.sum(connection, "starts_at", window, now).await?;
    rows.iter().map(|row| Ok((row.timestamp("starts_at")?, read_counts(row)?))).collect()
}

/// Returns the requests with each of these keys in a window. Keys without a request are left out.
pub async fn list_use_by_key(
    connection: &mut Connection,
    keys: UsedKeys,
    window: UseWindow,
    now: Timestamp,
) -> Result<BTreeMap<ApiKeyId, UseCounts>, StoreError> {
    let rows = keys.sum(connection, "key_id", window, now).await?;
    rows.iter().map(|row| Ok((row.parse("key_id")?, read_counts(row)?))).collect()
}
