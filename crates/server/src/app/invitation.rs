//! Invitations: sending, taking back, accepting.

use std::{collections::BTreeSet, net::IpAddr, pin::Pin, sync::Arc};

use api::MailState;
use domain::{
    AuditAction, AuditPrincipal, InvitationId, PrincipalId, Timestamp, UserId, WorkspaceId,
    invitation::{INVITATION_LIFETIME, Invitation, InvitationState},
    principal::{Denied, Identity, WorkspacePermission},
    role::{RequiredRole, Role},
    text::parse_title,
    user::{Email, User},
};

use store::Connection;

use super::{
    App, Browser, Caller, ChangeError, Confirmed, Operation, Paging, Scope, SignedIn, Transaction, UnsentMail, page,
    sha256, user::PLACEHOLDER_DOMAIN,
};
use crate::{
    error::{AppError, Conflict},
    mail::Mail,
};

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
    /// Whether that user never proved that the email is theirs, and the holder of this link did: they may become a user of
    /// their own, and the email is theirs then.
    pub may_take_email: bool,
}

/// An invitation that was written, and its token, which is not kept.
pub(super) struct Issued {
    invitation: Invitation,
    token: String,
}

/// Addresses in one call at the most.
const MAX_EMAILS: usize = 100;

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

impl App {
    /// What whoever invited is told: the token and the link where they are to pass them on, and never once it was mailed.
    fn tell(&self, issued: &Issued, mail: MailState, now: Timestamp) -> api::IssuedInvitation {
        let token = match mail {
            MailState::NotConfigured | MailState::Failed => Some(issued.token.clone()),
            MailState::Sent | MailState::Unknown => None,
        };
        let url = token.as_ref().map(|token| self.invitation_url(token));
        api::IssuedInvitation { invitation: to_wire(&issued.invitation, now), token, url, mail }
    }

    fn invitation_url(&self, token: &str) -> String {
        format!("{}/invitations/{token}", self.settings.public_url)
    }

    /// What is answered, and kept for the same signed request, before any mail has gone out.
    pub(super) fn tell_before_mail(&self, transaction: &Transaction) -> Vec<api::IssuedInvitation> {
        let mail = if self.mailer.is_some() { MailState::Unknown } else { MailState::NotConfigured };
        transaction.mail.invitations.iter().map(|issued| self.tell(issued, mail, transaction.now)).collect()
    }

