//! Workspaces: creating, renaming, deleting.

use domain::{
    PrincipalId, UserId, WorkspaceId,
    principal::{Principal, WorkspacePermission},
    quota::Quotas,
    role::Role,
    text::parse_title,
    user::Email,
    workspace::{Slug, Workspace},
};

use store::workspace::WorkspaceCounts;

use super::{App, Caller, Paging, Transaction, invitation::Issued, page, quota};
use crate::{error::AppError, settings::WorkspaceCreation};

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

impl App {
    /// The workspaces that the caller is in.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_workspaces(
        &self,
        caller: &Caller,
        paging: &Paging,
    ) -> Result<api::Page<api::Workspace>, AppError> {
        let limit = paging.limit()?;
        let after = paging.after()?;
        let mut connection = self.store.read().await?;
        let workspaces = match caller.principal.id() {
            Some(PrincipalId::User(user)) => {
                store::workspace::list_workspaces(&mut connection, Some(user), after, limit + 1).await?
            }
            Some(PrincipalId::ServiceAccount(_)) => {
                let memberships = caller.principal.identity().map_or(&[][..], |identity| &identity.memberships);
                let mut own = Vec::new();
                for membership in memberships.iter().filter(|m| after.is_none_or(|after| m.workspace > after)) {
                    own.extend(store::workspace::find_workspace(&mut connection, membership.workspace).await?);
                }
                own
            }
            None => store::workspace::list_workspaces(&mut connection, None, after, limit + 1).await?,
        };
        Ok(page(workspaces, limit, |w| w.id.to_string(), |w| to_wire(&w, &caller.principal)))
    }

    /// Every workspace of the installation, for operators: names and quotas, nothing inside.
    ///
    /// # Errors
    /// For operators only.
    pub async fn list_all_workspaces(
        &self,
        caller: &Caller,
        paging: &Paging,
    ) -> Result<api::Page<api::Workspace>, AppError> {
        caller.principal.authorize_operator()?;
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let workspaces = store::workspace::list_workspaces(&mut connection, None, paging.after()?, limit + 1).await?;
        Ok(page(workspaces, limit, |w| w.id.to_string(), |w| to_wire(&w, &caller.principal)))
    }

    /// A workspace that the caller is in.
    ///
    /// # Errors
    /// They are not.
    pub async fn find_workspace(&self, caller: &Caller, id: WorkspaceId) -> Result<api::Workspace, AppError> {
        caller.principal.authorize(WorkspacePermission::View, id)?;
        let mut connection = self.store.read().await?;
        let found = store::workspace::find_workspace(&mut connection, id).await?;
        found.map(|found| to_wire(&found, &caller.principal)).ok_or(AppError::not_found())
    }

    /// The workspace of a slug, for commands on the host.
    ///
    /// # Errors
    /// There is none; for operators only.
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
            return Ok(principal.require_signature()?);
        }
        Ok(principal.authorize_operator()?)
    }

    /// Creates a workspace. Its first admin is the caller, or who is named: by invitation, unless the host names a user.
    ///
    /// # Errors
    /// The slug is or was in use; or the caller may not.
    pub async fn create_workspace(
        &self,
        caller: &Caller,
        create: api::CreateWorkspace,
    ) -> Result<api::WorkspaceCreated, AppError> {
        self.authorize_workspace_creation(&caller.principal)?;
        let name = parse_title(&create.name).map_err(|e| AppError::field("name", "malformed", e))?;
        let slug: Slug = create.slug.parse().map_err(|e| AppError::field("slug", "malformed", e))?;
        let admin = create.admin_email.as_deref().map(|text| self.parse_email("admin_email", text)).transpose()?;
        let mut transaction = self.begin(caller).await?;
        self.authorize_workspace_creation(&transaction.principal)?;
        if let (Some(email), Some(identity), false) =
            (&admin, transaction.principal.identity(), transaction.principal.is_operator())
            && email.as_str() != identity.email
        {
            // People join by invitation only; and the answer would tell who has an account.
            let detail = "leave it out to become the first admin yourself, and invite others then";
            return Err(AppError::field("admin_email", "operators_only", detail));
        }
        if store::workspace::slug_is_taken(&mut transaction.change, &slug).await? {
            let detail = format!("The slug {slug} is or was in use; slugs are never used again. Choose another.");
            return Err(AppError::conflict(api::codes::SLUG_TAKEN, detail));
        }
        let now = transaction.now;
        let id = self.generate_id(now);
        let workspace = Workspace { id, slug, name, quotas: Quotas::default(), created_at: now };
        store::workspace::insert_workspace(&mut transaction.change, &workspace).await?;
        transaction.note(
            self,
            "workspace.create",
            Some(id),
            id,
            &[("slug", workspace.slug.as_str()), ("name", &workspace.name)],
        );

        let first = match (&admin, transaction.principal.id()) {
            (Some(email), _) => find_user_to_seat(&mut transaction, email).await?,
            (None, Some(PrincipalId::User(user))) => Some(user),
            (None, _) => return Err(AppError::field("admin_email", "missing", "name the workspace's first admin")),
        };
        let issued = self.seat_first_admin(&mut transaction, id, first, admin).await?;
        let mut answer = to_wire(&workspace, &transaction.principal);
        answer.role =
            (first.map(PrincipalId::User) == transaction.principal.id() && first.is_some()).then_some(Role::Admin);
        let invitation = issued.as_ref().map(|issued| self.tell_before_mail(issued, now));
        let created = api::WorkspaceCreated { workspace: answer, invitation };
        let created = self.commit(transaction, 201, created).await?;
        let invitation = self.mail_invitations(caller, &created.workspace.name, issued.as_slice()).await.pop();
        Ok(api::WorkspaceCreated { invitation, ..created })
    }

    /// Makes a user the first admin, or invites them.
    async fn seat_first_admin(
        &self,
        transaction: &mut Transaction<'_>,
        workspace: WorkspaceId,
        user: Option<UserId>,
        email: Option<Email>,
    ) -> Result<Option<Issued>, AppError> {
        let now = transaction.now;
        match (user, email) {
            (Some(user), _) => {
                let change = &mut transaction.change;
                match store::member::find_member(change, workspace, user).await? {
                    Some(_) => store::member::update_member(change, workspace, user, Role::Admin).await?,
                    None => store::member::insert_member(change, workspace, user, Role::Admin, now).await?,
                }
                let role = Role::Admin.as_str();
                transaction.note(self, "member.add", Some(workspace), user, &[("role", role)]);
                Ok(None)
            }
            (None, Some(email)) => self.invite(transaction, workspace, email, Role::Admin).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Names another first admin of a workspace that has none who is enabled: they are invited, unless the caller names
    /// themselves or the host names a user. Every link of before ends.
    ///
    /// # Errors
    /// For operators only; somebody is its admin.
    pub async fn name_first_admin(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        email: &str,
    ) -> Result<Option<api::IssuedInvitation>, AppError> {
        caller.principal.authorize_operator_of(workspace)?;
        let email = self.parse_email("admin_email", email)?;
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator_of(workspace)?;
        let found = store::workspace::find_workspace(&mut transaction.change, workspace).await?;
        let name = found.ok_or(AppError::not_found())?.name;
        if !store::workspace::list_workspaces_without_admin(&mut transaction.change).await?.contains(&workspace) {
            let detail = "This workspace has an admin, who invites others.";
            return Err(AppError::conflict(api::codes::ALREADY_MEMBER, detail));
        }
        self.end_open_invitations(&mut transaction, workspace, None).await?;
        let user = store::user::find_user_by_email(&mut transaction.change, &email).await?;
        if user.as_ref().is_some_and(|user| user.disabled) {
            return Err(AppError::field("admin_email", "disabled", "this user is disabled; enable them first"));
        }
        let user = find_user_to_seat(&mut transaction, &email).await?;
        let now = transaction.now;
        let issued = self.seat_first_admin(&mut transaction, workspace, user, Some(email)).await?;
        let answer = issued.as_ref().map(|issued| self.tell_before_mail(issued, now));
        self.commit(transaction, 200, answer).await?;
        Ok(self.mail_invitations(caller, &name, issued.as_slice()).await.pop())
    }

    /// The workspaces that nobody is an admin of yet.
    ///
    /// # Errors
    /// For operators only.
    pub async fn list_workspaces_without_admin(&self, caller: &Caller) -> Result<Vec<WorkspaceId>, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        Ok(store::workspace::list_workspaces_without_admin(&mut connection).await?)
    }

    /// What dies with a workspace, in numbers.
    ///
    /// # Errors
    /// For who may delete it.
    pub async fn count_in_workspace(&self, caller: &Caller, id: WorkspaceId) -> Result<WorkspaceCounts, AppError> {
        caller.principal.authorize(WorkspacePermission::Delete, id)?;
        let mut connection = self.store.read().await?;
        Ok(store::workspace::count_in_workspace(&mut connection, id).await?)
    }

    /// Renames a workspace.
    ///
    /// # Errors
    /// For its admins only.
    pub async fn update_workspace(
        &self,
        caller: &Caller,
        id: WorkspaceId,
        update: api::UpdateWorkspace,
    ) -> Result<api::Workspace, AppError> {
        caller.principal.authorize(WorkspacePermission::Update, id)?;
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::Update, id)?;
        let found = store::workspace::find_workspace(&mut transaction.change, id).await?;
        let mut workspace = found.ok_or(AppError::not_found())?;
        if let Some(name) = update.name {
            workspace.name = parse_title(&name).map_err(|e| AppError::field("name", "malformed", e))?;
        }
        store::workspace::update_workspace(&mut transaction.change, &workspace).await?;
        for principal in store::workspace::list_principals(&mut transaction.change, id).await? {
            transaction.change.touch(principal);
        }
        transaction.note(self, "workspace.update", Some(id), id, &[("name", &workspace.name)]);
        let answer = to_wire(&workspace, &transaction.principal);
        self.commit(transaction, 200, answer).await
    }

    /// Deletes a workspace with all that is in it. Its slug is never used again.
    ///
    /// # Errors
    /// For its admins only.
    pub async fn delete_workspace(&self, caller: &Caller, id: WorkspaceId) -> Result<(), AppError> {
        caller.principal.authorize(WorkspacePermission::Delete, id)?;
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::Delete, id)?;
        let found = store::workspace::find_workspace(&mut transaction.change, id).await?;
        let workspace = found.ok_or(AppError::not_found())?;
        let now = transaction.now;
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
                    self.revoke_keys_of(&mut transaction, principal).await?;
                    store::service_account::delete_service_account(&mut transaction.change, account, now).await?;
                }
            }
        }
        self.end_open_invitations(&mut transaction, id, None).await?;
        store::workspace::delete_workspace(&mut transaction.change, id, now).await?;
        for user in members {
            self.end_sessions_without_workspace(&mut transaction, user).await?;
        }
        transaction.note(self, "workspace.delete", Some(id), id, &[("slug", workspace.slug.as_str())]);
        self.commit(transaction, 204, ()).await
    }
}

/// The user of an email whom the caller may seat without asking them: on the host any, else the caller alone. Everybody else
/// is invited: an address finds nobody who has not accepted.
async fn find_user_to_seat(transaction: &mut Transaction<'_>, email: &Email) -> Result<Option<UserId>, AppError> {
    let found = store::user::find_user_by_email(&mut transaction.change, email).await?.map(|user| user.id);
    let is_host = transaction.principal.identity().is_none();
    let own = transaction.principal.id();
    Ok(found.filter(|&user| is_host || own == Some(user.into())))
}
