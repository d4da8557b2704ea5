//! The pages for operators: workspaces with their quotas, users, and the state of the system.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{UserId, WorkspaceId, list::Search};
use http::StatusCode;
use serde::Deserialize;

use super::{
    extract::{AllFields, Form, Ids, SignedInContext},
    list::{PageQuery, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    remove::{Registered, RemovePage},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{KeysToConfirm, Paging, SuspendedKey},
    settings::SettingWarning,
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/operator", enter)
        .get("/operator/workspaces", list_workspaces)
        .post("/operator/workspaces", create_workspace)
        .post("/operator/workspaces/{ws}/quotas", set_quotas)
        .post("/operator/workspaces/{ws}/first-admin", name_first_admin)
        .get("/operator/users", list_users)
        .post("/operator/users", create_user)
        .post("/operator/users/{usr}", update_user)
        .get("/operator/users/{usr}/disable", show_disable)
        .post("/operator/users/{usr}/disable", disable)
        .get("/operator/users/{usr}/password", show_password)
        .post("/operator/users/{usr}/password", set_password)
        .get("/operator/system", system)
        .get("/operator/suspended-keys", list_suspended_keys)
        .post("/operator/suspended-keys", confirm_keys)
}

columns! {
    /// The table of all workspaces.
    WorkspaceColumn {
        Name: "Name",
        Quotas: "Quotas",
    }
}

#[derive(Template)]
#[template(path = "operator_workspaces.html")]
struct WorkspaceList {
    shell: Shell,
    errors: FormErrors,
    workspaces: Vec<api::Workspace>,
    without_admin: Vec<WorkspaceId>,
    next: Option<String>,
    invitation: Option<api::IssuedInvitation>,
    typed: WorkspaceForm,
}

async fn workspaces(app: &App, signed_in: &SignedInContext, after: Option<String>) -> Result<WorkspaceList, PageError> {
    let page = app.list_all_workspaces(&signed_in.caller, &Search::default(), &Paging { after, limit: None }).await?;
    Ok(WorkspaceList {
        shell: Shell::new(Some(&signed_in.context), "Workspaces", "operator-workspaces"),
        errors: FormErrors::default(),
        workspaces: page.items,
        without_admin: app.list_workspaces_without_admin(&signed_in.caller).await?,
        next: page.next,
        invitation: None,
        typed: WorkspaceForm::default(),
    })
}

async fn list_workspaces(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<PageQuery>,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &workspaces(&app, &signed_in, query.after).await?))
}

#[derive(Default, Deserialize)]
struct WorkspaceForm {
    name: String,
    slug: String,
    admin_email: String,
}

async fn create_workspace(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Form(form): Form<WorkspaceForm>,
) -> Result<Response, PageError> {
    let admin_email = Some(form.admin_email.clone()).filter(|email| !email.trim().is_empty());
    let create = api::CreateWorkspace { name: form.name.clone(), slug: form.slug.clone(), admin_email };
    match app.create_workspace(&signed_in.caller, create).await {
        Ok(done) if done.invitation.is_none() => {
            Ok(page::redirect_after(&done, "/operator/workspaces", Notice::say("Created.")))
        }
        Ok(done) => {
            let invitation = done.into_inner().invitation;
            let page = WorkspaceList { invitation, ..workspaces(&app, &signed_in, None).await? };
            Ok(page::render(StatusCode::OK, &page))
        }
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let page = workspaces(&app, &signed_in, None).await?;
            Ok(page::again(errors, |errors| WorkspaceList { errors, typed: form, ..page }))
        }
    }
}

/// Redirects the short URL of the operator's pages.
async fn enter(_: SignedInContext) -> Response {
    page::go_to("/operator/workspaces")
}

#[derive(Deserialize)]
struct FirstAdminForm {
    admin_email: String,
}

