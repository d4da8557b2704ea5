//! Workspaces: creating, renaming, deleting.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    AuditAction, PrincipalId, UserId, WorkspaceId,
    limits::KeywardScope,
    list::{Search, WorkspaceFilter, WorkspaceOrder},
    policy::PolicyPlace,
    principal::{Principal, WorkspacePermission},
    quota::Quotas,
    role::Role,
    text::parse_title,
    user::Email,
    workspace::{Slug, Workspace},
};

use store::workspace::{WorkspaceCounts, WorkspaceUse, Workspaces};

use super::{
    App, Audited, Caller, ChangeError, Confirmed, Detail, Found, Operation, Paging, Place, RevocationCause, Scope,
    Transaction, UnsentMail,
    list::{list_page, look_through},
    quota,
};
use crate::{
    error::{AppError, Conflict},
    settings::WorkspaceCreation,
};

fn to_wire(workspace: &Workspace, principal: &Principal) -> api::Workspace {
    api::Workspace {
        id: workspace.id,
        slug: workspace.slug.to_string(),
        name: workspace.name.clone(),
        role: principal.identity().and_then(|_| principal.role_in(workspace.id)),
        quotas: quota::to_wire(&workspace.quotas),
        created_at: workspace.created_at,
    }
}

impl Audited for Workspace {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { id: _, slug, name, quotas, created_at: _ } = self;
        let Quotas { service_accounts, keys_per_service_account, keys_per_user } = quotas;
        vec![
            ("slug", slug.to_string()),
            ("name", name.clone()),
            ("service_accounts", service_accounts.to_string()),
            ("keys_per_service_account", keys_per_service_account.to_string()),
            ("keys_per_user", keys_per_user.to_string()),
        ]
    }
}

/// Returns the workspaces of a principal. The host sees all.
fn own_workspaces(principal: &Principal) -> Result<Workspaces, AppError> {
    Ok(match principal.id() {
        Some(_) => Workspaces::Own(principal.authorize_own_workspaces()?),
        None => Workspaces::All(principal.authorize_operator()?),
    })
}

