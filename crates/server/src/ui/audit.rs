//! Activity: the audit log of a workspace, with filters, pages and export.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;

use super::{
    extract::InWorkspace,
    form::end_of_day,
    list::columns,
    page::{self, FormErrors, PageError, Shell},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{AuditFilter, MAX_PAGE, Paging},
};

/// The maximum number of events in one file. A filter reduces the number.
const MAX_EXPORT: usize = 20_000;

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/activity", list)
        .get("/w/{slug}/activity/export.csv", export_csv)
        .get("/w/{slug}/activity/export.jsonl", export_json_lines)
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct ActivityQuery {
    principal: String,
    key: String,
    action: String,
    from: String,
    to: String,
    after: String,
}

impl ActivityQuery {
    fn filter(&self) -> Result<AuditFilter, AppError> {
        let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let start = |date: &str| format!("{date}T00:00:00Z").parse().ok();
        Ok(AuditFilter {
            principal: text(&self.principal),
            key: text(&self.key),
            action: text(&self.action),
            from: match end_of_day("from", &self.from)? {
                Some(_) => start(&self.from),
                None => None,
            },
            to: end_of_day("to", &self.to)?,
            ..AuditFilter::default()
        })
    }

    /// Returns the filter as a query, for the links of the page.
    fn link(&self, after: &str) -> String {
        page::query(&[
            ("principal", &self.principal),
            ("key", &self.key),
            ("action", &self.action),
            ("from", &self.from),
            ("to", &self.to),
            ("after", after),
        ])
    }
}

columns! {
    /// The table of events.
    EventColumn {
        Action: "Action",
        Who: "Who",
        Target: "Target",
        Address: "Address",
        When: "When",
    }
}

#[derive(Template)]
#[template(path = "activity.html")]
struct Activity {
    shell: Shell,
    errors: FormErrors,
    base: String,
    query: ActivityQuery,
    events: Vec<api::AuditEvent>,
    emails: BTreeMap<String, String>,
    next: Option<String>,
}

impl Activity {
    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.emails.get(id).map_or(id, String::as_str)
    }
}

async fn list(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    let after = (!query.after.is_empty()).then(|| query.after.clone());
    let listed = match query.filter() {
        Ok(filter) => app.list_audit_events(&at.caller, at.place.id, &filter, &Paging { after, limit: None }).await,
        Err(error) => Err(error),
    };
    let (events, errors) = match listed {
        Ok(events) => (events, FormErrors::default()),
        Err(error) => (api::Page { items: Vec::new(), next: None }, FormErrors::of(error)?),
    };
    let mut ids: Vec<&str> = events.items.iter().map(|event| event.principal.as_str()).collect();
    ids.extend(events.items.iter().filter_map(|event| event.target.as_deref()));
    let emails = app.find_emails(&at.caller, &ids).await?;
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let page = Activity {
        shell: at.shell("Activity", "activity"),
        errors,
        base: at.path("activity"),
        query,
        events: events.items,
        emails,
        next: events.next,
    };
    Ok(page::render(status, &page))
}

async fn all_events(app: &App, at: &InWorkspace, query: &ActivityQuery) -> Result<Vec<api::AuditEvent>, AppError> {
    let filter = query.filter()?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let paging = Paging { after, limit: Some(MAX_PAGE) };
        let events = app.list_audit_events(&at.caller, at.place.id, &filter, &paging).await?;
        all.extend(events.items);
        after = events.next;
        if after.is_none() || all.len() >= MAX_EXPORT {
            return Ok(all);
        }
    }
}

async fn export_csv(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    let mut text = "sequence,at,principal,key,address,action,target,detail\r\n".to_owned();
    for event in all_events(&app, &at, &query).await? {
        let detail: Vec<String> = event.detail.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cells = [
            event.sequence.to_string(),
            event.at.to_string(),
            event.principal,
            event.key.unwrap_or_default(),
            event.address.unwrap_or_default(),
            event.action,
            event.target.unwrap_or_default(),
            detail.join("; "),
        ];
        text.push_str(&cells.map(|cell| csv_cell(&cell)).join(","));
        text.push_str("\r\n");
    }
    Ok(file("text/csv; charset=utf-8", "activity.csv", text))
}

async fn export_json_lines(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, PageError> {
    let mut text = String::new();
    for event in all_events(&app, &at, &query).await? {
        let line = serde_json::to_string(&event).map_err(|e| AppError::Internal(e.to_string()))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(file("application/jsonl", "activity.jsonl", text))
}

fn file(content_type: &'static str, name: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)], text)
        .into_response()
}

/// Returns a cell that a spreadsheet interprets as text and not as a formula.
fn csv_cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_no_formula_in_a_spreadsheet() {
        assert_eq!(csv_cell("=1+1"), "\"'=1+1\"");
        assert_eq!(csv_cell("say \"hi\", all"), "\"say \"\"hi\"\", all\"");
    }
}
