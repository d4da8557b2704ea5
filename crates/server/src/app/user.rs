//! The operations of operators on users.

use std::sync::Arc;

use domain::{
    AuditAction, UserId,
    limits::KeywardScope,
    list::{Search, UserFilter, UserOrder},
    text::parse_title,
    user::{Email, User},
};

use store::{Connection, user::Users};

use super::{
    App, Audited, Caller, ChangeError, Confirmed, Detail, Found, Operation, Paging, Place, Scope, Transaction,
    list::{list_page, look_through},
};
use crate::error::{AppError, Conflict};

fn to_wire(user: User) -> api::User {
    api::User {
        id: user.id,
        email: user.email.to_string(),
        email_verified: user.email_verified_at.is_some(),
        name: user.name,
        operator: user.operator,
        disabled: user.disabled,
        suspended: user.suspended,
        created_at: user.created_at,
    }
}

/// The domain of the placeholder addresses of accounts that lost their email (RFC 2606 §2: mail never reaches it). No
/// other account has such an address.
pub(super) const PLACEHOLDER_DOMAIN: &str = "unverified.invalid";

impl Audited for User {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { id: _, email, email_verified_at, name, operator, disabled, suspended: _, created_at: _ } = self;
        vec![
            ("email", email.to_string()),
            ("email_verified", email_verified_at.is_some().to_string()),
            ("name", name.clone()),
            ("operator", operator.to_string()),
            ("disabled", disabled.to_string()),
        ]
    }
}

impl App {
    /// Parses an email that a user can have.
    pub(super) fn parse_email(&self, field: &str, text: &str) -> Result<Email, AppError> {
        let email = text
            .parse::<Email>()
            .and_then(|email| email.outside_of(&self.settings.service_account_domain))
            // With several emails in one request, the message has to contain the invalid one.
            .map_err(|e| AppError::field(field, "malformed", format!("{e}: {text}")))?;
        email.outside_of(PLACEHOLDER_DOMAIN).map_err(|_| {
            let why =
                format!("email addresses in {PLACEHOLDER_DOMAIN} are placeholders for lost ones; use another one");
            AppError::field(field, "malformed", why)
        })
    }

    /// Returns the users that match a search.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn list_users(
        &self,
        caller: &Caller,
        search: &Search<UserOrder, UserFilter>,
        paging: &Paging,
    ) -> Result<api::Page<api::User>, AppError> {
        let access = caller.principal.authorize_operator()?;
        list_page(&mut *self.store.read().await?, &Users(access), search, paging, to_wire).await
    }

    /// Returns one page of these users for a person, with their numbers.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn look_through_users(
        &self,
        caller: &Caller,
        search: &Search<UserOrder, UserFilter>,
        place: &Place,
    ) -> Result<Found<api::User>, AppError> {
        let access = caller.principal.authorize_operator()?;
        look_through(&mut *self.store.read().await?, &Users(access), search, place, to_wire).await
    }

    /// Returns a user for an operator.
    ///
    /// # Errors
    /// The caller is not an operator, or the user does not exist.
    pub async fn find_any_user(&self, caller: &Caller, id: UserId) -> Result<api::User, AppError> {
        caller.principal.authorize_operator()?;
        let found = store::user::find_user(&mut *self.store.read().await?, id).await?;
        found.map(to_wire).ok_or(AppError::not_found())
    }

    /// Creates a user without memberships.
    ///
    /// # Errors
    /// The caller is not an operator, or the email is in use.
    pub async fn create_user(
        self: &Arc<Self>,
        caller: &Caller,
        create: api::CreateUser,
    ) -> Result<Confirmed<api::User>, ChangeError> {
        caller.principal.authorize_operator()?;
        let email = self.parse_email("email", &create.email)?;
        let name = parse_title(&create.name).map_err(|e| AppError::field("name", "malformed", e))?;
        let password_hash = match create.password {
            Some(password) => Some(self.hash_password(password, &[email.as_str(), &name]).await?),
            None => None,
        };
        let operation = CreateUser { email, name, password_hash, operator: create.operator };
        self.change(caller, operation).await
    }

    /// Updates a user's name, whether they are an operator, or whether they are disabled. The latter is recorded in the
    /// log of each of their workspaces. Open invitations that they may no longer write are revoked. With `revoke_keys`,
    /// the keys that they registered for service accounts are revoked, too.
    ///
    /// # Errors
    /// The caller is not an operator, or the user is the last operator.
    pub async fn update_user(
        self: &Arc<Self>,
        caller: &Caller,
        id: UserId,
        update: api::UpdateUser,
    ) -> Result<Confirmed<api::User>, ChangeError> {
        self.change(caller, UpdateUser { id, update }).await
    }

    /// Records the change of a user and, in each of their workspaces, whether they are disabled.
    async fn note_update(&self, transaction: &mut Transaction, before: &User, user: &User) -> Result<(), AppError> {
        transaction.note(self, AuditAction::UserUpdate, None, user.id, Detail::of_change(before, user));
        if before.disabled != user.disabled {
            let action = if user.disabled { AuditAction::MemberDisable } else { AuditAction::MemberEnable };
            for workspace in store::user::list_workspaces_of_user(&mut transaction.change, user.id).await? {
                transaction.note(self, action, Some(workspace), user.id, &[("email", user.email.as_str())]);
            }
        }
        Ok(())
    }

    /// Sets the password of a user that has none or has forgotten it, and ends their sessions.
    ///
    /// # Errors
    /// The user does not exist, the password is not allowed, or the caller is not an operator.
    pub async fn set_password(
        self: &Arc<Self>,
        caller: &Caller,
        id: UserId,
        password: String,
    ) -> Result<Confirmed<()>, ChangeError> {
        caller.principal.authorize_operator()?;
        let found = {
            let mut connection = self.store.read().await?;
            store::user::find_user(&mut connection, id).await?
        };
        let user = found.ok_or(AppError::not_found())?;
        let hash = self.hash_password(password, &[user.email.as_str(), &user.name]).await?;
        self.change(caller, SetPassword { id, password_hash: hash }).await
    }

    /// Returns the user with an id, for commands on the host.
    ///
    /// # Errors
    /// It does not exist, or the caller is not an operator.
    pub async fn find_user(&self, caller: &Caller, id: UserId) -> Result<api::User, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        store::user::find_user(&mut connection, id).await?.map(to_wire).ok_or(AppError::not_found())
    }

    /// Returns the user with an email, for commands on the host.
    ///
    /// # Errors
    /// It does not exist, or the caller is not an operator.
    pub async fn find_user_by_email(&self, caller: &Caller, email: &str) -> Result<api::User, AppError> {
        caller.principal.authorize_operator()?;
        let email = self.parse_email("email", email)?;
        let mut connection = self.store.read().await?;
        store::user::find_user_by_email(&mut connection, &email).await?.map(to_wire).ok_or(AppError::not_found())
    }
}