impl App {
    /// Returns the workspaces of the caller that match a search. A service account has one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_workspaces(
        &self,
        caller: &Caller,
        search: &Search<WorkspaceOrder, WorkspaceFilter>,
        paging: &Paging,
    ) -> Result<api::Page<api::Workspace>, AppError> {
        let workspaces = own_workspaces(&caller.principal)?;
        let map = |workspace: Workspace| to_wire(&workspace, &caller.principal);
        list_page(&mut *self.store.read().await?, &workspaces, search, paging, map).await
    }

    /// Returns one page of these workspaces for a person, with their numbers.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn look_through_workspaces(
        &self,
        caller: &Caller,
        search: &Search<WorkspaceOrder, WorkspaceFilter>,
        place: &Place,
    ) -> Result<Found<api::Workspace>, AppError> {
        let workspaces = own_workspaces(&caller.principal)?;
        let map = |workspace: Workspace| to_wire(&workspace, &caller.principal);
        look_through(&mut *self.store.read().await?, &workspaces, search, place, map).await
    }

    /// Returns the workspaces of the installation that match a search, for operators: only names and quotas.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn list_all_workspaces(
        &self,
        caller: &Caller,
        search: &Search<WorkspaceOrder, WorkspaceFilter>,
        paging: &Paging,
    ) -> Result<api::Page<api::Workspace>, AppError> {
        let workspaces = Workspaces::All(caller.principal.authorize_operator()?);
        let map = |workspace: Workspace| to_wire(&workspace, &caller.principal);
        list_page(&mut *self.store.read().await?, &workspaces, search, paging, map).await
    }

    /// Returns one page of these workspaces for a person, with their numbers.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn look_through_all_workspaces(
        &self,
        caller: &Caller,
        search: &Search<WorkspaceOrder, WorkspaceFilter>,
        place: &Place,
    ) -> Result<Found<api::Workspace>, AppError> {
        let workspaces = Workspaces::All(caller.principal.authorize_operator()?);
        let map = |workspace: Workspace| to_wire(&workspace, &caller.principal);
        look_through(&mut *self.store.read().await?, &workspaces, search, place, map).await
    }

    /// Returns a workspace of the caller.
    ///
    /// # Errors
    /// The caller is not a member.
    pub async fn find_workspace(&self, caller: &Caller, id: WorkspaceId) -> Result<api::Workspace, AppError> {
        caller.principal.authorize(WorkspacePermission::View, id)?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, id).await?;
        found.map(|found| to_wire(&found, &caller.principal)).ok_or(AppError::not_found())
    }

    /// Returns the workspace with a slug, for commands on the host.
    ///
    /// # Errors
    /// It does not exist, or the caller is not an operator.
    pub async fn find_workspace_by_slug(&self, caller: &Caller, slug: &str) -> Result<api::Workspace, AppError> {
        caller.principal.authorize_operator()?;
        let slug: Slug = slug.parse().map_err(|e| AppError::field("slug", "malformed", e))?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace_by_slug(&mut connection, &slug).await?;
        found.map(|found| to_wire(&found, &caller.principal)).ok_or(AppError::not_found())
    }

    fn authorize_workspace_creation(&self, principal: &Principal) -> Result<(), AppError> {
        let is_user = matches!(principal.id(), Some(PrincipalId::User(_)));
        if self.settings.workspace_creation == WorkspaceCreation::Anyone && is_user {
            principal.require_everywhere()?;
            return Ok(principal.require_signature()?);
        }
        principal.authorize_operator()?;
        Ok(())
    }

    /// Creates a workspace. Its first admin is the caller, or the named person: by invitation, unless the host names a
    /// user.
    ///
    /// # Errors
    /// The slug is or was in use, or the caller may not do this.
    pub async fn create_workspace(
        self: &Arc<Self>,
        caller: &Caller,
        create: api::CreateWorkspace,
    ) -> Result<Confirmed<api::WorkspaceCreated>, ChangeError> {
        self.change(caller, CreateWorkspace { create }).await
    }

    /// Makes a user the first admin, or invites the person.
    async fn seat_first_admin(
        &self,
        transaction: &mut Transaction,
        workspace: WorkspaceId,
        user: Option<UserId>,
        email: Option<Email>,
    ) -> Result<(), AppError> {
        let now = transaction.now;
        match (user, email) {
            (Some(user), _) => {
                let change = &mut transaction.change;
                match store::member::find_member(change, workspace, user).await? {
                    Some(_) => store::member::update_member(change, workspace, user, Role::Admin).await?,
                    None => store::member::insert_member(change, workspace, user, Role::Admin, now).await?,
                }
                let member = store::member::find_member(change, workspace, user).await?.ok_or(AppError::not_found())?;
                transaction.note(self, AuditAction::MemberAdd, Some(workspace), user, Detail::of(&member));
            }
            (None, Some(email)) => self.invite(transaction, workspace, email, Role::Admin).await?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Names another first admin of a workspace without an enabled admin. The person is invited, unless the caller names
    /// themselves or the host names a user. Earlier links become invalid.
    ///
    /// # Errors
    /// The caller is not an operator, or the workspace has an enabled admin.
    pub async fn name_first_admin(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        email: &str,
    ) -> Result<Confirmed<Option<api::IssuedInvitation>>, ChangeError> {
        let email = self.parse_email("admin_email", email)?;
        self.change(caller, NameFirstAdmin { workspace, email }).await
    }

    /// Returns the workspaces without an admin.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn list_workspaces_without_admin(&self, caller: &Caller) -> Result<Vec<WorkspaceId>, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        Ok(store::workspace::list_workspaces_without_admin(&mut connection).await?)
    }

    /// Returns what workspaces use of their quotas.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn list_workspace_uses(
        &self,
        caller: &Caller,
        ids: &[WorkspaceId],
    ) -> Result<BTreeMap<WorkspaceId, WorkspaceUse>, AppError> {
        let access = caller.principal.authorize_operator()?;
        Ok(store::workspace::list_uses(&mut *self.store.read().await?, access, ids, self.clock.now()).await?)
    }

    /// Returns a workspace for an operator.
    ///
    /// # Errors
    /// The caller is not an operator, or it does not exist.
    pub async fn find_any_workspace(&self, caller: &Caller, id: WorkspaceId) -> Result<api::Workspace, AppError> {
        caller.principal.authorize_operator()?;
        let found = store::workspace::find_workspace(&mut *self.store.read().await?, id).await?;
        Ok(to_wire(&found.ok_or(AppError::not_found())?, &caller.principal))
    }

    /// Returns the numbers of objects that are deleted with a workspace.
    ///
    /// # Errors
    /// The caller may not delete it.
    pub async fn count_in_workspace(&self, caller: &Caller, id: WorkspaceId) -> Result<WorkspaceCounts, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::Delete, id)?;
        let mut connection = self.store.read().await?;
        Ok(store::workspace::count_in_workspace(&mut connection, access, self.clock.now()).await?)
    }

    /// Renames a workspace.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn update_workspace(
        self: &Arc<Self>,
        caller: &Caller,
        id: WorkspaceId,
        update: api::UpdateWorkspace,
    ) -> Result<Confirmed<api::Workspace>, ChangeError> {
        self.change(caller, UpdateWorkspace { id, update }).await
    }

    /// Deletes a workspace with all its content. Its slug is never used again.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn delete_workspace(
        self: &Arc<Self>,
        caller: &Caller,
        id: WorkspaceId,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, DeleteWorkspace { id }).await
    }
}

