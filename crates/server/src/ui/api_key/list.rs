//! The list of an owner's keys: found by text, sorted, paged.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::Timestamp;
use http::StatusCode;
use serde::Deserialize;

use super::{
    KeyPages, ShownOwner,
    row::{DAY, KeyRow, Surroundings, WARNED_DAYS, key_row},
};
use crate::{
    App, AppError,
    app::{Caller, DEFAULT_PAGE, KeyOrder, KeyOwner, KeySearch},
    ui::{
        list::columns,
        page::{self, PageError, Shell, support_contact},
    },
};

columns! {
    /// The table of keys.
    KeyColumn {
        Title: "Title",
        Fingerprint: "Fingerprint",
        Created: "Created",
        LastUsed: "Last used",
        Expires: "Expires",
        Status: "Status",
        Actions: hidden "Actions",
    }
}

impl KeyColumn {
    /// The name in the address of the list that is sorted by it.
    pub(in crate::ui) const fn sort(self) -> Option<&'static str> {
        match self {
            Self::Title => Some("title"),
            Self::Created => Some("created"),
            Self::LastUsed => Some("used"),
            Self::Expires => Some("expires"),
            Self::Fingerprint | Self::Status | Self::Actions => None,
        }
    }
}

/// The keys of an owner, and what can be done.
pub(in crate::ui) struct KeyTable {
    pub(in crate::ui) rows: Vec<KeyRow>,
    pub(in crate::ui) found: usize,
    pub(in crate::ui) hidden: usize,
    pub(in crate::ui) all: usize,
    /// How many keys of the owner end within [`WARNED_DAYS`], on all pages.
    pub(in crate::ui) ending: usize,
    /// Keys that another principal reclaimed recently.
    pub(in crate::ui) reclaimed: Vec<api::ApiKey>,
    pub(in crate::ui) owner_disabled: bool,
    pub(in crate::ui) count: api::KeyCount,
    pub(in crate::ui) is_full: bool,
    pub(in crate::ui) contact: String,
    pub(in crate::ui) list: String,
    pub(in crate::ui) base: String,
    pub(in crate::ui) new: &'static str,
    pub(in crate::ui) query: KeyQuery,
}

/// Which keys to show, as the address of a page says it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct KeyQuery {
    /// `1`: dead ones, too.
    all: String,
    /// What to look for.
    pub(in crate::ui) q: String,
    /// A column, with a `-` before it the other way round.
    pub(in crate::ui) sort: String,
    /// How many keys come before this page.
    skip: String,
}

impl KeyQuery {
    fn search(&self, now: Timestamp) -> KeySearch {
        let (column, descending) = match self.sort.strip_prefix('-') {
            Some(column) => (column, true),
            None => (self.sort.as_str(), false),
        };
        let (order, descending) = match column {
            "title" => (KeyOrder::Title, descending),
            "used" => (KeyOrder::LastUsed, descending),
            "expires" => (KeyOrder::Expires, descending),
            "created" => (KeyOrder::Created, descending),
            // The one that was just made comes first.
            _ => (KeyOrder::Created, true),
        };
        let soon = Timestamp::from_second(now.as_second() + WARNED_DAYS * DAY).unwrap_or(Timestamp::MAX);
        KeySearch { text: self.q.clone(), with_dead: self.all == "1", order, descending, skip: self.skipped(), soon }
    }

    fn skipped(&self) -> usize {
        self.skip.parse().unwrap_or(0)
    }
}

impl KeyTable {
    /// The list with one thing about it changed. Another search or order begins at its first page.
    pub(in crate::ui) fn link(&self, name: &str, value: &str) -> String {
        let query = &self.query;
        let mut fields = [("all", query.all.as_str()), ("q", &query.q), ("sort", &query.sort), ("skip", "")];
        for field in fields.iter_mut().filter(|(field, _)| *field == name) {
            field.1 = value;
        }
        format!("{}{}", self.list, page::query(&fields))
    }

