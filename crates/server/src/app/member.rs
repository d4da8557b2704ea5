//! Members of a workspace: roles and removal.

use std::sync::Arc;

use domain::{
    AuditAction, PrincipalId, ProjectId, UserId, WorkspaceId,
    list::{MemberFilter, MemberOrder, Search},
    principal::{Principal, WorkspaceAccess, WorkspacePermission},
    role::{ProjectRole, Role},
};
use store::member::{MemberRow, Members};

use super::{
    App, Audited, Caller, ChangeError, Confirmed, Detail, Found, Operation, Paging, Place, Scope, Transaction,
    list::{list_page, look_through},
};
use crate::error::{AppError, Conflict};

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

impl Audited for MemberRow {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { user: _, email, email_verified: _, name: _, role, disabled: _, joined_at: _ } = self;
        vec![("email", email.to_string()), ("role", role.to_string())]
    }
}

impl App {
    /// Returns the members of a workspace that match a search.
    ///
    /// # Errors
    /// The caller is not a member.
    pub async fn list_members(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &Search<MemberOrder, MemberFilter>,
        paging: &Paging,
    ) -> Result<api::Page<api::Member>, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewMembers, workspace)?;
        list_page(&mut *self.store.read().await?, &Members(access), search, paging, to_wire).await
    }

    /// Returns one page of these members for a person, with their numbers.
    ///
    /// # Errors
    /// The caller is not a member.
    pub async fn look_through_members(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &Search<MemberOrder, MemberFilter>,
        place: &Place,
    ) -> Result<Found<api::Member>, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewMembers, workspace)?;
        look_through(&mut *self.store.read().await?, &Members(access), search, place, to_wire).await
    }

    /// Changes the role of a member. Open invitations that the user may no longer write are revoked. With
    /// `revoke_keys`, the keys that they registered for service accounts are revoked, too.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, or the user is its last enabled admin.
    pub async fn update_member(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        user: UserId,
        update: &api::UpdateMember,
    ) -> Result<Confirmed<api::Member>, ChangeError> {
        self.change(caller, UpdateMember { workspace, user, update: update.clone() }).await
    }

    /// Removes a member. Their keys then have no access to the workspace. Members may remove themselves. Their open
    /// invitations are revoked. With `revoke_keys`, which only admins can set, the keys that they registered for
    /// service accounts are revoked, too. Projects that would be left without an admin go to `successor`.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, the user is its last enabled admin, or a successor is required.
    pub async fn delete_member(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        user: UserId,
        successor: Option<PrincipalId>,
        revoke_keys: bool,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, DeleteMember { workspace, user, successor, revoke_keys }).await
    }

    /// Removes a principal from all projects of a workspace, and gives those without another admin to the successor.
    pub(super) async fn hand_over_projects(
        &self,
        transaction: &mut Transaction,
        workspace: WorkspaceId,
        leaving: PrincipalId,
        handover: Handover,
    ) -> Result<(), AppError> {
        for project in handover.projects {
            let role = ProjectRole::Admin;
            self.set_project_role(transaction, workspace, project, handover.successor, role).await?;
        }
        for project in store::project::list_projects_of(&mut transaction.change, workspace, leaving).await? {
            store::project::delete_project_role(&mut transaction.change, project, leaving).await?;
        }
        Ok(())
    }
}

struct UpdateMember {
    workspace: WorkspaceId,
    user: UserId,
    update: api::UpdateMember,
}

impl Operation for UpdateMember {
    type Checked = MemberRow;
    type Response = api::Member;
    const STATUS: u16 = 200;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<MemberRow, AppError> {
        if self.update.revoke_keys && self.update.role == Role::Admin {
            let detail = "set this only with the role member";
            return Err(AppError::field("revoke_keys", "contradictory", detail));
        }
        let access = scope.principal.authorize(WorkspacePermission::ManageMembers, self.workspace)?;
        scope.principal.authorize_grant(self.update.role)?;
        let found = store::member::find_member(scope.connection, self.workspace, self.user).await?;
        let member = found.ok_or(AppError::not_found())?;
        if member.role == Role::Admin && self.update.role != Role::Admin {
            require_another_admin(scope, access, self.user).await?;
        }
        if self.update.revoke_keys {
            scope.principal.authorize(WorkspacePermission::ManageServiceAccountKeys, self.workspace)?;
        }
        Ok(member)
    }

    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        if self.update.revoke_keys { app.write_uses().await } else { Ok(()) }
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        before: MemberRow,
    ) -> Result<api::Member, AppError> {
        let (workspace, user, role) = (self.workspace, self.user, self.update.role);
        let member = MemberRow { role, ..before.clone() };
        store::member::update_member(&mut transaction.change, workspace, user, role).await?;
        let detail = Detail::of_change(&before, &member);
        transaction.note(app, AuditAction::MemberUpdate, Some(workspace), user, detail);
        if role != Role::Admin {
            app.end_invitations_of(transaction, user.into(), Some(workspace)).await?;
        }
        if self.update.revoke_keys {
            app.revoke_registered_keys(transaction, user, Some(workspace), AuditAction::MemberUpdate).await?;
        }
        Ok(to_wire(member))
    }
}

