//! The audit log in the database: appending events with a change, listing them, and verifying that they are unchanged.
//! `domain::audit` defines an event and its hash.

mod refusal;
mod search;
mod verify;

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, AuditAction, AuditEvent, AuditEventId, AuditKind, AuditPrincipal, Checkpoint, PrincipalId, Timestamp,
    merkle::{CompactRange, Hash},
    principal::{HostAccess, OperatorAccess, OwnAccess, WorkspaceAccess},
};

pub use refusal::RefusalRecord;
use search::Alternative;
pub use search::{EventObjects, IP_ADDRESS_ENTRIES, find_objects};
pub use verify::{Finding, MissedCheckpoint, VerifyReport, verify_log, verify_log_against};

use crate::{
    Row, StoreError,
    connection::{Connection, FromRow, WriteConnection},
    installation::find_installation,
    params,
    table::{
        Column,
        ColumnType::{Bytes, I64, Text},
        Insert, Table,
    },
    value::{Statement, Value},
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

/// Events that follow the audit log, and are written together. The caller stores the head of the log in the locked row.
#[derive(Default)]
pub(crate) struct NewEvents {
    log: CompactRange,
    rows: Vec<NewEvent>,
}

struct NewEvent {
    seq: u64,
    row: EventRow,
    leaf_hash: Hash,
}

impl NewEvents {
    /// Begins after the last event of a log.
    pub(crate) const fn after(log: CompactRange) -> Self {
        Self { log, rows: Vec::new() }
    }

    /// Appends events in order: all of them, or none.
    ///
    /// # Errors
    /// An event cannot be encoded.
    pub(crate) fn append(&mut self, events: &[AuditEvent]) -> Result<(), StoreError> {
        let rows = events.iter().map(EventRow::encode).collect::<Result<Vec<_>, _>>()?;
        for (event, row) in events.iter().zip(rows) {
            let seq = self.log.size();
            let leaf_hash = event.leaf_hash(seq);
            self.log.append(leaf_hash);
            self.rows.push(NewEvent { seq, row, leaf_hash });
        }
        Ok(())
    }

    /// Returns the number of events that are not written yet.
    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the log with these events.
    pub(crate) const fn log(&self) -> &CompactRange {
        &self.log
    }

    /// Returns the number of the last event of a restore, if it is one of these events.
    pub(crate) fn restored_at(&self) -> Option<u64> {
        self.rows.iter().rfind(|new| new.row.action == RESTORE_ACTION).map(|new| new.seq)
    }

    /// Writes the events.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub(crate) async fn insert(&self, connection: &mut WriteConnection) -> Result<(), StoreError> {
        let inserts = self.rows.iter().map(|NewEvent { seq, row, leaf_hash }| {
            AUDIT_EVENTS.insert(row).value("seq", seq.cast_signed()).value("leaf_hash", leaf_hash.0)
        });
        Insert::run_all(inserts, connection).await
    }
}

/// The part of the log that is listed. Its values prove that the caller may read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventScope {
    /// The events of one workspace.
    Workspace(WorkspaceAccess),
    /// The events of no workspace, and those that concern a workspace itself.
    InstallationOwn(OperatorAccess),
    /// The events of no workspace that involve a principal's own keys.
    OwnKeys(OwnAccess),
    /// All events.
    Installation(HostAccess),
}

/// An object whose events are listed: those that it caused, those of requests with its credential, and those that it is
/// the target of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventSubject {
    /// A principal, with its keys.
    Principal(PrincipalId),
    /// A key.
    Key(ApiKeyId),
}

/// The direction of a page of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EventPage {
    /// The latest events.
    #[default]
    Latest,
    /// Events older than the one with this number.
    OlderThan(u64),
    /// Events newer than the one with this number.
    NewerThan(u64),
}

