//! The life cycle of a change from the API, a page or a command on the host: the check on a plain read, the
//! transaction, the stored response, the audit events, the commit, the retry after a conflict, and the wait for every
//! node.

use std::{
    any::Any,
    borrow::Cow,
    fmt::{self, Display},
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{
    ApiKeyId, AuditAction, AuditEvent, AuditEventId, AuditPrincipal, PrincipalId, SessionId, Timestamp, WorkspaceId,
    api_key::KeyState,
    limits::KeywardScope,
    principal::{Credential, Denied, IdentityRefusal, KeyCredential, Principal},
    session::Session,
};
use serde::{Serialize, de::DeserializeOwned};
use store::{Change, Committed, Connection, MayConflict, StoreError, identity::KeyStanding, replay::Earlier};
use tracing::Instrument as _;
use verifier::AuthenticationError;

use super::{App, Caller, Detail, UnsentMail, recent_password};
use crate::{
    cluster::{Confirmation, Leases},
    error::AppError,
    request_log,
};

/// One change: its preconditions and its effect.
///
/// [`App::change`] runs [`check`](Self::check) twice. The first time it uses a plain read, so that a refused change
/// takes no lock and commits nothing. The second time it runs in the transaction, where its result cannot change any
/// more.
pub(super) trait Operation: Send + Sync + 'static {
    /// The result of the check, which the change uses.
    type Checked: Send;
    /// The response to the caller. It is stored for a repeated signed request.
    type Response: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The HTTP status that is stored with the response.
    const STATUS: u16;

    /// The scope that a key needs, if it is limited to scopes. [`App::change`] requires it, so no change can leave it
    /// out.
    const SCOPE: KeywardScope;

    /// Checks whether the caller may do this, and whether it is possible. It only reads.
    fn check(&self, app: &App, scope: &mut Scope<'_>) -> impl Future<Output = Result<Self::Checked, AppError>> + Send;

    /// Returns the response if there is nothing to change.
    fn unchanged(&self, _checked: &Self::Checked) -> Option<Self::Response> {
        None
    }

    /// Writes data that the transaction needs, after the first check has succeeded.
    fn prepare(&self, _app: &App) -> impl Future<Output = Result<(), AppError>> + Send {
        async { Ok(()) }
    }

    /// Makes the change, and records at least one audit event.
    fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        checked: Self::Checked,
    ) -> impl Future<Output = Result<Self::Response, AppError>> + Send;

    /// Called immediately after the commit, before the wait for other nodes, which may be interrupted.
    fn committed(&self) -> Result<(), AppError> {
        Ok(())
    }

    /// Called after every node has acknowledged the change, for example to send mail.
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

/// The input of a check: the caller, the time, and the database.
pub(super) struct Scope<'a> {
    /// In a plain read, the authenticated principal. In the transaction, the principal as it was read again there.
    pub(super) principal: &'a Principal,
    pub(super) now: Timestamp,
    pub(super) connection: &'a mut Connection,
}

impl Scope<'_> {
    /// Returns the key that signed the request.
    pub(super) fn signed_with(&self) -> Option<ApiKeyId> {
        match self.principal.credential() {
            Credential::Signature(key) => Some(*key),
            Credential::BearerToken(_) | Credential::Session(..) | Credential::Host => None,
        }
    }
}

/// The result of a change, after every node has acknowledged it or its lease has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmed<T> {
    value: T,
    confirmation: Confirmation,
}

impl<T> Confirmed<T> {
    /// Returns how the change was confirmed by every node.
    pub const fn confirmation(&self) -> Confirmation {
        self.confirmation
    }

