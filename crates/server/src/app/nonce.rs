//! Records the nonces of proxied writes before they are accepted. All pending nonces share one transaction, so that a
//! busy proxy causes few disk syncs.

use domain::ReplayKey;
use store::{Store, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use verifier::outside::{NonceError, NonceFuture, NonceStore};

/// The maximum number of nonces in one transaction. The same number may be pending.
const BATCH: usize = 1024;

struct Waiting {
    replay: ReplayKey,
    /// Receives whether it was fresh.
    answer: oneshot::Sender<Result<bool, NonceError>>,
}

/// The queue of nonces.
pub(super) struct Nonces {
    queue: mpsc::Sender<Waiting>,
}

impl Nonces {
    /// Starts a queue, and the task that records its nonces.
    pub(super) fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(BATCH);
        (Self { queue }, tokio::spawn(record(store, waiting)))
    }

    /// Creates a queue that refuses every nonce, because a command on the host verifies no requests.
    pub(super) fn closed() -> Self {
        Self { queue: mpsc::channel(1).0 }
    }
}

impl NonceStore for Nonces {
    fn record_nonce(&self, replay: ReplayKey) -> NonceFuture<'_> {
        Box::pin(async move {
            let stopped = || NonceError("this node is stopping".to_owned());
            let (answer, recorded) = oneshot::channel();
            self.queue.send(Waiting { replay, answer }).await.map_err(|_| stopped())?;
            recorded.await.map_err(|_| stopped())?
        })
    }
}

async fn record(store: Store, mut queue: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        match store::retry(|| insert(&store, &batch)).await {
            Ok(fresh) => {
                for (waiting, fresh) in batch.drain(..).zip(fresh) {
                    // A client that disconnected in the meantime does not need the result.
                    let _ = waiting.answer.send(Ok(fresh));
                }
            }
            Err(error) => {
                tracing::error!(%error, "nonces could not be recorded; their requests are refused");
                for waiting in batch.drain(..) {
                    let _ = waiting.answer.send(Err(NonceError(error.to_string())));
                }
            }
        }
    }
}

async fn insert(store: &Store, batch: &[Waiting]) -> Result<Vec<bool>, StoreError> {
    let mut maintenance = store.begin_maintenance().await?;
    let requests: Vec<_> = batch.iter().map(|waiting| &waiting.replay).collect();
    let fresh = store::replay::insert_nonces(&mut maintenance, &requests).await?;
    maintenance.commit().await?;
    Ok(fresh)
}