/// Conditions for the events to list. A field that is `None` does not restrict the list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventFilter {
    /// Events that involve this object.
    pub subject: Option<EventSubject>,
    /// Events that involve one of these objects.
    pub objects: Option<EventObjects>,
    /// Events by this principal.
    pub principal: Option<AuditPrincipal>,
    /// Events of requests that were signed with this key.
    pub key: Option<ApiKeyId>,
    /// Events of this action, such as `api_key.create`.
    pub action: Option<String>,
    /// Events of this kind. The events of later releases are changes.
    pub kind: Option<AuditKind>,
    /// Events with this target.
    pub target: Option<String>,
    /// Events at this time or later.
    pub from: Option<Timestamp>,
    /// Events before this time.
    pub to: Option<Timestamp>,
    /// Which of them.
    pub page: EventPage,
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

/// The conditions of a statement, and their values.
#[derive(Clone, Default)]
struct Conditions {
    texts: Vec<String>,
    values: Vec<Value<'static>>,
}

impl Conditions {
    /// Adds a condition without a value.
    fn with_text(mut self, text: impl Into<String>) -> Self {
        self.texts.push(text.into());
        self
    }

    /// Adds the condition `before`, the value, `after`.
    fn with(mut self, before: &str, value: impl Into<Value<'static>>, after: &str) -> Self {
        self.values.push(value.into());
        self.texts.push(format!("{before} ${}{after}", self.values.len()));
        self
    }

    /// Adds a condition if there is a value for it.
    fn with_if(self, before: &str, value: Option<impl Into<Value<'static>>>) -> Self {
        match value {
            Some(value) => self.with(before, value, ""),
            None => self,
        }
    }

    fn of(scope: EventScope, filter: &EventFilter) -> Self {
        let mut all = Self::default();
        all = match scope {
            EventScope::Workspace(access) => all.with("workspace_id =", access.workspace().to_string(), ""),
            EventScope::OwnKeys(own) => {
                let keys = "workspace_id IS NULL AND EXISTS (SELECT 1 FROM api_keys
                    WHERE api_keys.id IN (audit_events.key_id, audit_events.target) AND api_keys.owner_id =";
                all.with(keys, own.owner().to_string(), ")")
            }
            EventScope::InstallationOwn(_) | EventScope::Installation(_) => all,
        };
        all = match filter.page {
            EventPage::Latest => all,
            EventPage::OlderThan(seq) => all.with("seq <", i64::try_from(seq).unwrap_or(i64::MAX), ""),
            EventPage::NewerThan(seq) => all.with("seq >", i64::try_from(seq).unwrap_or(i64::MAX), ""),
        };
        all = match filter.kind {
            Some(AuditKind::Change) => {
                let others = AuditAction::ALL.iter().filter(|action| action.kind() != AuditKind::Change);
                all.with_text(format!("action NOT IN ({})", quoted(others.copied())))
            }
            Some(kind) => all.with_text(format!("action IN ({})", quoted(kind.actions()))),
            None => all,
        };
        all.with_if("action =", filter.action.clone())
            .with_if("principal =", filter.principal.map(|principal| principal.to_string()))
            .with_if("key_id =", filter.key.map(|key| key.to_string()))
            .with_if("target =", filter.target.clone())
            .with_if("at >=", filter.from)
            .with_if("at <", filter.to)
    }

    /// Adds all conditions of an alternative.
    fn with_all(self, alternative: Alternative) -> Self {
        alternative.into_iter().fold(self, |all, (before, value, after)| all.with(before, value, after))
    }

    /// Adds the condition that one of the alternatives is met.
    fn with_any(mut self, alternatives: Vec<Alternative>) -> Self {
        let mut texts = Vec::new();
        for alternative in alternatives {
            let part = Self { texts: Vec::new(), values: std::mem::take(&mut self.values) }.with_all(alternative);
            texts.push(format!("({})", part.texts.join(" AND ")));
            self.values = part.values;
        }
        let any = if texts.is_empty() { "FALSE".to_owned() } else { format!("({})", texts.join(" OR ")) };
        self.with_text(any)
    }

