//! The list of a workspace's service accounts, and its export.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::list::ServiceAccountFilter;
use http::StatusCode;

use super::account_domain;
use crate::{
    App,
    app::{AccountSearch, ServiceAccountList, UsedServiceAccount},
    ui::{
        contact::Contact,
        csv::{Csv, MAX_ROWS},
        extract::InWorkspace,
        list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
        meter::Meter,
        page::{self, PageError, Shell},
    },
};

columns! {
    /// The table of service accounts.
    AccountColumn {
        Name: "Name" by "name",
        Role: "Role",
        Keys: "Keys" by "-keys",
        LastUsed: "Last used" by "-last-used",
        Status: "Status",
        Actions: hidden "Actions",
    }
}

const WORDS: ListWords = ListWords {
    find: "Find by name or address",
    sorts: &[
        ("name", "Name"),
        ("-last-used", "Last used"),
        ("last-used", "Longest unused"),
        ("-keys", "Most keys"),
        ("-created", "Newest first"),
    ],
    sort: "name",
};

impl Labels for ServiceAccountFilter {
    fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Active => "Active",
            Self::WithoutKeys => "Without keys",
            Self::Disabled => "Disabled",
        }
    }
}

#[derive(Template)]
#[template(path = "service_accounts.html")]
struct ListPage {
    shell: Shell,
    list: ListHead,
    accounts: Vec<UsedServiceAccount>,
    /// The part of the addresses that all of them have in common.
    domain: String,
    meter: Meter,
    contact: Contact,
    /// The query of this page.
    here: String,
}

impl ListPage {
    /// Says how many of the limit are in use.
    fn usage(&self) -> String {
        match (self.meter.is_full(), self.meter.limit) {
            (true, 0) => "This workspace may have no service accounts.".to_owned(),
            (true, 1) => "This workspace may have 1 service account, and has it.".to_owned(),
            (true, limit) => format!("All {limit} service accounts are in use."),
            (false, limit) => format!("{} of {limit} service accounts are in use.", self.meter.used),
        }
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    let search = query.search(WORDS.sort);
    if query.is_csv() {
        return export(&app, &at, &search).await;
    }
    let ServiceAccountList { accounts, present, limit } =
        app.look_through_service_accounts(&at.caller, at.place.id, &search, &query.place()).await?;
    let shell = at.shell("Service accounts", "service-accounts");
    let here = query.here();
    let page = ListPage {
        list: ListHead::new::<ServiceAccountFilter, _>(at.path("service-accounts"), query, &WORDS, &accounts),
        accounts: accounts.items,
        domain: account_domain(&app, &at),
        meter: Meter { used: present, limit },
        contact: Contact::new(&app, &shell),
        here,
        shell,
    };
    Ok(page::render(StatusCode::OK, &page))
}

async fn export(app: &App, at: &InWorkspace, search: &AccountSearch) -> Result<Response, PageError> {
    let mut all = AllPages::new(MAX_ROWS);
    while let Some(paging) = all.next() {
        all.add(app.list_service_accounts(&at.caller, at.place.id, search, &paging).await?);
    }
    let mut csv = Csv::new(&[
        "id",
        "display_name",
        "name",
        "email",
        "description",
        "role",
        "disabled",
        "live_keys",
        "key_limit",
        "created_at",
    ]);
    for account in all.into_rows() {
        csv.row([
            account.id.to_string(),
            account.display_name,
            account.name,
            account.email,
            account.description,
            account.role.to_string(),
            account.disabled.to_string(),
            account.keys.live.to_string(),
            account.keys.limit.to_string(),
            account.created_at.to_string(),
        ]);
    }
    Ok(csv.into_file("service-accounts.csv"))
}