async fn name_first_admin(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<FirstAdminForm>,
) -> Result<Response, PageError> {
    match app.name_first_admin(&signed_in.caller, ids.parse("ws")?, &form.admin_email).await {
        Ok(done) if done.is_none() => {
            Ok(page::redirect_after(&done, "/operator/workspaces", Notice::say("The role is applied.")))
        }
        Ok(done) => {
            let invitation = done.into_inner();
            let page = WorkspaceList { invitation, ..workspaces(&app, &signed_in, None).await? };
            Ok(page::render(StatusCode::OK, &page))
        }
        Err(error) => {
            let mut errors = FormErrors::of(error)?;
            // The page has several forms, so the error is shown at the top.
            errors.general = errors.fields.pop().map(|(_, detail)| detail).or(errors.general);
            let page = workspaces(&app, &signed_in, None).await?;
            Ok(page::again(errors, |errors| WorkspaceList { errors, ..page }))
        }
    }
}

/// A field that is missing from the form is `None` and changes nothing.
#[derive(Deserialize)]
struct QuotaForm {
    service_accounts: Option<u32>,
    keys_per_service_account: Option<u32>,
    keys_per_user: Option<u32>,
}

async fn set_quotas(
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
    let done = app.update_quotas(&signed_in.caller, ids.parse("ws")?, update).await;
    page::answer(
        done,
        |_| "/operator/workspaces".to_owned(),
        |_| Notice::say("The quotas are set."),
        async |errors| Ok(WorkspaceList { errors, ..workspaces(&app, &signed_in, None).await? }),
    )
    .await
}

columns! {
    /// The table of users.
    UserColumn {
        Name: "Name",
        Status: "Status",
        Created: "Created",
        Actions: hidden "Actions",
    }
}

#[derive(Template)]
#[template(path = "operator_users.html")]
struct UserList {
    shell: Shell,
    errors: FormErrors,
    users: Vec<api::User>,
    next: Option<String>,
    typed: UserForm,
}

async fn users(app: &App, signed_in: &SignedInContext, after: Option<String>) -> Result<UserList, PageError> {
    let page = app.list_users(&signed_in.caller, &Search::default(), &Paging { after, limit: None }).await?;
    let shell = Shell::new(Some(&signed_in.context), "Users", "operator-users");
    let typed = UserForm::default();
    Ok(UserList { shell, errors: FormErrors::default(), users: page.items, next: page.next, typed })
}

async fn list_users(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<PageQuery>,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &users(&app, &signed_in, query.after).await?))
}

#[derive(Default, Deserialize)]
struct UserForm {
    email: String,
    name: String,
    password: String,
    #[serde(default)]
    operator: String,
}

async fn create_user(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Form(mut form): Form<UserForm>,
) -> Result<Response, PageError> {
    // A password is not sent back.
    let password = std::mem::take(&mut form.password);
    let create = api::CreateUser {
        email: form.email.clone(),
        name: form.name.clone(),
        password: Some(password),
        operator: form.operator == "1",
    };
    let done = app.create_user(&signed_in.caller, create).await;
    page::answer(
        done,
        |_| "/operator/users".to_owned(),
        |_| Notice::say("Created."),
        async |errors| Ok(UserList { errors, typed: form, ..users(&app, &signed_in, None).await? }),
    )
    .await
}

#[derive(Deserialize)]
struct UserUpdateForm {
    disabled: Option<bool>,
    operator: Option<bool>,
}

async fn update_user(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<UserUpdateForm>,
) -> Result<Response, PageError> {
    let update = api::UpdateUser { operator: form.operator, disabled: form.disabled, ..api::UpdateUser::default() };
    let done = app.update_user(&signed_in.caller, ids.parse("usr")?, update).await;
    page::answer(
        done,
        |_| "/operator/users".to_owned(),
        |_| Notice::say("Saved."),
        async |errors| Ok(UserList { errors, ..users(&app, &signed_in, None).await? }),
    )
    .await
}

