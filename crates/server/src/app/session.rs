//! Sessions: signing in with a password, the session of a cookie, and how sessions end.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    AuditAction, AuditPrincipal, PrincipalId, SessionId, Timestamp, UserId,
    limits::KeywardScope,
    principal::{Credential, IdentityRefusal, Principal},
    session::{MAX_USER_AGENT, Session},
    user::{Email, User},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use store::StoreError;
use verifier::{AuthenticationError, refusal_records::RefusalKind};

use super::{
    App, Caller, ChangeError, Confirmed, Detail, Held, Operation, Scope, Transaction, sha256, throttle::Source,
};
use crate::error::AppError;

/// How often the use of a session is recorded.
const USE_INTERVAL: Duration = Duration::from_mins(1);

/// The input for signing in.
#[derive(Clone, Default)]
pub struct SignIn {
    /// The email.
    pub email: String,
    /// The password.
    pub password: String,
    /// The value of [`SignedIn::device`], if this browser signed in before.
    pub device: Option<String>,
    /// The browser.
    pub browser: Browser,
}

/// Omits the password.
impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("email", &self.email).field("browser", &self.browser).finish_non_exhaustive()
    }
}

/// The browser of a session.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// The IP address.
    pub ip_address: Option<IpAddr>,
    /// Its User-Agent.
    pub user_agent: String,
}

/// A new session.
#[derive(Clone)]
pub struct SignedIn {
    /// The token for the browser's cookie. It is only returned here.
    pub token: String,
    /// Identifies the browser when it signs in again.
    pub device: String,
}

/// Omits the tokens.
impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").finish_non_exhaustive()
    }
}

/// The session of a request, and its user.
#[derive(Clone)]
pub struct SessionContext {
    /// The caller.
    pub caller: Caller,
    /// The session.
    pub session: Session,
    /// The CSRF token for forms and scripts of this session.
    pub csrf: String,
}

/// Omits the CSRF token.
impl fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContext")
            .field("caller", &self.caller)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// A session in the list of its user.
#[derive(Clone, Debug)]
pub struct ListedSession {
    /// The session.
    pub session: Session,
    /// Whether it is the session of the request.
    pub is_current: bool,
}

impl App {
    /// Signs a user in. An unknown email, a wrong password and a disabled user have the same response and take the same
    /// time. With the correct password, a user that a restore suspended is informed of the suspension. With a wrong
    /// one, the response is the same as for other wrong passwords.
    ///
    /// # Errors
    /// 401 for all of these, and 429 after too many failures.
    pub async fn sign_in(self: &Arc<Self>, sign_in: SignIn) -> Result<Confirmed<SignedIn>, ChangeError> {
        let SignIn { email, password, device, browser } = sign_in;
        let user = self.verify_sign_in(&email, password, device.as_deref(), &browser).await?.id;
        let token = self.random_text::<32>();
        let signed_in = self.new_sign_in(user, token.clone())?;
        let ip_address = browser.ip_address;
        Ok(self.change_anonymously(ip_address, StartSession { user, browser, token }).await?.map(|()| signed_in))
    }

    /// Creates the values for a browser that signs in as `user`.
    pub(super) fn new_sign_in(&self, user: UserId, token: String) -> Result<SignedIn, AppError> {
        Ok(SignedIn { token, device: self.create_device(user)? })
    }

    async fn verify_sign_in(
        &self,
        email: &str,
        password: String,
        device: Option<&str>,
        browser: &Browser,
    ) -> Result<User, AppError> {
        let email = email.parse::<Email>().ok();
        let found = match &email {
            Some(email) => {
                let mut connection = self.store.read().await?;
                store::user::find_user_with_password(&mut connection, email).await?
            }
            None => None,
        };
        let device = device.zip(found.as_ref()).and_then(|(text, (user, _))| self.verify_device(text, user.id));
        let sources = match (device, email) {
            // Attempts of others, from the same IP address or for the same account, must not lock a user out of their
            // account.
            (Some(device), _) => vec![Source::Device(device)],
            (None, email) => {
                let account = Source::Account(email.map_or(String::new(), |email| email.to_string()));
                [account].into_iter().chain(browser.ip_address.map(Source::of_ip_address)).collect()
            }
        };
        self.throttle_sign_in(&sources)?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
        let is_right = self.verify_password(password, hash).await?;
        match user {
            Some(user) if is_right && !user.disabled => {
                self.sign_in_throttle.give_back(&sources);
                if user.suspended { Err(self.refuse_suspended(user.id, browser.ip_address)) } else { Ok(user) }
            }
            _ => Err(self.wrong_password(browser.ip_address)),
        }
    }

