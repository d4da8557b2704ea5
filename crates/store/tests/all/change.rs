//! Changes commit completely or not at all, one after the other, and the feed contains them.

use std::{collections::BTreeSet, time::Duration};

use domain::{WorkspaceId, id::UserKind, principal::Principal};
use store::{
    Changes, Store, StoreError, Subject, Version,
    audit::{EventFilter, EventScope, list_events},
    change, params,
};

use crate::support::{Backend, at, count, event, id, log, on_every_engine};

on_every_engine! {
    a_change_has_the_next_version_and_leaves_its_event
    a_dropped_change_leaves_nothing
    an_event_that_cannot_be_written_rolls_its_change_back
    a_failed_statement_ends_its_change
    several_events_of_one_change_are_logged_in_order
    changes_of_two_stores_at_once_have_versions_of_their_own
    the_feed_lists_the_changes_since_a_version
    the_feed_reports_when_it_does_not_reach_back
    a_version_later_than_the_databases_means_a_full_load
    maintenance_has_neither_version_nor_event
    a_watch_sees_what_another_store_commits
}

async fn add_row(change: &mut store::WriteConnection) {
    let sql =
        "INSERT INTO nodes (id, name, software_version, lease_ms, acknowledged_version, registered_at, renewed_at)
               VALUES ('node', '', '', 0, 0, 0, 0)";
    change.execute(sql, params![]).await.unwrap();
}

async fn rows(store: &Store) -> i64 {
    count(store, "SELECT COUNT(*) AS n FROM nodes").await
}

async fn events(store: &Store) -> i64 {
    count(store, "SELECT COUNT(*) AS n FROM audit_events").await
}

async fn a_change_has_the_next_version_and_leaves_its_event(database: impl Backend) {
    let store = database.open().await;
    let mut change = store.begin_change(at(1)).await.unwrap();
    assert_eq!((change.version(), change.now()), (Version(1), at(1)));
    add_row(&mut change).await;
    assert_eq!(change.commit(event(1), None).await.unwrap().version, Version(1));
    assert_eq!((rows(&store).await, events(&store).await), (1, 1));
    assert_eq!(store.current_version().await.unwrap(), Version(1));
    assert_eq!(log(&store, event(2)).await, Version(2));
}

async fn a_dropped_change_leaves_nothing(database: impl Backend) {
    let store = database.open().await;
    let mut change = store.begin_change(at(1)).await.unwrap();
    add_row(&mut change).await;
    change.touch(Subject::Installation);
    drop(change);
    assert_eq!((rows(&store).await, events(&store).await), (0, 0));
    assert_eq!(store.current_version().await.unwrap(), Version(0));
    assert_eq!(log(&store, event(1)).await, Version(1));
}

async fn an_event_that_cannot_be_written_rolls_its_change_back(database: impl Backend) {
    let store = database.open().await;
    log(&store, event(1)).await;
    let mut change = store.begin_change(at(2)).await.unwrap();
    add_row(&mut change).await;
    // The id of an existing event.
    let error = change.commit((event(2), vec![event(1)]), None).await.unwrap_err();
    assert!(error.is_conflict("audit_events_id_key"), "{error}");
    assert_eq!((rows(&store).await, events(&store).await), (0, 1));
    assert_eq!(store.current_version().await.unwrap(), Version(1));
}

async fn a_failed_statement_ends_its_change(database: impl Backend) {
    let store = database.open().await;
    let mut change = store.begin_change(at(1)).await.unwrap();
    add_row(&mut change).await;
    let sql = "INSERT INTO nodes SELECT * FROM nodes";
    assert!(change.execute(sql, params![]).await.unwrap_err().is_conflict("nodes_pkey"));
    for error in [
        change.execute("DELETE FROM nodes", params![]).await.err(),
        change.fetch_all("SELECT * FROM nodes", params![]).await.err(),
        change.commit(event(1), None).await.err(),
    ] {
        assert!(matches!(error, Some(StoreError::Refused { .. })), "{error:?}");
    }
    assert_eq!((rows(&store).await, events(&store).await), (0, 0));
}

async fn several_events_of_one_change_are_logged_in_order(database: impl Backend) {
    let store = database.open().await;
    let change = store.begin_change(at(1)).await.unwrap();
    change.commit((event(1), vec![event(2), event(3)]), None).await.unwrap();
    let mut connection = store.read().await.unwrap();
    let all = EventScope::Installation(Principal::host().authorize_host().unwrap());
    let listed = list_events(&mut connection, all, &EventFilter::default(), 10).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|logged| (logged.seq, logged.event)).collect();
    assert_eq!(listed, [(2, event(3)), (1, event(2)), (0, event(1))]);
}

