//! Copying all of an installation from one database into another, of whichever engine, and comparing the two row by row.
//! Which tables there are is in the migrations; a test sees that none is forgotten here.

use std::borrow::Cow;

use crate::{Connection, Row, Store, StoreError, Value, audit, change, params};

/// Rows that are read at a time.
const PAGE: i64 = 500;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    I64,
    Bool,
    Bytes,
}
use Type::{Bool, Bytes, I64, Text};

struct Table {
    name: &'static str,
    /// How many of the columns, from the first, are the primary key.
    key: usize,
    columns: &'static [(&'static str, Type)],
}

/// All tables but `migrations`, which each database has of its own, and `nodes`, which are not copied: those that others
/// refer to come first.
const TABLES: &[Table] = &[
    Table {
        name: "installation",
        key: 1,
        columns: &[
            ("id", I64),
            ("installation_id", Text),
            ("version", I64),
            ("feed_start", I64),
            ("audit_size", I64),
            ("audit_range", Bytes),
            ("token_epoch", I64),
            ("signatures_from", I64),
            ("created_at", I64),
            ("public_key", Bytes),
            ("replay_epoch", I64),
        ],
    },
    Table {
        name: "audit_events",
        key: 1,
        columns: &[
            ("seq", I64),
            ("id", Text),
            ("at", I64),
            ("workspace_id", Text),
            ("principal", Text),
            ("key_id", Text),
            ("action", Text),
            ("target", Text),
            ("address", Text),
            ("detail", Text),
            ("leaf_hash", Bytes),
        ],
    },
    Table { name: "changes", key: 2, columns: &[("version", I64), ("subject", Text)] },
    Table {
        name: "replays",
        key: 1,
        columns: &[
            ("replay_key", Bytes),
            ("key_id", Text),
            ("nonce", Text),
            ("expires_at", I64),
            ("status", I64),
            ("body", Bytes),
            ("epoch", I64),
            ("sealed_body", Bytes),
        ],
    },
    Table {
        name: "users",
        key: 1,
        columns: &[
            ("id", Text),
            ("email", Text),
            ("name", Text),
            ("password_hash", Text),
            ("operator", Bool),
            ("disabled", Bool),
            ("created_at", I64),
            ("sign_in_suspended", Bool),
            ("email_verified_at", I64),
        ],
    },
    Table {
        name: "workspaces",
        key: 1,
        columns: &[
            ("id", Text),
            ("slug", Text),
            ("name", Text),
            ("service_account_quota", I64),
            ("service_account_key_quota", I64),
            ("user_key_quota", I64),
            ("created_at", I64),
            ("deleted_at", I64),
        ],
    },
    Table {
        name: "members",
        key: 2,
        columns: &[("workspace_id", Text), ("user_id", Text), ("role", Text), ("joined_at", I64)],
    },
    Table {
        name: "invitations",
        key: 1,
        columns: &[
            ("id", Text),
            ("workspace_id", Text),
            ("email", Text),
            ("role", Text),
            ("token_hash", Bytes),
            ("created_by", Text),
            ("created_at", I64),
            ("expires_at", I64),
            ("accepted_at", I64),
            ("revoked_at", I64),
            ("mailed_at", I64),
        ],
    },
    Table {
        name: "service_accounts",
        key: 1,
        columns: &[
            ("id", Text),
            ("workspace_id", Text),
            ("name", Text),
            ("description", Text),
            ("address", Text),
            ("role", Text),
            ("disabled", Bool),
            ("created_at", I64),
            ("deleted_at", I64),
        ],
    },
    Table { name: "service_account_addresses", key: 1, columns: &[("address", Text), ("service_account_id", Text)] },
    Table {
        name: "projects",
        key: 1,
        columns: &[
            ("id", Text),
            ("workspace_id", Text),
            ("title", Text),
            ("description", Text),
            ("created_by", Text),
            ("created_at", I64),
            ("updated_at", I64),
        ],
    },
    Table { name: "project_members", key: 2, columns: &[("project_id", Text), ("principal_id", Text), ("role", Text)] },
    Table {
        name: "api_keys",
        key: 1,
        columns: &[
            ("id", Text),
            ("owner_id", Text),
            ("title", Text),
            ("fingerprint", Text),
            ("public_key", Bytes),
            ("disabled", Bool),
            ("suspended", Bool),
            ("expires_at", I64),
            ("revoked_at", I64),
            ("verified_at", I64),
            ("created_by", Text),
            ("created_with", Text),
            ("created_at", I64),
            ("last_used_at", I64),
            ("last_used_ip", Text),
            ("proven_at", I64),
            ("displaced_at", I64),
            ("registered_version", I64),
            ("revoked_version", I64),
            ("revoked_in", Text),
        ],
    },
    Table { name: "lost_nodes", key: 2, columns: &[("version", I64), ("acknowledged_version", I64)] },
    Table {
        name: "proof_challenges",
        key: 1,
        columns: &[("challenge", Text), ("principal_id", Text), ("expires_at", I64)],
    },
    Table {
        name: "sessions",
        key: 1,
        columns: &[
            ("id", Text),
            ("token_hash", Bytes),
            ("user_id", Text),
            ("created_at", I64),
            ("authenticated_at", I64),
            ("last_seen_at", I64),
            ("address", Text),
            ("user_agent", Text),
        ],
    },
    Table { name: "set_up_links", key: 1, columns: &[("token_hash", Bytes), ("expires_at", I64)] },
];

