//! The pages for operators: workspaces with their quotas, users, and the state of the system.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse as _, Response},
};
use domain::{
    Timestamp, UserId, WorkspaceId,
    list::{UserFilter, WorkspaceFilter},
    user::show_email,
    workspace::Slug,
};
use http::{StatusCode, header};
use serde::Deserialize;
use store::workspace::WorkspaceUse;

use super::{
    extract::{AllFields, Form, Ids, SignedInContext},
    list::{Labels, ListHead, ListQuery, ListWords, PageQuery, columns},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    remove::{Registered, RemovePage},
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{Caller, KeysToConfirm, Paging, SuspendedKey},
    settings::SettingWarning,
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/operator", enter)
        .get("/operator/workspaces", list_workspaces)
        .post("/operator/workspaces", create_workspace)
        .get("/operator/workspaces/{ws}", show_workspace)
        .post("/operator/workspaces/{ws}/quotas", set_quotas)
        .post("/operator/workspaces/{ws}/first-admin", name_first_admin)
        .get("/operator/users", list_users)
        .post("/operator/users", create_user)
        .post("/operator/users/{usr}", update_user)
        .get("/operator/users/{usr}/operator", show_operator)
        .get("/operator/users/{usr}/disable", show_disable)
        .post("/operator/users/{usr}/disable", disable)
        .get("/operator/users/{usr}/password", show_password)
        .post("/operator/users/{usr}/password", set_password)
        .get("/operator/system", system)
        .get("/operator/system/checkpoint.txt", download_checkpoint)
        .get("/operator/suspended-keys", list_suspended_keys)
        .post("/operator/suspended-keys", confirm_keys)
}

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

/// What is used of a limit.
struct Gauge {
    used: u64,
    limit: u32,
}

impl Gauge {
    /// Returns the filled part of a meter that is 64 units wide.
    fn fill(&self) -> u64 {
        let limit = u64::from(self.limit).max(1);
        if self.limit == 0 && self.used == 0 { 0 } else { (self.used.min(limit) * 64) / limit }
    }

    /// Returns whether the limit is reached soon, or is reached.
    fn is_high(&self) -> bool {
        self.used > 0 && self.used * 10 >= u64::from(self.limit) * 9
    }
}

/// A workspace with what it uses.
struct ListedWorkspace {
    workspace: api::Workspace,
    used: WorkspaceUse,
    has_admin: bool,
}

impl ListedWorkspace {
    fn service_accounts(&self) -> Gauge {
        Gauge { used: self.used.service_accounts, limit: self.workspace.quotas.service_accounts }
    }

    fn most_keys_of_service_account(&self) -> Gauge {
        let limit = self.workspace.quotas.keys_per_service_account;
        Gauge { used: self.used.most_keys_of_service_account, limit }
    }

    fn most_keys_of_user(&self) -> Gauge {
        Gauge { used: self.used.most_keys_of_user, limit: self.workspace.quotas.keys_per_user }
    }

    fn initial(&self) -> String {
        self.workspace.name.chars().next().unwrap_or('?').to_uppercase().collect()
    }
}

#[derive(Template)]
#[template(path = "operator_workspaces.html")]
struct WorkspaceList {
    shell: Shell,
    errors: FormErrors,
    list: ListHead,
    workspaces: Vec<ListedWorkspace>,
    invitation: Option<api::IssuedInvitation>,
    typed: WorkspaceForm,
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
    list.has_file = false;
    Ok(WorkspaceList {
        shell: Shell::new(Some(&signed_in.context), "Workspaces", "operator-workspaces"),
        errors: FormErrors::default(),
        list,
        workspaces,
        invitation: None,
        typed: WorkspaceForm::default(),
    })
}

async fn list_workspaces(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &workspaces(&app, &signed_in, query).await?))
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

