//! Members of a workspace: roles and removal.

use domain::{
    PrincipalId, ProjectId, UserId, WorkspaceId,
    principal::{Denied, Principal, WorkspacePermission},
    role::{ProjectRole, Role},
};
use store::member::MemberRow;

use super::{App, Caller, Paging, Transaction, page};
use crate::error::AppError;

fn to_wire(member: MemberRow) -> api::Member {
    api::Member {
        id: member.user,
        email: member.email.to_string(),
        email_verified: member.email_verified,
        name: member.name,
        role: member.role,
        disabled: member.disabled,
        joined_at: member.joined_at,
    }
}

impl App {
    /// Who is in a workspace.
    ///
    /// # Errors
    /// The caller is not.
    pub async fn list_members(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        paging: &Paging,
    ) -> Result<api::Page<api::Member>, AppError> {
        caller.principal.authorize(WorkspacePermission::ViewMembers, workspace)?;
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let members = store::member::list_members(&mut connection, workspace, paging.after()?, limit + 1).await?;
        Ok(page(members, limit, |member| member.user.to_string(), to_wire))
    }

    /// Gives a member another role. The open invitations of who is an admin no longer end; with `revoke_keys` also the keys
    /// that they registered for service accounts.
    ///
    /// # Errors
    /// For the workspace's admins only; its last admin who is enabled stays.
    pub async fn update_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        user: UserId,
        update: &api::UpdateMember,
    ) -> Result<api::Member, AppError> {
        if update.revoke_keys && update.role == Role::Admin {
            let detail = "an admin's keys stay; leave it out, or give the role member";
            return Err(AppError::field("revoke_keys", "contradictory", detail));
        }
        if update.revoke_keys {
            self.write_uses().await?;
        }
        self.refuse_member_early(caller, workspace, user).await?;
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::ManageMembers, workspace)?;
        transaction.principal.authorize_grant(update.role)?;
        let found = store::member::find_member(&mut transaction.change, workspace, user).await?;
        let mut member = found.ok_or(AppError::not_found())?;
        if member.role == Role::Admin && update.role != Role::Admin {
            require_another_admin(&mut transaction, workspace, user).await?;
        }
        member.role = update.role;
        store::member::update_member(&mut transaction.change, workspace, user, update.role).await?;
        transaction.note(self, "member.update", Some(workspace), user, &[("role", update.role.as_str())]);
        if update.role != Role::Admin {
            self.end_invitations_of(&mut transaction, user.into(), Some(workspace)).await?;
        }
        if update.revoke_keys {
            transaction.principal.authorize(WorkspacePermission::ManageServiceAccountKeys, workspace)?;
            self.revoke_registered_keys(&mut transaction, user, Some(workspace)).await?;
        }
        self.commit(transaction, 200, to_wire(member)).await
    }

    /// Removes a member; from then on their keys reach nothing here. Members may leave by themselves.
    /// Their open invitations end, and with `revoke_keys`, which is for admins, the keys that they registered for service
    /// accounts. Projects that would be left without an admin go to `successor`.
    ///
    /// # Errors
    /// For the workspace's admins only; its last admin who is enabled stays; a successor is asked for where one is needed.
    pub async fn delete_member(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        user: UserId,
        successor: Option<PrincipalId>,
        revoke_keys: bool,
    ) -> Result<(), AppError> {
        if revoke_keys {
            self.write_uses().await?;
        }
        self.refuse_member_early(caller, workspace, user).await?;
        let mut transaction = self.begin(caller).await?;
        authorize_removal(&transaction.principal, workspace, user)?;
        let found = store::member::find_member(&mut transaction.change, workspace, user).await?;
        let member = found.ok_or(AppError::not_found())?;
        if member.role == Role::Admin {
            require_another_admin(&mut transaction, workspace, user).await?;
        }
        if revoke_keys {
            transaction.principal.authorize(WorkspacePermission::ManageServiceAccountKeys, workspace)?;
            self.revoke_registered_keys(&mut transaction, user, Some(workspace)).await?;
        }
        self.hand_over_projects(&mut transaction, workspace, user.into(), successor).await?;
        store::member::delete_member(&mut transaction.change, workspace, user).await?;
        self.end_invitations_of(&mut transaction, user.into(), Some(workspace)).await?;
        self.end_sessions_without_workspace(&mut transaction, user).await?;
        transaction.note(self, "member.remove", Some(workspace), user, &[("email", member.email.as_str())]);
        self.commit(transaction, 204, ()).await
    }

    /// Refuses who may not manage a member, and a member who is not there, before a lock is taken for it.
    async fn refuse_member_early(&self, caller: &Caller, workspace: WorkspaceId, user: UserId) -> Result<(), AppError> {
        let mut connection = self.store.read().await?;
        let found = match authorize_removal(&caller.principal, workspace, user) {
            Ok(()) => store::member::find_member(&mut connection, workspace, user).await?.ok_or(AppError::not_found()),
            Err(error) => Err(error),
        };
        self.refuse_early(caller, connection, found).await
    }

    /// The projects of a workspace that have nobody else as admin: whoever removes this principal names a successor.
    ///
    /// # Errors
    /// For the workspace's admins, and for the principal, who is in the workspace.
    pub async fn list_projects_led_only_by(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        principal: PrincipalId,
    ) -> Result<Vec<String>, AppError> {
        if caller.principal.id() == Some(principal) {
            caller.principal.authorize(WorkspacePermission::View, workspace)?;
        } else {
            caller.principal.authorize(WorkspacePermission::ManageMembers, workspace)?;
        }
        let mut connection = self.store.read().await?;
        if store::project::find_workspace_role(&mut connection, workspace, principal).await?.is_none() {
            return Err(AppError::not_found());
        }
        let mut titles = Vec::new();
        for id in store::project::list_projects_led_only_by(&mut connection, workspace, principal).await? {
            let project = store::project::find_project(&mut connection, workspace, id).await?;
            titles.extend(project.map(|project| project.title));
        }
        Ok(titles)
    }

    /// Takes a principal out of all projects of a workspace. Those they alone lead go to `successor`.
    pub(super) async fn hand_over_projects(
        &self,
        transaction: &mut Transaction<'_>,
        workspace: WorkspaceId,
        leaving: PrincipalId,
        successor: Option<PrincipalId>,
    ) -> Result<(), AppError> {
        let led = store::project::list_projects_led_only_by(&mut transaction.change, workspace, leaving).await?;
        if !led.is_empty() {
            let successor = self.require_successor(transaction, workspace, leaving, successor, &led).await?;
            for &project in &led {
                let role = ProjectRole::Admin;
                store::project::set_project_role(&mut transaction.change, project, successor, role).await?;
                let detail = [("principal", successor.to_string()), ("role", role.to_string())];
                let detail = detail.each_ref().map(|(name, value)| (*name, value.as_str()));
                transaction.note(self, "project.member.set", Some(workspace), project, &detail);
            }
        }
        for project in store::project::list_projects_of(&mut transaction.change, workspace, leaving).await? {
            store::project::delete_project_role(&mut transaction.change, project, leaving).await?;
        }
        Ok(())
    }

    /// The successor that was named, who must be in the workspace and not be the one who leaves.
    pub(super) async fn require_successor(
        &self,
        transaction: &mut Transaction<'_>,
        workspace: WorkspaceId,
        leaving: PrincipalId,
        successor: Option<PrincipalId>,
        projects: &[ProjectId],
    ) -> Result<PrincipalId, AppError> {
        let Some(successor) = successor else {
            return Err(successor_required(projects));
        };
        transaction.principal.authorize_project_grant(ProjectRole::Admin)?;
        let role = store::project::find_workspace_role(&mut transaction.change, workspace, successor).await?;
        let identity = store::identity::find_identity(&mut transaction.change, successor).await?;
        if role.is_none() || successor == leaving || identity.is_none_or(|identity| identity.disabled) {
            let detail = "name another user or service account of this workspace, who is not disabled";
            return Err(AppError::field("successor", "not_a_member", detail));
        }
        Ok(successor)
    }
}

