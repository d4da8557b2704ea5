//! Changes that wait for each other share a commit, and each succeeds or fails by itself.

use std::{future::Future, pin::Pin};

use domain::PrincipalId;
use store::{
    Change, CommitCounts, Committed, ReplayKey, Store, StoreError, StoredBody, StoredResponse, Version,
    audit::verify_log,
    params,
    replay::{Earlier, NONCE_CONSTRAINT, REPLAY_KEY_CONSTRAINT},
};
use tokio::task::JoinHandle;

use crate::support::{Backend, at, count, event, id, on_every_engine};

on_every_engine! {
    changes_that_wait_share_a_commit
    a_change_that_is_dropped_leaves_nothing_and_the_others_are_committed
    a_change_whose_statement_failed_leaves_nothing_and_the_others_are_committed
    a_change_that_ignores_a_failed_statement_is_not_committed
    a_change_after_a_failed_one_sees_nothing_of_it
    the_last_of_a_group_may_fail
    a_response_is_found_by_the_next_change_of_the_group
    a_change_that_only_reads_waits_until_what_it_has_read_is_committed
    a_change_that_only_reads_begins_again_if_what_it_has_read_is_not_committed
    a_commit_that_fails_is_tried_again_change_by_change
    a_nonce_that_is_recorded_elsewhere_fails_the_commit_and_then_one_change
    a_change_that_is_alone_shares_no_commit
    a_caller_that_gives_up_its_place_stops_nobody
    a_caller_that_does_not_wait_for_its_commit_stops_nobody
    a_group_has_an_upper_limit
}

const NODE: &str =
    "INSERT INTO nodes (id, name, software_version, lease_ms, acknowledged_version, registered_at, renewed_at)
                    VALUES ($1, '', '', 0, 0, 0, 0)";

async fn add_node(change: &mut Change, number: u8) -> Result<(), StoreError> {
    change.execute(NODE, params![format!("node-{number}")]).await.map(|_| ())
}

/// A change that adds a node.
async fn write(store: Store, number: u8) -> Outcome {
    let mut change = store.begin_change(at(number.into())).await?;
    add_node(&mut change, number).await?;
    change.commit(event(number), None).await
}

async fn fail(store: Store, number: u8) -> Outcome {
    let mut change = store.begin_change(at(number.into())).await?;
    add_node(&mut change, number).await?;
    // Its key exists now.
    add_node(&mut change, number).await?;
    change.commit(event(number), None).await
}

async fn drop_change(store: Store, number: u8) -> Outcome {
    let mut change = store.begin_change(at(number.into())).await?;
    add_node(&mut change, number).await?;
    drop(change);
    Err(StoreError::ReadOnly)
}

type Outcome = Result<Committed, StoreError>;
type Boxed = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Starts these changes while another one runs, so that all of them wait in this order. Returns their results, then.
async fn run_together<F>(store: &Store, changes: Vec<F>) -> Vec<Outcome>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let first = store.begin_change(at(0)).await.unwrap();
    let mut running: Vec<JoinHandle<Outcome>> = Vec::new();
    for change in changes {
        let mut change = Box::pin(change);
        // It has its place in the queue before the next one begins.
        assert!(poll_once(change.as_mut()).await.is_none());
        running.push(tokio::spawn(change));
    }
    let committed = first.commit(event(0), None).await;
    let mut results = vec![committed];
    for run in running {
        results.push(run.await.unwrap());
    }
    results
}

async fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    let mut future = Some(future);
    std::future::poll_fn(|context| {
        let polled = future.take().map(|future| future.poll(context));
        std::task::Poll::Ready(match polled {
            Some(std::task::Poll::Ready(output)) => Some(output),
            _ => None,
        })
    })
    .await
}

async fn nodes(store: &Store) -> i64 {
    count(store, "SELECT COUNT(*) AS n FROM nodes").await
}

/// Checks the number of events and that the log is intact.
async fn assert_log(store: &Store, events: u64) {
    let report = verify_log(&mut store.read().await.unwrap(), None).await.unwrap();
    assert!(report.is_intact() && report.size == events, "{report:?}");
    assert_eq!(store.current_version().await.unwrap(), Version(events), "one version for each change");
}

fn committed(version: u64, last: u64) -> Committed {
    Committed { version: Version(version), last: Version(last) }
}