    /// Sends invitations by mail, where a server is set, and tells what whoever invited is told. They are committed: an outage
    /// of the mail loses none. A link that the mail server did not take is theirs to pass on, after it is written down that it
    /// proves no address.
    pub(super) async fn mail_invitations(
        self: &Arc<Self>,
        caller: &Caller,
        mail: &UnsentMail,
    ) -> Vec<api::IssuedInvitation> {
        let (workspace, issued) = (&mail.workspace, &mail.invitations);
        let now = self.clock.now();
        let Some(mailer) = &self.mailer else {
            return issued.iter().map(|one| self.tell(one, MailState::NotConfigured, now)).collect();
        };
        let inviter = caller.principal.identity().map_or("An admin", |identity| identity.name.as_str());
        let mails = issued.iter().map(|one| Mail {
            to: one.invitation.email.to_string(),
            subject: format!("Join {workspace} on Keyward"),
            text: format!(
                "{inviter} invites you to the workspace {workspace} as {}.\n\nOpen this link within seven days to \
                 join. It works once:\n\n{}\n\nIf you did not expect this invitation, ignore this mail.\n",
                one.invitation.role,
                self.invitation_url(&one.token)
            ),
        });
        let sent = mailer.send_all(mails.collect()).await;
        let failed: Vec<&Issued> = issued.iter().zip(&sent).filter(|(_, sent)| !**sent).map(|(one, _)| one).collect();
        let is_noted = match self.note_failed_mails(caller, &failed).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(?error, "the failure to send mails could not be recorded; their links are not shown");
                false
            }
        };
        let tell = |(one, sent): (&Issued, &bool)| {
            let mut told = self.tell(one, if *sent { MailState::Sent } else { MailState::Failed }, now);
            if !is_noted {
                (told.token, told.url) = (None, None);
            }
            told
        };
        issued.iter().zip(&sent).map(tell).collect()
    }

    /// Notes which links were not mailed.
    async fn note_failed_mails(self: &Arc<Self>, caller: &Caller, failed: &[&Issued]) -> Result<(), AppError> {
        if failed.is_empty() {
            return Ok(());
        }
        // The signed request was answered with the invitations themselves.
        let caller = Caller { replay: None, ..caller.clone() };
        let failed = failed.iter().map(|Issued { invitation, token }| {
            (invitation.workspace, invitation.id, invitation.email.clone(), sha256(token))
        });
        // Sending mail is itself a part of a change: the two futures must not contain each other.
        let noting: Pin<Box<dyn Future<Output = _> + Send + '_>> =
            Box::pin(self.change(&caller, NoteFailedMails { failed: failed.collect() }));
        noting.await?;
        Ok(())
    }

    /// Ends every open invitation of a workspace, of one address or of all, each with its event.
    pub(super) async fn end_open_invitations(
        &self,
        transaction: &mut Transaction,
        workspace: WorkspaceId,
        email: Option<&Email>,
    ) -> Result<(), AppError> {
        let change = &mut transaction.change;
        for open in store::invitation::list_open_invitations(change, workspace, email).await? {
            self.end_invitation(transaction, &open, &[]).await?;
        }
        Ok(())
    }

    /// Invites one address, and leaves the mail to be sent. An open invitation of the same address ends.
    pub(super) async fn invite(
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
        transaction.note(
            self,
            AuditAction::InvitationCreate,
            Some(workspace),
            invitation.id,
            &[("email", invitation.email.as_str()), ("role", role.as_str())],
        );
        transaction.mail.invitations.push(Issued { invitation, token });
        Ok(())
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
        let access = caller.principal.authorize(WorkspacePermission::ViewInvitations, workspace)?;
        let limit = paging.limit()?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let rows = store::invitation::list_invitations(&mut connection, access, paging.after()?, limit + 1).await?;
        Ok(page(rows, limit, |row| row.id.to_string(), |row| to_wire(&row, now)))
    }

    /// Invites people with one role, all or none of them.
    ///
    /// # Errors
    /// For the workspace's admins only; an address is malformed, or a member's.
    pub async fn create_invitations(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        create: &api::CreateInvitations,
    ) -> Result<Confirmed<api::IssuedInvitations>, ChangeError> {
        self.change(caller, CreateInvitations { workspace, create: create.clone() }).await
    }

    /// Gives an invitation a new token and a new end; the token before opens nothing. Whoever sends it again answers for it
    /// from then on.
    ///
    /// # Errors
    /// For the workspace's admins only; it must not be accepted or taken back.
    pub async fn resend_invitation(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: InvitationId,
    ) -> Result<Confirmed<api::IssuedInvitation>, ChangeError> {
        self.change(caller, ResendInvitation { workspace, id }).await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// For the workspace's admins only; it must not be accepted.
    pub async fn revoke_invitation(
        self: &Arc<Self>,
        caller: &Caller,
        workspace: WorkspaceId,
        id: InvitationId,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, RevokeInvitation { workspace, id }).await
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

    /// Accepts an invitation, once: a user who is authenticated joins, any other client becomes a user.
    ///
    /// # Errors
    /// The token is unknown, used, revoked or expired, or its writer may not invite any more; or the invited email belongs to
    /// a user, who must sign in.
    pub async fn accept_invitation(
        self: &Arc<Self>,
        caller: Option<&Caller>,
        ip_address: Option<IpAddr>,
        accept: api::AcceptInvitation,
    ) -> Result<Confirmed<api::AcceptedInvitation>, ChangeError> {
        let token_hash = sha256(&accept.token);
        match caller {
            Some(caller) => self.change(caller, AcceptInvitation { token_hash, newcomer: None }).await,
            None => {
                let newcomer = Some(self.prepare_newcomer(&token_hash, accept, None).await?);
                self.change_anonymously(ip_address, AcceptInvitation { token_hash, newcomer }).await
            }
        }
    }

    /// Accepts an invitation, once, as a client who becomes a user, and signs them in.
    ///
    /// # Errors
    /// As [`accept_invitation`](Self::accept_invitation).
    pub async fn accept_invitation_and_sign_in(
        self: &Arc<Self>,
        browser: &Browser,
        accept: api::AcceptInvitation,
    ) -> Result<Confirmed<SignedIn>, ChangeError> {
        let token_hash = sha256(&accept.token);
        let newcomer = self.prepare_newcomer(&token_hash, accept, Some(browser.clone())).await?;
        let signed_in = self.new_sign_in(newcomer.id, newcomer.session_token.clone())?;
        let operation = AcceptInvitation { token_hash, newcomer: Some(newcomer) };
        Ok(self.change_anonymously(browser.ip_address, operation).await?.map(|_| signed_in))
    }

    /// What a client gives who becomes a user by an invitation.
    async fn prepare_newcomer(
        &self,
        token_hash: &[u8; 32],
        accept: api::AcceptInvitation,
        browser: Option<Browser>,
    ) -> Result<Newcomer, AppError> {
        // Read before a password is hashed, so that guessing tokens costs the server little.
        let open = {
            let mut connection = self.store.read().await?;
            find_pending(&mut connection, token_hash, self.clock.now()).await?
        };
        let name = accept.name.ok_or_else(|| AppError::field("name", "missing", "enter your name"))?;
        let name = parse_title(&name).map_err(|e| AppError::field("name", "malformed", e))?;
        let password = accept.password.ok_or_else(|| AppError::field("password", "missing", "choose a password"))?;
        let password_hash = self.hash_password(password, &[open.email.as_str(), &name]).await?;
        let id = self.generate_id(self.clock.now());
        Ok(Newcomer { id, name, password_hash, browser, session_token: self.random_text::<32>() })
    }

    /// Makes the holder of an invitation a user. Where the link was mailed, the address is theirs, and an account that only
    /// claimed it loses it.
    async fn create_invited_user(
        &self,
        transaction: &mut Transaction,
        invitation: &Invitation,
        newcomer: &Newcomer,
        account: Option<User>,
    ) -> Result<(), AppError> {
        let now = transaction.now;
        transaction.by = AuditPrincipal::User(newcomer.id);
        if let Some(account) = account {
            self.take_email_from(transaction, account).await?;
        }
        let user = User {
            id: newcomer.id,
            email: invitation.email.clone(),
            email_verified_at: invitation.mailed_at.map(|_| now),
            name: newcomer.name.clone(),
            operator: false,
            disabled: false,
            suspended: false,
            created_at: now,
        };
        store::user::insert_user(&mut transaction.change, &user, Some(&newcomer.password_hash)).await?;
        let verified = user.email_verified_at.is_some().to_string();
        let detail = [("email", user.email.as_str()), ("email_verified", &verified)];
        transaction.note(self, AuditAction::UserCreate, None, user.id, &detail);
        Ok(())
    }

    /// Gives an account that never proved its address another one, under which it goes on; in the log of each of its
    /// workspaces.
    async fn take_email_from(&self, transaction: &mut Transaction, mut account: User) -> Result<(), AppError> {
        let before = account.email.to_string();
        let placeholder = format!("{}@{PLACEHOLDER_DOMAIN}", account.id);
        account.email = placeholder.parse().map_err(|error| AppError::Internal(format!("{placeholder}: {error}")))?;
        store::user::update_user(&mut transaction.change, &account).await?;
        let detail = [("email_before", before.as_str()), ("email", account.email.as_str())];
        transaction.note(self, AuditAction::UserLoseEmail, None, account.id, &detail);
        for workspace in store::user::list_workspaces_of_user(&mut transaction.change, account.id).await? {
            transaction.note(self, AuditAction::MemberLoseEmail, Some(workspace), account.id, &detail);
        }
        Ok(())
    }
}