fn successor_required(projects: &[ProjectId]) -> AppError {
    let mut error = AppError::conflict(
        api::codes::SUCCESSOR_REQUIRED,
        "This would leave projects without an admin. Name who takes them over with ?successor=usr_… or sa_….",
    );
    if let AppError::Conflict(conflict) = &mut error {
        let ids: Vec<String> = projects.iter().map(ToString::to_string).collect();
        conflict.members.insert("projects", ids.into());
    }
    error
}

/// Refuses to take away the last admin who is enabled. One who is disabled is none that the workspace would miss.
async fn require_another_admin(
    transaction: &mut Transaction<'_>,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<(), AppError> {
    let change = &mut transaction.change;
    let is_disabled = store::user::find_user(change, user).await?.is_none_or(|user| user.disabled);
    if is_disabled || store::member::has_enabled_admin_beside(change, workspace, user).await? {
        return Ok(());
    }
    let detail = "This is the workspace's last admin who is not disabled. Make somebody else an admin first.";
    Err(AppError::conflict(api::codes::LAST_ADMIN, detail))
}

/// Members leave by themselves; admins of the workspace remove others.
fn authorize_removal(principal: &Principal, workspace: WorkspaceId, user: UserId) -> Result<(), AppError> {
    if principal.id() == Some(user.into()) {
        principal.role_in(workspace).ok_or(Denied::NotFound)?;
        return Ok(principal.require_signature()?);
    }
    Ok(principal.authorize(WorkspacePermission::ManageMembers, workspace)?)
}