    fn throttle_sign_in(&self, sources: &[Source]) -> Result<(), AppError> {
        let wait = self.sign_in_throttle.take(sources, self.clock.since_boot());
        // Whole seconds, at least one, because a client that retries too early is refused again.
        wait.map_err(|wait| AppError::RateLimited((wait + Duration::from_nanos(999_999_999)).as_secs().max(1)))
    }

    fn wrong_password(&self, ip_address: Option<IpAddr>) -> AppError {
        let error = AuthenticationError::WrongPassword;
        self.verifier.record_refusal(None, ip_address, &error);
        AppError::Unauthenticated(error, self.clock.now())
    }

    /// Refuses the correct password of a user that a restore suspended. Refusals of one kind are counted together in
    /// the audit log. The log has the reason of the last one, which contains the user.
    fn refuse_suspended(&self, user: UserId, ip_address: Option<IpAddr>) -> AppError {
        let error = AuthenticationError::SignInSuspended;
        let kind = RefusalKind { verified: true, key: None, ip_address, code: error.code() };
        let reason = format!("{user}: the password is right, and the sign-in is suspended");
        let now = self.clock.now();
        self.verifier.refusals().record(kind, reason, now);
        AppError::Unauthenticated(error, now)
    }

    /// Starts a session of `user`, who becomes the principal in the audit log.
    pub(super) async fn start_session(
        &self,
        transaction: &mut Transaction,
        user: UserId,
        browser: &Browser,
        token: &str,
    ) -> Result<(), AppError> {
        let now = transaction.now;
        let session = Session {
            id: self.generate_id(now),
            user,
            created_at: now,
            authenticated_at: now,
            last_seen_at: now,
            ip_address: browser.ip_address.map(|ip_address| ip_address.to_string()),
            user_agent: browser.user_agent.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect(),
        };
        store::session::insert_session(&mut transaction.change, &session, &sha256(token)).await?;
        transaction.by = AuditPrincipal::User(user);
        transaction.note(self, AuditAction::SessionCreate, None, session.id, &[("user_agent", &session.user_agent)]);
        Ok(())
    }

    /// Returns the user of a session's token, or `None` if the session has ended.
    ///
    /// # Errors
    /// 503 if the store does not answer or this node holds no lease.
    pub async fn verify_session(
        &self,
        token: &str,
        ip_address: Option<IpAddr>,
    ) -> Result<Option<SessionContext>, AppError> {
        let now = self.clock.now();
        let found = {
            let mut connection = self.store.read().await?;
            match store::session::find_session_by_token(&mut connection, &sha256(token)).await? {
                Some(session) if session.is_live(now) => {
                    let identity = store::identity::find_identity(&mut connection, session.user.into()).await?;
                    identity.map(|identity| (session, identity))
                }
                _ => None,
            }
        };
        self.verifier.require_lease()?;
        let Some((session, identity)) = found else { return Ok(None) };
        match identity.refusal() {
            Some(IdentityRefusal::Disabled | IdentityRefusal::Suspended) => return Ok(None),
            // They have no access, except for accepting an invitation.
            Some(IdentityRefusal::NoWorkspace) | None => {}
        }
        if now >= session.last_seen_at + USE_INTERVAL {
            match self.record_session_use(session.id, now).await {
                // The next request in the session records it. Requests do not wait for it.
                Err(StoreError::Contended { reason }) => tracing::debug!(
                    reason,
                    "the last use of a session could not \
                                                                                  be written"
                ),
                recorded => recorded?,
            }
        }
        let csrf = self.csrf_token(session.id)?;
        let principal = Principal::of_session(Arc::new(identity), session.id, session.authenticated_at);
        Ok(Some(SessionContext {
            caller: Caller {
                principal,
                ip_address,
                client_ip: None,
                signed_at: None,
                replay: None,
                held: Held::default(),
            },
            session,
            csrf,
        }))
    }

    async fn record_session_use(&self, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
        let mut maintenance = self.store.begin_maintenance().await?;
        store::session::record_session_use(&mut maintenance, session, now).await?;
        maintenance.commit().await
    }

    /// Confirms the password in a session, and gives the session a new token.
    ///
    /// # Errors
    /// The password is wrong, or there were too many failures.
    pub async fn confirm_password(
        self: &Arc<Self>,
        caller: &Caller,
        password: String,
    ) -> Result<Confirmed<String>, ChangeError> {
        let session = self.check_own_password(caller, password, "confirm_password").await?;
        let token = self.random_text::<32>();
        Ok(self.change(caller, ConfirmSession { session, token: token.clone() }).await?.map(|()| token))
    }