struct CreateWorkspace {
    create: api::CreateWorkspace,
}

/// The data of a new workspace.
struct NewWorkspace {
    slug: Slug,
    name: String,
    /// The user that becomes its first admin without an invitation.
    first_admin: Option<UserId>,
    /// The email of the first admin in the request.
    email: Option<Email>,
}

impl Operation for CreateWorkspace {
    type Checked = NewWorkspace;
    type Response = api::WorkspaceCreated;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<NewWorkspace, AppError> {
        let (create, principal) = (&self.create, scope.principal);
        app.authorize_workspace_creation(principal)?;
        let name = parse_title(&create.name).map_err(|e| AppError::field("name", "malformed", e))?;
        let slug: Slug = create.slug.parse().map_err(|e| AppError::field("slug", "malformed", e))?;
        let email = create.admin_email.as_deref().map(|text| app.parse_email("admin_email", text)).transpose()?;
        if let (Some(email), Some(identity), false) = (&email, principal.identity(), principal.is_operator())
            && email.as_str() != identity.email
        {
            // People join by invitation only. Another response would reveal which emails have an account.
            let detail = "leave this out to become the first admin yourself, then invite others";
            return Err(AppError::field("admin_email", "operators_only", detail));
        }
        if store::workspace::slug_is_taken(scope.connection, &slug).await? {
            return Err(Conflict::SlugTaken(slug).into());
        }
        let first_admin = match (&email, principal.id()) {
            (Some(email), _) => find_user_to_seat(scope, email).await?,
            (None, Some(PrincipalId::User(user))) => Some(user),
            (None, _) => return Err(AppError::field("admin_email", "missing", "name the workspace's first admin")),
        };
        Ok(NewWorkspace { slug, name, first_admin, email })
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        new: NewWorkspace,
    ) -> Result<api::WorkspaceCreated, AppError> {
        let NewWorkspace { slug, name, first_admin, email } = new;
        let now = transaction.now;
        let id = app.generate_id(now);
        let workspace = Workspace { id, slug, name, quotas: Quotas::default(), created_at: now };
        store::workspace::insert_workspace(&mut transaction.change, &workspace).await?;
        transaction.note(app, AuditAction::WorkspaceCreate, Some(id), id, Detail::of(&workspace));
        app.seat_first_admin(transaction, id, first_admin, email).await?;
        let mut created = to_wire(&workspace, &transaction.principal);
        let is_caller = first_admin.is_some() && first_admin.map(PrincipalId::User) == transaction.principal.id();
        created.role = is_caller.then_some(Role::Admin);
        transaction.mail.workspace = workspace.name;
        let invitation = app.tell_before_mail(transaction).pop();
        Ok(api::WorkspaceCreated { workspace: created, invitation })
    }

    async fn finish(
        &self,
        app: &Arc<App>,
        caller: &Caller,
        response: api::WorkspaceCreated,
        mail: UnsentMail,
    ) -> api::WorkspaceCreated {
        api::WorkspaceCreated { invitation: app.mail_invitations(caller, &mail).await.pop(), ..response }
    }
}

struct NameFirstAdmin {
    workspace: WorkspaceId,
    email: Email,
}