struct DeleteMember {
    workspace: WorkspaceId,
    user: UserId,
    successor: Option<PrincipalId>,
    revoke_keys: bool,
}

impl Operation for DeleteMember {
    type Checked = (MemberRow, Handover);
    type Response = ();
    const STATUS: u16 = 204;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let (workspace, user) = (self.workspace, self.user);
        let access = authorize_removal(scope.principal, workspace, user)?;
        let found = store::member::find_member(scope.connection, workspace, user).await?;
        let member = found.ok_or(AppError::not_found())?;
        if member.role == Role::Admin {
            require_another_admin(scope, access, user).await?;
        }
        if self.revoke_keys {
            scope.principal.authorize(WorkspacePermission::ManageServiceAccountKeys, workspace)?;
        }
        let handover = check_handover(scope, access, user.into(), self.successor).await?;
        Ok((member, handover))
    }

    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        if self.revoke_keys { app.write_uses().await } else { Ok(()) }
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (member, handover): Self::Checked,
    ) -> Result<(), AppError> {
        let (workspace, user) = (self.workspace, self.user);
        if self.revoke_keys {
            app.revoke_registered_keys(transaction, user, Some(workspace), AuditAction::MemberRemove).await?;
        }
        app.hand_over_projects(transaction, workspace, user.into(), handover).await?;
        store::member::delete_member(&mut transaction.change, workspace, user).await?;
        app.end_invitations_of(transaction, user.into(), Some(workspace)).await?;
        app.end_sessions_without_workspace(transaction, user).await?;
        transaction.note(app, AuditAction::MemberRemove, Some(workspace), user, Detail::of(&member));
        Ok(())
    }
}

/// The projects whose only admin leaves the workspace, and the successor.
pub(super) struct Handover {
    projects: Vec<ProjectId>,
    successor: Option<PrincipalId>,
}

/// Returns the projects that a principal who leaves a workspace hands over. Requires a successor if there are any.
pub(super) async fn check_handover(
    scope: &mut Scope<'_>,
    access: WorkspaceAccess,
    leaving: PrincipalId,
    successor: Option<PrincipalId>,
) -> Result<Handover, AppError> {
    let projects = store::project::list_projects_led_only_by(scope.connection, access, leaving).await?;
    let projects: Vec<ProjectId> = projects.into_iter().map(|project| project.id).collect();
    let successor = if projects.is_empty() {
        None
    } else {
        Some(require_successor(scope, access, leaving, successor, &projects).await?)
    };
    Ok(Handover { projects, successor })
}

/// Returns the named successor, who must be in the workspace and must not be the principal who leaves.
pub(super) async fn require_successor(
    scope: &mut Scope<'_>,
    access: WorkspaceAccess,
    leaving: PrincipalId,
    successor: Option<PrincipalId>,
    projects: &[ProjectId],
) -> Result<PrincipalId, AppError> {
    let Some(successor) = successor else {
        return Err(Conflict::SuccessorRequired(projects.to_vec()).into());
    };
    scope.principal.authorize_project_grant(ProjectRole::Admin)?;
    let role = store::project::find_workspace_role(scope.connection, access.workspace(), successor).await?;
    let identity = store::identity::find_identity(scope.connection, successor).await?;
    if role.is_none() || successor == leaving || identity.is_none_or(|identity| identity.disabled) {
        let detail = "name another enabled user or service account of this workspace";
        return Err(AppError::field("successor", "not_a_member", detail));
    }
    Ok(successor)
}

/// Refuses to remove the last enabled admin. A disabled admin may be removed.
async fn require_another_admin(scope: &mut Scope<'_>, access: WorkspaceAccess, user: UserId) -> Result<(), AppError> {
    let connection = &mut *scope.connection;
    let is_disabled = store::user::find_user(connection, user).await?.is_none_or(|user| user.disabled);
    if is_disabled || store::member::has_enabled_admin_beside(connection, access.workspace(), user).await? {
        return Ok(());
    }
    Err(Conflict::LastAdmin.into())
}

/// Checks the permission: members may remove themselves, and admins of the workspace may remove others.
fn authorize_removal(principal: &Principal, workspace: WorkspaceId, user: UserId) -> Result<WorkspaceAccess, AppError> {
    if principal.id() == Some(user.into()) {
        let access = principal.authorize(WorkspacePermission::View, workspace)?;
        principal.require_signature()?;
        return Ok(access);
    }
    Ok(principal.authorize(WorkspacePermission::ManageMembers, workspace)?)
}
