//! Workspace Settings > Service Accounts: the list, the creation, the page of a service account, and its changes.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, RawQuery, State},
    response::Response,
};
use domain::{
    ProjectId, ServiceAccountId,
    list::ServiceAccountFilter,
    principal::WorkspacePermission,
    role::{ProjectRole, Role},
    workspace::Slug,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    api_key::{KeyColumn, KeyTable, export_keys, search_keys},
    contact::Contact,
    csv::{Csv, MAX_ROWS},
    extract::{Form, Ids, InWorkspace},
    list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
    meter::Meter,
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    remove::{Choice, RemoveForm, RemovePage},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{
        AccountDeletionPreview, AccountSearch, Confirmed, JoinedProject, KeyOwner, LastUse, ServiceAccountDetails,
        ServiceAccountList, UsedServiceAccount,
    },
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/service-accounts", list)
        .post("/w/{slug}/service-accounts", create)
        .get("/w/{slug}/service-accounts/new", show_new)
        .get("/w/{slug}/service-accounts/{sa}", show)
        .post("/w/{slug}/service-accounts/{sa}/role", set_role)
        .get("/w/{slug}/service-accounts/{sa}/settings", show_settings)
        .post("/w/{slug}/service-accounts/{sa}/settings", edit)
        .get("/w/{slug}/service-accounts/{sa}/disable", show_disable)
        .post("/w/{slug}/service-accounts/{sa}/disable", disable)
        .post("/w/{slug}/service-accounts/{sa}/enable", enable)
        .get("/w/{slug}/service-accounts/{sa}/delete", show_delete)
        .post("/w/{slug}/service-accounts/{sa}/delete", delete)
}

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

async fn list(
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

#[derive(Template)]
#[template(path = "service_account_form.html")]
struct NewPage {
    shell: Shell,
    errors: FormErrors,
    list: String,
    domain: String,
    /// Empty: the account does not exist yet.
    saved_address: &'static str,
    typed: AccountForm,
    present: u64,
    limit: u64,
}

async fn new_page(app: &App, at: &InWorkspace) -> Result<NewPage, PageError> {
    let (present, limit) = app.count_service_accounts(&at.caller, at.place.id).await?;
    Ok(NewPage {
        shell: at.shell("Create service account", "service-accounts"),
        errors: FormErrors::default(),
        list: at.path("service-accounts"),
        domain: account_domain(app, at),
        saved_address: "",
        typed: AccountForm::default(),
        present,
        limit: limit.into(),
    })
}

async fn show_new(State(app): State<Arc<App>>, at: InWorkspace) -> Result<Response, PageError> {
    // A caller who may not create a service account gets the error before filling in the form.
    let principal = at.caller.principal();
    principal.authorize(WorkspacePermission::ManageServiceAccounts, at.place.id).map_err(AppError::from)?;
    Ok(page::render(StatusCode::OK, &new_page(&app, &at).await?))
}

async fn create(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Form(form): Form<AccountForm>,
) -> Result<Response, PageError> {
    let typed = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    // An empty name is made from the display name. If both are empty, the display name is the one to enter.
    let name = typed(&form.name);
    let display_name = if name.is_some() { typed(&form.display_name) } else { form.display_name.clone() };
    let create = api::CreateServiceAccount {
        name,
        display_name,
        description: form.description.clone().unwrap_or_default(),
        role: form.role,
    };
    let done = app.create_service_account(&at.caller, at.place.id, &create).await;
    let path = |account: &api::ServiceAccount| at.path(&format!("service-accounts/{}", account.id));
    page::answer(
        done,
        path,
        |account| {
            Notice::default().link(&account.display_name, path(account)).text(" was created. Add its first API key.")
        },
        async |errors| Ok(NewPage { errors, typed: form.clone(), ..new_page(&app, &at).await? }),
    )
    .await
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
        let ServiceAccountDetails { account, last_use, projects } = found;
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

    /// Returns its roles in the projects that are shown.
    fn project_roles(&self) -> Option<String> {
        let [first, rest @ ..] = self.projects.as_slice() else { return None };
        let name = |role: ProjectRole| match role {
            ProjectRole::Viewer => "Viewer",
            ProjectRole::Editor => "Editor",
            ProjectRole::Admin => "Admin",
        };
        if rest.iter().all(|project| project.role == first.role) {
            return Some(name(first.role).to_owned());
        }
        let shown = self.projects.iter().take(SHOWN_PROJECTS).map(|project| name(project.role));
        Some(shown.collect::<Vec<_>>().join(", "))
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

/// How many projects an account's page names.
const SHOWN_PROJECTS: usize = 2;

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
    let found = app.search_api_keys(&at.caller, owner, &search_keys(&query, app.now())).await?;
    let shell = at.shell(view.account.display_name.clone(), "service-accounts");
    let keys = KeyTable::new(&app, found, &shell, view.base.clone(), format!("{}/keys", view.base), query);
    let contact = Contact::new(&app, &shell);
    Ok(page::render(StatusCode::OK, &AccountPage { shell, view, contact, keys }))
}

#[derive(Template)]
#[template(path = "service_account_settings.html")]
struct SettingsPage {
    shell: Shell,
    errors: FormErrors,
    view: AccountView,
    /// The present address.
    saved_address: String,
    domain: String,
    typed: AccountForm,
}

async fn settings_page(app: &App, at: &InWorkspace, id: ServiceAccountId) -> Result<SettingsPage, PageError> {
    let view = AccountView::find(app, at, id, "settings").await?;
    Ok(SettingsPage {
        shell: at.shell(format!("Settings of {}", view.account.display_name), "service-accounts"),
        errors: FormErrors::default(),
        saved_address: view.account.email.clone(),
        domain: domain_of(&view.account).to_owned(),
        typed: AccountForm::new(&view.account),
        view,
    })
}

/// Returns the part of an address that the accounts of a workspace have in common.
fn domain_of(account: &api::ServiceAccount) -> &str {
    account.email.split_once('@').map_or("", |(_, domain)| domain)
}

async fn show_settings(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &settings_page(&app, &at, ids.parse("sa")?).await?))
}