/// A pending invitation of a token.
async fn find_pending(
    connection: &mut Connection,
    token_hash: &[u8; 32],
    now: Timestamp,
) -> Result<Invitation, AppError> {
    let found = store::invitation::find_invitation_by_token(connection, token_hash).await?;
    found.filter(|found| found.state(now) == InvitationState::Pending).ok_or_else(closed)
}

/// A client who becomes a user by an invitation.
struct Newcomer {
    id: UserId,
    name: String,
    password_hash: String,
    /// The browser that is signed in at once, if one is.
    browser: Option<Browser>,
    session_token: String,
}

struct AcceptInvitation {
    token_hash: [u8; 32],
    newcomer: Option<Newcomer>,
}

/// An invitation that may be accepted.
struct Acceptance {
    invitation: Invitation,
    user: UserId,
    /// The account that loses the email to a newcomer.
    account: Option<User>,
    /// The user whose email the invitation verifies.
    verified: Option<User>,
    /// The role of a user who is a member already.
    role: Option<Role>,
}

impl Operation for AcceptInvitation {
    type Checked = Acceptance;
    type Response = api::AcceptedInvitation;
    const STATUS: u16 = 200;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Acceptance, AppError> {
        let invitation = find_pending(scope.connection, &self.token_hash, scope.now).await?;
        if !writer_may_still_invite(scope.connection, &invitation).await? {
            return Err(closed());
        }
        let (mut account, mut verified) = (None, None);
        let user = match (&self.newcomer, scope.principal.id()) {
            (Some(newcomer), _) => {
                account = store::user::find_user_by_email(scope.connection, &invitation.email).await?;
                if account.as_ref().is_some_and(|account| !may_take_email(&invitation, account)) {
                    return Err(Conflict::InvitedUserExists(invitation.email).into());
                }
                newcomer.id
            }
            (None, Some(PrincipalId::User(user))) => {
                scope.principal.require_signature()?;
                verified = find_user_to_verify(scope.connection, &invitation, user).await?;
                user
            }
            (None, Some(PrincipalId::ServiceAccount(_)) | None) => return Err(Denied::Role(RequiredRole::User).into()),
        };
        let member = store::member::find_member(scope.connection, invitation.workspace, user).await?;
        if member.is_some() && verified.is_none() {
            return Err(Conflict::AlreadyMember.into());
        }
        Ok(Acceptance { invitation, user, account, verified, role: member.map(|member| member.role) })
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        acceptance: Acceptance,
    ) -> Result<api::AcceptedInvitation, AppError> {
        let Acceptance { invitation, user, account, verified, role } = acceptance;
        let (workspace, now) = (invitation.workspace, transaction.now);
        if let Some(newcomer) = &self.newcomer {
            app.create_invited_user(transaction, &invitation, newcomer, account).await?;
        }
        if let Some(mut user) = verified {
            user.email_verified_at = Some(now);
            store::user::update_user(&mut transaction.change, &user).await?;
            transaction.note(app, AuditAction::UserVerifyEmail, None, user.id, &[("email", user.email.as_str())]);
        }
        store::invitation::accept_invitation(&mut transaction.change, invitation.id, now).await?;
        if role.is_none() {
            let change = &mut transaction.change;
            store::member::insert_member(change, workspace, user, invitation.role, now).await?;
        }
        // A member who proves their address keeps their role.
        let role = role.unwrap_or(invitation.role);
        let detail = [("user", user.to_string()), ("role", role.to_string())];
        let detail = detail.each_ref().map(|(name, value)| (*name, value.as_str()));
        transaction.note(app, AuditAction::InvitationAccept, Some(workspace), invitation.id, &detail);
        if let Some(Newcomer { browser: Some(browser), session_token, .. }) = &self.newcomer {
            app.start_session(transaction, user, browser, session_token).await?;
        }
        Ok(api::AcceptedInvitation { user, workspace, role })
    }
}

