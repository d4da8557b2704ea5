//! Invitations: how to read them, and which principals may write one. Each change has its own file.

mod accept;
mod create;
mod mail;
mod revoke;

use domain::{
    AuditPrincipal, InvitationId, PrincipalId, Timestamp, WorkspaceId,
    invitation::{Invitation, InvitationState},
    list::{InvitationFilter, InvitationOrder, Search},
    principal::{Identity, WorkspacePermission},
    role::Role,
    user::User,
};
use store::{Connection, invitation::Invitations};

pub(super) use self::mail::Issued;
use super::{
    App, Audited, Caller, Found, Paging, Place, Scope,
    list::{list_page, look_through},
    sha256,
};
use crate::error::{AppError, Conflict};

/// An invitation, as its holder sees it.
#[derive(Clone, Debug)]
pub struct OpenInvitation {
    /// The invited email.
    pub email: String,
    /// The role it gives.
    pub role: Role,
    /// The name of the workspace.
    pub workspace: String,
    /// Its slug.
    pub slug: String,
    /// Whether a user with that email exists, who signs in to accept.
    pub has_account: bool,
    /// Whether the existing user never verified the email, and the holder of this link did. The holder may then become
    /// a new user with this email.
    pub may_take_email: bool,
}

pub(super) fn to_wire(invitation: &Invitation, now: Timestamp) -> api::Invitation {
    api::Invitation {
        id: invitation.id,
        email: invitation.email.to_string(),
        role: invitation.role,
        state: match invitation.state(now) {
            InvitationState::Pending => api::InvitationState::Pending,
            InvitationState::Accepted => api::InvitationState::Accepted,
            InvitationState::Revoked => api::InvitationState::Revoked,
            InvitationState::Expired => api::InvitationState::Expired,
        },
        created_by: invitation.created_by.clone(),
        created_at: invitation.created_at,
        expires_at: invitation.expires_at,
    }
}

fn closed() -> AppError {
    Conflict::InvitationClosed.into()
}

impl Audited for Invitation {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self {
            id: _,
            workspace: _,
            email,
            role,
            accepted_at: _,
            revoked_at: _,
            expires_at: _,
            created_by: _,
            created_at: _,
            mailed_at: _,
        } = self;
        vec![("email", email.to_string()), ("role", role.to_string())]
    }
}

impl App {
    /// Returns the invitations of a workspace, open and closed, that match a search.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn list_invitations(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &Search<InvitationOrder, InvitationFilter>,
        paging: &Paging,
    ) -> Result<api::Page<api::Invitation>, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewInvitations, workspace)?;
        let now = self.clock.now();
        let invitations = Invitations(access, now);
        list_page(&mut *self.store.read().await?, &invitations, search, paging, |row| to_wire(&row, now)).await
    }

    /// Returns one page of these invitations for a person, with their numbers.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn look_through_invitations(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &Search<InvitationOrder, InvitationFilter>,
        place: &Place,
    ) -> Result<Found<api::Invitation>, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewInvitations, workspace)?;
        let now = self.clock.now();
        let invitations = Invitations(access, now);
        look_through(&mut *self.store.read().await?, &invitations, search, place, |row| to_wire(&row, now)).await
    }

    /// Returns the invitation of a token, for the page that accepts it.
    ///
    /// # Errors
    /// The token is unknown, or the invitation is accepted, revoked or expired.
    pub async fn find_invitation(&self, token: &str) -> Result<OpenInvitation, AppError> {
        let mut connection = self.store.read().await?;
        let found = store::invitation::find_invitation_by_token(&mut connection, &sha256(token)).await?;
        let now = self.clock.now();
        let open = found.filter(|open| open.state(now) == InvitationState::Pending).ok_or_else(closed)?;
        if !writer_may_still_invite(&mut connection, &open).await? {
            return Err(closed());
        }
        let workspace = store::workspace::find_workspace(&mut connection, open.workspace).await?.ok_or_else(closed)?;
        let account = store::user::find_user_by_email(&mut connection, &open.email).await?;
        Ok(OpenInvitation {
            email: open.email.to_string(),
            role: open.role,
            workspace: workspace.name,
            slug: workspace.slug.to_string(),
            may_take_email: account.as_ref().is_some_and(|account| may_take_email(&open, account)),
            has_account: account.is_some(),
        })
    }
}

/// Returns the pending invitation of a token.
async fn find_pending(
    connection: &mut Connection,
    token_hash: &[u8; 32],
    now: Timestamp,
) -> Result<Invitation, AppError> {
    let found = store::invitation::find_invitation_by_token(connection, token_hash).await?;
    found.filter(|found| found.state(now) == InvitationState::Pending).ok_or_else(closed)
}

/// Returns whether the holder of an invitation may become a new user with its email, although an account has the email.
/// The link must have been mailed to the email, and the account must not have verified it. An operator's email can only
/// be changed by the host or another operator. An account that is disabled, or suspended since a restore, keeps its
/// email, so that its user cannot return as a new user.
fn may_take_email(invitation: &Invitation, account: &User) -> bool {
    invitation.mailed_at.is_some()
        && account.email_verified_at.is_none()
        && !(account.operator || account.disabled || account.suspended)
}

/// Returns an invitation of a workspace whose invitations the caller manages.
async fn find_managed(scope: &mut Scope<'_>, workspace: WorkspaceId, id: InvitationId) -> Result<Invitation, AppError> {
    scope.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
    let found = store::invitation::find_invitation(scope.connection, workspace, id).await?;
    found.ok_or(AppError::not_found())
}

/// Returns whether a principal may write this invitation now.
pub(super) fn may_write(writer: Option<&Identity>, invitation: &Invitation) -> bool {
    let Some(writer) = writer.filter(|writer| !writer.disabled) else { return false };
    let is_admin = writer.memberships.iter().any(|m| m.workspace == invitation.workspace && m.role == Role::Admin);
    match writer.id {
        // An operator who is not a member may invite the first admin of a workspace.
        PrincipalId::User(_) => is_admin || writer.operator,
        PrincipalId::ServiceAccount(_) => is_admin && invitation.role != Role::Admin,
    }
}

/// Returns whether the writer of an invitation may still write it. The host always may.
async fn writer_may_still_invite(connection: &mut Connection, invitation: &Invitation) -> Result<bool, AppError> {
    let writer = match invitation.created_by.parse::<AuditPrincipal>() {
        Ok(AuditPrincipal::Host) => return Ok(true),
        Ok(AuditPrincipal::User(user)) => user.into(),
        Ok(AuditPrincipal::ServiceAccount(account)) => account.into(),
        Ok(AuditPrincipal::Anonymous) | Err(_) => return Ok(false),
    };
    let writer = store::identity::find_identity(connection, writer).await?;
    Ok(may_write(writer.as_ref(), invitation))
}
