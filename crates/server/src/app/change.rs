//! The life of a change, whether the API, a page or a command on the host asked for it: its check on a plain read, the
//! transaction, the stored response, the audit events, the commit, the retry after a conflict, and the wait for every node.

use std::{
    any::Any,
    borrow::Cow,
    fmt::{self, Display},
    net::IpAddr,
    ops::Deref,
    sync::Arc,
    time::Duration,
};

use domain::{
    ApiKeyId, AuditAction, AuditEvent, AuditEventId, AuditPrincipal, PrincipalId, SessionId, Timestamp, WorkspaceId,
    api_key::KeyState,
    principal::{Credential, Denied, IdentityRefusal, Principal},
    session::Session,
};
use serde::{Serialize, de::DeserializeOwned};
use store::{Change, Connection, MayConflict, StoreError, Version};
use tracing::Instrument as _;
use verifier::AuthenticationError;

use super::{App, Caller, Detail, UnsentMail, recent_password};
use crate::{
    cluster::{Confirmation, Leases},
    error::AppError,
};

/// One change: what has to hold for it, and what it does then.
///
/// [`App::change`] runs [`check`](Self::check) twice: on a plain read, so that a refused change takes no lock and commits
/// nothing, and again in the transaction, where what it found cannot change any more.
pub(super) trait Operation: Send + Sync + 'static {
    /// What the check found, and the change needs.
    type Checked: Send;
    /// What the caller is told; stored for the same signed request.
    type Response: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The HTTP status that is stored with the response.
    const STATUS: u16;

    /// Whether the caller may do this, and whether it can be done. Reads only.
    fn check(&self, app: &App, scope: &mut Scope<'_>) -> impl Future<Output = Result<Self::Checked, AppError>> + Send;

    /// The response if nothing is left to change.
    fn unchanged(&self, _checked: &Self::Checked) -> Option<Self::Response> {
        None
    }

    /// What has to be written before the transaction begins, once the first check has passed.
    fn prepare(&self, _app: &App) -> impl Future<Output = Result<(), AppError>> + Send {
        async { Ok(()) }
    }

    /// Makes the change, and notes at least one audit event.
    fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        checked: Self::Checked,
    ) -> impl Future<Output = Result<Self::Response, AppError>> + Send;

    /// What must be done as soon as the change is committed, before the wait for other nodes, which may be interrupted.
    fn committed(&self) -> Result<(), AppError> {
        Ok(())
    }

    /// What is done once every node has acknowledged the change, such as sending mail.
    fn finish(
        &self,
        _app: &Arc<App>,
        _caller: &Caller,
        response: Self::Response,
        _mail: UnsentMail,
    ) -> impl Future<Output = Self::Response> + Send {
        async { response }
    }
}

/// What a check sees: the caller, the time, and the database.
pub(super) struct Scope<'a> {
    /// On a plain read as authenticated; in the transaction as read again there.
    pub(super) principal: &'a Principal,
    pub(super) now: Timestamp,
    pub(super) connection: &'a mut Connection,
}

impl Scope<'_> {
    /// The key that the request is signed with.
    pub(super) fn signed_with(&self) -> Option<ApiKeyId> {
        match self.principal.credential() {
            Credential::Signature(key) => Some(*key),
            Credential::BearerToken(_) | Credential::Session(..) | Credential::Host => None,
        }
    }
}

/// What a change returned, once every node had acknowledged it or its lease had ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmed<T> {
    value: T,
    confirmation: Confirmation,
}

impl<T> Confirmed<T> {
    /// How the change became known to every node.
    pub const fn confirmation(&self) -> Confirmation {
        self.confirmation
    }

    /// What the change returned.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The same confirmation of another value.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Confirmed<U> {
        Confirmed { value: map(self.value), confirmation: self.confirmation }
    }
}

impl<T> Deref for Confirmed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub struct ChangeError {
    /// The reason.
    pub error: AppError,
    /// How what the error tells became known to every node, where it tells what there is: that a key is revoked, or that
    /// something does not exist.
    pub confirmation: Option<Confirmation>,
}

impl From<AppError> for ChangeError {
    fn from(error: AppError) -> Self {
        Self { error, confirmation: None }
    }
}

impl From<Denied> for ChangeError {
    fn from(denied: Denied) -> Self {
        AppError::from(denied).into()
    }
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        AppError::from(error).into()
    }
}

impl From<ChangeError> for AppError {
    fn from(error: ChangeError) -> Self {
        error.error
    }
}

impl MayConflict for AppError {
    fn is_contention(&self) -> bool {
        matches!(self, Self::Contended(_))
    }
}

/// Whether an error tells the caller what there is, such as that a key is revoked or does not exist. The caller relies on it.
fn tells_state(error: &AppError) -> bool {
    matches!(error.to_problem().status, 404 | 409 | 410)
}