async fn changes_that_wait_share_a_commit(database: impl Backend) {
    let store = database.open().await;
    let changes = (1..=32).map(|number| write(store.clone(), number)).collect();
    let results = run_together(&store, changes).await;
    for (version, result) in (1..).zip(results) {
        assert_eq!(result.unwrap(), committed(version, 33));
    }
    assert_eq!(nodes(&store).await, 32);
    assert_log(&store, 33).await;
    assert_eq!(store.commit_counts(), CommitCounts { changes: 33, commits: 1, waiting: 0 });
}

/// Runs a change that fails among others.
async fn one_fails<F>(store: &Store, failing: F) -> StoreError
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let changes: Vec<Boxed> =
        vec![Box::pin(write(store.clone(), 1)), Box::pin(failing), Box::pin(write(store.clone(), 3))];
    let mut results = run_together(store, changes).await;
    let error = results.remove(2).unwrap_err();
    let committed_versions: Vec<_> = results.into_iter().map(|result| result.unwrap()).collect();
    assert_eq!(committed_versions, [committed(1, 3), committed(2, 3), committed(3, 3)]);
    assert_eq!(count(store, "SELECT COUNT(*) AS n FROM nodes WHERE id IN ('node-1', 'node-3')").await, 2);
    assert_eq!(nodes(store).await, 2);
    assert_log(store, 3).await;
    assert_eq!(store.commit_counts(), CommitCounts { changes: 3, commits: 1, waiting: 0 });
    error
}

async fn a_change_that_is_dropped_leaves_nothing_and_the_others_are_committed(database: impl Backend) {
    let store = database.open().await;
    one_fails(&store, drop_change(store.clone(), 2)).await;
}

async fn a_change_whose_statement_failed_leaves_nothing_and_the_others_are_committed(database: impl Backend) {
    let store = database.open().await;
    let error = one_fails(&store, fail(store.clone(), 2)).await;
    assert!(error.is_conflict("nodes_pkey"), "{error}");
}

async fn a_change_that_ignores_a_failed_statement_is_not_committed(database: impl Backend) {
    let store = database.open().await;
    let ignoring = async |store: Store| {
        let mut change = store.begin_change(at(2)).await?;
        assert!(add_node(&mut change, 1).await.is_err());
        change.commit(event(2), None).await
    };
    let copy = store.clone();
    let error = one_fails(&store, async move { ignoring(copy).await }).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
}

async fn a_change_after_a_failed_one_sees_nothing_of_it(database: impl Backend) {
    let store = database.open().await;
    let look = async |store: Store| {
        let mut change = store.begin_change(at(3)).await?;
        assert_eq!(change.version(), Version(3), "the failed change has no version");
        let row = change.fetch_one("SELECT COUNT(*) AS n FROM nodes", params![]).await?;
        assert_eq!(row.i64("n")?, 1, "only the node of the first change");
        // The key that the failed change took is free.
        add_node(&mut change, 2).await?;
        change.commit(event(3), None).await
    };
    let (one, two, three) = (store.clone(), store.clone(), store.clone());
    let changes: Vec<Boxed> =
        vec![Box::pin(write(one, 1)), Box::pin(drop_change(two, 2)), Box::pin(async move { look(three).await })];
    let results = run_together(&store, changes).await;
    assert!(results[1].is_ok() && results[2].is_err() && results[3].is_ok(), "{results:?}");
    assert_log(&store, 3).await;
}

async fn the_last_of_a_group_may_fail(database: impl Backend) {
    let store = database.open().await;
    let changes: Vec<Boxed> = vec![
        Box::pin(write(store.clone(), 1)),
        Box::pin(drop_change(store.clone(), 2)),
        Box::pin(fail(store.clone(), 3)),
    ];
    let results = run_together(&store, changes).await;
    assert_eq!(results[0].as_ref().unwrap(), &committed(1, 2));
    assert_eq!(results[1].as_ref().unwrap(), &committed(2, 2));
    assert!(results[2].is_err() && results[3].is_err());
    assert_eq!(nodes(&store).await, 1);
    assert_log(&store, 2).await;
}

fn stored(number: u8) -> StoredResponse {
    StoredResponse {
        replay: store::ReplayKey {
            key: [number; 32],
            api_key: id(1),
            nonce: Some(format!("nonce-{number}")),
            expires_at: at(1000),
        },
        status: 201,
        body: StoredBody::Plain(vec![number]),
    }
}

