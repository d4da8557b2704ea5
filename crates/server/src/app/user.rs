//! Users, as operators manage them.

use domain::{
    UserId,
    text::parse_title,
    user::{Email, User},
};

use super::{App, Caller, Paging, page};
use crate::error::AppError;

fn to_wire(user: User) -> api::User {
    api::User {
        id: user.id,
        email: user.email.to_string(),
        email_verified: user.email_verified_at.is_some(),
        name: user.name,
        operator: user.operator,
        disabled: user.disabled,
        created_at: user.created_at,
    }
}

impl App {
    /// An email that a user can have.
    pub(super) fn parse_email(&self, field: &str, text: &str) -> Result<Email, AppError> {
        text.parse::<Email>()
            .and_then(|email| email.outside_of(&self.settings.service_account_domain))
            // Of several addresses, one wants to know which is meant.
            .map_err(|e| AppError::field(field, "malformed", format!("{e}: {text}")))
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
        if create.operator {
            transaction.require_recent_password()?;
        }
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
            created_at: now,
        };
        store::user::insert_user(&mut transaction.change, &user, password_hash.as_deref()).await?;
        let operator = user.operator.to_string();
        transaction.note(self, "user.create", None, id, &[("email", user.email.as_str()), ("operator", &operator)]);
        self.commit(transaction, 201, to_wire(user)).await
    }

    /// Changes a user's name, or whether they run the installation, or whether they are refused.
    ///
    /// # Errors
    /// For operators only; one operator must be left.
    pub async fn update_user(
        &self,
        caller: &Caller,
        id: UserId,
        update: api::UpdateUser,
    ) -> Result<api::User, AppError> {
        let mut transaction = self.begin(caller).await?;
        transaction.principal.authorize_operator()?;
        let found = store::user::find_user(&mut transaction.change, id).await?;
        let mut user = found.ok_or(AppError::not_found())?;
        let was_running = user.operator && !user.disabled;
        if let Some(name) = update.name {
            user.name = parse_title(&name).map_err(|e| AppError::field("name", "malformed", e))?;
        }
        user.operator = update.operator.unwrap_or(user.operator);
        user.disabled = update.disabled.unwrap_or(user.disabled);
        let is_running = user.operator && !user.disabled;
        if was_running && !is_running && store::user::count_operators(&mut transaction.change).await? == 1 {
            let detail = "This is the last operator. Make somebody else an operator first.";
            return Err(AppError::conflict(api::codes::LAST_ADMIN, detail));
        }
        if user.operator && update.operator == Some(true) {
            transaction.require_recent_password()?;
        }
        store::user::update_user(&mut transaction.change, &user).await?;
        if user.disabled {
            store::session::delete_sessions_of(&mut transaction.change, id, None).await?;
        }
        let (operator, disabled) = (user.operator.to_string(), user.disabled.to_string());
        transaction.note(
            self,
            "user.update",
            None,
            id,
            &[("name", &user.name), ("operator", &operator), ("disabled", &disabled)],
        );
        self.commit(transaction, 200, to_wire(user)).await
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
        transaction.require_recent_password()?;
        store::user::update_password(&mut transaction.change, id, &hash).await?;
        store::session::delete_sessions_of(&mut transaction.change, id, None).await?;
        transaction.note(self, "user.set_password", None, id, &[]);
        self.commit(transaction, 200, ()).await
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