/// The user who proves an email that is not verified yet by accepting a link that was mailed to it.
async fn find_user_to_verify(
    connection: &mut Connection,
    invitation: &Invitation,
    user: UserId,
) -> Result<Option<User>, AppError> {
    let user = store::user::find_user(connection, user).await?.ok_or(AppError::not_found())?;
    let is_proven_by_it =
        invitation.mailed_at.is_some() && user.email == invitation.email && user.email_verified_at.is_none();
    Ok(is_proven_by_it.then_some(user))
}

/// Whether whoever holds an invitation may become a user of its address, which an account has: the link reached the address,
/// which the account never proved. Operators are named by the host or by other operators, who answer for them. Whoever is
/// disabled, or waits to be confirmed after a restore, does not come back as somebody new.
fn may_take_email(invitation: &Invitation, account: &User) -> bool {
    invitation.mailed_at.is_some()
        && account.email_verified_at.is_none()
        && !(account.operator || account.disabled || account.suspended)
}

/// An invitation of a workspace whose invitations the caller manages.
async fn find_managed(scope: &mut Scope<'_>, workspace: WorkspaceId, id: InvitationId) -> Result<Invitation, AppError> {
    scope.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
    let found = store::invitation::find_invitation(scope.connection, workspace, id).await?;
    found.ok_or(AppError::not_found())
}