/// What is released when the change that the caller asked for has ended, even if the client disconnects before.
#[derive(Clone, Default)]
pub(super) struct Held(Option<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.is_some()).finish()
    }
}

impl Held {
    pub(super) fn new(resource: Arc<dyn Any + Send + Sync>) -> Self {
        Self(Some(resource))
    }
}

/// Who asks for a change.
struct Requester {
    caller: Caller,
    /// Whether the client has no credential yet, such as a person who accepts an invitation.
    is_anonymous: bool,
}

/// How an attempt at a change ended.
enum Outcome<T> {
    Committed {
        response: T,
        mail: UnsentMail,
        confirmation: Confirmation,
    },
    /// Nothing was left to change, or the same signed request was done before.
    Unchanged(T),
}

impl App {
    /// Makes one change, and returns what it returned once every node has acknowledged it, also if nothing was changed. It
    /// is retried after a conflict with another change, and continues if the client disconnects.
    ///
    /// # Errors
    /// What the check found; the store does not answer; it is not known which nodes have acknowledged what is told.
    pub(super) async fn change<O: Operation>(
        self: &Arc<Self>,
        caller: &Caller,
        operation: O,
    ) -> Result<Confirmed<O::Response>, ChangeError> {
        self.run_to_end(Requester { caller: caller.clone(), is_anonymous: false }, operation).await
    }

    /// As [`change`](Self::change), for a client that has no credential yet.
    pub(super) async fn change_anonymously<O: Operation>(
        self: &Arc<Self>,
        ip_address: Option<IpAddr>,
        operation: O,
    ) -> Result<Confirmed<O::Response>, ChangeError> {
        let caller = Caller { ip_address, ..Caller::host() };
        self.run_to_end(Requester { caller, is_anonymous: true }, operation).await
    }

    async fn run_to_end<O: Operation>(
        self: &Arc<Self>,
        requester: Requester,
        operation: O,
    ) -> Result<Confirmed<O::Response>, ChangeError> {
        let app = Arc::clone(self);
        let running = async move { app.change_and_confirm(&requester, &operation).await };
        let ended = tokio::spawn(running.in_current_span()).await;
        ended.map_err(|error| AppError::Internal(format!("a change ended early: {error}")))?
    }

