//! Members of a workspace: roles and removal.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    AuditAction, PrincipalId, ProjectId, UserId, WorkspaceId,
    limits::KeywardScope,
    list::{MemberFilter, MemberOrder, Search},
    principal::{Principal, WorkspaceAccess, WorkspacePermission},
    role::{ProjectRole, Role},
};
use store::{
    Connection,
    member::{MemberRow, Members},
};

use super::{
    App, Audited, Caller, ChangeError, Confirmed, Detail, Found, Operation, Paging, Place, Scope, Transaction,
    chosen::require_few,
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
        self.change(caller, DeleteMembers { workspace, users: [user].into(), successor, revoke_keys }).await
    }

    /// Removes several members together, each as [`delete_member`](Self::delete_member) does. Projects that would be
    /// left without an admin go to one successor, who stays.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace or is among the users, a user is not a member, no enabled admin would
    /// be left, a successor is required, or there are more than [`MAX_CHOSEN`](super::MAX_CHOSEN).
    pub async fn delete_members(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        users: BTreeSet<UserId>,
        successor: Option<PrincipalId>,
        revoke_keys: bool,
    ) -> Result<Confirmed<()>, ChangeError> {
        require_others(&caller.principal, &users)?;
        self.change(caller, DeleteMembers { workspace, users, successor, revoke_keys }).await
    }

    /// Removes principals from all projects of a workspace, and gives those without another admin to the successor.
    pub(super) async fn hand_over_projects(
        &self,
        transaction: &mut Transaction,
        workspace: WorkspaceId,
        leaving: &[PrincipalId],
        handover: Handover,
    ) -> Result<(), AppError> {
        for project in handover.projects {
            let role = ProjectRole::Admin;
            self.set_project_role(transaction, workspace, project, handover.successor, role).await?;
        }
        for &principal in leaving {
            for project in store::project::list_projects_of(&mut transaction.change, workspace, principal).await? {
                store::project::delete_project_role(&mut transaction.change, project, principal).await?;
            }
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
    const SCOPE: KeywardScope = KeywardScope::Manage;

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
            require_another_admin(scope, access, std::slice::from_ref(&member)).await?;
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

struct DeleteMembers {
    workspace: WorkspaceId,
    users: BTreeSet<UserId>,
    successor: Option<PrincipalId>,
    revoke_keys: bool,
}

impl Operation for DeleteMembers {
    type Checked = (Vec<MemberRow>, Handover);
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let workspace = self.workspace;
        let (access, members) = find_leaving(scope.connection, scope.principal, workspace, &self.users).await?;
        require_another_admin(scope, access, &members).await?;
        if self.revoke_keys {
            scope.principal.authorize(WorkspacePermission::ManageServiceAccountKeys, workspace)?;
        }
        let leaving: Vec<PrincipalId> = self.users.iter().copied().map(PrincipalId::from).collect();
        let handover = check_handover(scope, access, &leaving, self.successor).await?;
        Ok((members, handover))
    }

    fn unchanged(&self, (members, _): &Self::Checked) -> Option<()> {
        members.is_empty().then_some(())
    }

    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        if self.revoke_keys { app.write_uses().await } else { Ok(()) }
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (members, handover): Self::Checked,
    ) -> Result<(), AppError> {
        let workspace = self.workspace;
        let leaving: Vec<PrincipalId> = members.iter().map(|member| member.user.into()).collect();
        app.hand_over_projects(transaction, workspace, &leaving, handover).await?;
        for member in members {
            let user = member.user;
            let mut detail = app.describe_leaving(transaction, &member, workspace).await?;
            if self.revoke_keys {
                detail = detail.with("registered_keys_revoked", "true");
                app.revoke_registered_keys(transaction, user, Some(workspace), AuditAction::MemberRemove).await?;
            }
            store::member::delete_member(&mut transaction.change, workspace, user).await?;
            app.end_invitations_of(transaction, user.into(), Some(workspace)).await?;
            app.end_sessions_without_workspace(transaction, user).await?;
            transaction.note(app, AuditAction::MemberRemove, Some(workspace), user, detail);
        }
        Ok(())
    }
}

/// Returns the members that the caller may remove.
pub(super) async fn find_leaving(
    connection: &mut Connection,
    principal: &Principal,
    workspace: WorkspaceId,
    users: &BTreeSet<UserId>,
) -> Result<(WorkspaceAccess, Vec<MemberRow>), AppError> {
    require_few(users.len(), "member", "members")?;
    let mut access = principal.authorize(WorkspacePermission::View, workspace)?;
    let mut members = Vec::with_capacity(users.len());
    for &user in users {
        access = authorize_removal(principal, workspace, user)?;
        let found = store::member::find_member(connection, workspace, user).await?;
        members.push(found.ok_or(AppError::not_found())?);
    }
    Ok((access, members))
}

/// Refuses to remove the caller together with others.
pub(super) fn require_others(principal: &Principal, users: &BTreeSet<UserId>) -> Result<(), AppError> {
    if users.iter().any(|user| principal.id() == Some((*user).into())) {
        return Err(AppError::field("member", "own", "you are among the members; leave the workspace by yourself"));
    }
    Ok(())
}

/// The projects whose only admin leaves the workspace, and the successor.
pub(super) struct Handover {
    projects: Vec<ProjectId>,
    successor: Option<PrincipalId>,
}

/// Returns the projects that principals who leave a workspace hand over. Requires a successor if there are any.
pub(super) async fn check_handover(
    scope: &mut Scope<'_>,
    access: WorkspaceAccess,
    leaving: &[PrincipalId],
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

/// Returns the named successor, who must be in the workspace and must not be one of those who leave.
pub(super) async fn require_successor(
    scope: &mut Scope<'_>,
    access: WorkspaceAccess,
    leaving: &[PrincipalId],
    successor: Option<PrincipalId>,
    projects: &[ProjectId],
) -> Result<PrincipalId, AppError> {
    let Some(successor) = successor else {
        return Err(Conflict::SuccessorRequired(projects.to_vec()).into());
    };
    scope.principal.authorize_project_grant(ProjectRole::Admin)?;
    let role = store::project::find_workspace_role(scope.connection, access.workspace(), successor).await?;
    let identity = store::identity::find_identity(scope.connection, successor).await?;
    if role.is_none() || leaving.contains(&successor) || identity.is_none_or(|identity| identity.disabled) {
        let detail = "name another enabled user or service account of this workspace";
        return Err(AppError::field("successor", "not_a_member", detail));
    }
    Ok(successor)
}

/// Refuses to remove or demote the last enabled admins. Disabled admins may be removed.
async fn require_another_admin(
    scope: &mut Scope<'_>,
    access: WorkspaceAccess,
    members: &[MemberRow],
) -> Result<(), AppError> {
    if leaves_no_admin(scope.connection, access.workspace(), members).await? {
        return Err(Conflict::LastAdmin.into());
    }
    Ok(())
}

/// Returns whether the workspace would have no enabled admin without these members, and has one now.
pub(super) async fn leaves_no_admin(
    connection: &mut Connection,
    workspace: WorkspaceId,
    members: &[MemberRow],
) -> Result<bool, AppError> {
    let admins = members.iter().filter(|member| member.role == Role::Admin && !member.disabled);
    let admins: Vec<UserId> = admins.map(|member| member.user).collect();
    let is_left = admins.is_empty() || store::member::has_enabled_admin_beside(connection, workspace, &admins).await?;
    Ok(!is_left)
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