struct CreateUser {
    email: Email,
    name: String,
    password_hash: Option<String>,
    operator: bool,
}

impl Operation for CreateUser {
    type Checked = ();
    type Response = api::User;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<(), AppError> {
        scope.principal.authorize_operator()?;
        require_free_email(scope.connection, &self.email).await
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<api::User, AppError> {
        let now = transaction.now;
        let user = User {
            id: app.generate_id(now),
            email: self.email.clone(),
            email_verified_at: None,
            name: self.name.clone(),
            operator: self.operator,
            disabled: false,
            suspended: false,
            created_at: now,
        };
        store::user::insert_user(&mut transaction.change, &user, self.password_hash.as_deref()).await?;
        transaction.note(app, AuditAction::UserCreate, None, user.id, Detail::of(&user));
        Ok(to_wire(user))
    }
}

/// Refuses an email that belongs to a user.
async fn require_free_email(connection: &mut Connection, email: &Email) -> Result<(), AppError> {
    if store::user::find_user_by_email(connection, email).await?.is_some() {
        return Err(Conflict::EmailTaken(email.clone()).into());
    }
    Ok(())
}

struct UpdateUser {
    id: UserId,
    update: api::UpdateUser,
}

impl Operation for UpdateUser {
    /// The user before and after the change.
    type Checked = (User, User);
    type Response = api::User;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<(User, User), AppError> {
        let update = &self.update;
        if update.revoke_keys && update.disabled != Some(true) {
            let detail = "set this only when you disable the user";
            return Err(AppError::field("revoke_keys", "contradictory", detail));
        }
        scope.principal.authorize_operator()?;
        let found = store::user::find_user(scope.connection, self.id).await?;
        let before = found.ok_or(AppError::not_found())?;
        let mut user = before.clone();
        if let Some(name) = &update.name {
            user.name = parse_title(name).map_err(|e| AppError::field("name", "malformed", e))?;
        }
        user.operator = update.operator.unwrap_or(user.operator);
        user.disabled = update.disabled.unwrap_or(user.disabled);
        // A user that is suspended after a restore cannot act as an operator.
        let can_run = |user: &User| user.operator && !user.disabled && !user.suspended;
        if can_run(&before) && !can_run(&user) && store::user::count_confirmed_operators(scope.connection).await? == 1 {
            return Err(Conflict::LastOperator.into());
        }
        Ok((before, user))
    }

    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        if self.update.revoke_keys { app.write_uses().await } else { Ok(()) }
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (before, user): (User, User),
    ) -> Result<api::User, AppError> {
        store::user::update_user(&mut transaction.change, &user).await?;
        if user.disabled {
            store::session::delete_sessions_of(&mut transaction.change, self.id, None).await?;
        }
        app.note_update(transaction, &before, &user).await?;
        app.end_invitations_of(transaction, self.id.into(), None).await?;
        if self.update.revoke_keys {
            app.revoke_registered_keys(transaction, self.id, None, AuditAction::UserUpdate).await?;
        }
        Ok(to_wire(user))
    }
}

struct SetPassword {
    id: UserId,
    password_hash: String,
}

impl Operation for SetPassword {
    type Checked = ();
    type Response = ();
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<(), AppError> {
        scope.principal.authorize_operator()?;
        let found = store::user::find_user(scope.connection, self.id).await?;
        found.map(|_| ()).ok_or(AppError::not_found())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(), AppError> {
        store::user::update_password(&mut transaction.change, self.id, &self.password_hash).await?;
        store::session::delete_sessions_of(&mut transaction.change, self.id, None).await?;
        transaction.note(app, AuditAction::UserSetPassword, None, self.id, Detail::default());
        Ok(())
    }
}
