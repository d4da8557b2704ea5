//! Workspace Settings > Service Accounts: the page of a service account with its keys. The list, the creation, the
//! settings and the deletion each have a file.

mod creation;
mod deletion;
mod list;
mod settings;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{
    ProjectId, ServiceAccountId,
    role::{ProjectRole, Role},
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    api_key::{KeyColumn, KeyTable, export_keys, search_keys},
    contact::Contact,
    extract::{Ids, InWorkspace},
    list::ListQuery,
    meter::Meter,
    page::{self, PageError, Shell},
    routes::Pages,
};
use crate::{
    App,
    app::{JoinedProject, KeyOwner, LastUse, ServiceAccountDetails},
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/service-accounts", list::show)
        .post("/w/{slug}/service-accounts", creation::create)
        .get("/w/{slug}/service-accounts/new", creation::show_new)
        .get("/w/{slug}/service-accounts/{sa}", show)
        .post("/w/{slug}/service-accounts/{sa}/role", settings::set_role)
        .get("/w/{slug}/service-accounts/{sa}/settings", settings::show_settings)
        .post("/w/{slug}/service-accounts/{sa}/settings", settings::edit)
        .get("/w/{slug}/service-accounts/{sa}/disable", settings::show_disable)
        .post("/w/{slug}/service-accounts/{sa}/disable", settings::disable)
        .post("/w/{slug}/service-accounts/{sa}/enable", settings::enable)
        .get("/w/{slug}/service-accounts/{sa}/delete", deletion::show_delete)
        .post("/w/{slug}/service-accounts/{sa}/delete", deletion::delete)
}

/// Returns the part of an address that the accounts of a workspace have in common.
fn account_domain(app: &App, at: &InWorkspace) -> String {
    format!("{}.{}", at.place.slug, app.settings().service_account_domain)
}

/// The form of a service account. A field that is missing, because the page is from an earlier release, is `None` and
/// changes nothing. An empty field is `Some`.
#[derive(Clone, Default, Deserialize)]
struct AccountForm {
    display_name: Option<String>,
    name: Option<String>,
    description: Option<String>,
    role: Option<Role>,
    /// `1` once the user has confirmed what the form does.
    #[serde(default)]
    confirmed: String,
}

impl AccountForm {
    fn new(account: &api::ServiceAccount) -> Self {
        Self {
            display_name: Some(account.display_name.clone()),
            name: Some(account.name.clone()),
            description: Some(account.description.clone()),
            role: Some(account.role),
            confirmed: String::new(),
        }
    }

    /// Returns the content of the fields: the submitted text, or the value in `saved`.
    fn or(self, saved: Self) -> Self {
        Self {
            display_name: self.display_name.or(saved.display_name),
            name: self.name.or(saved.name),
            description: self.description.or(saved.description),
            role: self.role.or(saved.role),
            confirmed: String::new(),
        }
    }

    fn display_name(&self) -> &str {
        self.display_name.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    fn description(&self) -> &str {
        self.description.as_deref().unwrap_or_default()
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "a template passes references")]
    fn has_role(&self, role: &Role) -> bool {
        self.role.unwrap_or(Role::Member) == *role
    }

    fn is_confirmed(&self) -> bool {
        self.confirmed == "1"
    }
}

/// What every page of a service account shows.
struct AccountView {
    account: api::ServiceAccount,
    last_use: Option<LastUse>,
    projects: Vec<JoinedProject>,
    list: String,
    base: String,
    activity: String,
    /// The prefix of the paths of projects.
    projects_base: String,
    /// The tab that is shown.
    tab: &'static str,
}

impl AccountView {
    async fn find(app: &App, at: &InWorkspace, id: ServiceAccountId, tab: &'static str) -> Result<Self, PageError> {
        let found = app.find_service_account_details(&at.caller, at.place.id, id).await?;
        let ServiceAccountDetails { account, last_use, projects, .. } = found;
        Ok(Self {
            list: at.path("service-accounts"),
            base: at.path(&format!("service-accounts/{id}")),
            activity: format!("{}{}", at.path("activity"), page::query(&[("principal", &account.email)])),
            projects_base: at.path("projects"),
            account,
            last_use,
            projects,
            tab,
        })
    }

    /// Returns the class and the words of its state.
    fn state(&self) -> (&'static str, &'static str) {
        state(&self.account)
    }

    /// Says that the limit of keys is reached.
    fn usage(&self) -> String {
        match self.account.keys.limit {
            0 => "This account may have no keys.".to_owned(),
            1 => "This account may have 1 key, and has it.".to_owned(),
            limit => format!("All {limit} keys are in use."),
        }
    }

    fn meter(&self) -> Meter {
        Meter::of(&self.account.keys)
    }

    fn project_path(&self, id: &ProjectId) -> String {
        format!("{}/{id}", self.projects_base)
    }

    /// Says what disabling it does to its keys.
    fn disabling(&self) -> String {
        format!("{} refused until you enable it again.", all_keys(self.account.keys.live, "are", "is"))
    }

    /// Says what enabling it does to its keys.
    fn enabling(&self) -> String {
        format!("{} accepted again.", all_keys(self.account.keys.live, "are", "is"))
    }

    /// Says what deleting it does.
    fn deletion(&self) -> String {
        let keys = match self.account.keys.live {
            0 => String::new(),
            1 => "Revokes its key. ".to_owned(),
            live => format!("Revokes all {live} keys. "),
        };
        let projects = match self.projects.len() {
            0 => String::new(),
            1 => "Removes the account from 1 project. ".to_owned(),
            joined => format!("Removes the account from {joined} projects. "),
        };
        format!("{keys}{projects}This cannot be undone.")
    }
}

/// Returns the words of a role in a project.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "a template passes references")]
pub(super) const fn project_role(role: &ProjectRole) -> &'static str {
    match role {
        ProjectRole::Viewer => "viewer",
        ProjectRole::Editor => "editor",
        ProjectRole::Admin => "admin",
    }
}

pub(super) fn state(account: &api::ServiceAccount) -> (&'static str, &'static str) {
    match (account.disabled, account.keys.live) {
        (true, _) => ("disabled", "Disabled"),
        (false, 0) => ("pending", "No keys"),
        (false, _) => ("active", "Active"),
    }
}

/// Returns the beginning of a sentence about all keys of an account.
fn all_keys(live: u64, are: &str, is: &str) -> String {
    match live {
        0 => format!("It has no keys now. Keys that you add {are}"),
        1 => format!("Its key {is}"),
        live => format!("All {live} keys {are}"),
    }
}

#[derive(Template)]
#[template(path = "service_account.html")]
struct AccountPage {
    shell: Shell,
    view: AccountView,
    contact: Contact,
    keys: KeyTable,
}

async fn show(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let view = AccountView::find(&app, &at, id, "keys").await?;
    let owner = KeyOwner::ServiceAccount(at.place.id, id);
    if query.is_csv() {
        return export_keys(&app, &at.caller, owner, &query).await;
    }
    let found = app.search_api_keys(&at.caller, owner, &search_keys(&query)).await?;
    let shell = at.shell(view.account.display_name.clone(), "service-accounts");
    let keys = KeyTable::new(&app, found, &shell, view.base.clone(), format!("{}/keys", view.base), query);
    let contact = Contact::new(&app, &shell);
    Ok(page::render(StatusCode::OK, &AccountPage { shell, view, contact, keys }))
}