async fn a_response_is_found_by_the_next_change_of_the_group(database: impl Backend) {
    let store = database.open().await;
    let respond = async |store: Store| {
        let change = store.begin_change(at(1)).await?;
        change.commit(event(1), Some(&stored(7))).await
    };
    let repeat = async |store: Store| {
        let mut change = store.begin_change(at(2)).await?;
        let mut request = stored(7).replay;
        let nobody = PrincipalId::User(id(1));
        let found = change.find_sender(nobody, None, Some(&request)).await?;
        assert_eq!(found.earlier, Some(Earlier::Executed(stored(7))));
        request.key = [8; 32];
        assert_eq!(change.find_sender(nobody, None, Some(&request)).await?.earlier, Some(Earlier::UsedNonce));
        request.nonce = None;
        assert_eq!(change.find_sender(nobody, None, Some(&request)).await?.earlier, None);
        // The same request could not be stored twice, and that ends only this change.
        let mut again = stored(7);
        again.replay.nonce = None;
        change.commit(event(2), Some(&again)).await
    };
    let reuse = async |store: Store| {
        let other = StoredResponse { replay: ReplayKey { key: [8; 32], ..stored(7).replay }, ..stored(7) };
        store.begin_change(at(2)).await?.commit(event(4), Some(&other)).await
    };
    let (one, two, three) = (store.clone(), store.clone(), store.clone());
    let changes: Vec<Boxed> = vec![
        Box::pin(async move { respond(one).await }),
        Box::pin(async move { repeat(two).await }),
        Box::pin(async move { reuse(three).await }),
        Box::pin(write(store.clone(), 3)),
    ];
    let results = run_together(&store, changes).await;
    assert!(results[2].as_ref().is_err_and(|error| error.is_conflict(REPLAY_KEY_CONSTRAINT)), "{results:?}");
    assert!(results[3].as_ref().is_err_and(|error| error.is_conflict(NONCE_CONSTRAINT)), "{results:?}");
    assert!(results[1].is_ok() && results[4].is_ok(), "{results:?}");
    assert_eq!(count(&store, "SELECT COUNT(*) AS n FROM replays").await, 1);
    assert_log(&store, 3).await;
}

/// A change that finds the node of the change before it, and has nothing to do.
async fn find_node(store: Store) -> Outcome {
    let mut change = store.begin_change(at(2)).await?;
    let row = change.fetch_one("SELECT COUNT(*) AS n FROM nodes", params![]).await?;
    assert_eq!(row.i64("n")?, 1);
    change.end_unchanged().await?;
    // Its caller is answered now.
    let visible = store.read().await?.fetch_one("SELECT COUNT(*) AS n FROM nodes", params![]).await?.i64("n")?;
    assert_eq!(visible, 1, "it is committed");
    Ok(committed(0, 0))
}

async fn a_change_that_only_reads_waits_until_what_it_has_read_is_committed(database: impl Backend) {
    let store = database.open().await;
    let changes: Vec<Boxed> = vec![
        Box::pin(write(store.clone(), 1)),
        Box::pin(find_node(store.clone())),
        Box::pin(log_event(store.clone(), 3)),
    ];
    let results = run_together(&store, changes).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_log(&store, 3).await;
    // The first change of a transaction has only read what is committed.
    let alone = store.begin_change(at(4)).await.unwrap();
    alone.end_unchanged().await.unwrap();
    assert_log(&store, 3).await;
}

async fn log_event(store: Store, number: u8) -> Outcome {
    store.begin_change(at(number.into())).await?.commit(event(number), None).await
}

async fn a_change_that_only_reads_begins_again_if_what_it_has_read_is_not_committed(database: impl Backend) {
    let store = database.open().await;
    crate::support::log(&store, event(200)).await;
    let changes: Vec<Boxed> = vec![
        Box::pin(write(store.clone(), 1)),
        Box::pin(find_node(store.clone())),
        Box::pin(log_event(store.clone(), 200)),
    ];
    let results = run_together(&store, changes).await;
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Contended { .. }), "{error}");
    }
    assert_eq!(nodes(&store).await, 0);
}

/// A change with the id of an event that exists, which only the commit finds out.
async fn write_a_known_event(store: Store) -> Outcome {
    let mut change = store.begin_change(at(9)).await?;
    add_node(&mut change, 9).await?;
    change.commit(event(200), None).await
}