    /// Returns the result of the change.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Keeps the confirmation and converts the value.
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
    /// The confirmation of the state that the error reports, if it reports one: for example that a key is revoked or
    /// does not exist.
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

/// Returns whether an error reports a state, such as that a key is revoked or does not exist. The caller relies on it.
fn reports_state(error: &AppError) -> bool {
    matches!(error.to_problem().status, 404 | 409 | 410)
}

/// A resource that is released after the caller's change has ended, even if the client disconnects before.
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

/// The requester of a change.
struct Requester {
    caller: Caller,
    /// Whether the client has no credential yet, for example when accepting an invitation.
    is_anonymous: bool,
}

/// What an operation did in a transaction.
enum Ran<T> {
    /// It changed something. The transaction is to be committed.
    Applied(T),
    /// There was nothing to change, or the same signed request was executed before.
    Unchanged(T),
}

/// The result of an attempt at a change.
enum Outcome<T> {
    Committed {
        response: T,
        mail: UnsentMail,
        confirmation: Confirmation,
    },
    /// There was nothing to change, or the same signed request was executed before.
    Unchanged(T),
}

impl App {
    /// Makes one change, and returns its result after every node has acknowledged it, also if nothing was changed. It
    /// is retried after a conflict with another change, and continues if the client disconnects.
    ///
    /// # Errors
    /// The check failed, the store does not answer, or it is unknown which nodes have acknowledged the reported state.
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
        let running = request_log::within(request_log::current_request_id(), running.in_current_span());
        let ended = tokio::spawn(running).await;
        ended.map_err(|error| AppError::Internal(format!("a change ended early: {error}")))?
    }