async fn show_workspace(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &workspace_page(&app, &signed_in, ids.parse("ws")?).await?))
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
    // A name without letters has no proposal, and the error says what a slug is.
    let slug = match form.slug.trim() {
        "" => Slug::propose(&form.name, "workspace").map_or_else(String::new, |slug| slug.to_string()),
        typed => typed.to_owned(),
    };
    let create = api::CreateWorkspace { name: form.name.clone(), slug, admin_email };
    match app.create_workspace(&signed_in.caller, create).await {
        Ok(done) if done.invitation.is_none() => {
            let path = format!("/operator/workspaces/{}", done.workspace.id);
            let notice = Notice::say("The workspace ").link(&done.workspace.name, path).text(" was created.");
            Ok(page::redirect_after(&done, "/operator/workspaces", notice))
        }
        Ok(done) => {
            let invitation = done.into_inner().invitation;
            let page = WorkspaceList { invitation, ..workspaces(&app, &signed_in, ListQuery::default()).await? };
            Ok(page::render(StatusCode::OK, &page))
        }
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let page = workspaces(&app, &signed_in, ListQuery::default()).await?;
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

columns! {
    /// The table of users.
    UserColumn {
        Name: "Name" by "name",
        Status: "Status",
        Created: "Created" by "-created",
        Actions: hidden "Actions",
    }
}

const USER_WORDS: ListWords = ListWords {
    find: "Find a user by name or email",
    sorts: &[("name", "Name"), ("email", "Email"), ("-created", "Newest first"), ("created", "Oldest first")],
    sort: "-created",
};

impl Labels for UserFilter {
    fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Active => "Active",
            Self::Operator => "Operators",
            Self::Disabled => "Disabled",
            Self::Suspended => "Suspended",
            Self::Unverified => "Not verified",
        }
    }
}

#[derive(Template)]
#[template(path = "operator_users.html")]
struct UserList {
    shell: Shell,
    errors: FormErrors,
    list: ListHead,
    users: Vec<api::User>,
    typed: UserForm,
}

async fn users(app: &App, signed_in: &SignedInContext, query: ListQuery) -> Result<UserList, PageError> {
    let search = query.search(USER_WORDS.sort);
    let found = app.look_through_users(&signed_in.caller, &search, &query.place()).await?;
    let mut list = ListHead::new::<UserFilter, _>("/operator/users".to_owned(), query, &USER_WORDS, &found);
    list.has_file = false;
    let shell = Shell::new(Some(&signed_in.context), "Users", "operator-users");
    Ok(UserList { shell, errors: FormErrors::default(), list, users: found.items, typed: UserForm::default() })
}

async fn list_users(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Query(query): Query<ListQuery>,
) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &users(&app, &signed_in, query).await?))
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
        |user| Notice::say("The user ").name(&user.name).text(" was created."),
        async |errors| Ok(UserList { errors, typed: form, ..users(&app, &signed_in, ListQuery::default()).await? }),
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
        |user| {
            Notice::say("").name(&user.name).text(match (form.operator, form.disabled) {
                (Some(true), _) => " is an operator now.",
                (Some(false), _) => " is no longer an operator.",
                (None, Some(true)) => " is disabled. Their sessions have ended, and their keys are refused.",
                (None, Some(false) | None) => " is enabled. Their keys work again.",
            })
        },
        async |errors| Ok(UserList { errors, ..users(&app, &signed_in, ListQuery::default()).await? }),
    )
    .await
}