async fn disable_page(app: &App, signed_in: &SignedInContext, id: UserId) -> Result<RemovePage, PageError> {
    let removal = app.preview_disabling(&signed_in.caller, id).await?;
    let number = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let mut what_dies = vec!["Their sessions end, and all their keys are refused, until you enable them.".to_owned()];
    if removal.invitations > 0 {
        what_dies.push(format!(
            "{}, which they sent.",
            match removal.invitations {
                1 => "This revokes 1 open invitation".to_owned(),
                count => format!("This revokes {count} open invitations"),
            }
        ));
    }
    let left = removal.workspaces.iter().filter(|workspace| workspace.is_last_admin);
    what_dies.extend(left.map(|workspace| format!("{} will have no enabled admin.", workspace.name)));
    let registered = (removal.keys > 0).then(|| Registered {
        label: format!(
            "Also revoke {} that they registered for service accounts. Otherwise they keep working.",
            number(removal.keys, "key")
        ),
        keys: Vec::new(),
    });
    Ok(RemovePage {
        shell: Shell::new(Some(&signed_in.context), format!("Disable {}", removal.email), "operator-users"),
        errors: FormErrors::default(),
        action: format!("/operator/users/{id}/disable"),
        back: "/operator/users".to_owned(),
        button: "Disable",
        what_dies,
        led: Vec::new(),
        candidates: Vec::new(),
        confirm: None,
        registered,
        refused: None,
        is_safe: false,
        fields: Vec::new(),
    })
}

/// Shows the objects that are revoked when a user is disabled, before it is done.
async fn show_disable(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &disable_page(&app, &signed_in, ids.parse("usr")?).await?))
}

#[derive(Deserialize)]
struct DisableForm {
    #[serde(default)]
    revoke_keys: String,
}

async fn disable(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<DisableForm>,
) -> Result<Response, PageError> {
    let id: UserId = ids.parse("usr")?;
    let update =
        api::UpdateUser { disabled: Some(true), revoke_keys: form.revoke_keys == "1", ..api::UpdateUser::default() };
    let done = app.update_user(&signed_in.caller, id, update).await;
    page::answer(
        done,
        |_| "/operator/users".to_owned(),
        |_| Notice::say("Saved."),
        async |errors| Ok(RemovePage { errors, ..disable_page(&app, &signed_in, id).await? }),
    )
    .await
}

#[derive(Template)]
#[template(path = "operator_password.html")]
struct PasswordPage {
    shell: Shell,
    errors: FormErrors,
    action: String,
    email: String,
}

async fn password_page(app: &App, signed_in: &SignedInContext, id: UserId) -> Result<PasswordPage, PageError> {
    signed_in.caller.principal().authorize_operator().map_err(AppError::from)?;
    let emails = app.find_emails(&signed_in.caller, &[id.to_string().as_str()]).await?;
    Ok(PasswordPage {
        shell: Shell::new(Some(&signed_in.context), "Set a password", "operator-users"),
        errors: FormErrors::default(),
        action: format!("/operator/users/{id}/password"),
        email: emails.into_values().next().ok_or(AppError::not_found())?,
    })
}

async fn show_password(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &password_page(&app, &signed_in, ids.parse("usr")?).await?))
}

#[derive(Deserialize)]
struct PasswordForm {
    password: String,
}

async fn set_password(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
    Form(form): Form<PasswordForm>,
) -> Result<Response, PageError> {
    let id: UserId = ids.parse("usr")?;
    let done = app.set_password(&signed_in.caller, id, form.password).await;
    page::answer(
        done,
        |()| "/operator/users".to_owned(),
        |()| {
            Notice::say("The password is set, and all sessions of the user have ended. Give the password to the user.")
        },
        async |errors| Ok(PasswordPage { errors, ..password_page(&app, &signed_in, id).await? }),
    )
    .await
}

columns! {
    /// The table of nodes.
    NodeColumn {
        Node: "Node",
        Status: "Status",
        Version: "Version",
        Lease: "Lease",
        Since: "Since",
    }
}

