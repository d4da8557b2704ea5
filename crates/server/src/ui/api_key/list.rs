//! The lists of an owner's keys and of a workspace's keys, with search, order and pages.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{Timestamp, list::KeyFilter};
use http::StatusCode;

use super::{
    KeyPages,
    row::{KeyRow, KeyStatus},
};
use crate::{
    App,
    app::{AccountKey, Caller, FoundAccountKeys, FoundKeys, KeyOwner, KeySearch, Place},
    ui::{
        csv::{Csv, MAX_ROWS},
        extract::InWorkspace,
        key_limits::write_exactly,
        list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
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
const WORDS: ListWords = ListWords {
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

static OWNER_WORDS: ListWords = WORDS;
/// The words of the list of a workspace's keys.
static WORKSPACE_WORDS: ListWords =
    ListWords { find: "Find a key by title, fingerprint or account", sorts: WORDS.sorts, sort: WORDS.sort };

impl Labels for KeyFilter {
    fn label(self) -> &'static str {
        match self {
            Self::InUse => "Current",
            Self::Active => "Active",
            Self::Expiring => "Expiring",
            Self::Unused => "Unused 90 days",
            Self::NeverUsed => "Never used",
            Self::Limited => "Limited",
            Self::Unlimited => "Unlimited",
            Self::Disabled => "Disabled",
            Self::Ended => "Expired or revoked",
            Self::All => "All",
        }
    }
}

/// The rows of a list of keys, and the form that changes the selected ones.
pub(in crate::ui) struct KeyRows {
    pub(in crate::ui) rows: Vec<KeyRow>,
    pub(in crate::ui) head: ListHead,
    /// The path of the form for the selected keys, with the query of this page.
    pub(in crate::ui) bulk: String,
    /// The part of the URL from the list to the pages of its keys, if they have one owner.
    way: String,
}

impl KeyRows {
    /// Returns the part of the URL from the list to the folder of a key's page. It occurs three times in each row.
    pub(in crate::ui) fn way_of(&self, key: &KeyRow) -> String {
        match &key.account {
            Some(account) => format!("{}/keys", account.path),
            None => self.way.clone(),
        }
    }
}

/// The keys of an owner, and the possible actions.
pub(in crate::ui) struct KeyTable {
    pub(in crate::ui) table: KeyRows,
    pub(in crate::ui) all: usize,
    /// The number of the owner's keys that expire within [`EXPIRING_DAYS`](domain::api_key::EXPIRING_DAYS), on all pages.
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
pub(in crate::ui) fn search_keys(query: &ListQuery) -> KeySearch {
    KeySearch { search: query.search(WORDS.sort), place: query.place() }
}

/// The file of keys.
struct KeyFile(Csv);

impl KeyFile {
    fn new() -> Self {
        Self(Csv::new(&[
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
            "service_account",
            "service_account_disabled",
            "successor",
            "limits",
        ]))
    }

    fn add(&mut self, key: api::ApiKey, account: Option<(&str, bool)>, creators: &BTreeMap<String, String>) {
        let time = |time: Option<Timestamp>| time.map_or(String::new(), |time| time.to_string());
        self.0.row([
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
            account.map_or(String::new(), |(email, _)| email.to_owned()),
            account.map_or(String::new(), |(_, disabled)| disabled.to_string()),
            key.successor.map_or(String::new(), |successor| successor.id.to_string()),
            key.limits.as_ref().map_or(String::new(), write_exactly),
        ]);
    }
}

/// Returns the file of an owner's keys that match, from all pages.
pub(in crate::ui) async fn export_keys(
    app: &App,
    caller: &Caller,
    owner: KeyOwner,
    query: &ListQuery,
) -> Result<Response, PageError> {
    let mut file = KeyFile::new();
    let mut search = search_keys(query);
    search.place = Place::Start;
    loop {
        let FoundKeys { owner, page, creators, .. } = app.search_api_keys(caller, owner, &search).await?;
        let account = owner.service_account.as_ref().map(|account| (account.email.as_str(), account.disabled));
        for key in page.items {
            file.add(key, account, &creators);
        }
        match page.next {
            Some(next) => search.place = Place::After(next),
            None => return Ok(file.0.into_file("api-keys.csv")),
        }
    }
}

/// Hides the filter of keys without limits while every key is one.
fn hide_unlimited(head: &mut ListHead) {
    if !head.has_chip(KeyFilter::Limited) {
        head.remove_chip(KeyFilter::Unlimited);
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
        let bulk = format!("{base}/bulk{}", query.here());
        let mut head = ListHead::new::<KeyFilter, _>(list.clone(), query, &OWNER_WORDS, &page);
        hide_unlimited(&mut head);
        if owner.is_disabled() {
            // Beside rows that say that the account is disabled, such keys are not called active.
            head.rename_chip(KeyFilter::Active, "Not disabled");
        }
        let folder = list.rfind('/').map_or(0, |slash| slash + 1);
        let way = base.get(folder..).unwrap_or(&base).to_owned();
        let (now, owner_disabled) = (app.now(), owner.is_disabled());
        let row = |key: api::ApiKey| {
            let creator = creators.get(&key.created_by).map(String::as_str);
            KeyRow::new(&key, creator, owner_disabled, shell, now)
        };
        Self {
            table: KeyRows { rows: page.items.into_iter().map(row).collect(), head, bulk, way },
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
    let found = app.search_api_keys(&at.caller, at.owner, &search_keys(&query)).await?;
    let keys = KeyTable::new(&app, found, &shell, at.list, at.base, query);
    Ok(page::render(StatusCode::OK, &OwnKeys { shell, keys }))
}

#[derive(Template)]
#[template(path = "workspace_keys.html")]
struct WorkspaceKeyList {
    shell: Shell,
    table: KeyRows,
    /// The path of the list of service accounts.
    accounts: String,
}

/// Shows the keys of all service accounts of a workspace.
pub(super) async fn show_of_workspace(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    let search = search_keys(&query);
    if query.is_csv() {
        return export_workspace_keys(&app, &at, &search).await;
    }
    let FoundAccountKeys { page, creators } = app.look_through_workspace_keys(&at.caller, at.place.id, &search).await?;
    let (shell, list, accounts) = (at.shell("API keys", "keys"), at.path("keys"), at.path("service-accounts"));
    let row = |listed: &AccountKey| {
        let creator = creators.get(&listed.key.created_by).map(String::as_str);
        // Beside the list, so that a row does not repeat the path of the workspace.
        KeyRow::new(&listed.key, creator, listed.account.disabled, &shell, app.now())
            .of(&listed.account, "service-accounts")
    };
    let rows = page.items.iter().map(row).collect();
    let bulk = format!("{list}/bulk{}", query.here());
    let mut head = ListHead::new::<KeyFilter, _>(list, query, &WORKSPACE_WORDS, &page);
    hide_unlimited(&mut head);
    let table = KeyRows { rows, head, bulk, way: String::new() };
    Ok(page::render(StatusCode::OK, &WorkspaceKeyList { shell, table, accounts }))
}

async fn export_workspace_keys(app: &App, at: &InWorkspace, search: &KeySearch) -> Result<Response, PageError> {
    let (mut all, mut creators) = (AllPages::new(MAX_ROWS), BTreeMap::new());
    while let Some(paging) = all.next() {
        let (page, more) = app.list_workspace_keys(&at.caller, at.place.id, search, &paging).await?;
        creators.extend(more);
        all.add(page);
    }
    let mut file = KeyFile::new();
    for AccountKey { key, account } in all.into_rows() {
        file.add(key, Some((&account.email, account.disabled)), &creators);
    }
    Ok(file.0.into_file(&format!("{}-api-keys.csv", at.place.slug)))
}
