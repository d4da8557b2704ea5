//! The first start: a link that the server prints for creating the first operator. It can be used once, and only while
//! there is no operator.

use std::{fmt, sync::Arc, time::Duration};

use domain::{
    AuditAction, AuditPrincipal, UserId,
    limits::KeywardScope,
    text::parse_title,
    user::{Email, User},
};

use super::{
    App, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction,
    session::{Browser, SignedIn},
    sha256,
};
use crate::error::{AppError, Conflict};

/// The lifetime of the link. A restart creates another.
const LIFETIME: Duration = Duration::from_hours(24);

/// The data of the first operator.
#[derive(Clone)]
pub struct SetUp {
    /// The token at the end of the link.
    pub token: String,
    /// Their email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Their password.
    pub password: String,
    /// Their browser.
    pub browser: Browser,
}

/// Omits the token and the password.
impl fmt::Debug for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetUp")
            .field("email", &self.email)
            .field("name", &self.name)
            .field("browser", &self.browser)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Creates a link to set up an installation without operators, which replaces the previous link. Returns `None` if
    /// there is an operator.
    ///
    /// # Errors
    /// The caller is not the host.
    pub async fn create_set_up_link(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<Confirmed<Option<String>>, ChangeError> {
        let operation = CreateSetUpLink { token: self.random_text::<32>() };
        let url = format!("{}/set-up/{}", self.settings.public_url, operation.token);
        Ok(self.change(caller, operation).await?.map(|is_created| is_created.then_some(url)))
    }

    /// Returns whether a link can still create the first operator.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_set_up_link(&self, token: &str) -> Result<bool, AppError> {
        let mut connection = self.store.read().await?;
        let end = store::set_up::find_set_up_link(&mut connection, &sha256(token)).await?;
        let is_first = store::user::count_operators(&mut connection).await? == 0;
        Ok(is_first && end.is_some_and(|end| self.clock.now() < end))
    }

    /// Creates the first operator and signs them in.
    ///
    /// # Errors
    /// The link was used or has expired, or the email address, name or password is invalid.
    pub async fn set_up(self: &Arc<Self>, set_up: SetUp) -> Result<Confirmed<SignedIn>, ChangeError> {
        let SetUp { token, email, name, password, browser } = set_up;
        if !self.is_set_up_link(&token).await? {
            return Err(AppError::from(Conflict::SetUpLinkClosed).into());
        }
        let email = self.parse_email("email", &email)?;
        let name = parse_title(&name).map_err(|e| AppError::field("name", "malformed", e))?;
        let password_hash = self.hash_password(password, &[email.as_str(), &name]).await?;
        let user = self.generate_id(self.clock.now());
        let session_token = self.random_text::<32>();
        let signed_in = self.new_sign_in(user, session_token.clone())?;
        let ip_address = browser.ip_address;
        let operation =
            CreateFirstOperator { link: sha256(&token), user, email, name, password_hash, browser, session_token };
        Ok(self.change_anonymously(ip_address, operation).await?.map(|()| signed_in))
    }
}

struct CreateSetUpLink {
    token: String,
}

impl Operation for CreateSetUpLink {
    /// Whether there is an operator already.
    type Checked = bool;
    /// Whether the link was created.
    type Response = bool;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<bool, AppError> {
        if scope.principal.identity().is_some() {
            return Err(AppError::not_found());
        }
        Ok(store::user::count_operators(scope.connection).await? > 0)
    }

    fn unchanged(&self, has_operator: &bool) -> Option<bool> {
        has_operator.then_some(false)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, _: bool) -> Result<bool, AppError> {
        let expires_at = transaction.now + LIFETIME;
        store::set_up::replace_set_up_link(&mut transaction.change, &sha256(&self.token), expires_at).await?;
        transaction.note(app, AuditAction::SetUpLinkCreate, None, "set_up_link", Detail::default());
        Ok(true)
    }
}

struct CreateFirstOperator {
    /// The hash of the link's token.
    link: [u8; 32],
    user: UserId,
    email: Email,
    name: String,
    password_hash: String,
    browser: Browser,
    session_token: String,
}

impl Operation for CreateFirstOperator {
    type Checked = ();
    type Response = ();
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<(), AppError> {
        let expires_at = store::set_up::find_set_up_link(scope.connection, &self.link).await?;
        let operators = store::user::count_operators(scope.connection).await?;
        if expires_at.is_none_or(|end| scope.now >= end) || operators > 0 {
            return Err(Conflict::SetUpLinkClosed.into());
        }
        if store::user::find_user_by_email(scope.connection, &self.email).await?.is_some() {
            return Err(Conflict::EmailTaken(self.email.clone()).into());
        }
        Ok(())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(), AppError> {
        store::set_up::delete_set_up_links(&mut transaction.change).await?;
        let user = User {
            id: self.user,
            email: self.email.clone(),
            email_verified_at: None,
            name: self.name.clone(),
            operator: true,
            disabled: false,
            suspended: false,
            created_at: transaction.now,
        };
        store::user::insert_user(&mut transaction.change, &user, Some(&self.password_hash)).await?;
        transaction.by = AuditPrincipal::User(user.id);
        transaction.note(app, AuditAction::UserCreate, None, user.id, Detail::of(&user));
        app.start_session(transaction, user.id, &self.browser, &self.session_token).await
    }
}