async fn a_commit_that_fails_is_tried_again_change_by_change(database: impl Backend) {
    let store = database.open().await;
    crate::support::log(&store, event(200)).await;
    let changes: Vec<Boxed> = vec![
        Box::pin(write(store.clone(), 1)),
        Box::pin(write_a_known_event(store.clone())),
        Box::pin(write(store.clone(), 2)),
    ];
    let results = run_together(&store, changes).await;
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Contended { .. }), "nothing was committed: {error}");
    }
    assert_eq!(nodes(&store).await, 0);
    assert_log(&store, 1).await;
    // Alone, each has its own result.
    let change = store.begin_change_alone(at(9)).await.unwrap();
    let error = change.commit(event(200), None).await.unwrap_err();
    assert!(error.is_conflict("audit_events_id_key"), "{error}");
    let change = store.begin_change_alone(at(1)).await.unwrap();
    assert_eq!(change.commit(event(1), None).await.unwrap(), committed(2, 2));
}

async fn a_nonce_that_is_recorded_elsewhere_fails_the_commit_and_then_one_change(database: impl Backend) {
    let store = database.open().await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let recorded = ReplayKey { key: [8; 32], ..stored(7).replay };
    assert_eq!(store::replay::insert_nonces(&mut maintenance, &[&recorded]).await.unwrap(), [true]);
    maintenance.commit().await.unwrap();
    // It does not look the nonce up, as if that was recorded after it did.
    let respond = async |store: Store| store.begin_change(at(1)).await?.commit(event(1), Some(&stored(7))).await;
    let copy = store.clone();
    let changes: Vec<Boxed> = vec![Box::pin(async move { respond(copy).await }), Box::pin(write(store.clone(), 2))];
    for result in run_together(&store, changes).await {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Contended { .. }), "nothing was committed: {error}");
    }
    assert_log(&store, 0).await;
    let alone = store.begin_change_alone(at(1)).await.unwrap().commit(event(1), Some(&stored(7))).await;
    assert!(alone.unwrap_err().is_conflict(NONCE_CONSTRAINT));
    let alone = store.begin_change_alone(at(2)).await.unwrap().commit(event(2), Some(&stored(9))).await;
    assert_eq!(alone.unwrap(), committed(1, 1));
}

async fn a_change_that_is_alone_shares_no_commit(database: impl Backend) {
    let store = database.open().await;
    let alone = async |store: Store| store.begin_change_alone(at(2)).await?.commit(event(2), None).await;
    let copy = store.clone();
    let changes: Vec<Boxed> = vec![
        Box::pin(write(store.clone(), 1)),
        Box::pin(async move { alone(copy).await }),
        Box::pin(write(store.clone(), 3)),
    ];
    let results = run_together(&store, changes).await;
    let results: Vec<_> = results.into_iter().map(|result| result.unwrap()).collect();
    assert_eq!(results, [committed(1, 2), committed(2, 2), committed(3, 3), committed(4, 4)]);
    assert_log(&store, 4).await;
    assert_eq!(store.commit_counts(), CommitCounts { changes: 4, commits: 3, waiting: 0 });
}

async fn a_caller_that_gives_up_its_place_stops_nobody(database: impl Backend) {
    let store = database.open().await;
    let first = store.begin_change(at(0)).await.unwrap();
    let mut leaving = Box::pin(write(store.clone(), 1));
    assert!(poll_once(leaving.as_mut()).await.is_none(), "it waits");
    let mut committing = Box::pin(first.commit(event(0), None));
    // The first change leaves its transaction to the one that waits.
    assert!(poll_once(committing.as_mut()).await.is_none());
    drop(leaving);
    assert_eq!(committing.await.unwrap(), committed(1, 1));
    assert_eq!(write(store.clone(), 2).await.unwrap(), committed(2, 2));
    assert_eq!(nodes(&store).await, 1);
    assert_log(&store, 2).await;
}

async fn a_caller_that_does_not_wait_for_its_commit_stops_nobody(database: impl Backend) {
    let store = database.open().await;
    let first = store.begin_change(at(0)).await.unwrap();
    let mut waiting = Box::pin(write(store.clone(), 1));
    assert!(poll_once(waiting.as_mut()).await.is_none(), "it waits");
    let mut committing = Box::pin(first.commit(event(0), None));
    assert!(poll_once(committing.as_mut()).await.is_none());
    drop(committing);
    assert_eq!(waiting.await.unwrap(), committed(2, 2));
    assert_log(&store, 2).await;
}

async fn a_group_has_an_upper_limit(database: impl Backend) {
    let store = database.open().await;
    let changes = (1..=100).map(|number| write(store.clone(), number)).collect();
    let results = run_together(&store, changes).await;
    let lasts: Vec<u64> = results.into_iter().map(|result| result.unwrap().last.0).collect();
    assert_eq!(lasts[..64], [64; 64]);
    assert_eq!(lasts[64..], [101; 37]);
    assert_log(&store, 101).await;
}