#[derive(Template)]
#[template(path = "operator_system.html")]
struct System {
    shell: Shell,
    version: &'static str,
    public_url: String,
    is_ready: bool,
    lease_seconds: u64,
    nodes: Vec<api::Node>,
    checkpoint: String,
    /// Whether there are suspended keys after a restore.
    has_suspended_keys: bool,
    /// The number of workspaces without an enabled admin.
    without_admin: usize,
    warnings: Vec<SettingWarning>,
    settings_differ: bool,
}

async fn system(State(app): State<Arc<App>>, signed_in: SignedInContext) -> Result<Response, PageError> {
    let checkpoint = app.sign_checkpoint(&signed_in.caller).await?;
    let suspended = app.list_suspended_keys(&signed_in.caller, &Paging { after: None, limit: Some(1) }).await?;
    let nodes = app.list_nodes(&signed_in.caller).await?.items;
    let page = System {
        shell: Shell::new(Some(&signed_in.context), "System", "operator-system"),
        version: env!("CARGO_PKG_VERSION"),
        public_url: app.settings().public_url.clone(),
        is_ready: app.check_ready().is_ok(),
        lease_seconds: app.settings().lease.as_secs(),
        settings_differ: api::settings_differ(&nodes),
        nodes,
        checkpoint,
        has_suspended_keys: !suspended.items.is_empty(),
        without_admin: app.list_workspaces_without_admin(&signed_in.caller).await?.len(),
        warnings: app.settings().warnings(),
    };
    Ok(page::render(StatusCode::OK, &page))
}

columns! {
    /// The table of suspended keys.
    SuspendedKeyColumn {
        Key: "Key",
        Owner: "Owner",
        Fingerprint: "Fingerprint",
        LastUsed: "Last used",
    }
}

#[derive(Template)]
#[template(path = "operator_suspended_keys.html")]
struct SuspendedKeys {
    shell: Shell,
    errors: FormErrors,
    keys: Vec<SuspendedKey>,
    /// The query of this page.
    here: String,
    next: Option<String>,
}

async fn suspended_keys(
    app: &App,
    signed_in: &SignedInContext,
    after: Option<String>,
) -> Result<SuspendedKeys, PageError> {
    let here = page::query(&[("after", after.as_deref().unwrap_or_default())]);
    let page = app.list_suspended_keys(&signed_in.caller, &Paging { after, limit: None }).await?;
    let shell = Shell::new(Some(&signed_in.context), "Suspended keys", "operator-system");
    Ok(SuspendedKeys { shell, errors: FormErrors::default(), keys: page.items, here, next: page.next })
}

async fn list_suspended_keys(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<PageQuery>,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &suspended_keys(&app, &signed_in, query.after).await?))
}

/// Confirms the selected keys, or all. A form may contain many keys, so it is parsed as pairs.
async fn confirm_keys(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<PageQuery>,
    AllFields(fields): AllFields,
) -> Result<Response, PageError> {
    let keys = if fields.iter().any(|(name, _)| name == "all") {
        KeysToConfirm::All
    } else {
        let ticked = fields.iter().filter(|(name, _)| name == "key");
        let keys =
            ticked.map(|(_, id)| id.parse().map_err(|_| AppError::not_found())).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            let page = suspended_keys(&app, &signed_in, query.after).await?;
            let errors = FormErrors::at(
                "keys",
                "No key is selected, and nothing was changed. Select the keys to \
                                                 confirm.",
            );
            return Ok(page::again(errors, |errors| SuspendedKeys { errors, ..page }));
        }
        KeysToConfirm::These(keys)
    };
    let done = app.confirm_keys(&signed_in.caller, &keys).await?;
    Ok(page::redirect_after(
        &done,
        "/operator/suspended-keys",
        Notice::say("The keys work again. Requests that were signed before now are still refused."),
    ))
}
