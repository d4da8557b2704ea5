//! The list of all workspaces, and the page of one with its quotas.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{WorkspaceId, list::WorkspaceFilter, workspace::Slug};
use http::StatusCode;
use serde::Deserialize;
use store::workspace::WorkspaceUse;

use crate::{
    App, AppError,
    app::Caller,
    ui::{
        csv::{Csv, MAX_ROWS},
        extract::{Form, Ids, SignedInContext},
        list::{AllPages, Labels, ListHead, ListQuery, ListWords, columns},
        meter::Meter,
        notice::Notice,
        page::{self, FormErrors, PageError, Shell},
    },
};

columns! {
    /// The table of all workspaces.
    WorkspaceColumn {
        Name: "Workspace" by "name",
        ServiceAccounts: "Service accounts",
        Keys: "Keys",
        Members: "Members",
        Activity: "Last activity",
        Created: "Created" by "-created",
    }
}

const WORKSPACE_WORDS: ListWords = ListWords {
    find: "Find a workspace by name or slug",
    sorts: &[("name", "Name"), ("slug", "Slug"), ("-created", "Newest first"), ("created", "Oldest first")],
    sort: "name",
};

impl Labels for WorkspaceFilter {
    fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::WithoutAdmin => "Without an admin",
        }
    }
}

/// A workspace with what it uses.
struct ListedWorkspace {
    workspace: api::Workspace,
    used: WorkspaceUse,
    has_admin: bool,
}

impl ListedWorkspace {
    fn service_accounts(&self) -> Meter {
        Meter { used: self.used.service_accounts, limit: self.workspace.quotas.service_accounts }
    }

    fn most_keys_of_service_account(&self) -> Meter {
        let limit = self.workspace.quotas.keys_per_service_account;
        Meter { used: self.used.most_keys_of_service_account, limit }
    }

    fn most_keys_of_user(&self) -> Meter {
        Meter { used: self.used.most_keys_of_user, limit: self.workspace.quotas.keys_per_user }
    }

    fn initial(&self) -> String {
        self.workspace.name.chars().next().unwrap_or('?').to_uppercase().collect()
    }
}

#[derive(Template)]
#[template(path = "operator_workspaces.html")]
struct WorkspaceList {
    shell: Shell,
    list: ListHead,
    workspaces: Vec<ListedWorkspace>,
    invitation: Option<api::IssuedInvitation>,
}

/// Adds to workspaces what they use.
async fn with_uses(
    app: &App,
    caller: &Caller,
    workspaces: Vec<api::Workspace>,
) -> Result<Vec<ListedWorkspace>, AppError> {
    let ids: Vec<WorkspaceId> = workspaces.iter().map(|workspace| workspace.id).collect();
    let uses = app.list_workspace_uses(caller, &ids).await?;
    let without_admin = app.list_workspaces_without_admin(caller).await?;
    let listed = workspaces.into_iter().map(|workspace| ListedWorkspace {
        used: uses.get(&workspace.id).copied().unwrap_or_default(),
        has_admin: !without_admin.contains(&workspace.id),
        workspace,
    });
    Ok(listed.collect())
}

async fn workspaces(app: &App, signed_in: &SignedInContext, query: ListQuery) -> Result<WorkspaceList, PageError> {
    let search = query.search(WORKSPACE_WORDS.sort);
    let mut found = app.look_through_all_workspaces(&signed_in.caller, &search, &query.place()).await?;
    let items = std::mem::take(&mut found.items);
    let workspaces = with_uses(app, &signed_in.caller, items).await?;
    let mut list =
        ListHead::new::<WorkspaceFilter, _>("/operator/workspaces".to_owned(), query, &WORKSPACE_WORDS, &found);
    list.pager.shown = workspaces.len();
    Ok(WorkspaceList {
        shell: Shell::new(Some(&signed_in.context), "Workspaces", "operator-workspaces"),
        list,
        workspaces,
        invitation: None,
    })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    if query.is_csv() {
        return export(&app, &signed_in, &query).await;
    }
    Ok(page::render(StatusCode::OK, &workspaces(&app, &signed_in, query).await?))
}

async fn export(app: &App, signed_in: &SignedInContext, query: &ListQuery) -> Result<Response, PageError> {
    let (search, mut all) = (query.search(WORKSPACE_WORDS.sort), AllPages::new(MAX_ROWS));
    while let Some(paging) = all.next() {
        let api::Page { items, next } = app.list_all_workspaces(&signed_in.caller, &search, &paging).await?;
        all.add(api::Page { items: with_uses(app, &signed_in.caller, items).await?, next });
    }
    let mut csv = Csv::new(&[
        "id",
        "slug",
        "name",
        "has_admin",
        "members",
        "service_accounts",
        "service_account_quota",
        "service_account_keys",
        "last_activity_at",
        "created_at",
    ]);
    for ListedWorkspace { workspace, used, has_admin } in all.into_rows() {
        csv.row([
            workspace.id.to_string(),
            workspace.slug,
            workspace.name,
            has_admin.to_string(),
            used.members.to_string(),
            used.service_accounts.to_string(),
            workspace.quotas.service_accounts.to_string(),
            used.service_account_keys.to_string(),
            used.last_activity_at.map_or(String::new(), |at| at.to_string()),
            workspace.created_at.to_string(),
        ]);
    }
    Ok(csv.into_file("workspaces.csv"))
}

