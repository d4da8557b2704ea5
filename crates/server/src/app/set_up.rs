//! The first start: a link, printed where the server runs, that makes the first operator. Good once, and only while
//! there is no operator.

use std::{fmt, time::Duration};

use domain::{AuditPrincipal, text::parse_title, user::User};

use super::{
    App, Caller,
    session::{Browser, SignedIn},
    sha256,
};
use crate::error::AppError;

/// How long the link is good. A restart makes another.
const LIFETIME: Duration = Duration::from_hours(24);

/// Who the first operator is.
#[derive(Clone)]
pub struct SetUp {
    /// What the link ends with.
    pub token: String,
    /// Their email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// The password they choose.
    pub password: String,
    /// Where they are.
    pub browser: Browser,
}

/// Without the token and the password.
impl fmt::Debug for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetUp")
            .field("email", &self.email)
            .field("name", &self.name)
            .field("browser", &self.browser)
            .finish_non_exhaustive()
    }
}

fn closed() -> AppError {
    let detail = "This link was used or is over. Sign in, or restart the server for a new link.";
    AppError::conflict(api::codes::INVITATION_CLOSED, detail)
}

impl App {
    /// A fresh link to set up an installation without operators, in place of the one before; none where there is one.
    ///
    /// # Errors
    /// On the host only.
    pub async fn create_set_up_link(&self, caller: &Caller) -> Result<Option<String>, AppError> {
        if caller.principal.identity().is_some() {
            return Err(AppError::not_found());
        }
        let mut transaction = self.begin(caller).await?;
        if store::user::count_operators(&mut transaction.change).await? > 0 {
            return Ok(None);
        }
        let token = self.random_text::<32>();
        let expires_at = transaction.now + LIFETIME;
        store::set_up::replace_set_up_link(&mut transaction.change, &sha256(&token), expires_at).await?;
        transaction.note(self, "set_up_link.create", None, "set_up_link", &[]);
        self.commit(transaction, 201, ()).await?;
        Ok(Some(format!("{}/set-up/{token}", self.settings.public_url)))
    }

    /// Whether a link still makes the first operator.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_set_up_link(&self, token: &str) -> Result<bool, AppError> {
        let mut connection = self.store.read().await?;
        let end = store::set_up::find_set_up_link(&mut connection, &sha256(token)).await?;
        let is_first = store::user::count_operators(&mut connection).await? == 0;
        Ok(is_first && end.is_some_and(|end| self.clock.now() < end))
    }

    /// Makes the first operator, who is signed in at once.
    ///
    /// # Errors
    /// The link was used or is over; email, name or password cannot be taken.
    pub async fn set_up(&self, set_up: SetUp) -> Result<SignedIn, AppError> {
        let SetUp { token, email, name, password, browser } = set_up;
        if !self.is_set_up_link(&token).await? {
            return Err(closed());
        }
        let email = self.parse_email("email", &email)?;
        let name = parse_title(&name).map_err(|e| AppError::field("name", "malformed", e))?;
        let hash = self.hash_password(password, &[email.as_str(), &name]).await?;
        let mut transaction = self.begin_anonymous(browser.address).await?;
        let now = transaction.now;
        let end = store::set_up::find_set_up_link(&mut transaction.change, &sha256(&token)).await?;
        let operators = store::user::count_operators(&mut transaction.change).await?;
        if end.is_none_or(|end| now >= end) || operators > 0 {
            return Err(closed());
        }
        if store::user::find_user_by_email(&mut transaction.change, &email).await?.is_some() {
            let detail = format!("There is a user with the email {email}. Choose another address.");
            return Err(AppError::conflict(api::codes::EMAIL_TAKEN, detail));
        }
        store::set_up::delete_set_up_links(&mut transaction.change).await?;
        let id = self.generate_id(now);
        let user = User {
            id,
            email,
            email_verified_at: None,
            name,
            operator: true,
            disabled: false,
            suspended: false,
            created_at: now,
        };
        store::user::insert_user(&mut transaction.change, &user, Some(&hash)).await?;
        transaction.by = AuditPrincipal::User(id);
        let email = user.email.as_str();
        transaction.note(self, "user.create", None, id, &[("email", email), ("operator", "true")]);
        let signed_in = self.start_session(&mut transaction, id, &browser).await?;
        self.commit(transaction, 201, ()).await?;
        Ok(signed_in)
    }
}