/// A page that says what a change affects, before it is made.
#[derive(Template)]
#[template(path = "service_account_confirm.html")]
struct ConfirmPage {
    shell: Shell,
    /// The page of the account, or another one to return to.
    back: String,
    action: String,
    lines: Vec<String>,
    button: &'static str,
    is_danger: bool,
    fields: Vec<(&'static str, String)>,
}

impl ConfirmPage {
    fn new(at: &InWorkspace, account: &api::ServiceAccount, title: String, action: &str) -> Self {
        let back = at.path(&format!("service-accounts/{}", account.id));
        Self {
            shell: at.shell(title, "service-accounts"),
            action: format!("{back}/{action}"),
            back,
            lines: Vec::new(),
            button: "Save changes",
            is_danger: false,
            fields: vec![("confirmed", "1".to_owned())],
        }
    }

    fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// Says what an account can do as an admin.
fn about_admin(account: &api::ServiceAccount) -> Vec<String> {
    let holders = match account.keys.live {
        0 => "Each holder of a key that you add can do all of this.".to_owned(),
        1 => "The holder of its key can do all of this at once.".to_owned(),
        live => format!("Each holder of one of its {live} keys can do all of this at once."),
    };
    vec![
        format!(
            "As an admin, {} manages the workspace: it adds and removes people, and sees every project.",
            account.display_name
        ),
        holders,
    ]
}

async fn edit(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<AccountForm>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let account = app.find_service_account(&at.caller, at.place.id, id).await?;
    let name = form.name.clone().filter(|name| *name != account.name);
    let role = form.role.filter(|role| *role != account.role);
    // A name that the server refuses is an error of the form, and nothing to confirm.
    let new_address = name.as_ref().filter(|name| name.parse::<Slug>().is_ok());
    let becomes_admin = role == Some(Role::Admin);
    if !form.is_confirmed() && (new_address.is_some() || becomes_admin) {
        return Ok(page::render(StatusCode::OK, &confirm_edit(&at, &account, form, new_address, becomes_admin)));
    }
    let change = api::UpdateServiceAccount {
        display_name: form.display_name.clone(),
        name,
        description: form.description.clone(),
        role,
        disabled: None,
    };
    let done = app.update_service_account(&at.caller, at.place.id, id, &change).await;
    let base = at.path(&format!("service-accounts/{id}"));
    page::answer(
        done,
        |_| format!("{base}/settings"),
        |saved| {
            let notice = Notice::say("The settings of ").link(&saved.display_name, base.clone()).text(" are saved.");
            if saved.email == account.email {
                notice
            } else {
                notice.text(" Its address is ").name(&saved.email).text(".")
            }
        },
        async |errors| {
            let page = settings_page(&app, &at, id).await?;
            Ok(SettingsPage { errors, typed: form.clone().or(page.typed), ..page })
        },
    )
    .await
}

fn confirm_edit(
    at: &InWorkspace,
    account: &api::ServiceAccount,
    form: AccountForm,
    new_name: Option<&String>,
    becomes_admin: bool,
) -> ConfirmPage {
    let name = &account.display_name;
    let (title, button) = match (new_name, becomes_admin) {
        (Some(_), false) => (format!("Change the address of {name}?"), "Change address"),
        (None, true) => (format!("Make {name} an admin?"), "Make admin"),
        _ => (format!("Save these changes to {name}?"), "Save changes"),
    };
    let mut page = ConfirmPage { button, ..ConfirmPage::new(at, account, title, "settings") };
    if let Some(new_name) = new_name {
        page.lines.push(format!("The address {} becomes {new_name}@{}.", account.email, domain_of(account)));
        page.lines.push(
            "Its keys keep working. APIs behind Keyward see the new address at once, and do not find what they stored \
             under the old one. No other account ever gets the old address."
                .to_owned(),
        );
    }
    if becomes_admin {
        page.lines.extend(about_admin(account));
    }
    page.back = format!("{}/settings", page.back);
    let role = form.role.map(|role| ("role", role.as_str().to_owned()));
    let texts = [("display_name", form.display_name), ("name", form.name), ("description", form.description)];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
    page.fields.extend(texts.chain(role));
    page
}

async fn update(
    app: &Arc<App>,
    at: &InWorkspace,
    ids: &Ids,
    update: api::UpdateServiceAccount,
) -> Result<Confirmed<api::ServiceAccount>, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    Ok(app.update_service_account(&at.caller, at.place.id, id, &update).await?)
}

#[derive(Deserialize)]
struct RoleForm {
    role: Role,
    /// `1` once the user has confirmed that the account becomes an admin.
    #[serde(default)]
    confirmed: String,
    /// `list`: the form is in the list, whose query is the one of the request.
    #[serde(default)]
    from: String,
}

async fn set_role(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    RawQuery(query): RawQuery,
    Form(form): Form<RoleForm>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let before = app.find_service_account(&at.caller, at.place.id, id).await?;
    if form.role == Role::Admin && before.role != Role::Admin && form.confirmed != "1" {
        let title = format!("Make {} an admin?", before.display_name);
        let page = ConfirmPage::new(&at, &before, title, &format!("role{query}"));
        let page = page.field("role", form.role.as_str()).field("from", form.from.clone());
        let list = at.path(&format!("service-accounts{query}"));
        let back = if form.from == "list" { list } else { page.back.clone() };
        let page = ConfirmPage { lines: about_admin(&before), button: "Make admin", back, ..page };
        return Ok(page::render(StatusCode::OK, &page));
    }
    let change = api::UpdateServiceAccount { role: Some(form.role), ..api::UpdateServiceAccount::default() };
    let done = update(&app, &at, &ids, change).await?;
    let base = at.path(&format!("service-accounts/{id}"));
    let next = if form.from == "list" { at.path(&format!("service-accounts{query}")) } else { base.clone() };
    let now = if done.role == Role::Admin { " is an admin now." } else { " is a member now." };
    let mut notice = Notice::default().link(&done.display_name, base.clone()).text(now);
    // A demotion may have ended invitations that the account wrote, and an admin is made on a page that asks.
    if done.role == Role::Admin && before.role == Role::Member {
        let undo = [("role", before.role.as_str()), ("from", form.from.as_str())];
        notice = notice.undo(format!("{base}/role{query}"), undo);
    }
    Ok(page::redirect_after(&done, &next, notice))
}

async fn show_disable(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let account = app.find_service_account(&at.caller, at.place.id, ids.parse("sa")?).await?;
    let principal = at.caller.principal();
    principal.authorize(WorkspacePermission::DisableServiceAccounts, at.place.id).map_err(AppError::from)?;
    let keys = match account.keys.live {
        0 => "It has no keys now.".to_owned(),
        1 => "Its key is refused at once, on every node.".to_owned(),
        live => format!("Its {live} keys are refused at once, on every node."),
    };
    let title = format!("Disable {}?", account.display_name);
    let mut lines = vec![keys, "Programs that use it stop working until you enable it again.".to_owned()];
    if account.role == Role::Admin {
        lines.push("The open invitations that it sent are revoked. Enabling it does not bring them back.".to_owned());
    }
    let page = ConfirmPage {
        lines,
        button: "Disable service account",
        is_danger: true,
        ..ConfirmPage::new(&at, &account, title, "disable")
    };
    Ok(page::render(StatusCode::OK, &page))
}

async fn disable(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let before = app.find_service_account(&at.caller, at.place.id, ids.parse("sa")?).await?;
    let change = api::UpdateServiceAccount { disabled: Some(true), ..api::UpdateServiceAccount::default() };
    let done = update(&app, &at, &ids, change).await?;
    let base = at.path(&format!("service-accounts/{}", done.id));
    let keys = match done.keys.live {
        0 => String::new(),
        1 => " Every node refuses its key.".to_owned(),
        live => format!(" Every node refuses its {live} keys."),
    };
    let mut notice = Notice::default().link(&done.display_name, base.clone()).text(format!(" is disabled.{keys}"));
    // The invitations of an admin do not come back.
    if !before.disabled && before.role == Role::Member {
        notice = notice.undo(format!("{base}/enable"), []);
    }
    Ok(page::redirect_after(&done, &base, notice))
}

async fn enable(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let before = app.find_service_account(&at.caller, at.place.id, ids.parse("sa")?).await?;
    let change = api::UpdateServiceAccount { disabled: Some(false), ..api::UpdateServiceAccount::default() };
    let done = update(&app, &at, &ids, change).await?;
    let base = at.path(&format!("service-accounts/{}", done.id));
    let mut notice = Notice::default().link(&done.display_name, base.clone()).text(" is enabled.");
    if before.disabled {
        notice = notice.undo(format!("{base}/disable"), []);
    }
    Ok(page::redirect_after(&done, &base, notice))
}

async fn delete_page(app: &App, at: &InWorkspace, id: ServiceAccountId) -> Result<RemovePage, PageError> {
    let AccountDeletionPreview { account, joined, projects, successors } =
        app.preview_service_account_deletion(&at.caller, at.place.id, id).await?;
    let back = at.path(&format!("service-accounts/{id}"));
    Ok(RemovePage {
        shell: at.shell(format!("Delete {}?", account.display_name), "service-accounts"),
        errors: FormErrors::default(),
        action: format!("{back}/delete"),
        back,
        button: "Delete service account",
        what_dies: vec![
            match account.keys.live {
                0 => "It has no keys in use.".to_owned(),
                1 => "Its key is revoked at once, on every node.".to_owned(),
                live => format!("Its {live} keys are revoked at once, on every node."),
            },
            match joined {
                0 => "It is in no project.".to_owned(),
                1 => "It is removed from 1 project.".to_owned(),
                joined => format!("It is removed from {joined} projects."),
            },
            format!("The address {} is never used again.", account.email),
            "Its entries in the activity log are kept. This cannot be undone.".to_owned(),
        ],
        led: projects,
        candidates: successors.into_iter().map(Choice::from).collect(),
        confirm: None,
        registered: None,
        refused: None,
        is_safe: false,
        fields: Vec::new(),
    })
}

async fn show_delete(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &delete_page(&app, &at, ids.parse("sa")?).await?))
}

async fn delete(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<RemoveForm>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let account = app.find_service_account(&at.caller, at.place.id, id).await?;
    let done = app.delete_service_account(&at.caller, at.place.id, id, form.successor()).await;
    let keys = match account.keys.live {
        0 => ".".to_owned(),
        1 => ", and its key was revoked.".to_owned(),
        live => format!(", and its {live} keys were revoked."),
    };
    page::answer(
        done,
        |()| at.path("service-accounts"),
        |()| Notice::default().name(&account.display_name).text(format!(" was deleted{keys}")),
        async |errors| Ok(RemovePage { errors, ..delete_page(&app, &at, id).await? }),
    )
    .await
}