#[derive(Template)]
#[template(path = "operator_workspace.html")]
struct WorkspacePage {
    shell: Shell,
    errors: FormErrors,
    listed: ListedWorkspace,
}

async fn workspace_page(app: &App, signed_in: &SignedInContext, id: WorkspaceId) -> Result<WorkspacePage, PageError> {
    let workspace = app.find_any_workspace(&signed_in.caller, id).await?;
    let shell = Shell::new(Some(&signed_in.context), workspace.name.clone(), "operator-workspaces");
    let mut listed = with_uses(app, &signed_in.caller, vec![workspace]).await?;
    let listed = listed.pop().ok_or(AppError::not_found())?;
    Ok(WorkspacePage { shell, errors: FormErrors::default(), listed })
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &workspace_page(&app, &signed_in, ids.parse("ws")?).await?))
}

/// The start of a slug that is made from a name which is too short, or starts with a digit. The page has it for its
/// script.
const SLUG_PREFIX: &str = "workspace";

#[derive(Template)]
#[template(path = "operator_workspace_new.html")]
struct NewWorkspace {
    shell: Shell,
    errors: FormErrors,
    typed: WorkspaceForm,
}

impl NewWorkspace {
    fn new(signed_in: &SignedInContext, errors: FormErrors, typed: WorkspaceForm) -> Self {
        let shell = Shell::new(Some(&signed_in.context), "Create workspace", "operator-workspaces");
        Self { shell, errors, typed }
    }
}

pub(super) async fn show_new(signed_in: SignedInContext) -> Result<Response, PageError> {
    signed_in.caller.principal().authorize_operator().map_err(AppError::from)?;
    let page = NewWorkspace::new(&signed_in, FormErrors::default(), WorkspaceForm::default());
    Ok(page::render(StatusCode::OK, &page))
}

#[derive(Default, Deserialize)]
pub(super) struct WorkspaceForm {
    name: String,
    slug: String,
    admin_email: String,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Form(form): Form<WorkspaceForm>,
) -> Result<Response, PageError> {
    let admin_email = Some(form.admin_email.clone()).filter(|email| !email.trim().is_empty());
    // A name without letters has no proposal, and the error says what a slug is.
    let slug = match form.slug.trim() {
        "" => Slug::propose(&form.name, SLUG_PREFIX).map_or_else(String::new, |slug| slug.to_string()),
        typed => typed.to_owned(),
    };
    let create = api::CreateWorkspace { name: form.name.clone(), slug, admin_email };
    match app.create_workspace(&signed_in.caller, create).await {
        Ok(done) if done.invitation.is_none() => {
            let path = format!("/operator/workspaces/{}", done.workspace.id);
            let notice = Notice::say("The workspace ").link(&done.workspace.name, path).text(" was created.");
            // Nobody was invited: the caller is its first admin, and continues in the workspace, which shows the first steps.
            let next = format!("/w/{}", done.workspace.slug);
            Ok(page::redirect_after(&done, &next, notice))
        }
        Ok(done) => {
            let invitation = done.into_inner().invitation;
            let page = WorkspaceList { invitation, ..workspaces(&app, &signed_in, ListQuery::default()).await? };
            Ok(page::render(StatusCode::OK, &page))
        }
        Err(error) => {
            let errors = FormErrors::of(error)?;
            Ok(page::again(errors, |errors| NewWorkspace::new(&signed_in, errors, form)))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct FirstAdminForm {
    admin_email: String,
}

pub(super) async fn name_first_admin(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<FirstAdminForm>,
) -> Result<Response, PageError> {
    let id: WorkspaceId = ids.parse("ws")?;
    match app.name_first_admin(&signed_in.caller, id, &form.admin_email).await {
        Ok(done) if done.is_none() => {
            let name = app.find_any_workspace(&signed_in.caller, id).await?.name;
            let notice =
                Notice::say("").name(form.admin_email.trim()).text(" is an admin of ").name(&name).text(" now.");
            Ok(page::redirect_after(&done, &format!("/operator/workspaces/{id}"), notice))
        }
        Ok(done) => {
            let invitation = done.into_inner();
            let page = WorkspaceList { invitation, ..workspaces(&app, &signed_in, ListQuery::default()).await? };
            Ok(page::render(StatusCode::OK, &page))
        }
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let page = workspace_page(&app, &signed_in, id).await?;
            Ok(page::again(errors, |errors| WorkspacePage { errors, ..page }))
        }
    }
}

/// A field that is missing from the form is `None` and changes nothing.
#[derive(Deserialize)]
pub(super) struct QuotaForm {
    service_accounts: Option<u32>,
    keys_per_service_account: Option<u32>,
    keys_per_user: Option<u32>,
}

pub(super) async fn set_quotas(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<QuotaForm>,
) -> Result<Response, PageError> {
    let update = api::UpdateQuotas {
        service_accounts: form.service_accounts,
        keys_per_service_account: form.keys_per_service_account,
        keys_per_user: form.keys_per_user,
    };
    let id: WorkspaceId = ids.parse("ws")?;
    let done = app.update_quotas(&signed_in.caller, id, update).await;
    let name = match &done {
        Ok(_) => app.find_any_workspace(&signed_in.caller, id).await?.name,
        Err(_) => String::new(),
    };
    page::answer(
        done,
        |_| format!("/operator/workspaces/{id}"),
        |_| Notice::say("The quotas of ").name(&name).text(" are set."),
        async |errors| Ok(WorkspacePage { errors, ..workspace_page(&app, &signed_in, id).await? }),
    )
    .await
}
