//! Activity: the audit log of a workspace, or of the installation without its workspaces, as sentences. With filters in
//! the address, pages in both directions, the values of one event, and export.

mod filter;
mod limits;
mod row;
mod sentence;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{ApiKeyId, AuditAction, user::show_email};
use http::StatusCode;
use store::audit::LoggedEvent;

use self::{
    filter::{ActionGroup, ActivityQuery, Chip, KINDS, PERIODS},
    row::{Day, EventDetail},
    sentence::Reader,
};
pub(in crate::ui) use self::{row::Row, sentence::Part};
use super::{
    csv::{Csv, file},
    extract::{InWorkspace, SignedInContext},
    page::{self, FormErrors, PageError, Place, Shell, When},
    routes::Pages,
    use_chart::group_digits,
};
use crate::{
    App, AppError,
    app::{Activity, ActivityPage, Caller, KeyActivity, KeyOwner, SearchLimit, audit_event},
};

/// The maximum number of events in one file. A filter reduces the number.
const MAX_EXPORT: usize = 20_000;
/// The number of rows of a page. Refused requests of one kind share a row.
const ROWS: usize = 40;
/// The number of events that are read for a page.
const EVENTS: u32 = 200;

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/activity", list)
        .get("/w/{slug}/activity/export.csv", export_csv)
        .get("/w/{slug}/activity/export.jsonl", export_json_lines)
        .get("/operator/activity", list_own)
        .get("/operator/activity/export.csv", export_own_csv)
        .get("/operator/activity/export.jsonl", export_own_json_lines)
}

/// Whose activity is shown, and to whom.
struct Scope {
    caller: Caller,
    place: Option<Place>,
}

impl From<InWorkspace> for Scope {
    fn from(at: InWorkspace) -> Self {
        Self { caller: at.caller, place: Some(at.place) }
    }
}

impl Scope {
    async fn read(&self, app: &App, query: &ActivityQuery, page: &ActivityPage) -> Result<Activity, AppError> {
        let filter = query.filter(app.now())?;
        app.list_activity(&self.caller, self.place.as_ref().map(|place| place.id), &filter, &query.search(), page).await
    }
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityList {
    shell: Shell,
    errors: FormErrors,
    base: String,
    query: ActivityQuery,
    /// What the list is filtered by, with the links that clear it.
    chips: Vec<Chip>,
    groups: Vec<ActionGroup>,
    days: Vec<Day>,
    detail: Option<EventDetail>,
    /// Whether the search means more objects than those whose events are listed.
    matches_more: bool,
    /// Whether only the latest entries were searched.
    is_cut: bool,
    /// Whether the event in the address does not exist or may not be read.
    is_missing: bool,
    newer: Option<String>,
    older: Option<String>,
}

impl ActivityList {
    /// Returns whether the reader may open the page with the checkpoint.
    fn is_operator(&self) -> bool {
        self.shell.account.as_ref().is_some_and(|account| account.operator)
    }

