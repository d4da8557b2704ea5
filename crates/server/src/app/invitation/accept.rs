//! Accepting an invitation.

use std::{net::IpAddr, sync::Arc};

use domain::{
    AuditAction, AuditPrincipal, PrincipalId, UserId,
    invitation::Invitation,
    limits::KeywardScope,
    principal::Denied,
    role::{RequiredRole, Role},
    text::parse_title,
    user::User,
};
use store::Connection;

use super::{closed, find_pending, may_take_email, writer_may_still_invite};
use crate::{
    app::{
        App, Browser, Caller, ChangeError, Confirmed, Detail, Operation, Scope, SignedIn, Transaction, sha256,
        user::PLACEHOLDER_DOMAIN,
    },
    error::{AppError, Conflict},
};

impl App {
    /// Accepts an invitation once. An authenticated user joins the workspace. Any other client becomes a user.
    ///
    /// # Errors
    /// The token is unknown, used, revoked or expired, its writer may no longer invite, or the invited email belongs to
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

    /// Accepts an invitation once, for a client that becomes a user, and signs them in.
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

    /// Prepares the data of a client that becomes a user by an invitation.
    async fn prepare_newcomer(
        &self,
        token_hash: &[u8; 32],
        accept: api::AcceptInvitation,
        browser: Option<Browser>,
    ) -> Result<Newcomer, AppError> {
        // Read before a password is hashed, so that guessing tokens causes little work for the server.
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

    /// Creates a user for the holder of an invitation. If the link was mailed, the email is verified, and an account
    /// that did not verify it loses it.
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
        transaction.note(self, AuditAction::UserCreate, None, user.id, Detail::of(&user));
        Ok(())
    }

    /// Replaces the email of an account that did not verify it with a placeholder. Records an event in the log of each
    /// of its workspaces.
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

/// A client that becomes a user by an invitation.
struct Newcomer {
    id: UserId,
    name: String,
    password_hash: String,
    /// The browser that is signed in immediately, if there is one.
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
    /// The account that loses the email to a new user.
    account: Option<User>,
    /// The user whose email the invitation verifies.
    verified: Option<User>,
    /// The role of a user who is already a member.
    role: Option<Role>,
}

impl Operation for AcceptInvitation {
    type Checked = Acceptance;
    type Response = api::AcceptedInvitation;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

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
                scope.principal.require_reach(invitation.workspace)?;
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
            transaction.note(app, AuditAction::UserVerifyEmail, None, user.id, Detail::of(&user));
        }
        store::invitation::accept_invitation(&mut transaction.change, invitation.id, now).await?;
        if role.is_none() {
            let change = &mut transaction.change;
            store::member::insert_member(change, workspace, user, invitation.role, now).await?;
        }
        // A member who verifies their email keeps their role.
        let role = role.unwrap_or(invitation.role);
        let detail = Detail::of(&invitation).with("user", user.to_string()).with("role", role.as_str());
        transaction.note(app, AuditAction::InvitationAccept, Some(workspace), invitation.id, detail);
        if let Some(Newcomer { browser: Some(browser), session_token, .. }) = &self.newcomer {
            app.start_session(transaction, user, browser, session_token).await?;
        }
        Ok(api::AcceptedInvitation { user, workspace, role })
    }
}

/// Returns the user whose email is verified by accepting a link that was mailed to it.
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
