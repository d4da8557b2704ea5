//! Creating invitations, and sending them again.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    AuditAction, InvitationId, WorkspaceId,
    invitation::{INVITATION_LIFETIME, Invitation, InvitationState},
    limits::KeywardScope,
    principal::WorkspacePermission,
    role::Role,
    user::Email,
};

use super::{Issued, closed, find_managed};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction, UnsentMail, sha256},
    error::{AppError, Conflict},
};

/// The maximum number of emails in one request.
const MAX_EMAILS: usize = 100;

impl App {
    /// Invites people with one role. People who are already members are skipped.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, an email is malformed, or all of them belong to members. Then
    /// nobody is invited.
    pub async fn create_invitations(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        create: &api::CreateInvitations,
    ) -> Result<Confirmed<api::IssuedInvitations>, ChangeError> {
        self.change(caller, CreateInvitations { workspace, create: create.clone() }).await
    }

    /// Gives an invitation a new token and a new expiry date. The previous token becomes invalid. From then on, the
    /// caller is the inviter.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace, or the invitation is accepted or revoked.
    pub async fn resend_invitation(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: InvitationId,
    ) -> Result<Confirmed<api::IssuedInvitation>, ChangeError> {
        self.change(caller, ResendInvitation { workspace, id }).await
    }

    /// Creates an invitation of one email, without sending the mail. An open invitation of the same email is revoked.
    pub(in crate::app) async fn invite(
        &self,
        transaction: &mut Transaction,
        workspace: WorkspaceId,
        email: Email,
        role: Role,
    ) -> Result<(), AppError> {
        let now = transaction.now;
        let token = self.random_text::<32>();
        self.end_open_invitations(transaction, workspace, Some(&email)).await?;
        let invitation = Invitation {
            id: self.generate_id(now),
            workspace,
            email,
            role,
            accepted_at: None,
            revoked_at: None,
            expires_at: now + INVITATION_LIFETIME,
            created_by: transaction.created_by(),
            created_at: now,
            mailed_at: self.mailer.is_some().then_some(now),
        };
        store::invitation::insert_invitation(&mut transaction.change, &invitation, &sha256(&token)).await?;
        let detail = Detail::of(&invitation);
        transaction.note(self, AuditAction::InvitationCreate, Some(workspace), invitation.id, detail);
        transaction.mail.invitations.push(Issued { invitation, token });
        Ok(())
    }
}

/// The people to invite.
struct Invited {
    /// The name of the workspace.
    workspace: String,
    emails: BTreeSet<Email>,
    /// The emails of members, who are not invited.
    members: Vec<Email>,
}

struct CreateInvitations {
    workspace: WorkspaceId,
    create: api::CreateInvitations,
}

impl Operation for CreateInvitations {
    type Checked = Invited;
    type Response = api::IssuedInvitations;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let (workspace, create) = (self.workspace, &self.create);
        scope.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
        scope.principal.authorize_grant(create.role)?;
        if create.emails.is_empty() || create.emails.len() > MAX_EMAILS {
            return Err(AppError::field("emails", "out_of_range", format!("enter 1 to {MAX_EMAILS} email addresses")));
        }
        let mut emails: BTreeSet<Email> =
            create.emails.iter().map(|text| app.parse_email("emails", text)).collect::<Result<_, _>>()?;
        let mut members = Vec::new();
        for email in &emails {
            if let Some(user) = store::user::find_user_by_email(scope.connection, email).await?
                && store::member::find_member(scope.connection, workspace, user.id).await?.is_some()
                // A member can verify their email with a mailed link. So can its actual owner, if that is another
                // person.
                && (app.mailer.is_none() || user.email_verified_at.is_some())
            {
                members.push(email.clone());
            }
        }
        emails.retain(|email| !members.contains(email));
        if emails.is_empty() {
            return Err(Conflict::InvitedMembers(members).into());
        }
        let found = store::workspace::find_workspace(scope.connection, workspace).await?;
        Ok(Invited { workspace: found.ok_or(AppError::not_found())?.name, emails, members })
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        invited: Invited,
    ) -> Result<api::IssuedInvitations, AppError> {
        for email in invited.emails {
            app.invite(transaction, self.workspace, email, self.create.role).await?;
        }
        transaction.mail.workspace = invited.workspace;
        let skipped = invited.members.iter().map(ToString::to_string).collect();
        Ok(api::IssuedInvitations { items: app.tell_before_mail(transaction), skipped })
    }

    async fn finish(
        &self,
        app: &Arc<App>,
        caller: &Caller,
        response: api::IssuedInvitations,
        mail: UnsentMail,
    ) -> api::IssuedInvitations {
        api::IssuedInvitations { items: app.mail_invitations(caller, &mail).await, ..response }
    }
}

struct ResendInvitation {
    workspace: WorkspaceId,
    id: InvitationId,
}

impl Operation for ResendInvitation {
    /// The name of the workspace, and the invitation.
    type Checked = (String, Invitation);
    type Response = api::IssuedInvitation;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let invitation = find_managed(scope, self.workspace, self.id).await?;
        match invitation.state(scope.now) {
            InvitationState::Pending | InvitationState::Expired => {}
            InvitationState::Accepted | InvitationState::Revoked => return Err(closed()),
        }
        scope.principal.authorize_grant(invitation.role)?;
        let found = store::workspace::find_workspace(scope.connection, self.workspace).await?;
        Ok((found.ok_or(AppError::not_found())?.name, invitation))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (name, mut invitation): Self::Checked,
    ) -> Result<api::IssuedInvitation, AppError> {
        let now = transaction.now;
        let token = app.random_text::<32>();
        invitation.expires_at = now + INVITATION_LIFETIME;
        invitation.created_by = transaction.created_by();
        invitation.mailed_at = app.mailer.is_some().then_some(now);
        store::invitation::renew_invitation(&mut transaction.change, &invitation, &sha256(&token)).await?;
        let detail = Detail::of(&invitation);
        transaction.note(app, AuditAction::InvitationResend, Some(self.workspace), self.id, detail);
        transaction.mail.invitations.push(Issued { invitation, token });
        transaction.mail.workspace = name;
        let issued = app.tell_before_mail(transaction).pop();
        issued.ok_or_else(|| AppError::Internal("no invitation was issued".to_owned()))
    }

    async fn finish(
        &self,
        app: &Arc<App>,
        caller: &Caller,
        response: api::IssuedInvitation,
        mail: UnsentMail,
    ) -> api::IssuedInvitation {
        app.mail_invitations(caller, &mail).await.pop().unwrap_or(response)
    }
}