    /// The list by that column; by the other way round where it is by that column already.
    pub(in crate::ui) fn sort_link(&self, column: &str) -> String {
        let is_so = self.query.sort == column;
        self.link("sort", &if is_so { format!("-{column}") } else { column.to_owned() })
    }

    /// How the list is sorted by that column, for `aria-sort`.
    pub(in crate::ui) fn sorted(&self, column: &str) -> &'static str {
        let sort = if self.query.sort.is_empty() { "-created" } else { &self.query.sort };
        match (sort == column, sort.strip_prefix('-') == Some(column)) {
            (true, _) => "ascending",
            (_, true) => "descending",
            _ => "none",
        }
    }

    /// The part of the address that leads from the list to the pages of its keys. It stands three times in each row.
    pub(in crate::ui) fn way(&self) -> &str {
        let folder = self.list.rfind('/').map_or(0, |slash| slash + 1);
        self.base.get(folder..).unwrap_or(&self.base)
    }

    pub(in crate::ui) fn shows_all(&self) -> bool {
        self.query.all == "1"
    }

    /// The page after this one.
    pub(in crate::ui) fn next_link(&self) -> Option<String> {
        let seen = self.query.skipped() + self.rows.len();
        (!self.rows.is_empty() && seen < self.found).then(|| self.link("skip", &seen.to_string()))
    }

    /// The page before this one.
    pub(in crate::ui) fn previous_link(&self) -> Option<String> {
        let skipped = self.query.skipped();
        let before = skipped.saturating_sub(page_length());
        (skipped > 0).then(|| self.link("skip", &before.to_string()))
    }
}

fn page_length() -> usize {
    usize::try_from(DEFAULT_PAGE).unwrap_or(usize::MAX)
}

pub(in crate::ui) async fn key_table(
    app: &App,
    caller: &Caller,
    shown: ShownOwner,
    shell: &Shell,
    list: String,
    base: String,
    mut query: KeyQuery,
) -> Result<KeyTable, AppError> {
    let ShownOwner { owner, disabled: owner_disabled, count } = shown;
    let now = app.now();
    let mut found = app.search_api_keys(caller, owner, &query.search(now)).await?;
    if let (true, Some(last)) = (found.items.is_empty(), found.found.checked_sub(1)) {
        // Past the end, for instance where the keys of the last page were revoked: the last page there is.
        query.skip = (last / page_length() * page_length()).to_string();
        found = app.search_api_keys(caller, owner, &query.search(now)).await?;
    }
    let creators: Vec<&str> = found.items.iter().map(|key| key.created_by.as_str()).collect();
    let emails = app.find_emails(caller, &creators).await?;
    let around = Surroundings { shell, emails, now, owner_disabled };
    Ok(KeyTable {
        rows: found.items.into_iter().map(|key| key_row(key, &around)).collect(),
        ending: found.ending,
        reclaimed: found.reclaimed,
        owner_disabled,
        found: found.found,
        hidden: found.dead,
        all: found.all,
        is_full: count.live >= u64::from(count.limit),
        count,
        contact: support_contact(app),
        list,
        base,
        new: if owner == KeyOwner::Own { "New Key" } else { "New API key" },
        query,
    })
}

#[derive(Template)]
#[template(path = "api_keys.html")]
struct OwnKeys {
    shell: Shell,
    keys: KeyTable,
}

pub(super) async fn show_own(
    State(app): State<Arc<App>>,
    at: KeyPages,
    Query(query): Query<KeyQuery>,
) -> Result<Response, PageError> {
    let shell = at.shell("API keys");
    let owner = ShownOwner::find(&app, &at.caller, at.owner).await?;
    let keys = key_table(&app, &at.caller, owner, &shell, at.list, at.base, query).await?;
    Ok(page::render(StatusCode::OK, &OwnKeys { shell, keys }))
}