    /// Changes the caller's password. Their other sessions end, and this one gets a new token.
    ///
    /// # Errors
    /// The current password is wrong, or the new one is not allowed.
    pub async fn change_password(
        self: &Arc<Self>,
        caller: &Caller,
        current: String,
        new: String,
    ) -> Result<Confirmed<String>, ChangeError> {
        let is_same = current == new;
        let session = self.check_own_password(caller, current, "current_password").await?;
        if is_same {
            let detail = "this is your current password; choose another one";
            return Err(AppError::field("password", "unchanged", detail).into());
        }
        let identity = caller.principal.identity().ok_or(AppError::not_found())?;
        let password_hash = self.hash_password(new, &[&identity.email, &identity.name]).await?;
        let token = self.random_text::<32>();
        let operation = ChangePassword { session, password_hash, token: token.clone() };
        Ok(self.change(caller, operation).await?.map(|()| token))
    }

    async fn check_own_password(&self, caller: &Caller, password: String, field: &str) -> Result<SessionId, AppError> {
        let Credential::Session(session, _) = *caller.principal.credential() else {
            return Err(AppError::not_found());
        };
        let email = caller.principal.identity().and_then(|identity| identity.email.parse::<Email>().ok());
        let email = email.ok_or(AppError::not_found())?;
        let mut source = [0; 16];
        source.copy_from_slice(session.uuid().as_bytes());
        let sources = [Source::Device(source)];
        self.throttle_sign_in(&sources)?;
        let found = {
            let mut connection = self.store.read().await?;
            store::user::find_user_with_password(&mut connection, &email).await?
        };
        if !self.verify_password(password, found.and_then(|(_, hash)| hash)).await? {
            self.verifier.record_refusal(None, caller.ip_address, &AuthenticationError::WrongPassword);
            return Err(AppError::field(field, "wrong_password", "this password is wrong; try again"));
        }
        self.sign_in_throttle.give_back(&sources);
        Ok(session)
    }

    /// Returns the caller's sessions: that of the request, then the others, the latest first.
    ///
    /// # Errors
    /// The caller is not a user.
    pub async fn list_sessions(&self, caller: &Caller) -> Result<Vec<ListedSession>, AppError> {
        let user = require_user(&caller.principal)?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let sessions = store::session::list_sessions(&mut connection, user).await?;
        let current = current_session(&caller.principal);
        let mut listed: Vec<ListedSession> = sessions
            .into_iter()
            .filter(|session| session.is_live(now))
            .map(|session| ListedSession { is_current: Some(session.id) == current, session })
            .collect();
        listed.sort_by_key(|listed| !listed.is_current);
        Ok(listed)
    }

    /// Ends a session of the caller. Without an id, it ends the session of the request.
    ///
    /// # Errors
    /// It does not belong to the caller.
    pub async fn end_session(
        self: &Arc<Self>,
        caller: &Caller,
        id: Option<SessionId>,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, EndSession { id }).await
    }

    /// Ends all sessions of the caller except that of the request.
    ///
    /// # Errors
    /// The caller is not a user.
    pub async fn end_other_sessions(self: &Arc<Self>, caller: &Caller) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, EndOtherSessions).await
    }

    /// Ends the sessions of a user that was removed from their last workspace.
    pub(super) async fn end_sessions_without_workspace(
        &self,
        transaction: &mut Transaction,
        user: UserId,
    ) -> Result<(), AppError> {
        let identity = store::identity::find_identity(&mut transaction.change, user.into()).await?;
        if identity.is_none_or(|identity| identity.refusal().is_some()) {
            store::session::delete_sessions_of(&mut transaction.change, user, None).await?;
        }
        Ok(())
    }

    fn csrf_token(&self, session: SessionId) -> Result<String, AppError> {
        let mut mac = self.keyed_hash(b"keyward csrf v1")?;
        mac.update(session.to_string().as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// Creates a token for a browser in which a user signed in. It grants no access. Attempts from this browser are
    /// counted separately.
    fn create_device(&self, user: UserId) -> Result<String, AppError> {
        let mut nonce = [0; 16];
        self.random.fill(&mut nonce);
        let mut mac = self.keyed_hash(b"keyward device v1")?;
        mac.update(user.uuid().as_bytes());
        mac.update(&nonce);
        let tag = mac.finalize().into_bytes();
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), tag.as_slice()].concat()))
    }

    fn verify_device(&self, text: &str, user: UserId) -> Option<[u8; 16]> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 16 + 32)?;
        let (nonce, tag) = bytes.split_first_chunk::<16>()?;
        let mut mac = self.keyed_hash(b"keyward device v1").ok()?;
        mac.update(user.uuid().as_bytes());
        mac.update(nonce);
        mac.verify_slice(tag).ok().map(|()| *nonce)
    }

    /// Signs the content of a notice, for the page that shows it.
    pub(crate) fn sign_notice(&self, parts: &[&str]) -> Result<String, AppError> {
        let mut mac = self.keyed_hash(b"keyward notice v1")?;
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// Returns a hash with a key that is derived from the installation's key for one purpose.
    pub(super) fn keyed_hash(&self, purpose: &[u8]) -> Result<Hmac<Sha256>, AppError> {
        let fault = |_| AppError::Internal("an HMAC key of 32 bytes".to_owned());
        let mut derive = Hmac::<Sha256>::new_from_slice(self.installation_key.seed()).map_err(fault)?;
        derive.update(purpose);
        Hmac::<Sha256>::new_from_slice(&derive.finalize().into_bytes()).map_err(fault)
    }
}

