//! Revocations after a user is removed, demoted or disabled: the open invitations that they sent and, if the caller
//! requests it, the keys that they registered for service accounts.

use std::collections::BTreeSet;

use domain::{
    AuditAction, PrincipalId, Timestamp, UserId, WorkspaceId, api_key::ApiKey, principal::WorkspacePermission,
    role::Role,
};
use store::{Connection, api_key::Descendants, member::MemberRow};

use super::{
    App, Caller, Candidate, Detail, RevocationCause, Transaction, api_key,
    candidate::list_successors,
    invitation,
    member::{find_leaving, leaves_no_admin, require_others},
};
use crate::error::AppError;

/// Returns the keys of service accounts of a workspace, or of all, that a principal registered, and those that these
/// keys registered in turn, each with its workspace. Revoked keys are not included.
async fn list_registered_keys(
    connection: &mut Connection,
    registrar: PrincipalId,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<ApiKey>, AppError> {
    let registered = store::api_key::list_api_keys_registered_by(connection, registrar).await?;
    let mut keys = store::api_key::list_with_descendants(connection, registered, Descendants::All).await?;
    let workspaces = api_key::workspaces_of_owners(connection, &keys).await?;
    keys.retain(|key| {
        let place = workspaces.get(&key.owner).copied();
        key.revoked_at.is_none() && place.is_some() && (workspace.is_none() || workspace == place)
    });
    keys.sort_by_key(|key| key.id);
    Ok(keys)
}

/// The keys that a member owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnKeys {
    /// The number of live keys.
    pub live: u64,
    /// When one of their keys was last used.
    pub last_used_at: Option<Timestamp>,
}

impl OwnKeys {
    async fn read(connection: &mut Connection, user: UserId, now: Timestamp) -> Result<Self, AppError> {
        let live = store::api_key::count_live_api_keys(connection, user.into(), now).await?;
        let last = store::api_key::find_last_use(connection, user.into()).await?;
        Ok(Self { live, last_used_at: last.map(|last| last.at) })
    }
}

/// The consequences of removing or demoting a member, with the data for the page.
#[derive(Clone, Debug)]
pub struct RemovalPreview {
    /// The member's email.
    pub email: String,
    /// The member's name.
    pub name: String,
    /// The member's role.
    pub role: Role,
    /// Whether the member is the last enabled admin of the workspace, and so stays one.
    pub is_last_admin: bool,
    /// The member's own keys.
    pub own_keys: OwnKeys,
    /// The objects that are revoked, or can be revoked on request.
    pub removal: api::MemberRemoval,
    /// The principals that could take over the projects without another admin. Empty if there are no such projects.
    pub successors: Vec<Candidate>,
}

/// A member who is removed together with others.
#[derive(Clone, Debug)]
pub struct LeavingMember {
    /// The member's email.
    pub email: String,
    /// The member's name.
    pub name: String,
    /// The member's own keys.
    pub own_keys: OwnKeys,
    /// The invitations and keys that are revoked, or can be revoked on request. Without projects.
    pub removal: api::MemberRemoval,
}

/// The consequences of removing several members together.
#[derive(Clone, Debug)]
pub struct RemovalsPreview {
    /// The members.
    pub members: Vec<LeavingMember>,
    /// Whether the workspace would be left without an enabled admin, so that they stay.
    pub leaves_no_admin: bool,
    /// The titles of the projects without another admin.
    pub projects: Vec<String>,
    /// The principals that could take over these projects. Empty if there are none.
    pub successors: Vec<Candidate>,
}

