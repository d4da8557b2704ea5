//! The audit log in the database: appending events with a change, listing them, and verifying that they are unchanged.
//! `domain::audit` defines an event and its hash.

mod refusal;
mod verify;

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, AuditAction, AuditEvent, AuditPrincipal, Checkpoint, Timestamp,
    merkle::{CompactRange, Hash},
    principal::{HostAccess, WorkspaceAccess},
};

pub use refusal::RefusalRecord;
pub use verify::{Finding, MissedCheckpoint, VerifyReport, verify_log, verify_log_against};

use crate::{
    Row, StoreError,
    connection::{Connection, FromRow, WriteConnection},
    installation::find_installation,
    params,
    table::{
        Column,
        ColumnType::{Bytes, I64, Text},
        Table,
    },
    value::Statement,
};

pub(crate) static AUDIT_EVENTS: Table<EventRow> = Table {
    name: "audit_events",
    columns: &[
        Column::separate_key("seq", I64),
        Column::fixed("id", Text, |row| (&row.id).into()),
        Column::fixed("at", I64, |row| row.at.into()),
        Column::fixed("workspace_id", Text, |row| row.workspace_id.as_ref().into()),
        Column::fixed("principal", Text, |row| (&row.principal).into()),
        Column::fixed("key_id", Text, |row| row.key_id.as_ref().into()),
        Column::fixed("action", Text, |row| (&row.action).into()),
        Column::fixed("target", Text, |row| row.target.as_ref().into()),
        Column::fixed("address", Text, |row| row.ip_address.as_ref().into()),
        Column::fixed("detail", Text, |row| (&row.detail).into()),
        Column::separate("leaf_hash", Bytes),
    ],
};

/// An event as its columns hold it. An event has exactly one such form, so that a column with the same meaning in
/// another encoding is detected.
#[derive(PartialEq, Eq)]
pub(crate) struct EventRow {
    id: String,
    at: i64,
    workspace_id: Option<String>,
    principal: String,
    key_id: Option<String>,
    action: String,
    target: Option<String>,
    ip_address: Option<String>,
    detail: String,
}

impl EventRow {
    fn encode(event: &AuditEvent) -> Result<Self, StoreError> {
        Ok(Self {
            id: event.id.to_string(),
            at: event.at.as_microsecond(),
            workspace_id: event.workspace.map(|id| id.to_string()),
            principal: event.principal.to_string(),
            key_id: event.key.map(|id| id.to_string()),
            action: event.action.to_string(),
            target: event.target.clone(),
            ip_address: event.ip_address.map(|ip_address| ip_address.to_string()),
            detail: serde_json::to_string(&event.detail).map_err(|error| StoreError::Refused {
                reason: "the detail of an audit event is no JSON".into(),
                source: Some(error.into()),
            })?,
        })
    }
}

impl FromRow for EventRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.text("id")?,
            at: row.i64("at")?,
            workspace_id: row.opt_text("workspace_id")?,
            principal: row.text("principal")?,
            key_id: row.opt_text("key_id")?,
            action: row.text("action")?,
            target: row.opt_text("target")?,
            ip_address: row.opt_text("address")?,
            detail: row.text("detail")?,
        })
    }
}

impl FromRow for AuditEvent {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let detail: BTreeMap<String, String> = serde_json::from_str(&row.text("detail")?)
            .map_err(|error| StoreError::corrupt(format!("column `detail`: {error}")))?;
        Ok(Self {
            id: row.parse("id")?,
            at: row.timestamp("at")?,
            workspace: row.opt_parse("workspace_id")?,
            principal: row.parse("principal")?,
            key: row.opt_parse("key_id")?,
            ip_address: row.opt_parse("address")?,
            action: row.text("action")?.into(),
            target: row.opt_text("target")?,
            detail,
        })
    }
}

/// Appends events in order. The caller stores `log` in the locked row.
pub(crate) async fn append(
    connection: &mut WriteConnection,
    log: &mut CompactRange,
    events: &[AuditEvent],
) -> Result<(), StoreError> {
    for event in events {
        let seq = log.size();
        let leaf_hash = event.leaf_hash(seq);
        let row = EventRow::encode(event)?;
        let insert = AUDIT_EVENTS.insert(&row).value("seq", seq.cast_signed()).value("leaf_hash", leaf_hash.0);
        insert.run(connection).await?;
        log.append(leaf_hash);
    }
    Ok(())
}

/// The part of the log that is listed. Its values prove that the caller may read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventScope {
    /// The events of one workspace.
    Workspace(WorkspaceAccess),
    /// All events.
    Installation(HostAccess),
}