struct StartSession {
    user: UserId,
    browser: Browser,
    token: String,
}

impl Operation for StartSession {
    type Checked = ();
    type Response = ();
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<(), AppError> {
        match store::user::find_user(scope.connection, self.user).await? {
            Some(user) if user.disabled => Err(app.wrong_password(self.browser.ip_address)),
            Some(user) if user.suspended => Err(app.refuse_suspended(user.id, self.browser.ip_address)),
            Some(_) => Ok(()),
            None => Err(app.wrong_password(self.browser.ip_address)),
        }
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(), AppError> {
        app.start_session(transaction, self.user, &self.browser, &self.token).await
    }
}

struct ConfirmSession {
    session: SessionId,
    token: String,
}

impl Operation for ConfirmSession {
    type Checked = ();
    type Response = ();
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<(), AppError> {
        require_user(scope.principal).map(|_| ())
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, (): ()) -> Result<(), AppError> {
        let (hash, now) = (sha256(&self.token), transaction.now);
        store::session::renew_session(&mut transaction.change, self.session, &hash, now).await?;
        transaction.note(app, AuditAction::SessionConfirm, None, self.session, Detail::default());
        Ok(())
    }
}

struct ChangePassword {
    session: SessionId,
    password_hash: String,
    token: String,
}

impl Operation for ChangePassword {
    type Checked = UserId;
    type Response = ();
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<UserId, AppError> {
        require_user(scope.principal)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, user: UserId) -> Result<(), AppError> {
        let (hash, now, change) = (sha256(&self.token), transaction.now, &mut transaction.change);
        store::user::update_password(change, user, &self.password_hash).await?;
        store::session::delete_sessions_of(change, user, Some(self.session)).await?;
        store::session::renew_session(change, self.session, &hash, now).await?;
        transaction.note(app, AuditAction::UserChangePassword, None, user, Detail::default());
        Ok(())
    }
}

struct EndSession {
    /// The session, or `None` for the session of the request.
    id: Option<SessionId>,
}

impl Operation for EndSession {
    type Checked = SessionId;
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<SessionId, AppError> {
        let user = require_user(scope.principal)?;
        let id = self.id.or(current_session(scope.principal)).ok_or(AppError::not_found())?;
        let found = store::session::find_session(scope.connection, id).await?;
        if found.is_none_or(|session| session.user != user) {
            return Err(AppError::not_found());
        }
        Ok(id)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, id: SessionId) -> Result<(), AppError> {
        store::session::delete_session(&mut transaction.change, id).await?;
        transaction.note(app, AuditAction::SessionEnd, None, id, Detail::default());
        Ok(())
    }
}

struct EndOtherSessions;

impl Operation for EndOtherSessions {
    type Checked = UserId;
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<UserId, AppError> {
        require_user(scope.principal)
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, user: UserId) -> Result<(), AppError> {
        let current = current_session(&transaction.principal);
        let ended = store::session::delete_sessions_of(&mut transaction.change, user, current).await?;
        transaction.note(app, AuditAction::SessionEndOthers, None, user, &[("ended", &ended.to_string())]);
        Ok(())
    }
}

fn current_session(principal: &Principal) -> Option<SessionId> {
    match principal.credential() {
        Credential::Session(id, _) => Some(*id),
        Credential::Signature(_) | Credential::BearerToken(_) | Credential::Host => None,
    }
}

fn require_user(principal: &Principal) -> Result<UserId, AppError> {
    match principal.id() {
        Some(PrincipalId::User(user)) => Ok(user),
        Some(PrincipalId::ServiceAccount(_)) | None => Err(AppError::not_found()),
    }
}