/// Adds the open invitations that a member wrote in a workspace, and the keys that they registered for its service
/// accounts.
async fn read_ended(
    connection: &mut Connection,
    workspace: WorkspaceId,
    user: UserId,
    now: Timestamp,
    removal: &mut api::MemberRemoval,
) -> Result<(), AppError> {
    let invitations = store::invitation::list_open_invitations_of(connection, user.into()).await?;
    let here = invitations.iter().filter(|invitation| invitation.workspace == workspace);
    removal.invitations = here.map(|invitation| invitation::to_wire(invitation, now)).collect();
    let keys = list_registered_keys(connection, user.into(), Some(workspace)).await?;
    let owners: Vec<PrincipalId> = keys.iter().map(|key| key.owner).collect();
    let emails = store::identity::find_emails(connection, &owners).await?;
    let to_wire = |key: &ApiKey| api::RegisteredKey {
        service_account: key.owner.to_string(),
        email: emails.get(&key.owner).cloned().unwrap_or_default(),
        key: api_key::to_wire(key, now),
    };
    removal.keys = keys.iter().map(to_wire).collect();
    Ok(())
}

impl App {
    /// Returns the objects in a workspace that the removal, demotion or disabling of a member would revoke or could
    /// revoke on request: the open invitations that they wrote, the keys that they registered for its service accounts,
    /// and the projects without another admin. Before leaving, a member who is not an admin only sees the projects.
    ///
    /// # Errors
    /// The caller is neither an admin of the workspace nor the member, or the member does not exist.
    pub async fn preview_removal(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        user: UserId,
    ) -> Result<RemovalPreview, AppError> {
        let is_own = caller.principal.id() == Some(user.into());
        let is_admin = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace);
        let access = match is_admin {
            Err(_) if is_own => caller.principal.authorize(WorkspacePermission::View, workspace)?,
            other => other?,
        };
        let mut connection = self.store.read().await?;
        let member = store::member::find_member(&mut connection, workspace, user).await?.ok_or(AppError::not_found())?;
        let is_last_admin = leaves_no_admin(&mut connection, workspace, std::slice::from_ref(&member)).await?;
        let (email, name, role) = (member.email.to_string(), member.name, member.role);
        let now = self.clock.now();
        let own_keys = OwnKeys::read(&mut connection, user, now).await?;
        let mut removal = api::MemberRemoval::default();
        let led = store::project::list_projects_led_only_by(&mut connection, access, &[user.into()]).await?;
        removal.projects =
            led.into_iter().map(|project| api::LedProject { id: project.id, title: project.title }).collect();
        let successors = if removal.projects.is_empty() {
            Vec::new()
        } else {
            list_successors(&mut connection, &caller.principal, access, &[user.into()], now).await?
        };
        if is_admin.is_err() {
            return Ok(RemovalPreview { email, name, role, is_last_admin, own_keys, removal, successors });
        }
        read_ended(&mut connection, workspace, user, now, &mut removal).await?;
        Ok(RemovalPreview { email, name, role, is_last_admin, own_keys, removal, successors })
    }

    /// Returns members, and what their removal together would revoke or could revoke on request.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace or is among the users, a user is not a member, or there are more than
    /// [`MAX_CHOSEN`](super::MAX_CHOSEN).
    pub async fn preview_removals(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        users: &BTreeSet<UserId>,
    ) -> Result<RemovalsPreview, AppError> {
        let principal = &caller.principal;
        principal.authorize(WorkspacePermission::ManageMembers, workspace)?;
        require_others(principal, users)?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let (access, members) = find_leaving(&mut connection, principal, workspace, users).await?;
        let leaves_no_admin = leaves_no_admin(&mut connection, workspace, &members).await?;
        let leaving: Vec<PrincipalId> = users.iter().copied().map(PrincipalId::from).collect();
        let led = store::project::list_projects_led_only_by(&mut connection, access, &leaving).await?;
        let successors = if led.is_empty() {
            Vec::new()
        } else {
            list_successors(&mut connection, principal, access, &leaving, now).await?
        };
        let mut shown = Vec::with_capacity(members.len());
        for member in members {
            let mut removal = api::MemberRemoval::default();
            read_ended(&mut connection, workspace, member.user, now, &mut removal).await?;
            let own_keys = OwnKeys::read(&mut connection, member.user, now).await?;
            shown.push(LeavingMember { email: member.email.to_string(), name: member.name, own_keys, removal });
        }
        let projects = led.into_iter().map(|project| project.title).collect();
        Ok(RemovalsPreview { members: shown, leaves_no_admin, projects, successors })
    }

    /// Returns the numbers of objects that disabling a user would revoke or could revoke on request. Operators see no
    /// details of workspaces.
    ///
    /// # Errors
    /// The caller is not an operator, or the user does not exist.
    pub async fn preview_disabling(&self, caller: &Caller, user: UserId) -> Result<api::UserRemoval, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        let identity = store::identity::find_identity(&mut connection, user.into()).await?;
        let identity = identity.ok_or(AppError::not_found())?;
        let invitations = store::invitation::list_open_invitations_of(&mut connection, user.into()).await?;
        let keys = list_registered_keys(&mut connection, user.into(), None).await?;
        let own_keys = store::api_key::count_live_api_keys(&mut connection, user.into(), self.clock.now()).await?;
        let mut removal = api::UserRemoval {
            email: identity.email.clone(),
            name: identity.name.clone(),
            own_keys,
            invitations: invitations.len() as u64,
            keys: keys.len() as u64,
            workspaces: Vec::new(),
        };
        for membership in &identity.memberships {
            let is_last_admin = membership.role == Role::Admin
                && !store::member::has_enabled_admin_beside(&mut connection, membership.workspace, &[user]).await?;
            removal.workspaces.push(api::WorkspaceOfUser {
                id: membership.workspace,
                slug: membership.slug.to_string(),
                name: membership.name.to_string(),
                role: membership.role,
                is_last_admin,
            });
        }
        Ok(removal)
    }

    /// Revokes the open invitations that `writer` wrote and may no longer write after this transaction, each with its
    /// event. It also revokes all that they wrote in the workspace in which they lost their role.
    pub(super) async fn end_invitations_of(
        &self,
        transaction: &mut Transaction,
        writer: PrincipalId,
        lost: Option<WorkspaceId>,
    ) -> Result<(), AppError> {
        let identity = store::identity::find_identity(&mut transaction.change, writer).await?;
        for open in store::invitation::list_open_invitations_of(&mut transaction.change, writer).await? {
            if lost == Some(open.workspace) || !invitation::may_write(identity.as_ref(), &open) {
                let detail = Detail::of(&open).with("written_by", open.created_by.as_str());
                self.revoke_open_invitation(transaction, &open, detail).await?;
            }
        }
        Ok(())
    }

    /// Returns the details of the event of a member who is removed: how many keys they own, and how many they registered
    /// for service accounts of the workspace.
    pub(super) async fn describe_leaving(
        &self,
        transaction: &mut Transaction,
        member: &MemberRow,
        workspace: WorkspaceId,
    ) -> Result<Detail, AppError> {
        let now = transaction.now;
        let own = store::api_key::count_live_api_keys(&mut transaction.change, member.user.into(), now).await?;
        let registered = list_registered_keys(&mut transaction.change, member.user.into(), Some(workspace)).await?;
        Ok(Detail::of(member).with("own_keys", own.to_string()).with("registered_keys", registered.len().to_string()))
    }

    /// Revokes the keys that a user registered for service accounts of a workspace, or of all, and those that these
    /// keys registered in turn, each with its event. `cause` is the action that takes the user's rights.
    pub(super) async fn revoke_registered_keys(
        &self,
        transaction: &mut Transaction,
        registrar: UserId,
        workspace: Option<WorkspaceId>,
        cause: AuditAction,
    ) -> Result<(), AppError> {
        let keys = list_registered_keys(&mut transaction.change, registrar.into(), workspace).await?;
        self.revoke_keys(transaction, keys, &RevocationCause::new(cause, registrar)).await
    }
}
