//! The list of an owner's keys, with search, order and pages.

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
    KeyPages,
    row::{DAY, KeyRow, WARNED_DAYS},
};
use crate::{
    App,
    app::{DEFAULT_PAGE, FoundKeys, KeyOrder, KeySearch},
    ui::{
        list::columns,
        page::{self, PageError, Shell, support_contact},
    },
};

columns! {
    /// The table of keys.
    KeyColumn {
        Title: "Title" by "title",
        Fingerprint: "Fingerprint",
        Created: "Created" by "created",
        LastUsed: "Last used" by "used",
        Expires: "Expires" by "expires",
        Status: "Status",
        Actions: hidden "Actions",
    }
}

/// The keys of an owner, and the possible actions.
pub(in crate::ui) struct KeyTable {
    pub(in crate::ui) rows: Vec<KeyRow>,
    /// The number of keys on earlier pages.
    skipped: usize,
    pub(in crate::ui) found: usize,
    pub(in crate::ui) hidden: usize,
    pub(in crate::ui) all: usize,
    /// The number of the owner's keys that expire within [`WARNED_DAYS`], on all pages.
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

/// The keys to show, from the URL of a page.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct KeyQuery {
    /// `1` to include expired and revoked keys.
    all: String,
    /// The text to search for.
    pub(in crate::ui) q: String,
    /// A column. With a `-` before it, the order is reversed.
    pub(in crate::ui) sort: String,
    /// The number of keys before this page.
    skip: String,
}

impl KeyQuery {
    /// Returns the conditions for the operation.
    pub(in crate::ui) fn search(&self, now: Timestamp) -> KeySearch {
        let (column, descending) = match self.sort.strip_prefix('-') {
            Some(column) => (column, true),
            None => (self.sort.as_str(), false),
        };
        let (order, descending) = match column {
            "title" => (KeyOrder::Title, descending),
            "used" => (KeyOrder::LastUsed, descending),
            "expires" => (KeyOrder::Expires, descending),
            "created" => (KeyOrder::Created, descending),
            // The latest key comes first.
            _ => (KeyOrder::Created, true),
        };
        let soon = Timestamp::from_second(now.as_second() + WARNED_DAYS * DAY).unwrap_or(Timestamp::MAX);
        let skip = self.skip.parse().unwrap_or(0);
        KeySearch { text: self.q.clone(), with_inactive: self.all == "1", order, descending, skip, soon }
    }
}

impl KeyTable {
    /// Creates the table of the keys that match `query`.
    pub(in crate::ui) fn new(
        app: &App,
        found: FoundKeys,
        shell: &Shell,
        list: String,
        base: String,
        query: KeyQuery,
    ) -> Self {
        let FoundKeys { owner, items, skipped, creators, found, inactive, all, expiring, reclaimed } = found;
        let (now, owner_disabled) = (app.now(), owner.is_disabled());
        let row = |key: api::ApiKey| {
            let creator = creators.get(&key.created_by).map(String::as_str);
            KeyRow::new(&key, creator, owner_disabled, shell, now)
        };
        Self {
            rows: items.into_iter().map(row).collect(),
            skipped,
            ending: expiring,
            reclaimed,
            owner_disabled,
            found,
            hidden: inactive,
            all,
            is_full: owner.keys.live >= u64::from(owner.keys.limit),
            count: owner.keys,
            contact: support_contact(app),
            list,
            base,
            new: if owner.service_account.is_some() { "New API key" } else { "New Key" },
            query,
        }
    }

    /// Returns a link to the list with one parameter changed. Another search or order begins at the first page.
    pub(in crate::ui) fn link(&self, name: &str, value: &str) -> String {
        let query = &self.query;
        let mut fields = [("all", query.all.as_str()), ("q", &query.q), ("sort", &query.sort), ("skip", "")];
        for field in fields.iter_mut().filter(|(field, _)| *field == name) {
            field.1 = value;
        }
        format!("{}{}", self.list, page::query(&fields))
    }

    /// Returns a link to the list in the order of that column, or in reverse order if it already has that order.
    pub(in crate::ui) fn sort_link(&self, column: &str) -> String {
        let is_so = self.query.sort == column;
        self.link("sort", &if is_so { format!("-{column}") } else { column.to_owned() })
    }

    /// Returns the order of that column, for `aria-sort`.
    pub(in crate::ui) fn sorted(&self, column: &str) -> &'static str {
        let sort = if self.query.sort.is_empty() { "-created" } else { &self.query.sort };
        match (sort == column, sort.strip_prefix('-') == Some(column)) {
            (true, _) => "ascending",
            (_, true) => "descending",
            _ => "none",
        }
    }

    /// Returns the part of the URL from the list to the pages of its keys. It occurs three times in each row.
    pub(in crate::ui) fn way(&self) -> &str {
        let folder = self.list.rfind('/').map_or(0, |slash| slash + 1);
        self.base.get(folder..).unwrap_or(&self.base)
    }

    pub(in crate::ui) fn shows_all(&self) -> bool {
        self.query.all == "1"
    }

    /// Returns a link to the next page.
    pub(in crate::ui) fn next_link(&self) -> Option<String> {
        let seen = self.skipped + self.rows.len();
        (!self.rows.is_empty() && seen < self.found).then(|| self.link("skip", &seen.to_string()))
    }

    /// Returns a link to the previous page.
    pub(in crate::ui) fn previous_link(&self) -> Option<String> {
        let skipped = self.skipped;
        let before = skipped.saturating_sub(page_length());
        (skipped > 0).then(|| self.link("skip", &before.to_string()))
    }
}

fn page_length() -> usize {
    usize::try_from(DEFAULT_PAGE).unwrap_or(usize::MAX)
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
    let found = app.search_api_keys(&at.caller, at.owner, &query.search(app.now())).await?;
    let keys = KeyTable::new(&app, found, &shell, at.list, at.base, query);
    Ok(page::render(StatusCode::OK, &OwnKeys { shell, keys }))
}