    /// Returns the query of this page with another value of a field, from the first page on.
    fn with(&self, field: &str, value: &str) -> String {
        self.query.with(field, value).link()
    }
}

/// Returns the number of entries in which the events of an IP address are searched.
fn searched_entries() -> String {
    group_digits(store::audit::IP_ADDRESS_ENTRIES)
}

/// Reads the events of a page.
async fn read_page(app: &App, scope: &Scope, query: &mut ActivityQuery) -> Result<Activity, AppError> {
    let mut activity = scope.read(app, query, &query.page(EVENTS)?).await?;
    row::cut(&mut activity, ROWS, !query.before.is_empty());
    if !query.before.is_empty() && !activity.has_newer {
        // The first page is full, also if only few events are newer than those of the page that was left.
        query.before.clear();
        activity = scope.read(app, query, &query.page(EVENTS)?).await?;
        row::cut(&mut activity, ROWS, false);
    }
    Ok(activity)
}

async fn show(app: &App, scope: Scope, shell: Shell, query: ActivityQuery) -> Result<Response, PageError> {
    let mut query = query.with_ids_only();
    let (activity, errors) = match read_page(app, &scope, &mut query).await {
        Ok(activity) => (activity, FormErrors::default()),
        Err(error) => (Activity::default(), FormErrors::of(error)?),
    };
    let reader = Reader { names: &activity.names, place: scope.place.as_ref() };
    let seq = |logged: Option<&LoggedEvent>| logged.map_or_else(String::new, |logged| logged.seq.to_string());
    let newer = activity.has_newer.then(|| query.at("before", &seq(activity.events.first())).link());
    let older = activity.has_older.then(|| query.at("after", &seq(activity.events.last())).link());
    let detail = activity.selected.as_ref().map(|logged| row::detail(reader, &shell, logged));
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let page = ActivityList {
        base: reader.base(),
        chips: query.chips(reader),
        matches_more: activity.search_limit == Some(SearchLimit::Objects),
        is_cut: activity.search_limit == Some(SearchLimit::Entries),
        groups: filter::action_groups(scope.place.is_some()),
        days: row::days(reader, &shell, &query, &activity.events),
        is_missing: detail.is_none() && !query.event.is_empty() && errors.is_empty(),
        detail,
        // A page without events has no position. The first page has.
        newer: newer.filter(|_| !activity.events.is_empty()),
        older: older.filter(|_| !activity.events.is_empty()),
        shell,
        errors,
        query: query.clone(),
    };
    Ok(page::render(status, &page))
}

/// Returns the latest changes in a workspace, for its overview. Only admins may read them.
pub(in crate::ui) async fn latest_changes(
    app: &App,
    at: &InWorkspace,
    shell: &Shell,
    count: u32,
) -> Result<Vec<Row>, AppError> {
    let query = ActivityQuery { kind: "changes".to_owned(), ..ActivityQuery::default() };
    let page = ActivityPage { older_than: None, newer_than: None, limit: count, event: None };
    let activity = app.list_activity(&at.caller, Some(at.place.id), &query.filter(app.now())?, "", &page).await?;
    let reader = Reader { names: &activity.names, place: Some(&at.place) };
    let rows =
        row::rows(reader, shell, &activity.events, |event| (query.with_event(&event.id.to_string()).link(), false));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The activity of a key, for its page.
pub(in crate::ui) struct KeyEvents {
    /// The latest events.
    pub(in crate::ui) rows: Vec<Row>,
    /// The path of the list with all values of an event.
    pub(in crate::ui) base: String,
    /// The list of all its events, if the reader may open it.
    pub(in crate::ui) all: Option<String>,
    /// When it was revoked.
    pub(in crate::ui) revoked_at: Option<When>,
    /// Who revoked it, if the reader may know.
    pub(in crate::ui) revoked_by: Option<Part>,
    /// Why it was revoked, if it was not revoked itself.
    pub(in crate::ui) cause: Vec<Part>,
}

/// The number of events on the page of a key.
const EVENTS_OF_KEY: u32 = 5;

/// Returns the activity of a key. Its place is that of the service account which owns it.
///
/// # Errors
/// The caller may not view the key.
pub(in crate::ui) async fn find_key_events(
    app: &App,
    caller: &Caller,
    (owner, id): (KeyOwner, ApiKeyId),
    place: Option<&Place>,
    shell: &Shell,
) -> Result<KeyEvents, AppError> {
    let KeyActivity { revoked_at, revocation, latest } =
        app.find_key_activity(caller, owner, id, EVENTS_OF_KEY).await?;
    let reader = Reader { names: &latest.names, place };
    let query = ActivityQuery { key: id.to_string(), ..ActivityQuery::default() };
    let rows =
        row::rows(reader, shell, &latest.events, |event| (query.with_event(&event.id.to_string()).link(), false));
    let with_day = |(day, row): (i64, Row)| Row { clock: row::day_words(day), ..row };
    let revoked = revocation.as_ref().map(|logged| &logged.event);
    // Nobody is told which principal reclaimed a key with a proof.
    let by_whom = revoked.filter(|event| event.action == AuditAction::ApiKeyRevoke.as_str());
    let mut events = KeyEvents {
        rows: rows.into_iter().map(with_day).collect(),
        base: reader.base(),
        all: Some(format!("{}{}", reader.base(), query.link())),
        revoked_at: revoked_at.map(|at| shell.when(&at)),
        revoked_by: by_whom.map(|event| reader.actor(event.principal)),
        cause: revoked.and_then(|event| reader.cause(event)).unwrap_or_default(),
    };
    // Only operators read the activity of no workspace.
    if place.is_none() && !caller.principal().is_operator() {
        events.all = None;
        events.rows.iter_mut().for_each(row::without_links);
        row::unlink(&mut events.cause);
        row::unlink(events.revoked_by.as_mut_slice());
    }
    Ok(events)
}

async fn list(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    let shell = at.shell("Activity", "activity");
    show(&app, at.into(), shell, query).await
}

async fn list_own(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    let shell = Shell::new(Some(&signed_in.context), "Activity", "operator-activity");
    show(&app, Scope { caller: signed_in.caller, place: None }, shell, query).await
}

/// Calls `write` with every event of the filtered list, the latest first, up to the maximum of a file.
async fn for_each_event(
    app: &App,
    scope: &Scope,
    query: &ActivityQuery,
    mut write: impl FnMut(Reader<'_>, LoggedEvent) -> Result<(), AppError>,
) -> Result<(), AppError> {
    let mut page = ActivityPage { older_than: None, newer_than: None, limit: EVENTS, event: None };
    let mut written = 0;
    loop {
        let mut activity = scope.read(app, query, &page).await?;
        let events = std::mem::take(&mut activity.events);
        page.older_than = events.last().map(|logged| logged.seq);
        written += events.len();
        let reader = Reader { names: &activity.names, place: scope.place.as_ref() };
        for logged in events {
            write(reader, logged)?;
        }
        if !activity.has_older || written >= MAX_EXPORT {
            return Ok(());
        }
    }
}

async fn csv(app: &App, scope: &Scope, query: &ActivityQuery) -> Result<Response, PageError> {
    let mut file =
        Csv::new(&["sequence", "at", "description", "principal", "key", "address", "action", "target", "detail"]);
    for_each_event(app, scope, query, |reader, logged| {
        let description = reader.tell(&logged.event).to_string();
        let event = audit_event(logged);
        let detail: Vec<String> = event.detail.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cells = [
            event.sequence.to_string(),
            event.at.to_string(),
            description,
            show_email(&event.principal).into_owned(),
            event.key.unwrap_or_default(),
            event.address.unwrap_or_default(),
            event.action,
            event.target.unwrap_or_default(),
            detail.join("; "),
        ];
        file.row(cells);
        Ok(())
    })
    .await?;
    Ok(file.into_file("activity.csv"))
}

async fn json_lines(app: &App, scope: &Scope, query: &ActivityQuery) -> Result<Response, PageError> {
    let mut text = String::new();
    for_each_event(app, scope, query, |_, logged| {
        let line = serde_json::to_string(&audit_event(logged)).map_err(|e| AppError::Internal(e.to_string()))?;
        text.push_str(&line);
        text.push('\n');
        Ok(())
    })
    .await?;
    Ok(file("application/jsonl", "activity.jsonl", text))
}

async fn export_csv(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    csv(&app, &at.into(), &query.with_ids_only()).await
}

async fn export_json_lines(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    json_lines(&app, &at.into(), &query.with_ids_only()).await
}

async fn export_own_csv(
    State(app): State<Arc<App>>,
    SignedInContext { caller, .. }: SignedInContext,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    csv(&app, &Scope { caller, place: None }, &query.with_ids_only()).await
}

async fn export_own_json_lines(
    State(app): State<Arc<App>>,
    SignedInContext { caller, .. }: SignedInContext,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    json_lines(&app, &Scope { caller, place: None }, &query.with_ids_only()).await
}