/// Conditions for the events to list. A field that is `None` does not restrict the list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventFilter {
    /// Events by this principal.
    pub principal: Option<AuditPrincipal>,
    /// Events of requests that were signed with this key.
    pub key: Option<ApiKeyId>,
    /// Events of this action, such as `api_key.create`.
    pub action: Option<String>,
    /// Events at this time or later.
    pub from: Option<Timestamp>,
    /// Events before this time.
    pub to: Option<Timestamp>,
    /// Events older than the one with this number.
    pub after: Option<u64>,
}

/// An event and its number in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedEvent {
    /// Its number, from 0.
    pub seq: u64,
    /// The event.
    pub event: AuditEvent,
}

impl FromRow for LoggedEvent {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { seq: row.count("seq")?, event: AuditEvent::from_row(row)? })
    }
}

/// The statement that lists events. The first condition picks the index; the others restrict the list.
macro_rules! select_events {
    ($first:literal) => {
        AUDIT_EVENTS.select_with(
            "audit_events.seq",
            concat!(
                "WHERE ",
                $first,
                " AND seq < $1 AND at >= $2 AND at < $3
                    AND (CAST($4 AS TEXT) IS NULL OR workspace_id = $4)
                    AND (CAST($5 AS TEXT) IS NULL OR principal = $5)
                    AND (CAST($6 AS TEXT) IS NULL OR key_id = $6)
                    AND (CAST($7 AS TEXT) IS NULL OR action = $7)
                 ORDER BY seq DESC LIMIT $8"
            ),
        )
    };
}

/// Lists at most `limit` events, the latest first. Events that are added between the requests for two pages do not
/// shift the pages.
///
/// # Errors
/// The database does not answer, or an event cannot be read.
pub async fn list_events(
    connection: &mut Connection,
    scope: EventScope,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let sql: Statement = match (filter, scope) {
        (EventFilter { key: Some(_), .. }, _) => select_events!("key_id = $6"),
        (EventFilter { principal: Some(_), .. }, _) => select_events!("principal = $5"),
        (_, EventScope::Workspace(_)) => select_events!("workspace_id = $4"),
        (EventFilter { action: Some(_), .. }, EventScope::Installation(_)) => select_events!("action = $7"),
        (_, EventScope::Installation(_)) => select_events!("TRUE"),
    };
    let workspace = match scope {
        EventScope::Workspace(access) => Some(access.workspace()),
        EventScope::Installation(_) => None,
    };
    let values = params![
        filter.after.map_or(i64::MAX, |seq| i64::try_from(seq).unwrap_or(i64::MAX)),
        filter.from.unwrap_or(Timestamp::MIN),
        // No event has the maximum timestamp.
        filter.to.unwrap_or(Timestamp::MAX),
        workspace,
        filter.principal.map(|principal| principal.to_string()),
        filter.key,
        filter.action.as_ref(),
        i64::from(limit)
    ];
    connection.list(sql, values).await
}

/// Returns the size and root of the log as a checkpoint that is ready to be signed.
///
/// # Errors
/// The database does not answer, or the head of the log is corrupt.
pub async fn head_checkpoint(connection: &mut Connection) -> Result<Checkpoint, StoreError> {
    let origin = find_installation(connection).await?.log_origin();
    let row = connection.fetch_one("SELECT audit_size, audit_range FROM installation WHERE id = 1", params![]).await?;
    let log = CompactRange::from_bytes(row.count("audit_size")?, &row.bytes("audit_range")?)
        .map_err(|error| StoreError::corrupt(format!("the head of the audit log: {error}")))?;
    let sql = "SELECT seq FROM audit_events WHERE action = $1 ORDER BY seq DESC LIMIT 1";
    let restore = connection.fetch_optional(sql, params![RESTORE_ACTION]).await?;
    let restored_at = restore.map(|row| row.count("seq")).transpose()?;
    Ok(Checkpoint { origin, size: log.size(), root: log.root(), restored_at })
}

/// The action of a restore's event.
pub const RESTORE_ACTION: &str = AuditAction::InstallationRestore.as_str();

/// The detail of a restore's event that holds its [statement](restore_statement).
pub const RESTORE_STATEMENT: &str = "statement";

/// Returns the statement that is signed for a restore whose event directly follows `head`. A party that can write to
/// the database but does not have the installation's key cannot present a changed history as a restore.
#[must_use]
pub fn restore_statement(head: &Checkpoint) -> Checkpoint {
    Checkpoint { origin: restore_origin(&head.origin), restored_at: None, ..head.clone() }
}

/// Returns the name under which restores of the log `origin` are signed.
#[must_use]
pub fn restore_origin(origin: &str) -> String {
    format!("{origin}/restore")
}

fn hash_from(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash)
}
