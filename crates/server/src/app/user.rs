//! Users, as operators manage them.

use domain::{
    UserId,
    text::parse_title,
    user::{Email, User},
};

use super::{App, Caller, Paging, Transaction, page};
use crate::error::AppError;

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

/// The domain of the addresses that accounts get which lost theirs (RFC 2606 §2: no mail ever reaches it). Nobody else has one.
pub(super) const PLACEHOLDER_DOMAIN: &str = "unverified.invalid";

impl App {
    /// An email that a user can have.
    pub(super) fn parse_email(&self, field: &str, text: &str) -> Result<Email, AppError> {
        let email = text
            .parse::<Email>()
            .and_then(|email| email.outside_of(&self.settings.service_account_domain))
            // Of several addresses, one wants to know which is meant.
            .map_err(|e| AppError::field(field, "malformed", format!("{e}: {text}")))?;
        email.outside_of(PLACEHOLDER_DOMAIN).map_err(|_| {
            let why =
                format!("addresses in {PLACEHOLDER_DOMAIN} stand for addresses that were lost; write another one");
            AppError::field(field, "malformed", why)
        })
    }

    /// Users, in the order in which they were created.
    ///
    /// # Errors
    /// For operators only.
    pub async fn list_users(&self, caller: &Caller, paging: &Paging) -> Result<api::Page<api::User>, AppError> {
        caller.principal.authorize_operator()?;
        let limit = paging.limit()?;
        let mut connection = self.store.read().await?;
        let users = store::user::list_users(&mut connection, paging.after()?, limit + 1).await?;
        Ok(page(users, limit, |user| user.id.to_string(), to_wire))
    }

    /// Creates a user, who is a member of nothing yet.
    ///
    /// # Errors
    /// For operators only; the email must be free.
    pub async fn create_user(&self, caller: &Caller, create: api::CreateUser) -> Result<api::User, AppError> {
        caller.principal.authorize_operator()?;
        let email = self.parse_email("email", &create.email)?;
        let name = parse_title(&create.name).map_err(|e| AppError::field("name", "malformed", e))?;
        let password_hash = match create.password {
            Some(password) => Some(self.hash_password(password, &[email.as_str(), &name]).await?),
            None => None,
        };
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator()?;
        if store::user::find_user_by_email(&mut transaction.change, &email).await?.is_some() {
            return Err(AppError::conflict(
                api::codes::EMAIL_TAKEN,
                format!("There is a user with the email {email}."),
            ));
        }
        let now = transaction.now;
        let id = self.generate_id(now);
        let user = User {
            id,
            email,
            email_verified_at: None,
            name,
            operator: create.operator,
            disabled: false,
            suspended: false,
            created_at: now,
        };
        store::user::insert_user(&mut transaction.change, &user, password_hash.as_deref()).await?;
        let operator = user.operator.to_string();
        transaction.note(self, "user.create", None, id, &[("email", user.email.as_str()), ("operator", &operator)]);
        self.commit(transaction, 201, to_wire(user)).await
    }

