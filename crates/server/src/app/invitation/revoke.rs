//! Revocation of invitations, by a request or as the consequence of another change.

use std::sync::Arc;

use domain::{AuditAction, InvitationId, WorkspaceId, invitation::Invitation, user::Email};

use super::{closed, find_managed};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction},
    error::AppError,
};

impl App {
    /// Revokes an invitation.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, or the invitation is accepted.
    pub async fn revoke_invitation(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: InvitationId,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, RevokeInvitation { workspace, id }).await
    }

    /// Revokes every open invitation of a workspace, for one email or for all, each with its event.
    pub(in crate::app) async fn end_open_invitations(
        &self,
        transaction: &mut Transaction,
        workspace: WorkspaceId,
        email: Option<&Email>,
    ) -> Result<(), AppError> {
        let change = &mut transaction.change;
        for open in store::invitation::list_open_invitations(change, workspace, email).await? {
            self.revoke_open_invitation(transaction, &open, Detail::of(&open)).await?;
        }
        Ok(())
    }

    /// Revokes an open invitation, with its event.
    pub(in crate::app) async fn revoke_open_invitation(
        &self,
        transaction: &mut Transaction,
        open: &Invitation,
        detail: Detail,
    ) -> Result<(), AppError> {
        let now = transaction.now;
        store::invitation::revoke_invitation(&mut transaction.change, open.id, now).await?;
        transaction.note(self, AuditAction::InvitationRevoke, Some(open.workspace), open.id, detail);
        Ok(())
    }
}

struct RevokeInvitation {
    workspace: WorkspaceId,
    id: InvitationId,
}

impl Operation for RevokeInvitation {
    type Checked = Invitation;
    type Response = ();
    const STATUS: u16 = 204;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Invitation, AppError> {
        let invitation = find_managed(scope, self.workspace, self.id).await?;
        if invitation.accepted_at.is_some() { Err(closed()) } else { Ok(invitation) }
    }

    fn unchanged(&self, invitation: &Invitation) -> Option<()> {
        invitation.revoked_at.map(|_| ())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, invitation: Invitation) -> Result<(), AppError> {
        app.revoke_open_invitation(transaction, &invitation, Detail::of(&invitation)).await
    }
}
