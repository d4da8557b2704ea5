//! Revocation of invitations, by a request or as the consequence of another change.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    AuditAction, InvitationId, WorkspaceId, invitation::Invitation, limits::KeywardScope,
    principal::WorkspacePermission, user::Email,
};

use super::{closed, find_managed, to_wire};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction, chosen::require_few},
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

    /// Returns invitations of a workspace, for the confirmation of their revocation.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, an invitation is not one of it, or there are more than
    /// [`MAX_CHOSEN`].
    pub async fn preview_revoking_invitations(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        ids: &[InvitationId],
    ) -> Result<Vec<api::Invitation>, AppError> {
        caller.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
        require_few(ids.len(), "invitation", "invitations")?;
        let (mut connection, now) = (self.store.read().await?, self.clock.now());
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let invitation = store::invitation::find_invitation(&mut connection, workspace, *id).await?;
            found.push(to_wire(&invitation.ok_or(AppError::not_found())?, now));
        }
        Ok(found)
    }

    /// Revokes invitations of a workspace together, each with its event. Those that were accepted or revoked meanwhile
    /// stay as they are. Returns the number of invitations that were revoked.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, an invitation is not one of it, or there are more than
    /// [`MAX_CHOSEN`].
    pub async fn revoke_invitations(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        ids: Vec<InvitationId>,
    ) -> Result<Confirmed<usize>, ChangeError> {
        self.change(caller, RevokeInvitations { workspace, ids }).await
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
    const SCOPE: KeywardScope = KeywardScope::Manage;

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

struct RevokeInvitations {
    workspace: WorkspaceId,
    ids: Vec<InvitationId>,
}

impl Operation for RevokeInvitations {
    /// Those that are still open.
    type Checked = Vec<Invitation>;
    type Response = usize;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Vec<Invitation>, AppError> {
        scope.principal.authorize(WorkspacePermission::ManageInvitations, self.workspace)?;
        require_few(self.ids.len(), "invitation", "invitations")?;
        let mut open = Vec::new();
        for id in self.ids.iter().collect::<BTreeSet<_>>() {
            let invitation = find_managed(scope, self.workspace, *id).await?;
            if invitation.is_open() {
                open.push(invitation);
            }
        }
        Ok(open)
    }

    fn unchanged(&self, open: &Vec<Invitation>) -> Option<usize> {
        open.is_empty().then_some(0)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, open: Vec<Invitation>) -> Result<usize, AppError> {
        for invitation in &open {
            app.revoke_open_invitation(transaction, invitation, Detail::of(invitation)).await?;
        }
        Ok(open.len())
    }
}
