//! Invitations: sending, taking back, accepting.

use std::{collections::BTreeSet, net::IpAddr};

use api::MailState;
use domain::{
    AuditPrincipal, InvitationId, PrincipalId, WorkspaceId,
    invitation::{INVITATION_LIFETIME, Invitation, InvitationState},
    principal::{Denied, WorkspacePermission},
    role::Role,
    text::parse_title,
    user::{Email, User},
};

use super::{App, Caller, Paging, Transaction, page, sha256};
use crate::{error::AppError, mail::Mail};

/// An invitation as its holder sees it.
#[derive(Clone, Debug)]
pub struct OpenInvitation {
    /// Whom it is for.
    pub email: String,
    /// The role it gives.
    pub role: Role,
    /// The name of the workspace.
    pub workspace: String,
    /// Its slug.
    pub slug: String,
    /// Whether there is a user of that email, who signs in to accept.
    pub has_account: bool,
}

/// Addresses in one call at the most.
const MAX_EMAILS: usize = 100;

fn to_wire(invitation: &Invitation, now: domain::Timestamp) -> api::Invitation {
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
    let detail = "This invitation was accepted, taken back, or is over. Ask for a new one.";
    AppError::conflict(api::codes::INVITATION_CLOSED, detail)
}

impl App {
    fn issue(&self, invitation: &Invitation, token: String, now: domain::Timestamp) -> api::IssuedInvitation {
        let url = format!("{}/invitations/{token}", self.settings.public_url);
        let mail = if self.mailer.is_some() { MailState::Unknown } else { MailState::NotConfigured };
        api::IssuedInvitation { invitation: to_wire(invitation, now), token, url, mail }
    }

    /// Sends invitations by mail, where a server is set. They are committed: an outage of the mail loses none, and who
    /// invited is told which link to pass on by hand.
    pub(super) async fn mail_invitations(
        &self,
        caller: &Caller,
        workspace: &str,
        issued: &mut [api::IssuedInvitation],
    ) {
        let Some(mailer) = &self.mailer else { return };
        let inviter = caller.principal.identity().map_or("Somebody", |identity| identity.name.as_str());
        let mails = issued.iter().map(|one| Mail {
            to: one.invitation.email.clone(),
            subject: format!("Join {workspace} on Keyward"),
            text: format!(
                "{inviter} invites you to the workspace {workspace} as {}.\n\nOpen this link within seven days to join. It \
                 works once:\n\n{}\n\nIf you did not expect this, do nothing: without the link nothing happens.\n",
                one.invitation.role, one.url
            ),
        });
        let sent = mailer.send_all(mails.collect()).await;
        for (one, sent) in issued.iter_mut().zip(sent) {
            one.mail = if sent { MailState::Sent } else { MailState::Failed };
        }
    }