type Values = Vec<Value<'static>>;

/// The statements about a table.
struct Statements {
    first_page: &'static str,
    next_page: &'static str,
    insert: &'static str,
}

impl Table {
    /// Made once a copy; statements live as long as the program, because connections keep them prepared.
    fn statements(&self) -> Statements {
        let columns = self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let places = |count: usize| (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let (name, all, key) = (self.name, columns.join(", "), columns[..self.key].join(", "));
        let limit = self.key + 1;
        Statements {
            first_page: format!("SELECT {all} FROM {name} ORDER BY {key} LIMIT $1").leak(),
            next_page: format!(
                "SELECT {all} FROM {name} WHERE ({key}) > ({}) ORDER BY {key} LIMIT ${limit}",
                places(self.key)
            )
            .leak(),
            insert: format!("INSERT INTO {name} ({all}) VALUES ({})", places(columns.len())).leak(),
        }
    }

    fn read(&self, row: &Row) -> Result<Values, StoreError> {
        let read = |&(name, kind): &(&str, Type)| {
            Ok(match kind {
                Text => Value::Text(row.opt_text(name)?.map(Cow::Owned)),
                I64 => Value::I64(row.opt_i64(name)?),
                Bool => Value::Bool(row.opt_bool(name)?),
                Bytes => Value::Bytes(row.opt_bytes(name)?.map(Cow::Owned)),
            })
        };
        self.columns.iter().map(read).collect()
    }

    async fn page(
        &self,
        statements: &Statements,
        connection: &mut Connection,
        after: Option<&Values>,
    ) -> Result<Vec<Values>, StoreError> {
        let rows = match after {
            None => connection.fetch_all(statements.first_page, params![PAGE]).await?,
            Some(last) => {
                let mut values = last[..self.key].to_vec();
                values.push(Value::from(PAGE));
                connection.fetch_all(statements.next_page, &values).await?
            }
        };
        rows.iter().map(|row| self.read(row)).collect()
    }
}

/// What was copied, and found to be the same on both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transferred {
    /// Rows of all tables.
    pub rows: u64,
    /// Events of the audit log, whose chain was verified in the copy.
    pub events: u64,
}

fn not_copied(reason: impl Into<String>) -> StoreError {
    StoreError::NotCopied { reason: reason.into() }
}

/// Sees that no server runs on a database that is to be copied.
///
/// # Errors
/// One does, or the database does not answer.
pub async fn require_quiet(from: &Store) -> Result<(), StoreError> {
    if from.list_nodes().await?.is_empty() {
        return Ok(());
    }
    Err(not_copied(
        "servers run on the source, or ended without a word: stop them; one that was killed is forgotten once something \
         was changed beside it, such as by `keyward admin`",
    ))
}

/// Copies all of `from` into `to`, which must be new, in one transaction, and compares them row by row afterwards. Nothing
/// may change `from` meanwhile. Nodes are not copied.
///
/// # Errors
/// A database does not answer; `to` is not new; `from` changed; what arrived is not what was sent.
pub async fn copy(from: &Store, to: &Store) -> Result<Transferred, StoreError> {
    require_quiet(from).await?;
    let version = from.current_version().await?;
    let mut target = to.begin_upkeep().await?;
    if change::current_version(&mut target).await?.0 != 0 {
        return Err(not_copied("the target holds an installation already: name a new database"));
    }
    target.execute("DELETE FROM installation", params![]).await?;
    let mut source = from.read().await?;
    for table in TABLES {
        let statements = table.statements();
        let mut last = None;
        loop {
            let rows = table.page(&statements, &mut source, last.as_ref()).await?;
            for row in &rows {
                target.execute(statements.insert, row).await?;
            }
            match rows.into_iter().next_back() {
                Some(row) => last = Some(row),
                None => break,
            }
        }
    }
    if from.current_version().await? != version {
        return Err(not_copied("the source changed meanwhile: stop what writes to it, and begin again"));
    }
    target.commit().await?;
    compare(from, to).await
}

/// Compares all of two databases row by row, and verifies the audit log of the second.
///
/// # Errors
/// A database does not answer, or there is a difference.
pub async fn compare(one: &Store, other: &Store) -> Result<Transferred, StoreError> {
    let (mut one, mut other) = (one.read().await?, other.read().await?);
    let mut compared = Transferred::default();
    for table in TABLES {
        let statements = table.statements();
        let mut last = None;
        loop {
            let left = table.page(&statements, &mut one, last.as_ref()).await?;
            let right = table.page(&statements, &mut other, last.as_ref()).await?;
            if left != right {
                let at = left.iter().zip(&right).position(|(left, right)| left != right);
                let at = at.map_or(left.len().min(right.len()), |at| at);
                let row = left.get(at).or(right.get(at)).map(|row| &row[..table.key]);
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

/// Every column that is copied, as `TABLE.COLUMN`.
pub fn copied_columns() -> impl Iterator<Item = String> {
    TABLES.iter().flat_map(|table| table.columns.iter().map(move |(column, _)| format!("{}.{column}", table.name)))
}
