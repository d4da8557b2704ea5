//! Nonces of writes that go to somebody else's API, written down before they are let through. All that wait share one
//! transaction, so that a busy proxy costs a disk few syncs.

use store::{ReplayKey, Store, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::error::AppError;

/// Writes that are noted in one transaction at the most; as many again may wait.
const BATCH: usize = 1024;

struct Waiting {
    replay: ReplayKey,
    /// Whether it was fresh.
    answer: oneshot::Sender<Result<bool, String>>,
}

/// Where nonces are handed in.
pub(super) struct Nonces {
    queue: mpsc::Sender<Waiting>,
}

impl Nonces {
    /// A queue, and the task that writes down what is in it.
    pub(super) fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(BATCH);
        (Self { queue }, tokio::spawn(write_down(store, waiting)))
    }

    /// A queue that nobody writes down: a command on the host judges no requests.
    pub(super) fn closed() -> Self {
        Self { queue: mpsc::channel(1).0 }
    }

    /// Writes down a request's nonce; tells whether it was fresh once that is durable.
    pub(super) async fn note(&self, replay: ReplayKey) -> Result<bool, AppError> {
        let stopped = || AppError::Unavailable("this node is stopping".to_owned());
        let (answer, told) = oneshot::channel();
        self.queue.send(Waiting { replay, answer }).await.map_err(|_| stopped())?;
        told.await.map_err(|_| stopped())?.map_err(AppError::Unavailable)
    }
}

async fn write_down(store: Store, mut queue: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        match store::retry(|| insert(&store, &batch)).await {
            Ok(fresh) => {
                for (waiting, fresh) in batch.drain(..).zip(fresh) {
                    // Who hung up meanwhile does not need to know.
                    let _ = waiting.answer.send(Ok(fresh));
                }
            }
            Err(error) => {
                tracing::error!(%error, "nonces could not be written down; their requests are refused");
                for waiting in batch.drain(..) {
                    let _ = waiting.answer.send(Err(error.to_string()));
                }
            }
        }
    }
}

async fn insert(store: &Store, batch: &[Waiting]) -> Result<Vec<bool>, StoreError> {
    let mut upkeep = store.begin_maintenance().await?;
    let requests: Vec<_> = batch.iter().map(|waiting| &waiting.replay).collect();
    let fresh = store::replay::insert_nonces(&mut upkeep, &requests).await?;
    upkeep.commit().await?;
    Ok(fresh)
}