    async fn change_and_confirm<O: Operation>(
        self: &Arc<Self>,
        requester: &Requester,
        operation: &O,
    ) -> Result<Confirmed<O::Response>, ChangeError> {
        // A change that is tried again shares no commit, so that another change cannot fail it again.
        let attempts = AtomicU32::new(0);
        let attempt = || {
            let is_alone = attempts.fetch_add(1, Ordering::Relaxed) > 0;
            // An attempt is a large future. Without the box, a retry would contain it twice.
            Box::pin(self.attempt(requester, operation, is_alone))
        };
        match store::retry(attempt).await {
            Ok(Outcome::Committed { response, mail, confirmation }) => {
                let value = operation.finish(self, &requester.caller, response, mail).await;
                Ok(Confirmed { value, confirmation })
            }
            Ok(Outcome::Unchanged(value)) => Ok(Confirmed { value, confirmation: self.confirm_unchanged().await? }),
            Err(error) if !requester.is_anonymous && reports_state(&error) => {
                let confirmation = Some(self.confirm_unchanged().await?);
                Err(ChangeError { error, confirmation })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks an operation on a plain read, and stops if it is refused or changes nothing, so that a client that
    /// repeats such requests takes no lock. Other operations are checked again in the transaction, applied and
    /// committed. A repeated request also continues to the transaction, which looks up its stored response.
    async fn attempt<O: Operation>(
        &self,
        requester: &Requester,
        operation: &O,
        is_alone: bool,
    ) -> Result<Outcome<O::Response>, AppError> {
        requester.caller.principal.require_scope(O::SCOPE)?;
        if let Some(end) = self.check_early(&requester.caller, operation).await? {
            return end.map(Outcome::Unchanged);
        }
        operation.prepare(self).await?;
        let mut transaction = self.begin(requester, is_alone).await?;
        match self.run(requester, operation, &mut transaction).await {
            Ok(Ran::Applied(response)) => {
                let mail = std::mem::take(&mut transaction.mail);
                let confirmation = self.commit(transaction, operation, &response).await?;
                Ok(Outcome::Committed { response, mail, confirmation })
            }
            // What it has read may be of a change that is not committed yet.
            Ok(Ran::Unchanged(response)) => {
                transaction.change.end_unchanged().await?;
                Ok(Outcome::Unchanged(response))
            }
            Err(error) => {
                transaction.change.end_unchanged().await?;
                Err(error)
            }
        }
    }

    /// Reads the caller's key, owner and memberships again, and checks and applies an operation.
    async fn run<O: Operation>(
        &self,
        requester: &Requester,
        operation: &O,
        transaction: &mut Transaction,
    ) -> Result<Ran<O::Response>, AppError> {
        let now = transaction.now;
        let (principal, earlier) = self.read_again(&mut transaction.change, &requester.caller, now).await?;
        transaction.principal = principal;
        transaction.principal.require_scope(O::SCOPE)?;
        if !requester.is_anonymous {
            transaction.by = transaction.principal.audit_principal();
        }
        if let Some(response) = self.open_earlier(transaction, earlier)? {
            return Ok(Ran::Unchanged(response));
        }
        let checked = operation.check(self, &mut transaction.scope()).await?;
        if let Some(response) = operation.unchanged(&checked) {
            return Ok(Ran::Unchanged(response));
        }
        operation.apply(self, transaction, checked).await.map(Ran::Applied)
    }

    /// Returns the result of an operation that needs no transaction.
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

    /// Begins a change: locks the row.
    async fn begin(&self, requester: &Requester, is_alone: bool) -> Result<Transaction, AppError> {
        let (now, began) = (self.clock.now(), self.clock.since_boot());
        // Read before the wait for the locked row, so that the wait counts as elapsed time of leases.
        let leases = self.cluster.observe_leases().await?;
        let change =
            if is_alone { self.store.begin_change_alone(now).await? } else { self.store.begin_change(now).await? };
        Ok(Transaction {
            change,
            principal: requester.caller.principal.clone(),
            by: AuditPrincipal::Anonymous,
            caller: requester.caller.clone(),
            now,
            began,
            leases,
            events: Vec::new(),
            mail: UnsentMail::default(),
        })
    }

    /// Returns the stored response to the same signed request, if it was executed before.
    fn open_earlier<T: DeserializeOwned>(
        &self,
        transaction: &Transaction,
        earlier: Option<Earlier>,
    ) -> Result<Option<T>, AppError> {
        match (earlier, &transaction.caller.replay) {
            (Some(Earlier::Executed(stored)), _) => self.open_stored_response(stored).map(Some),
            (Some(Earlier::UsedNonce), replay) => {
                let error = AuthenticationError::NonceReused;
                let key = replay.as_ref().map(|replay| replay.api_key);
                self.verifier.record_refusal(key, transaction.caller.ip_address, &error);
                Err(AppError::Unauthenticated(error, transaction.now))
            }
            (None, _) => Ok(None),
        }
    }

    /// Returns the principal of a caller as it is now: its key with the limits that the key has now, or its session, and
    /// its memberships. Also returns what an earlier request with the same signature or nonce stored.
    async fn read_again(
        &self,
        change: &mut Change,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(Principal, Option<Earlier>), AppError> {
        let principal = &caller.principal;
        let Some(id) = principal.id() else { return Ok((principal.clone(), None)) };
        let refuse = |error| AppError::Unauthenticated(error, now);
        let credential = principal.key_credential();
        let found = change.find_sender(id, credential.map(KeyCredential::key), caller.replay.as_ref()).await?;
        let again = if let Some(credential) = credential {
            let key = found.key.filter(|key| key.owner == id);
            match key.as_ref().map_or(KeyState::Revoked, |key| key.state(now)) {
                KeyState::Active => {}
                KeyState::Disabled => return Err(refuse(AuthenticationError::KeyDisabled)),
                KeyState::Suspended => return Err(refuse(AuthenticationError::KeySuspended)),
                KeyState::Expired => return Err(refuse(AuthenticationError::KeyExpired)),
                KeyState::Revoked => return Err(refuse(AuthenticationError::UnknownKey)),
            }
            let key = key.ok_or_else(|| refuse(AuthenticationError::UnknownKey))?;
            key.limits.check_use(now, caller.client_ip).map_err(|refusal| refuse(refusal.into()))?;
            Again::Key(credential, key)
        } else if let Credential::Session(session, _) = *principal.credential() {
            let session = require_session(change, session, id, now).await?;
            Again::Session(session.id, session.authenticated_at)
        } else {
            return Err(AppError::Internal("a principal with an identity and without a credential".to_owned()));
        };
        let identity = Arc::new(found.identity.ok_or_else(|| refuse(AuthenticationError::UnknownKey))?);
        let principal = match (identity.refusal(), again) {
            (None, Again::Key(credential, key)) => {
                let policy = found.policies.check_use(|| key.facts, &identity, now);
                let policy = policy.map_err(|outside| refuse(AuthenticationError::OutsidePolicy(outside)))?;
                Principal::of_key(&identity, credential, &key.limits, policy)
            }
            // A person who is invited again accepts the invitation in a session that has no other access.
            (None | Some(IdentityRefusal::NoWorkspace), Again::Session(session, authenticated_at)) => {
                Principal::of_session(identity, session, authenticated_at)
            }
            (Some(IdentityRefusal::Disabled), _) => return Err(refuse(AuthenticationError::OwnerDisabled)),
            (Some(IdentityRefusal::Suspended), _) => return Err(refuse(AuthenticationError::OwnerSuspended)),
            (Some(IdentityRefusal::NoWorkspace), Again::Key(..)) => {
                return Err(refuse(AuthenticationError::OwnerWithoutWorkspace));
            }
        };
        Ok((principal, found.earlier))
    }

    /// Commits a change with its events and its response, and returns after every node has acknowledged it.
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
        let committed = committed.map_err(|error| {
            let constraints = [store::replay::REPLAY_KEY_CONSTRAINT, store::replay::NONCE_CONSTRAINT];
            // A write that another server answers used the same nonce in the meantime. The next attempt finds it.
            let is_raced = constraints.iter().any(|constraint| error.is_conflict(constraint));
            if is_raced { AppError::Contended(error.to_string()) } else { error.into() }
        })?;
        operation.committed()?;
        let confirmation = self.confirm(committed, leases).await?;
        self.metrics.time_change(self.clock.since_boot().saturating_sub(began));
        Ok(confirmation)
    }

    /// Waits until a change is effective on every node.
    async fn confirm(&self, committed: Committed, leases: Leases) -> Result<Confirmation, AppError> {
        let confirmed = self.cluster.confirm(committed, leases).await;
        confirmed.map_err(|error| {
            AppError::Unavailable(format!(
                "a change was committed, and it is unknown which nodes have applied it: {error}"
            ))
        })
    }

    /// Waits, before a response that changed nothing, until every node has acknowledged the committed version. The
    /// caller relies on a response that says that a key is revoked or does not exist, while a concurrent request may be
    /// revoking it. See `docs/adr/0011`: this writes nothing and takes no lock, unless another node has just committed
    /// a change.
    ///
    /// # Errors
    /// It is unknown which nodes have acknowledged it, or whether it would survive the loss of the primary.
    async fn confirm_unchanged(&self) -> Result<Confirmation, AppError> {
        Ok(self.cluster.confirm_current().await?)
    }
}

/// Returns whether the caller's signed request was executed before, or another request used its nonce.
async fn was_done_before(caller: &Caller, connection: &mut Connection) -> Result<bool, StoreError> {
    let Some(replay) = &caller.replay else { return Ok(false) };
    Ok(store::replay::find_earlier(connection, replay).await?.is_some())
}

/// A change in progress. Its caller was read again inside it.
pub(super) struct Transaction {
    pub(super) change: Change,
    pub(super) principal: Principal,
    /// The principal in the audit log.
    pub(super) by: AuditPrincipal,
    caller: Caller,
    pub(super) now: Timestamp,
    /// When it began, as time since the machine started.
    began: Duration,
    /// The nodes' leases, read before it began.
    leases: Leases,
    pub(super) events: Vec<(AuditAction, AuditEvent)>,
    pub(super) mail: UnsentMail,
}

impl Transaction {
    /// Returns the input for a check.
    pub(super) fn scope(&mut self) -> Scope<'_> {
        Scope { principal: &self.principal, now: self.now, connection: &mut self.change }
    }

    /// Records an event for the audit log.
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

    /// Records an event that affects an owner who must not see which caller caused it. Its principal is the server.
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

    /// Creates an event with the server as principal.
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

    /// Returns the principal in the form of `created_by`.
    pub(super) fn created_by(&self) -> String {
        self.by.to_string()
    }
}

/// The credential of a caller, as it is now.
enum Again {
    Key(KeyCredential, KeyStanding),
    Session(SessionId, Timestamp),
}

/// Refuses a session that ended or was replaced.
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
