//! The list of an owner's keys, with search, order and pages.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{Timestamp, list::KeyFilter};
use http::StatusCode;

use super::{
    KeyPages,
    row::{DAY, KeyRow, KeyStatus, UNUSED_DAYS, WARNED_DAYS},
};
use crate::{
    App,
    app::{Caller, FoundKeys, KeyOwner, KeySearch, Place},
    ui::{
        csv::Csv,
        list::{Labels, ListHead, ListQuery, ListWords, columns},
        page::{self, PageError, Shell, support_contact},
    },
};

columns! {
    /// The table of keys.
    KeyColumn {
        Choose: hidden "Choose",
        Title: "Title" by "title",
        Fingerprint: "Fingerprint",
        Created: "Created" class "mid" by "-created",
        LastUsed: "Last used" by "-used",
        Expires: "Expires" by "expires",
        Status: "Status",
        Actions: hidden "Actions",
    }
}

/// The words of the list.
static WORDS: ListWords = ListWords {
    find: "Find a key by title or fingerprint",
    sorts: &[
        ("-created", "Newest first"),
        ("created", "Oldest first"),
        ("title", "Title"),
        ("-used", "Last used"),
        ("expires", "Expiry"),
    ],
    sort: "-created",
};

impl Labels for KeyFilter {
    fn label(self) -> &'static str {
        match self {
            Self::InUse => "In use",
            Self::Active => "Active",
            Self::Expiring => "Expiring",
            Self::Unused => "Unused 90 days",
            Self::Disabled => "Disabled",
            Self::Ended => "Expired or revoked",
            Self::All => "All",
        }
    }
}

/// The keys of an owner, and the possible actions.
pub(in crate::ui) struct KeyTable {
    pub(in crate::ui) rows: Vec<KeyRow>,
    pub(in crate::ui) head: ListHead,
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
}

/// Returns the search for keys from the URL of a page.
pub(in crate::ui) fn search_keys(query: &ListQuery, now: Timestamp) -> KeySearch {
    let at = |days: i64| Timestamp::from_second(now.as_second() + days * DAY).unwrap_or(Timestamp::MAX);
    KeySearch {
        search: query.search(WORDS.sort),
        place: query.place(),
        soon: at(WARNED_DAYS),
        unused_since: at(-UNUSED_DAYS),
    }
}

/// Returns the file of the keys that match, from all pages.
pub(in crate::ui) async fn export_keys(
    app: &App,
    caller: &Caller,
    owner: KeyOwner,
    query: &ListQuery,
) -> Result<Response, PageError> {
    let mut csv = Csv::new(&[
        "id",
        "title",
        "algorithm",
        "fingerprint",
        "state",
        "created_at",
        "created_by",
        "expires_at",
        "last_used_at",
        "last_used_ip",
    ]);
    let mut search = search_keys(query, app.now());
    search.place = Place::Start;
    loop {
        let FoundKeys { page, creators, .. } = app.search_api_keys(caller, owner, &search).await?;
        let time = |time: Option<Timestamp>| time.map_or(String::new(), |time| time.to_string());
        for key in page.items {
            csv.row([
                key.id.to_string(),
                key.title,
                key.algorithm,
                key.fingerprint,
                KeyStatus::new(key.state, false).class().to_owned(),
                key.created_at.to_string(),
                creators.get(&key.created_by).cloned().unwrap_or(key.created_by),
                time(key.expires_at),
                time(key.last_used_at),
                key.last_used_ip.unwrap_or_default(),
            ]);
        }
        match page.next {
            Some(next) => search.place = Place::After(next),
            None => return Ok(csv.into_file("api-keys.csv")),
        }
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
        query: ListQuery,
    ) -> Self {
        let FoundKeys { owner, page, creators, all, expiring, reclaimed } = found;
        let head = ListHead::new::<KeyFilter, _>(list.clone(), query, &WORDS, &page);
        let (now, owner_disabled) = (app.now(), owner.is_disabled());
        let row = |key: api::ApiKey| {
            let creator = creators.get(&key.created_by).map(String::as_str);
            KeyRow::new(&key, creator, owner_disabled, shell, now)
        };
        Self {
            rows: page.items.into_iter().map(row).collect(),
            head,
            ending: expiring,
            reclaimed,
            owner_disabled,
            all,
            is_full: owner.keys.live >= u64::from(owner.keys.limit),
            count: owner.keys,
            contact: support_contact(app),
            list,
            base,
            new: if owner.service_account.is_some() { "New API key" } else { "New Key" },
        }
    }

    /// Returns the part of the URL from the list to the pages of its keys. It occurs three times in each row.
    pub(in crate::ui) fn way(&self) -> &str {
        let folder = self.list.rfind('/').map_or(0, |slash| slash + 1);
        self.base.get(folder..).unwrap_or(&self.base)
    }
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
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    if query.is_csv() {
        return export_keys(&app, &at.caller, at.owner, &query).await;
    }
    let shell = at.shell("API keys");
    let found = app.search_api_keys(&at.caller, at.owner, &search_keys(&query, app.now())).await?;
    let keys = KeyTable::new(&app, found, &shell, at.list, at.base, query);
    Ok(page::render(StatusCode::OK, &OwnKeys { shell, keys }))
}
