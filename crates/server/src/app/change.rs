//! What every change has in common, whether the API, a page or a command on the host asked for it: it is attempted again where
//! it conflicted with another one, and an answer that changed nothing waits for the nodes all the same.

use store::{Connection, MayConflict, ReadConnection, StoreError};

use super::{App, Caller};
use crate::{
    error::AppError,
    feed::{Confirmation, Leases},
};

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

    /// Ends an operation early whose caller asks after something that a plain read does not find, or finds revoked: whoever
    /// repeats such requests holds no lock. What passes is checked again in the operation's transaction. A request that was
    /// done before passes too, because its stored answer is looked for there.
    ///
    /// # Errors
    /// What the check found; the store does not answer.
    pub(super) async fn refuse_early<T>(
        &self,
        caller: &Caller,
        mut connection: ReadConnection,
        checked: Result<T, AppError>,
    ) -> Result<(), AppError> {
        match checked {
            Err(_) if self.was_done_before(caller, &mut connection).await? => Ok(()),
            checked => checked.map(|_| ()),
        }
    }

    /// Whether the caller's signed request was done before, or its nonce was used by another one.
    pub(super) async fn was_done_before(
        &self,
        caller: &Caller,
        connection: &mut Connection,
    ) -> Result<bool, StoreError> {
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
        let Some(feed) = &self.feed else {
            // A command on the host renews no lease by which it would know what is durable.
            let leases = Leases::look(&self.store, self.clock.as_ref()).await?;
            let version = self.store.begin_change(self.clock.now()).await?.make_durable().await?;
            return self.confirm(caller, version, leases).await;
        };
        // At least the version that the operation has read.
        let counted = self.store.count_acknowledgements().await?;
        feed.require_durable(counted.version).await?;
        if counted.acknowledged < counted.nodes {
            let leases = Leases::look(&self.store, self.clock.as_ref()).await?;
            return self.confirm(caller, counted.version, leases).await;
        }
        caller.note(Confirmation { version: counted.version, nodes: counted.nodes, expired: 0 });
        Ok(())
    }
}
