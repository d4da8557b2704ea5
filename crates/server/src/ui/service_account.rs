//! Workspace Settings > Service Accounts: the list, the creation, the page of a service account, and its changes.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{ServiceAccountId, principal::WorkspacePermission, role::Role};
use http::StatusCode;
use serde::Deserialize;

use super::{
    api_key::{KeyColumn, KeyTable, export_keys, search_keys},
    extract::{Form, Ids, InWorkspace},
    list::{ListQuery, PageQuery, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell, support_contact},
    remove::{Choice, RemoveForm, RemovePage},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{AccountDeletionPreview, Confirmed, KeyOwner, Paging, ServiceAccountList},
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/w/{slug}/service-accounts", list)
        .post("/w/{slug}/service-accounts", create)
        .get("/w/{slug}/service-accounts/new", show_new)
        .get("/w/{slug}/service-accounts/{sa}", show)
        .post("/w/{slug}/service-accounts/{sa}/role", set_role)
        .get("/w/{slug}/service-accounts/{sa}/edit", show_edit)
        .post("/w/{slug}/service-accounts/{sa}/edit", edit)
        .post("/w/{slug}/service-accounts/{sa}/disable", disable)
        .post("/w/{slug}/service-accounts/{sa}/enable", enable)
        .get("/w/{slug}/service-accounts/{sa}/delete", show_delete)
        .post("/w/{slug}/service-accounts/{sa}/delete", delete)
}

columns! {
    /// The table of service accounts.
    AccountColumn {
        Name: "Name",
        Keys: "Keys",
        Status: "Status",
        Created: "Created",
        Role: "Role",
    }
}

#[derive(Template)]
#[template(path = "service_accounts.html")]
struct List {
    shell: Shell,
    base: String,
    accounts: Vec<api::ServiceAccount>,
    present: u64,
    limit: u64,
    contact: String,
    /// The query of this page.
    here: String,
    next: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Query(query): Query<PageQuery>,
) -> Result<Response, PageError> {
    let here = query.here();
    let paging = Paging { after: query.after, limit: None };
    let ServiceAccountList { accounts, present, limit } =
        app.list_service_accounts(&at.caller, at.place.id, &paging).await?;
    let shell = at.shell("Service Accounts", "service-accounts");
    let (contact, base) = (support_contact(&app), at.path("service-accounts"));
    let page = List {
        shell,
        base,
        accounts: accounts.items,
        present,
        limit: limit.into(),
        contact,
        here,
        next: accounts.next,
    };
    Ok(page::render(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "service_account_form.html")]
struct EditPage {
    shell: Shell,
    errors: FormErrors,
    action: String,
    back: String,
    address: String,
    domain: String,
    is_new: bool,
    typed: AccountForm,
}

/// The form of a service account. A field that is missing, because the page is from an earlier release, is `None` and
/// changes nothing. An empty field is `Some`.
#[derive(Default, Deserialize)]
struct AccountForm {
    name: Option<String>,
    description: Option<String>,
}

impl AccountForm {
    fn new(account: &api::ServiceAccount) -> Self {
        Self { name: Some(account.name.clone()), description: Some(account.description.clone()) }
    }

    /// Returns the content of the fields: the submitted text, or the value in `saved`.
    fn or(self, saved: Self) -> Self {
        Self { name: self.name.or(saved.name), description: self.description.or(saved.description) }
    }
}

fn edit_page(app: &App, at: &InWorkspace, title: &str, account: Option<&api::ServiceAccount>) -> EditPage {
    let back = match account {
        Some(account) => at.path(&format!("service-accounts/{}", account.id)),
        None => at.path("service-accounts"),
    };
    EditPage {
        shell: at.shell(title, "service-accounts"),
        errors: FormErrors::default(),
        action: if account.is_some() { format!("{back}/edit") } else { back.clone() },
        back,
        address: account.map_or(String::new(), |account| account.email.clone()),
        domain: format!("{}.{}", at.place.slug, app.settings().service_account_domain),
        is_new: account.is_none(),
        typed: account.map_or_else(AccountForm::default, AccountForm::new),
    }
}

async fn show_new(State(app): State<Arc<App>>, at: InWorkspace) -> Result<Response, PageError> {
    // A caller who may not create a service account gets the error before filling in the form.
    let principal = at.caller.principal();
    principal.authorize(WorkspacePermission::ManageServiceAccounts, at.place.id).map_err(AppError::from)?;
    Ok(page::render(StatusCode::OK, &edit_page(&app, &at, "Create service account", None)))
}

async fn create(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    Form(form): Form<AccountForm>,
) -> Result<Response, PageError> {
    let create = api::CreateServiceAccount {
        name: Some(form.name.clone().unwrap_or_default()),
        display_name: None,
        description: form.description.clone().unwrap_or_default(),
        role: None,
    };
    let done = app.create_service_account(&at.caller, at.place.id, &create).await;
    page::answer(
        done,
        |account| at.path(&format!("service-accounts/{}", account.id)),
        |_| Notice::say("Created."),
        async |errors| {
            let page = edit_page(&app, &at, "Create service account", None);
            Ok(EditPage { errors, typed: form.or(AccountForm::default()), ..page })
        },
    )
    .await
}

#[derive(Template)]
#[template(path = "service_account.html")]
struct AccountPage {
    shell: Shell,
    base: String,
    list: String,
    account: api::ServiceAccount,
    keys: KeyTable,
}

async fn show(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let base = at.path(&format!("service-accounts/{id}"));
    let owner = KeyOwner::ServiceAccount(at.place.id, id);
    if query.is_csv() {
        return export_keys(&app, &at.caller, owner, &query).await;
    }
    let found = app.search_api_keys(&at.caller, owner, &search_keys(&query, app.now())).await?;
    let account = found.owner.service_account.clone().ok_or(AppError::not_found())?;
    let shell = at.shell(account.name.clone(), "service-accounts");
    let keys = KeyTable::new(&app, found, &shell, base.clone(), format!("{base}/keys"), query);
    let list = at.path("service-accounts");
    Ok(page::render(StatusCode::OK, &AccountPage { shell, base, list, account, keys }))
}

#[derive(Deserialize)]
struct RoleForm {
    role: Role,
}

async fn update(
    app: &Arc<App>,
    at: &InWorkspace,
    ids: &Ids,
    update: api::UpdateServiceAccount,
) -> Result<Confirmed<ServiceAccountId>, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    Ok(app.update_service_account(&at.caller, at.place.id, id, &update).await?.map(|_| id))
}