    /// Changes a user's name, or whether they run the installation, or whether they are refused; the latter is in the log of
    /// each of their workspaces. What they may not write any more of their open invitations ends, and with `revoke_keys`
    /// the keys that they registered for service accounts.
    ///
    /// # Errors
    /// For operators only; one operator must be left.
    pub async fn update_user(
        &self,
        caller: &Caller,
        id: UserId,
        update: api::UpdateUser,
    ) -> Result<api::User, AppError> {
        if update.revoke_keys && update.disabled != Some(true) {
            let detail = "keys that somebody registered are revoked when they are disabled; leave it out";
            return Err(AppError::field("revoke_keys", "contradictory", detail));
        }
        if update.revoke_keys {
            self.write_uses().await?;
        }
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator()?;
        let found = store::user::find_user(&mut transaction.change, id).await?;
        let mut user = found.ok_or(AppError::not_found())?;
        let before = user.clone();
        // Who waits to be confirmed after a restore cannot help anybody.
        let can_run = |user: &User| user.operator && !user.disabled && !user.suspended;
        let could_run = can_run(&user);
        if let Some(name) = update.name {
            user.name = parse_title(&name).map_err(|e| AppError::field("name", "malformed", e))?;
        }
        user.operator = update.operator.unwrap_or(user.operator);
        user.disabled = update.disabled.unwrap_or(user.disabled);
        if could_run && !can_run(&user) && store::user::count_confirmed_operators(&mut transaction.change).await? == 1 {
            let detail = "This is the last operator. Make somebody else an operator first.";
            return Err(AppError::conflict(api::codes::LAST_ADMIN, detail));
        }
        store::user::update_user(&mut transaction.change, &user).await?;
        if user.disabled {
            store::session::delete_sessions_of(&mut transaction.change, id, None).await?;
        }
        self.note_update(&mut transaction, &before, &user).await?;
        self.end_invitations_of(&mut transaction, id.into(), None).await?;
        if update.revoke_keys {
            self.revoke_registered_keys(&mut transaction, id, None).await?;
        }
        self.commit(transaction, 200, to_wire(user)).await
    }

    /// Notes what was changed of a user, and in each of their workspaces whether they are refused from now on.
    async fn note_update(&self, transaction: &mut Transaction<'_>, before: &User, user: &User) -> Result<(), AppError> {
        let texts = [user.operator, user.disabled, before.operator, before.disabled].map(|flag| flag.to_string());
        let [operator, disabled, operator_before, disabled_before] = texts.each_ref().map(String::as_str);
        let mut detail = vec![("name", user.name.as_str()), ("operator", operator), ("disabled", disabled)];
        if before.operator != user.operator {
            detail.push(("operator_before", operator_before));
        }
        if before.disabled != user.disabled {
            detail.push(("disabled_before", disabled_before));
        }
        transaction.note(self, "user.update", None, user.id, &detail);
        if before.disabled != user.disabled {
            let action = if user.disabled { "member.disable" } else { "member.enable" };
            for workspace in store::user::list_workspaces_of_user(&mut transaction.change, user.id).await? {
                transaction.note(self, action, Some(workspace), user.id, &[("email", user.email.as_str())]);
            }
        }
        Ok(())
    }

    /// Sets the password of somebody who has none or has forgotten it, and ends their sessions.
    ///
    /// # Errors
    /// There is no such user, the password may not be chosen; for operators only.
    pub async fn set_password(&self, caller: &Caller, id: UserId, password: String) -> Result<(), AppError> {
        caller.principal.authorize_operator()?;
        let found = {
            let mut connection = self.store.read().await?;
            store::user::find_user(&mut connection, id).await?
        };
        let user = found.ok_or(AppError::not_found())?;
        let hash = self.hash_password(password, &[user.email.as_str(), &user.name]).await?;
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator()?;
        store::user::update_password(&mut transaction.change, id, &hash).await?;
        store::session::delete_sessions_of(&mut transaction.change, id, None).await?;
        transaction.note(self, "user.set_password", None, id, &[]);
        self.commit(transaction, 200, ()).await
    }

    /// The user of an id, for commands on the host.
    ///
    /// # Errors
    /// There is none; for operators only.
    pub async fn find_user(&self, caller: &Caller, id: UserId) -> Result<api::User, AppError> {
        caller.principal.authorize_operator()?;
        let mut connection = self.store.read().await?;
        store::user::find_user(&mut connection, id).await?.map(to_wire).ok_or(AppError::not_found())
    }

    /// The user of an email, for commands on the host.
    ///
    /// # Errors
    /// There is none; for operators only.
    pub async fn find_user_by_email(&self, caller: &Caller, email: &str) -> Result<api::User, AppError> {
        caller.principal.authorize_operator()?;
        let email = self.parse_email("email", email)?;
        let mut connection = self.store.read().await?;
        store::user::find_user_by_email(&mut connection, &email).await?.map(to_wire).ok_or(AppError::not_found())
    }
}