    /// Invites one address. An open invitation of the same address gives way.
    pub(super) async fn invite(
        &self,
        transaction: &mut Transaction<'_>,
        workspace: WorkspaceId,
        email: Email,
        role: Role,
    ) -> Result<api::IssuedInvitation, AppError> {
        let now = transaction.now;
        let token = self.random_text::<32>();
        store::invitation::revoke_open_invitations(&mut transaction.change, workspace, Some(&email), now).await?;
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
        };
        store::invitation::insert_invitation(&mut transaction.change, &invitation, &sha256(&token)).await?;
        transaction.note(
            self,
            "invitation.create",
            Some(workspace),
            invitation.id,
            &[("email", invitation.email.as_str()), ("role", role.as_str())],
        );
        Ok(self.issue(&invitation, token, now))
    }

    /// Invitations of a workspace, open and closed.
    ///
    /// # Errors
    /// For its admins only.
    pub async fn list_invitations(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        paging: &Paging,
    ) -> Result<api::Page<api::Invitation>, AppError> {
        caller.principal.authorize(WorkspacePermission::ViewInvitations, workspace)?;
        let limit = paging.limit()?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let rows = store::invitation::list_invitations(&mut connection, workspace, paging.after()?, limit + 1).await?;
        Ok(page(rows, limit, |row| row.id.to_string(), |row| to_wire(&row, now)))
    }

    /// Invites people with one role, all or none of them.
    ///
    /// # Errors
    /// For the workspace's admins only; an address is malformed, or a member's.
    pub async fn create_invitations(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        create: &api::CreateInvitations,
    ) -> Result<api::IssuedInvitations, AppError> {
        caller.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
        caller.principal.authorize_grant(create.role)?;
        if create.emails.is_empty() || create.emails.len() > MAX_EMAILS {
            return Err(AppError::field("emails", "out_of_range", format!("write 1 to {MAX_EMAILS} addresses")));
        }
        let emails: BTreeSet<Email> =
            create.emails.iter().map(|text| self.parse_email("emails", text)).collect::<Result<_, _>>()?;
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
        transaction.principal.authorize_grant(create.role)?;
        if create.role == Role::Admin {
            transaction.require_recent_password()?;
        }
        let mut items = Vec::new();
        for email in emails {
            if let Some(user) = store::user::find_user_by_email(&mut transaction.change, &email).await?
                && store::member::find_member(&mut transaction.change, workspace, user.id).await?.is_some()
            {
                let detail =
                    format!("{email} is a member of this workspace already. Leave them out; nobody was invited.");
                return Err(AppError::conflict(api::codes::ALREADY_MEMBER, detail));
            }
            items.push(self.invite(&mut transaction, workspace, email, create.role).await?);
        }
        let name = workspace_name(&mut transaction, workspace).await?;
        let mut issued = self.commit(transaction, 201, api::IssuedInvitations { items }).await?;
        self.mail_invitations(caller, &name, &mut issued.items).await;
        Ok(issued)
    }

    /// Gives an invitation a new token and a new end; the token before is dead.
    ///
    /// # Errors
    /// For the workspace's admins only; it must not be accepted or taken back.
    pub async fn resend_invitation(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: InvitationId,
    ) -> Result<api::IssuedInvitation, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
        let mut invitation = find(&mut transaction, workspace, id).await?;
        let now = transaction.now;
        match invitation.state(now) {
            InvitationState::Pending | InvitationState::Expired => {}
            InvitationState::Accepted | InvitationState::Revoked => return Err(closed()),
        }
        transaction.principal.authorize_grant(invitation.role)?;
        let token = self.random_text::<32>();
        invitation.expires_at = now + INVITATION_LIFETIME;
        let expires_at = invitation.expires_at;
        store::invitation::renew_invitation(&mut transaction.change, id, &sha256(&token), expires_at).await?;
        transaction.note(self, "invitation.resend", Some(workspace), id, &[("email", invitation.email.as_str())]);
        let answer = self.issue(&invitation, token, now);
        let name = workspace_name(&mut transaction, workspace).await?;
        let mut issued = self.commit(transaction, 200, answer).await?;
        self.mail_invitations(caller, &name, std::slice::from_mut(&mut issued)).await;
        Ok(issued)
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// For the workspace's admins only; it must not be accepted.
    pub async fn revoke_invitation(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        id: InvitationId,
    ) -> Result<(), AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
        let invitation = find(&mut transaction, workspace, id).await?;
        match invitation.state(transaction.now) {
            InvitationState::Pending | InvitationState::Expired => {}
            InvitationState::Revoked => return Ok(()),
            InvitationState::Accepted => return Err(closed()),
        }
        let now = transaction.now;
        store::invitation::revoke_invitation(&mut transaction.change, id, now).await?;
        transaction.note(self, "invitation.revoke", Some(workspace), id, &[("email", invitation.email.as_str())]);
        self.commit(transaction, 204, ()).await
    }

    /// What an invitation's token opens, for the page that accepts it.
    ///
    /// # Errors
    /// The token is unknown, used, taken back or over.
    pub async fn find_invitation(&self, token: &str) -> Result<OpenInvitation, AppError> {
        let mut connection = self.store.read().await?;
        let found = store::invitation::find_invitation_by_token(&mut connection, &sha256(token)).await?;
        let now = self.clock.now();
        let open = found.filter(|open| open.state(now) == InvitationState::Pending).ok_or_else(closed)?;
        let workspace = store::workspace::find_workspace(&mut connection, open.workspace).await?.ok_or_else(closed)?;
        let has_account = store::user::find_user_by_email(&mut connection, &open.email).await?.is_some();
        Ok(OpenInvitation {
            email: open.email.to_string(),
            role: open.role,
            workspace: workspace.name,
            slug: workspace.slug.to_string(),
            has_account,
        })
    }

    /// Accepts an invitation, once: a user who is authenticated joins, anybody else becomes a user.
    ///
    /// # Errors
    /// The token is unknown, used, taken back or over; or the invited address is a user's, who must sign in.
    pub async fn accept_invitation(
        &self,
        caller: Option<&Caller>,
        address: Option<IpAddr>,
        accept: api::AcceptInvitation,
    ) -> Result<api::AcceptedInvitation, AppError> {
        let token_hash = sha256(&accept.token);
        // Looked at before a password is hashed, so that guessing tokens costs us little.
        let open = {
            let mut connection = self.store.read().await?;
            store::invitation::find_invitation_by_token(&mut connection, &token_hash).await?
        };
        let now = self.clock.now();
        let open = open.filter(|open| open.state(now) == InvitationState::Pending).ok_or_else(closed)?;
        let newcomer = match caller {
            Some(_) => None,
            None => {
                let name = accept.name.ok_or_else(|| AppError::field("name", "missing", "tell your name"))?;
                let name = parse_title(&name).map_err(|e| AppError::field("name", "malformed", e))?;
                let password =
                    accept.password.ok_or_else(|| AppError::field("password", "missing", "choose a password"))?;
                let known = open.email.as_str();
                let hash = self.hash_password(password, &[known, &name]).await?;
                Some((name, hash))
            }
        };
        let mut transaction = match caller {
            Some(caller) => self.begin(caller).await?,
            None => self.begin_anonymous(address).await?,
        };
        let now = transaction.now;
        let found = store::invitation::find_invitation_by_token(&mut transaction.change, &token_hash).await?;
        let invitation = found.filter(|found| found.state(now) == InvitationState::Pending).ok_or_else(closed)?;
        let workspace = invitation.workspace;
        let user = match (newcomer, transaction.principal.id()) {
            (Some((name, password_hash)), _) => {
                if store::user::find_user_by_email(&mut transaction.change, &invitation.email).await?.is_some() {
                    let detail = format!("{} has an account here. Sign in and accept again.", invitation.email);
                    return Err(AppError::conflict(api::codes::EMAIL_TAKEN, detail));
                }
                let id = self.generate_id(now);
                let email = invitation.email.clone();
                let user = User {
                    id,
                    email,
                    email_verified_at: None,
                    name,
                    operator: false,
                    disabled: false,
                    created_at: now,
                };
                store::user::insert_user(&mut transaction.change, &user, Some(&password_hash)).await?;
                transaction.by = AuditPrincipal::User(id);
                transaction.note(self, "user.create", None, id, &[("email", user.email.as_str())]);
                id
            }
            (None, Some(PrincipalId::User(user))) => {
                transaction.principal.require_signature()?;
                user
            }
            (None, Some(PrincipalId::ServiceAccount(_)) | None) => return Err(Denied::Role("user").into()),
        };
        if store::member::find_member(&mut transaction.change, workspace, user).await?.is_some() {
            let detail = "You are a member of this workspace already.";
            return Err(AppError::conflict(api::codes::ALREADY_MEMBER, detail));
        }
        store::invitation::accept_invitation(&mut transaction.change, invitation.id, now).await?;
        store::member::insert_member(&mut transaction.change, workspace, user, invitation.role, now).await?;
        transaction.note(
            self,
            "invitation.accept",
            Some(workspace),
            invitation.id,
            &[("user", &user.to_string()), ("role", invitation.role.as_str())],
        );
        let answer = api::AcceptedInvitation { user, workspace, role: invitation.role };
        self.commit(transaction, 200, answer).await
    }
}

async fn workspace_name(transaction: &mut Transaction<'_>, workspace: WorkspaceId) -> Result<String, AppError> {
    let found = store::workspace::find_workspace(&mut transaction.change, workspace).await?;
    Ok(found.ok_or(AppError::not_found())?.name)
}

async fn find(
    transaction: &mut Transaction<'_>,
    workspace: WorkspaceId,
    id: InvitationId,
) -> Result<Invitation, AppError> {
    store::invitation::find_invitation(&mut transaction.change, workspace, id).await?.ok_or(AppError::not_found())
}