async fn changes_of_two_stores_at_once_have_versions_of_their_own(database: impl Backend) {
    let (one, other) = (database.open().await, database.open().await);
    let changes: Vec<_> = (0..40)
        .map(|number| {
            let store = if number % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move { log(&store, event(number)).await })
        })
        .collect();
    let mut versions = BTreeSet::new();
    for change in changes {
        versions.insert(change.await.unwrap());
    }
    assert_eq!(versions, (1..=40).map(Version).collect());
    let report = store::audit::verify_log(&mut one.read().await.unwrap(), None).await.unwrap();
    assert!(report.is_intact() && report.size == 40, "{report:?}");
}

async fn touch(store: &Store, number: u8, subjects: &[Subject]) -> Version {
    let mut change = store.begin_change(at(number.into())).await.unwrap();
    for &subject in subjects {
        change.touch(subject);
    }
    change.commit(event(number), None).await.unwrap().version
}

async fn the_feed_lists_the_changes_since_a_version(database: impl Backend) {
    let store = database.open().await;
    let user = Subject::User(id::<UserKind>(1));
    let workspace = Subject::Workspace(WorkspaceId::from(id(1)));
    let start = store.current_version().await.unwrap();
    touch(&store, 1, &[user, workspace]).await;
    touch(&store, 2, &[]).await;
    touch(&store, 3, &[Subject::ApiKey(id(1)), user]).await;

    let all = Changes::Subjects { subjects: vec![workspace, user, Subject::ApiKey(id(1))], up_to: Version(3) };
    assert_eq!(store.changes_since(start).await.unwrap(), all);
    let last = Changes::Subjects { subjects: vec![user, Subject::ApiKey(id(1))], up_to: Version(3) };
    assert_eq!(store.changes_since(Version(2)).await.unwrap(), last);
    let none = Changes::Subjects { subjects: vec![], up_to: Version(3) };
    assert_eq!(store.changes_since(Version(3)).await.unwrap(), none);
}

async fn the_feed_reports_when_it_does_not_reach_back(database: impl Backend) {
    let store = database.open().await;
    for number in 1..=4 {
        touch(&store, number, &[Subject::Installation]).await;
    }
    let mut maintenance = store.begin_maintenance().await.unwrap();
    assert_eq!(change::prune_changes(&mut maintenance, Version(2)).await.unwrap(), 2);
    maintenance.commit().await.unwrap();

    assert_eq!(store.changes_since(Version(1)).await.unwrap(), Changes::TooOld);
    let rest = Changes::Subjects { subjects: vec![Subject::Installation], up_to: Version(4) };
    assert_eq!(store.changes_since(Version(2)).await.unwrap(), rest);
}

async fn a_version_later_than_the_databases_means_a_full_load(database: impl Backend) {
    let store = database.open().await;
    log(&store, event(1)).await;
    assert_eq!(store.changes_since(Version(2)).await.unwrap(), Changes::TooOld);
}

async fn maintenance_has_neither_version_nor_event(database: impl Backend) {
    let store = database.open().await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    add_row(&mut maintenance).await;
    maintenance.commit().await.unwrap();
    assert_eq!((rows(&store).await, events(&store).await), (1, 0));
    assert_eq!(store.current_version().await.unwrap(), Version(0));

    let mut dropped = store.begin_maintenance().await.unwrap();
    dropped.execute("DELETE FROM nodes", params![]).await.unwrap();
    drop(dropped);
    assert_eq!(rows(&store).await, 1);
}

async fn a_watch_sees_what_another_store_commits(database: impl Backend) {
    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(40);
    let (here, elsewhere) = (database.open().await, database.open().await);
    let mut watch = here.watch().await.unwrap();
    assert!(watch.changed(LONG).await.unwrap(), "what was committed before the first look is news");
    assert!(!watch.changed(SHORT).await.unwrap());
    for store in [&elsewhere, &here] {
        log(store, event(u8::from(std::ptr::eq(store, &raw const here)))).await;
        assert!(watch.changed(LONG).await.unwrap());
        assert!(!watch.changed(SHORT).await.unwrap());
    }
    drop(elsewhere.begin_change(at(3)).await.unwrap());
    assert!(!watch.changed(SHORT).await.unwrap(), "what was rolled back is no news");
    here.close().await;
    assert!(matches!(here.begin_change(at(4)).await.err(), Some(StoreError::Unavailable { .. })));
}