async fn disable_page(app: &App, signed_in: &SignedInContext, id: UserId) -> Result<RemovePage, PageError> {
    let removal = app.preview_disabling(&signed_in.caller, id).await?;
    let number = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let keys = match removal.own_keys {
        0 => "They have no active keys.".to_owned(),
        1 => "1 active key is refused until you enable them.".to_owned(),
        count => format!("{count} active keys are refused until you enable them."),
    };
    let mut what_dies =
        vec![format!("{}, {}", removal.name, show_email(&removal.email)), format!("Their sessions end. {keys}")];
    if !removal.workspaces.is_empty() {
        let names: Vec<&str> = removal.workspaces.iter().map(|workspace| workspace.name.as_str()).collect();
        what_dies.push(format!("They are a member of {}.", names.join(", ")));
    }
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
        shell: Shell::new(Some(&signed_in.context), format!("Disable {}?", removal.name), "operator-users"),
        errors: FormErrors::default(),
        action: format!("/operator/users/{id}/disable"),
        back: "/operator/users".to_owned(),
        button: "Disable user",
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

/// Asks before a user becomes an operator, or is one no longer.
async fn show_operator(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    ids: Ids,
) -> Result<Response, PageError> {
    let id: UserId = ids.parse("usr")?;
    let user = app.find_any_user(&signed_in.caller, id).await?;
    let (title, button, lines) = if user.operator {
        let line = "They no longer create workspaces and users, and no longer set quotas. Their memberships and their \
                    keys stay as they are.";
        (format!("Remove the operator role from {}?", user.name), "Remove operator role", line)
    } else {
        let line = "Operators create workspaces and users, set quotas and passwords, disable users, and make other \
                    operators. They see the content of a workspace only as its member.";
        (format!("Make {} an operator?", user.name), "Make operator", line)
    };
    let who = format!("{}, {}", user.name, show_email(&user.email));
    let shell = Shell::new(Some(&signed_in.context), title, "operator-users");
    let page = RemovePage {
        action: format!("/operator/users/{id}"),
        button,
        fields: vec![("operator", (!user.operator).to_string())],
        ..RemovePage::new(shell, "/operator/users".to_owned(), vec![who, lines.to_owned()])
    };
    Ok(page::render(StatusCode::OK, &page))
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
        |user| {
            Notice::say("")
                .name(&user.name)
                .text(" is disabled. Their sessions have ended, and their keys are refused.")
        },
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
    let email = password_page(&app, &signed_in, id).await?.email;
    let done = app.set_password(&signed_in.caller, id, form.password).await;
    page::answer(
        done,
        |()| "/operator/users".to_owned(),
        |()| {
            Notice::say("The password of ")
                .name(&email)
                .text(" is set, and all their sessions have ended. Give them the password.")
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
        Since: "Since",
    }
}

/// How much later than its lease a node may be renewed without being called silent. Machines' clocks differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(10);

/// A node, and whether it renews its lease.
struct ListedNode {
    node: api::Node,
    /// Its lease has ended, so it accepts no requests, whatever it has applied.
    is_silent: bool,
}

#[derive(Template)]
#[template(path = "operator_system.html")]
struct System {
    shell: Shell,
    version: &'static str,
    public_url: String,
    is_ready: bool,
    lease_seconds: u64,
    nodes: Vec<ListedNode>,
    checkpoint: String,
    /// Whether there are suspended keys after a restore.
    has_suspended_keys: bool,
    /// The number of workspaces without an enabled admin.
    without_admin: usize,
    warnings: Vec<SettingWarning>,
    settings_differ: bool,
}

fn is_silent(node: &api::Node, now: Timestamp) -> bool {
    // The node that answers responds. With SQLite it is the only one, and renews no lease.
    !node.answers && now > node.renewed_at + Duration::from_secs(node.lease_seconds) + CLOCK_DIFFERENCE
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
        nodes: nodes.into_iter().map(|node| ListedNode { is_silent: is_silent(&node, app.now()), node }).collect(),
        checkpoint,
        has_suspended_keys: !suspended.items.is_empty(),
        without_admin: app.list_workspaces_without_admin(&signed_in.caller).await?.len(),
        warnings: app.settings().warnings(),
    };
    Ok(page::render(StatusCode::OK, &page))
}

/// Sends the checkpoint as a file.
async fn download_checkpoint(
    State(app): State<Arc<App>>,
    SignedInContext { caller, .. }: SignedInContext,
) -> Result<Response, PageError> {
    let checkpoint = app.sign_checkpoint(&caller).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"keyward-checkpoint.txt\""),
    ];
    Ok((headers, checkpoint).into_response())
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
    let has = |field: &str| fields.iter().any(|(name, _)| name == field);
    let keys = if has("all") {
        if !has("confirmed") {
            let count = app.count_suspended_keys(&signed_in.caller).await?;
            return Ok(page::render(StatusCode::OK, &confirm_all_page(&signed_in, count)));
        }
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
        Notice::say(match done.len() {
            1 => "1 key works again. Requests that it signed before now are still refused.".to_owned(),
            count => format!("{count} keys work again. Requests that they signed before now are still refused."),
        }),
    ))
}

/// Returns the page that asks before all suspended keys are confirmed.
fn confirm_all_page(signed_in: &SignedInContext, count: u64) -> RemovePage {
    let title = if count == 1 { "Confirm 1 key?".to_owned() } else { format!("Confirm {count} keys?") };
    let lines = vec![
        "Every suspended key of the installation is accepted again, also those on other pages of the list.".to_owned(),
        "A key that was revoked after the backup was made is accepted again, too.".to_owned(),
    ];
    let shell = Shell::new(Some(&signed_in.context), title, "operator-system");
    RemovePage {
        button: "Confirm all keys",
        fields: vec![("all", "1".to_owned()), ("confirmed", "1".to_owned())],
        ..RemovePage::new(shell, "/operator/suspended-keys".to_owned(), lines)
    }
}