struct CreateInvitations {
    workspace: WorkspaceId,
    create: api::CreateInvitations,
}

impl Operation for CreateInvitations {
    /// The name of the workspace, and the addresses.
    type Checked = (String, BTreeSet<Email>);
    type Response = api::IssuedInvitations;
    const STATUS: u16 = 201;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let (workspace, create) = (self.workspace, &self.create);
        scope.principal.authorize(WorkspacePermission::ManageInvitations, workspace)?;
        scope.principal.authorize_grant(create.role)?;
        if create.emails.is_empty() || create.emails.len() > MAX_EMAILS {
            return Err(AppError::field("emails", "out_of_range", format!("enter 1 to {MAX_EMAILS} email addresses")));
        }
        let emails: BTreeSet<Email> =
            create.emails.iter().map(|text| app.parse_email("emails", text)).collect::<Result<_, _>>()?;
        for email in &emails {
            if let Some(user) = store::user::find_user_by_email(scope.connection, email).await?
                && store::member::find_member(scope.connection, workspace, user.id).await?.is_some()
                // A mailed link lets a member prove their address, and its owner where that is somebody else.
                && (app.mailer.is_none() || user.email_verified_at.is_some())
            {
                return Err(Conflict::InvitedMember(email.clone()).into());
            }
        }
        let found = store::workspace::find_workspace(scope.connection, workspace).await?;
        Ok((found.ok_or(AppError::not_found())?.name, emails))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (name, emails): Self::Checked,
    ) -> Result<api::IssuedInvitations, AppError> {
        for email in emails {
            app.invite(transaction, self.workspace, email, self.create.role).await?;
        }
        transaction.mail.workspace = name;
        Ok(api::IssuedInvitations { items: app.tell_before_mail(transaction) })
    }

    async fn finish(
        &self,
        app: &Arc<App>,
        caller: &Caller,
        _: api::IssuedInvitations,
        mail: UnsentMail,
    ) -> api::IssuedInvitations {
        api::IssuedInvitations { items: app.mail_invitations(caller, &mail).await }
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
        let detail = [("email", invitation.email.as_str()), ("role", invitation.role.as_str())];
        transaction.note(app, AuditAction::InvitationResend, Some(self.workspace), self.id, &detail);
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
        app.end_invitation(transaction, &invitation, &[]).await
    }
}

/// Notes that links were not mailed, so that the caller may see them and they prove no address.
struct NoteFailedMails {
    /// The workspace, the invitation, its email, and the hash of its token.
    failed: Vec<(WorkspaceId, InvitationId, Email, [u8; 32])>,
}

impl Operation for NoteFailedMails {
    type Checked = ();
    type Response = ();
    const STATUS: u16 = 200;

    async fn check(&self, _: &App, _: &mut Scope<'_>) -> Result<(), AppError> {
        Ok(())
    }

    fn unchanged(&self, (): &()) -> Option<()> {
        self.failed.is_empty().then_some(())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(), AppError> {
        for (workspace, id, email, token_hash) in &self.failed {
            store::invitation::unmark_mailed(&mut transaction.change, *id, token_hash).await?;
            transaction.note(
                app,
                AuditAction::InvitationMailFailed,
                Some(*workspace),
                id,
                &[("email", email.as_str())],
            );
        }
        Ok(())
    }
}

/// Whether a principal may write this invitation now.
pub(super) fn may_write(writer: Option<&Identity>, invitation: &Invitation) -> bool {
    let Some(writer) = writer.filter(|writer| !writer.disabled) else { return false };
    let is_admin = writer.memberships.iter().any(|m| m.workspace == invitation.workspace && m.role == Role::Admin);
    match writer.id {
        // An operator names the first admin of a workspace from outside.
        PrincipalId::User(_) => is_admin || writer.operator,
        PrincipalId::ServiceAccount(_) => is_admin && invitation.role != Role::Admin,
    }
}

/// Whether the writer of an invitation may still write it. The host always may.
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
