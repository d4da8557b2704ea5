//! What every change has in common, whether the API, a page or a command on the host asked for it: its check runs first without
//! a lock, it is attempted again where it conflicted with another one, and a response that changed nothing waits for the nodes
//! all the same.

use domain::{
    ApiKeyId, Timestamp,
    principal::{Credential, Principal},
};
use serde::Serialize;
use store::{Connection, MayConflict, StoreError};

use super::{App, Caller, Transaction, UnsentMail};
use crate::error::AppError;

/// One change: what has to hold for it, and what it does then.
///
/// [`App::run`] runs [`check`](Self::check) twice: on a plain read, so that a refused change takes no lock and commits nothing,
/// and again in the transaction, where what it found cannot change any more.
pub(super) trait Operation: Send + Sync {
    /// What the check found, and the change needs.
    type Checked: Send;
    /// What the caller is told; kept for the same signed request.
    type Response: Serialize + Send;

    /// The HTTP status of the response.
    const STATUS: u16;

    /// Whether the caller may do this, and whether it can be done. Reads only.
    fn check(&self, app: &App, scope: &mut Scope<'_>) -> impl Future<Output = Result<Self::Checked, AppError>> + Send;

    /// The response where nothing is left to change.
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
        transaction: &mut Transaction<'_>,
        checked: Self::Checked,
    ) -> impl Future<Output = Result<Self::Response, AppError>> + Send;

    /// What is done once the change is committed and every node has acknowledged it, such as sending mail.
    fn finish(
        &self,
        _app: &App,
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

/// How an attempt at a change ended.
pub(crate) trait Attempt {
    /// Whether it conflicted with another change, so that another attempt may succeed.
    fn is_contended(&self) -> bool;

    /// Whether it tells the caller what there is, such as that a key is revoked or gone. Whoever is told so relies on it.
    fn tells_state(&self) -> bool;
}

impl<T> Attempt for Result<T, AppError> {
    fn is_contended(&self) -> bool {
        matches!(self, Err(AppError::Contended(_)))
    }

    fn tells_state(&self) -> bool {
        match self {
            Ok(_) => true,
            Err(error) => matches!(error.to_problem().status, 404 | 409 | 410),
        }
    }
}

/// An attempt that conflicted with another change.
struct ContendedAttempt<A>(A);

impl<A> MayConflict for ContendedAttempt<A> {
    fn is_contention(&self) -> bool {
        true
    }
}

impl App {
    /// Does one change: attempts it again where it conflicted with another one, and returns what it answered once every node
    /// has acknowledged that, also where nothing was changed.
    ///
    /// # Errors
    /// Those of the operation's last attempt; nobody knows which nodes have acknowledged what it told.
    pub async fn change<T, F>(&self, caller: &Caller, operation: impl FnMut() -> F) -> Result<T, AppError>
    where
        F: Future<Output = Result<T, AppError>>,
    {
        // What it holds of an operation is large.
        Box::pin(self.attempt(Some(caller), operation)).await?
    }

    /// As [`change`](Self::change), for a caller who may be nobody and an operation that ends with an answer of its own.
    pub(crate) async fn attempt<A, F>(
        &self,
        caller: Option<&Caller>,
        mut operation: impl FnMut() -> F,
    ) -> Result<A, AppError>
    where
        A: Attempt,
        F: Future<Output = A>,
    {
        let done = store::retry(|| {
            // An operation is a large future, and a retry would hold it twice.
            let attempt = Box::pin(operation());
            async move {
                let answer = attempt.await;
                if answer.is_contended() { Err(ContendedAttempt(answer)) } else { Ok(answer) }
            }
        });
        let answer = done.await.unwrap_or_else(|ContendedAttempt(answer)| answer);
        if let Some(caller) = caller
            && caller.confirmation().is_none()
            && answer.tells_state()
        {
            self.confirm_unchanged(caller).await?;
        }
        Ok(answer)
    }

    /// Runs one operation: checks it on a plain read, and ends there where it is refused or changes nothing, so that whoever
    /// repeats such requests takes no lock. What passes is checked again in the transaction, applied and committed. A request
    /// that was done before goes on to the transaction, too, because its stored response is looked for there.
    ///
    /// # Errors
    /// What the check found; the store does not answer.
    pub(super) async fn run<O: Operation>(&self, caller: &Caller, operation: O) -> Result<O::Response, AppError> {
        if let Some(end) = self.check_early(caller, &operation).await? {
            return end;
        }
        operation.prepare(self).await?;
        let mut transaction = self.begin(caller).await?;
        let checked = operation.check(self, &mut transaction.scope()).await?;
        if let Some(response) = operation.unchanged(&checked) {
            return Ok(response);
        }
        let response = operation.apply(self, &mut transaction, checked).await?;
        let mail = std::mem::take(&mut transaction.mail);
        let response = self.commit(transaction, O::STATUS, response).await?;
        Ok(operation.finish(self, caller, response, mail).await)
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
        if end.is_some() && self.was_done_before(caller, &mut connection).await? {
            return Ok(None);
        }
        Ok(end)
    }

    /// Whether the caller's signed request was done before, or its nonce was used by another one.
    async fn was_done_before(&self, caller: &Caller, connection: &mut Connection) -> Result<bool, StoreError> {
        let Some(replay) = &caller.replay else { return Ok(false) };
        if store::replay::find_replay(connection, replay.key).await?.is_some() {
            return Ok(true);
        }
        match &replay.nonce {
            Some(nonce) => Ok(store::replay::find_nonce(connection, replay.api_key, nonce).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Waits, before an answer that changed nothing, until every node has acknowledged what is committed: whoever is told
    /// that a key is revoked or gone relies on it, and somebody else may be revoking it at this moment. See
    /// `docs/adr/0011`: it writes nothing, and takes no lock, unless another node has just committed a change.
    ///
    /// # Errors
    /// Nobody knows which nodes have acknowledged it, or whether it would survive the loss of the primary.
    pub(super) async fn confirm_unchanged(&self, caller: &Caller) -> Result<(), AppError> {
        caller.note(self.cluster.confirm_current().await?);
        Ok(())
    }
}