impl Operation for NameFirstAdmin {
    /// The workspace, and the user that becomes its admin without an invitation.
    type Checked = (Workspace, Option<UserId>);
    type Response = Option<api::IssuedInvitation>;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        scope.principal.authorize_operator_of(self.workspace)?;
        let found = store::workspace::find_workspace(scope.connection, self.workspace).await?;
        let found = found.ok_or(AppError::not_found())?;
        if !store::workspace::list_workspaces_without_admin(scope.connection).await?.contains(&self.workspace) {
            return Err(Conflict::HasAdmin.into());
        }
        let user = store::user::find_user_by_email(scope.connection, &self.email).await?;
        if user.as_ref().is_some_and(|user| user.disabled) {
            return Err(AppError::field("admin_email", "disabled", "this user is disabled; enable them first"));
        }
        let user = find_user_to_seat(scope, &self.email).await?;
        Ok((found, user))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (workspace, user): Self::Checked,
    ) -> Result<Self::Response, AppError> {
        app.end_open_invitations(transaction, workspace.id, None).await?;
        app.seat_first_admin(transaction, workspace.id, user, Some(self.email.clone())).await?;
        transaction.mail.workspace = workspace.name;
        Ok(app.tell_before_mail(transaction).pop())
    }

    async fn finish(&self, app: &Arc<App>, caller: &Caller, _: Self::Response, mail: UnsentMail) -> Self::Response {
        app.mail_invitations(caller, &mail).await.pop()
    }
}

struct UpdateWorkspace {
    id: WorkspaceId,
    update: api::UpdateWorkspace,
}

impl Operation for UpdateWorkspace {
    /// The workspace before and after the change.
    type Checked = (Workspace, Workspace);
    type Response = api::Workspace;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        scope.principal.authorize(WorkspacePermission::Update, self.id)?;
        let found = store::workspace::find_workspace(scope.connection, self.id).await?;
        let before = found.ok_or(AppError::not_found())?;
        let mut workspace = before.clone();
        if let Some(name) = &self.update.name {
            workspace.name = parse_title(name).map_err(|e| AppError::field("name", "malformed", e))?;
        }
        Ok((before, workspace))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (before, workspace): Self::Checked,
    ) -> Result<api::Workspace, AppError> {
        store::workspace::update_workspace(&mut transaction.change, &workspace).await?;
        for principal in store::workspace::list_principals(&mut transaction.change, self.id).await? {
            transaction.change.touch(principal);
        }
        let detail = Detail::of_change(&before, &workspace);
        transaction.note(app, AuditAction::WorkspaceUpdate, Some(self.id), self.id, detail);
        Ok(to_wire(&workspace, &transaction.principal))
    }
}

struct DeleteWorkspace {
    id: WorkspaceId,
}

impl Operation for DeleteWorkspace {
    type Checked = Workspace;
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Workspace, AppError> {
        scope.principal.authorize(WorkspacePermission::Delete, self.id)?;
        let found = store::workspace::find_workspace(scope.connection, self.id).await?;
        found.ok_or(AppError::not_found())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, workspace: Workspace) -> Result<(), AppError> {
        let (id, now) = (self.id, transaction.now);
        let cause = RevocationCause::new(AuditAction::WorkspaceDelete, id);
        let mut members = Vec::new();
        for project in store::project::list_project_ids(&mut transaction.change, id).await? {
            store::project::delete_project(&mut transaction.change, project).await?;
        }
        for principal in store::workspace::list_principals(&mut transaction.change, id).await? {
            match principal {
                PrincipalId::User(user) => {
                    store::member::delete_member(&mut transaction.change, id, user).await?;
                    members.push(user);
                }
                PrincipalId::ServiceAccount(account) => {
                    app.revoke_keys_of(transaction, principal, &cause).await?;
                    store::service_account::delete_service_account(&mut transaction.change, account, now).await?;
                }
            }
        }
        app.end_open_invitations(transaction, id, None).await?;
        store::policy::delete_policy(&mut transaction.change, PolicyPlace::Workspace(id)).await?;
        store::workspace::delete_workspace(&mut transaction.change, id, now).await?;
        for user in members {
            app.end_sessions_without_workspace(transaction, user).await?;
        }
        transaction.note(app, AuditAction::WorkspaceDelete, Some(id), id, Detail::of(&workspace));
        Ok(())
    }
}

/// Returns the user with an email address that the caller may add without an invitation: any user on the host,
/// otherwise only the caller. All other people are invited, so that an email address reveals nothing about users that
/// have not accepted.
async fn find_user_to_seat(scope: &mut Scope<'_>, email: &Email) -> Result<Option<UserId>, AppError> {
    let found = store::user::find_user_by_email(scope.connection, email).await?.map(|user| user.id);
    let is_host = scope.principal.identity().is_none();
    let own = scope.principal.id();
    Ok(found.filter(|&user| is_host || own == Some(user.into())))
}