    async fn change_and_confirm<O: Operation>(
        self: &Arc<Self>,
        requester: &Requester,
        operation: &O,
    ) -> Result<Confirmed<O::Response>, ChangeError> {
        // An attempt is a large future, and a retry would hold it twice.
        match store::retry(|| Box::pin(self.attempt(requester, operation))).await {
            Ok(Outcome::Committed { response, mail, confirmation }) => {
                let value = operation.finish(self, &requester.caller, response, mail).await;
                Ok(Confirmed { value, confirmation })
            }
            Ok(Outcome::Unchanged(value)) => Ok(Confirmed { value, confirmation: self.confirm_unchanged().await? }),
            Err(error) if !requester.is_anonymous && tells_state(&error) => {
                let confirmation = Some(self.confirm_unchanged().await?);
                Err(ChangeError { error, confirmation })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks an operation on a plain read, and ends there if it is refused or changes nothing, so that a client that
    /// repeats such requests takes no lock. What passes is checked again in the transaction, applied and committed. A request
    /// that was processed before also continues to the transaction, where its stored response is looked up.
    async fn attempt<O: Operation>(
        &self,
        requester: &Requester,
        operation: &O,
    ) -> Result<Outcome<O::Response>, AppError> {
        if let Some(end) = self.check_early(&requester.caller, operation).await? {
            return end.map(Outcome::Unchanged);
        }
        operation.prepare(self).await?;
        let mut transaction = self.begin(requester).await?;
        if let Some(response) = self.find_stored_response(&mut transaction).await? {
            return Ok(Outcome::Unchanged(response));
        }
        let checked = operation.check(self, &mut transaction.scope()).await?;
        if let Some(response) = operation.unchanged(&checked) {
            return Ok(Outcome::Unchanged(response));
        }
        let response = operation.apply(self, &mut transaction, checked).await?;
        let mail = std::mem::take(&mut transaction.mail);
        let confirmation = self.commit(transaction, operation, &response).await?;
        Ok(Outcome::Committed { response, mail, confirmation })
    }

    /// How the operation ends without a transaction, if it does.
    async fn check_early<O: Operation>(
        &self,
        caller: &Caller,
        operation: &O,
    ) -> Result<Option<Result<O::Response, AppError>>, AppError> {
        let mut connection = self.store.read().await?;
        let mut scope = Scope { principal: &caller.principal, now: self.clock.now(), connection: &mut connection };
        let end = match operation.check(self, &mut scope).await {
            Ok(checked) => operation.unchanged(&checked).map(Ok),
            Err(error) => Some(Err(error)),
        };
        if end.is_some() && was_done_before(caller, &mut connection).await? {
            return Ok(None);
        }
        Ok(end)
    }

    /// Begins a change: takes the locked row, and reads the caller's key, owner and memberships again.
    async fn begin(&self, requester: &Requester) -> Result<Transaction, AppError> {
        let (now, began) = (self.clock.now(), self.clock.since_boot());
        // Observed before the wait for the locked row, which then counts as time that leases have run.
        let leases = self.cluster.observe_leases().await?;
        let mut change = self.store.begin_change(now).await?;
        let principal = self.read_again(&mut change, &requester.caller.principal, now).await?;
        let by = if requester.is_anonymous { AuditPrincipal::Anonymous } else { principal.audit_principal() };
        Ok(Transaction {
            change,
            principal,
            by,
            caller: requester.caller.clone(),
            now,
            began,
            leases,
            events: Vec::new(),
            mail: UnsentMail::default(),
        })
    }

    /// The response to the same signed request, if it was done before.
    async fn find_stored_response<T: DeserializeOwned>(
        &self,
        transaction: &mut Transaction,
    ) -> Result<Option<T>, AppError> {
        let Some(replay) = &transaction.caller.replay else { return Ok(None) };
        if let Some(stored) = store::replay::find_replay(&mut transaction.change, replay.key).await? {
            return self.open_stored_response(stored).map(Some);
        }
        if let Some(nonce) = &replay.nonce
            && store::replay::find_nonce(&mut transaction.change, replay.api_key, nonce).await?.is_some()
        {
            let error = AuthenticationError::NonceReused;
            self.verifier.record_refusal(Some(replay.api_key), transaction.caller.ip_address, &error);
            return Err(AppError::Unauthenticated(error, transaction.now));
        }
        Ok(None)
    }

    async fn read_again(
        &self,
        change: &mut Change,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Principal, AppError> {
        let Some(id) = principal.id() else { return Ok(principal.clone()) };
        let refuse = |error| Err(AppError::Unauthenticated(error, now));
        if let Some(key) = principal.credential().key() {
            let state = store::api_key::find_api_key_anywhere(change, key)
                .await?
                .filter(|key| key.owner == id)
                .map_or(KeyState::Revoked, |key| key.state(now));
            match state {
                KeyState::Active => {}
                KeyState::Disabled => return refuse(AuthenticationError::KeyDisabled),
                KeyState::Suspended => return refuse(AuthenticationError::KeySuspended),
                KeyState::Expired => return refuse(AuthenticationError::KeyExpired),
                KeyState::Revoked => return refuse(AuthenticationError::UnknownKey),
            }
        }
        let mut credential = *principal.credential();
        if let Credential::Session(session, _) = credential {
            let session = require_session(change, session, id, now).await?;
            credential = Credential::Session(session.id, session.authenticated_at);
        }
        let Some(identity) = store::identity::find_identity(change, id).await? else {
            return refuse(AuthenticationError::UnknownKey);
        };
        match identity.refusal() {
            None => Ok(Principal::new(Arc::new(identity), credential)),
            // A person who is invited again accepts it in a session that reaches nothing else.
            Some(IdentityRefusal::NoWorkspace) if matches!(credential, Credential::Session(..)) => {
                Ok(Principal::new(Arc::new(identity), credential))
            }
            Some(IdentityRefusal::Disabled) => refuse(AuthenticationError::OwnerDisabled),
            Some(IdentityRefusal::Suspended) => refuse(AuthenticationError::OwnerSuspended),
            Some(IdentityRefusal::NoWorkspace) => refuse(AuthenticationError::OwnerWithoutWorkspace),
        }
    }

    /// Commits a change with its events and its response, and returns once every node has acknowledged it.
    async fn commit<O: Operation>(
        &self,
        transaction: Transaction,
        operation: &O,
        response: &O::Response,
    ) -> Result<Confirmation, AppError> {
        let Transaction { change, principal, caller, now, began, leases, events, .. } = transaction;
        let stored = match caller.replay {
            Some(replay) => Some(self.seal_response(replay, O::STATUS, response)?),
            None => None,
        };
        if events.iter().any(|(action, event)| recent_password::wants_recent_password(*action, event)) {
            principal.require_recent_password(now)?;
        }
        let mut events = events.into_iter().map(|(_, event)| event);
        let Some(first) = events.next() else {
            return Err(AppError::Internal("a change without an audit event".to_owned()));
        };
        let committed = change.commit((first, events.collect()), stored.as_ref()).await;
        let version = committed.map_err(|error| {
            let constraints = [store::replay::REPLAY_KEY_CONSTRAINT, store::replay::NONCE_CONSTRAINT];
            // A write that is answered elsewhere used the same nonce meanwhile; the next attempt finds it.
            let is_raced = constraints.iter().any(|constraint| error.is_conflict(constraint));
            if is_raced { AppError::Contended(error.to_string()) } else { error.into() }
        })?;
        operation.committed()?;
        let confirmation = self.confirm(version, leases).await?;
        self.metrics.time_change(self.clock.since_boot().saturating_sub(began));
        Ok(confirmation)
    }

    /// Waits until the change that was committed as `version` is effective on every node.
    async fn confirm(&self, version: Version, leases: Leases) -> Result<Confirmation, AppError> {
        let confirmed = self.cluster.confirm(version, leases).await;
        confirmed.map_err(|error| {
            AppError::Unavailable(format!(
                "a change was committed, and it is unknown which nodes have applied it: {error}"
            ))
        })
    }

    /// Waits, before a response that changed nothing, until every node has acknowledged what is committed: a caller who is
    /// told that a key is revoked or does not exist relies on it, and another caller may be revoking it at this moment. See
    /// `docs/adr/0011`: it writes nothing, and takes no lock, unless another node has just committed a change.
    ///
    /// # Errors
    /// It is not known which nodes have acknowledged it, or whether it would survive the loss of the primary.
    async fn confirm_unchanged(&self) -> Result<Confirmation, AppError> {
        Ok(self.cluster.confirm_current().await?)
    }
}

/// Whether the caller's signed request was done before, or its nonce was used by another one.
async fn was_done_before(caller: &Caller, connection: &mut Connection) -> Result<bool, StoreError> {
    let Some(replay) = &caller.replay else { return Ok(false) };
    if store::replay::find_replay(connection, replay.key).await?.is_some() {
        return Ok(true);
    }
    match &replay.nonce {
        Some(nonce) => Ok(store::replay::find_nonce(connection, replay.api_key, nonce).await?.is_some()),
        None => Ok(false),
    }
}

/// A change under way, by a caller who was read again inside it.
pub(super) struct Transaction {
    pub(super) change: Change,
    pub(super) principal: Principal,
    /// Whom the audit log names.
    pub(super) by: AuditPrincipal,
    caller: Caller,
    pub(super) now: Timestamp,
    /// When it began, since the machine started.
    began: Duration,
    /// The nodes' leases, seen before it began.
    leases: Leases,
    pub(super) events: Vec<(AuditAction, AuditEvent)>,
    pub(super) mail: UnsentMail,
}

impl Transaction {
    /// What a check sees of it.
    pub(super) fn scope(&mut self) -> Scope<'_> {
        Scope { principal: &self.principal, now: self.now, connection: &mut self.change }
    }

    /// Notes what is done, for the audit log.
    pub(super) fn note(
        &mut self,
        app: &App,
        action: AuditAction,
        workspace: Option<WorkspaceId>,
        target: impl Display,
        detail: impl Into<Detail>,
    ) {
        let event = AuditEvent {
            principal: self.by,
            key: self.principal.credential().key(),
            ip_address: self.caller.ip_address,
            ..self.event(app, action, workspace, target, detail.into())
        };
        self.events.push((action, event));
    }

    /// Notes what the server does to an owner who is not told which caller caused it.
    pub(super) fn note_by_server(
        &mut self,
        app: &App,
        action: AuditAction,
        workspace: Option<WorkspaceId>,
        target: impl Display,
        detail: impl Into<Detail>,
    ) {
        let event = self.event(app, action, workspace, target, detail.into());
        self.events.push((action, event));
    }

    /// An event by the server itself.
    fn event(
        &self,
        app: &App,
        action: AuditAction,
        workspace: Option<WorkspaceId>,
        target: impl Display,
        detail: Detail,
    ) -> AuditEvent {
        AuditEvent {
            id: AuditEventId::generate(self.now, app.random.as_ref()),
            at: self.now,
            workspace,
            principal: AuditPrincipal::Host,
            key: None,
            ip_address: None,
            action: Cow::Borrowed(action.as_str()),
            target: Some(target.to_string()),
            detail: detail.into_values(),
        }
    }

    /// Who did it, as `created_by` says it.
    pub(super) fn created_by(&self) -> String {
        self.by.to_string()
    }
}

/// Refuses a session that ended, or in whose place another came.
async fn require_session(
    connection: &mut Connection,
    id: SessionId,
    user: PrincipalId,
    now: Timestamp,
) -> Result<Session, AppError> {
    let found = store::session::find_session(connection, id).await?;
    found
        .filter(|session| session.is_live(now) && PrincipalId::User(session.user) == user)
        .ok_or(AppError::Unauthenticated(AuthenticationError::SessionEnded, now))
}