    /// Returns the conditions of each statement whose results make up the list. Each statement has an index in the
    /// order of the list, so that it reads few rows beyond its limit.
    fn split(self, scope: EventScope, filter: &EventFilter) -> Vec<Self> {
        let of_workspaces = || AuditAction::ALL.iter().copied().filter(|action| action.concerns_workspace_itself());
        let own = || format!("(workspace_id IS NULL OR action IN ({}))", quoted(of_workspaces()));
        let scoped = |all: Self| match scope {
            EventScope::InstallationOwn(_) => all.with_text(own()),
            EventScope::Workspace(_) | EventScope::OwnKeys(_) | EventScope::Installation(_) => all,
        };
        let each = |all: &Self, alternatives: Vec<Alternative>| {
            alternatives.into_iter().map(|alternative| scoped(all.clone()).with_all(alternative)).collect()
        };
        match (filter.subject, &filter.objects) {
            (Some(subject), None) => each(&self, subject.alternatives()),
            // The events of one object are few enough to compare each.
            (Some(subject), Some(objects)) => each(&self.with_any(objects.alternatives()), subject.alternatives()),
            (None, Some(objects)) => each(&self, objects.alternatives()),
            (None, None) if matches!(scope, EventScope::InstallationOwn(_)) => {
                let mut parts: Vec<Self> = of_workspaces()
                    .map(|action| self.clone().with_text(format!("action = {}", quoted([action]))))
                    .collect();
                parts.push(self.with_text("workspace_id IS NULL"));
                parts
            }
            (None, None) => vec![self],
        }
    }
}

/// Returns stored names of actions for a list in a statement.
fn quoted(actions: impl IntoIterator<Item = AuditAction>) -> String {
    actions.into_iter().map(|action| format!("'{action}'")).collect::<Vec<_>>().join(", ")
}

/// Selects events. `rest` consists of text from the code only, as every statement does.
fn select_events(rest: &str) -> Statement {
    Statement::built(format!("{}{rest}", AUDIT_EVENTS.select_with("audit_events.seq", "").as_str()))
}

/// Lists at most `limit` events, the latest first. Events that are added between the requests for two pages do not
/// shift the pages. Of the events that are [newer](EventPage::NewerThan) than one, the oldest are listed.
///
/// # Errors
/// The database does not answer, or an event cannot be read.
pub async fn list_events(
    connection: &mut Connection,
    scope: EventScope,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let is_ascending = matches!(filter.page, EventPage::NewerThan(_));
    let order = if is_ascending { "ASC" } else { "DESC" };
    let parts = Conditions::of(scope, filter).split(scope, filter);
    // An event may be in the results of several statements.
    let mut found: BTreeMap<u64, LoggedEvent> = BTreeMap::new();
    for Conditions { texts, mut values } in parts {
        values.push(i64::from(limit).into());
        let conditions = if texts.is_empty() { "TRUE".to_owned() } else { texts.join(" AND ") };
        let sql = select_events(&format!("WHERE {conditions} ORDER BY seq {order} LIMIT ${}", values.len()));
        let listed: Vec<LoggedEvent> = connection.list(sql, &values).await?;
        found.extend(listed.into_iter().map(|logged| (logged.seq, logged)));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut events: Vec<LoggedEvent> = found.into_values().collect();
    if is_ascending {
        events.truncate(limit);
    }
    events.reverse();
    events.truncate(limit);
    Ok(events)
}

/// Returns an event by its id, if it is in the scope.
///
/// # Errors
/// The database does not answer, or the event cannot be read.
pub async fn find_event(
    connection: &mut Connection,
    scope: EventScope,
    id: AuditEventId,
) -> Result<Option<LoggedEvent>, StoreError> {
    let all = EventFilter::default();
    let parts = Conditions::of(scope, &all).split(scope, &all);
    for part in parts {
        let Conditions { texts, values } = part.with("id =", id.to_string(), "");
        let sql = select_events(&format!("WHERE {}", texts.join(" AND ")));
        if let Some(found) = connection.find(sql, &values).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
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