async fn set_role(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Query(query): Query<PageQuery>,
    Form(form): Form<RoleForm>,
) -> Result<Response, PageError> {
    let change = api::UpdateServiceAccount { role: Some(form.role), ..api::UpdateServiceAccount::default() };
    let done = update(&app, &at, &ids, change).await?;
    Ok(page::redirect_after(
        &done,
        &at.path(&format!("service-accounts{}", query.here())),
        Notice::say("The role is applied."),
    ))
}

async fn disable(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let change = api::UpdateServiceAccount { disabled: Some(true), ..api::UpdateServiceAccount::default() };
    let id = update(&app, &at, &ids, change).await?;
    Ok(page::redirect_after(
        &id,
        &at.path(&format!("service-accounts/{}", *id)),
        Notice::say("Disabled. Requests that it signs are refused from now on."),
    ))
}

async fn enable(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let change = api::UpdateServiceAccount { disabled: Some(false), ..api::UpdateServiceAccount::default() };
    let id = update(&app, &at, &ids, change).await?;
    Ok(page::redirect_after(&id, &at.path(&format!("service-accounts/{}", *id)), Notice::say("Enabled.")))
}

async fn show_edit(State(app): State<Arc<App>>, at: InWorkspace, ids: Ids) -> Result<Response, PageError> {
    let account = app.find_service_account(&at.caller, at.place.id, ids.parse("sa")?).await?;
    Ok(page::render(StatusCode::OK, &edit_page(&app, &at, "Edit service account", Some(&account))))
}

async fn edit(
    State(app): State<Arc<App>>,
    at: InWorkspace,
    ids: Ids,
    Form(form): Form<AccountForm>,
) -> Result<Response, PageError> {
    let id: ServiceAccountId = ids.parse("sa")?;
    let account = app.find_service_account(&at.caller, at.place.id, id).await?;
    let change = api::UpdateServiceAccount {
        name: form.name.clone().filter(|name| *name != account.name),
        description: form.description.clone(),
        ..api::UpdateServiceAccount::default()
    };
    let done = app.update_service_account(&at.caller, at.place.id, id, &change).await;
    page::answer(
        done,
        |_| at.path(&format!("service-accounts/{id}")),
        |_| Notice::say("Saved."),
        async |errors| {
            let page = edit_page(&app, &at, "Edit service account", Some(&account));
            Ok(EditPage { errors, typed: form.or(page.typed), ..page })
        },
    )
    .await
}

async fn delete_page(app: &App, at: &InWorkspace, id: ServiceAccountId) -> Result<RemovePage, PageError> {
    let AccountDeletionPreview { account, projects, successors } =
        app.preview_service_account_deletion(&at.caller, at.place.id, id).await?;
    let back = at.path(&format!("service-accounts/{id}"));
    Ok(RemovePage {
        shell: at.shell(format!("Delete {}", account.name), "service-accounts"),
        errors: FormErrors::default(),
        action: format!("{back}/delete"),
        back,
        button: "Delete service account",
        what_dies: vec![
            match account.keys.live {
                0 => "It has no live API key.".to_owned(),
                1 => "Its API key is permanently revoked.".to_owned(),
                live => format!("Its {live} live API keys are permanently revoked."),
            },
            format!("It is removed from all projects. The address {} is never reused.", account.email),
            "Its entries in the activity log are kept.".to_owned(),
        ],
        led: projects,
        candidates: successors.into_iter().map(Choice::from).collect(),
        confirm: None,
        registered: None,
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
    let name = app.find_service_account(&at.caller, at.place.id, id).await?.name;
    let done = app.delete_service_account(&at.caller, at.place.id, id, form.successor()).await;
    page::answer(
        done,
        |()| at.path("service-accounts"),
        |()| Notice::say("Service account ").name(&name).text(" was deleted. Its keys are refused."),
        async |errors| Ok(RemovePage { errors, ..delete_page(&app, &at, id).await? }),
    )
    .await
}
