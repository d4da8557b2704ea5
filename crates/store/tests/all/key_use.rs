//! Counters of the use of keys: several nodes add to them, and a key has a limited number of rows.

use std::time::Duration;

use domain::{
    Timestamp,
    api_key::ApiKey,
    key_use::{RefusalReason, UseCounts, UseSpan, UseWindow},
};
use store::{
    Store,
    api_key::insert_api_key,
    key_use::{KeyUseCounts, UsedKeys, delete_old_use_counters, list_use_by_key, list_use_by_time, record_use_counts},
    service_account::{delete_service_account, insert_service_account},
};

use crate::support::{
    Backend, add_workspaces_and_users, api_key, at, change, count, id, on_every_engine, service_account, user,
    workspace_access,
};

on_every_engine! {
    nodes_add_to_the_same_counters
    every_window_shows_its_own_hours_or_days
    the_use_of_several_keys_is_added_up
    unknown_keys_and_keys_of_deleted_accounts_take_no_space
    a_year_of_use_takes_limited_space
    a_batch_of_many_keys_is_counted_completely
}

const ROWS: &str = "SELECT COUNT(*) AS n FROM use_counters";

/// 2023-11-14 22:13:20 UTC, the start of all tests, is not the start of an hour.
fn now() -> Timestamp {
    at(0)
}

fn ago(hours: u64) -> Timestamp {
    now() - Duration::from_hours(hours)
}

fn counts(accepted: u64, refused: &[(RefusalReason, u64)]) -> UseCounts {
    let mut counts = UseCounts::accepted(accepted);
    for (reason, count) in refused {
        counts.add_refused(*reason, *count);
    }
    counts
}

/// Adds two service accounts with a key each, and a key of a user.
async fn add_keys(store: &Store) {
    add_workspaces_and_users(store).await;
    change(store, 2, async |change| {
        for number in [1, 2] {
            insert_service_account(change, &service_account(number)).await?;
            insert_api_key(change, &api_key(number, service_account(number).id)).await?;
        }
        insert_api_key(change, &api_key(3, user(1).id)).await
    })
    .await;
}

async fn record(store: &Store, uses: &[(u128, Timestamp, UseCounts)]) {
    let uses: Vec<_> = uses.iter().map(|&(key, at, counts)| KeyUseCounts { key: id(key), at, counts }).collect();
    let mut maintenance = store.begin_maintenance().await.unwrap();
    record_use_counts(&mut maintenance, &uses).await.unwrap();
    maintenance.commit().await.unwrap();
}

async fn read(store: &Store, keys: UsedKeys, window: UseWindow) -> Vec<(Timestamp, UseCounts)> {
    let mut connection = store.read().await.unwrap();
    list_use_by_time(&mut connection, keys, window, now()).await.unwrap().into_iter().collect()
}

async fn nodes_add_to_the_same_counters(database: impl Backend) {
    let (one, other) = (database.open().await, database.open().await);
    add_keys(&one).await;
    let all = RefusalReason::ALL.map(|reason| (reason, 1));
    record(&one, &[(1, now(), counts(2, &all)), (1, now(), counts(1, &[]))]).await;
    record(&other, &[(1, now(), counts(5, &all))]).await;
    record(&other, &[(1, now(), counts(0, &[(RefusalReason::KeyExpired, 7)]))]).await;
    let mut expected = counts(8, &RefusalReason::ALL.map(|reason| (reason, 2)));
    expected.add_refused(RefusalReason::KeyExpired, 7);
    for (window, span) in [(UseWindow::Day, UseSpan::Hour), (UseWindow::Quarter, UseSpan::Day)] {
        let read = read(&one, UsedKeys::Key(id(1)), window).await;
        assert_eq!(read, [(span.start(now(), 0), expected)], "{window}");
    }
    assert_eq!(count(&one, ROWS).await, 2);
}

async fn every_window_shows_its_own_hours_or_days(database: impl Backend) {
    let store = database.open().await;
    add_keys(&store).await;
    // The first and the last hour and day that each window shows, and one before.
    for (hours, accepted) in [(0, 1), (23, 2), (24, 4), (6 * 24, 8), (7 * 24, 16), (89 * 24, 32), (90 * 24, 64)] {
        record(&store, &[(1, ago(hours), counts(accepted, &[]))]).await;
    }
    let sum = async |window| {
        let read = read(&store, UsedKeys::Key(id(1)), window).await;
        assert!(read.iter().all(|(start, _)| UseWindow::starts(window, now()).any(|shown| shown == *start)));
        read.iter().map(|(_, counts)| counts.accepted).sum::<u64>()
    };
    assert_eq!(sum(UseWindow::Day).await, 1 + 2);
    assert_eq!(sum(UseWindow::Week).await, 1 + 2 + 4 + 8);
    assert_eq!(sum(UseWindow::Quarter).await, 1 + 2 + 4 + 8 + 16 + 32);
}

async fn the_use_of_several_keys_is_added_up(database: impl Backend) {
    let store = database.open().await;
    add_keys(&store).await;
    record(&store, &[(1, now(), counts(1, &[])), (2, now(), counts(2, &[])), (3, now(), counts(4, &[]))]).await;
    let accepted = async |keys| {
        let read = read(&store, keys, UseWindow::Week).await;
        read.iter().map(|(_, counts)| counts.accepted).collect::<Vec<_>>()
    };
    assert_eq!(accepted(UsedKeys::Of(user(1).id.into())).await, [4]);
    assert_eq!(accepted(UsedKeys::Of(service_account(2).id.into())).await, [2]);
    assert_eq!(accepted(UsedKeys::OfServiceAccounts(workspace_access(1))).await, [3]);
    assert_eq!(accepted(UsedKeys::OfServiceAccounts(workspace_access(2))).await, [0_u64; 0]);
    let mut connection = store.read().await.unwrap();
    let keys = UsedKeys::OfServiceAccounts(workspace_access(1));
    let by_key = list_use_by_key(&mut connection, keys, UseWindow::Day, now()).await.unwrap();
    assert_eq!(by_key, [(id(1), counts(1, &[])), (id(2), counts(2, &[]))].into());
}

async fn unknown_keys_and_keys_of_deleted_accounts_take_no_space(database: impl Backend) {
    let store = database.open().await;
    add_keys(&store).await;
    record(&store, &[(9, now(), counts(1, &[])), (1, now(), counts(1, &[])), (2, now(), counts(1, &[]))]).await;
    assert_eq!(count(&store, ROWS).await, 4);
    change(&store, 3, async |change| delete_service_account(change, id(1), at(3)).await).await;
    assert_eq!(count(&store, ROWS).await, 2);
    record(&store, &[(1, now(), counts(0, &[(RefusalReason::KeyRevoked, 1)]))]).await;
    assert_eq!(count(&store, ROWS).await, 2);
    assert_eq!(read(&store, UsedKeys::Key(id(1)), UseWindow::Week).await, []);
}

async fn a_year_of_use_takes_limited_space(database: impl Backend) {
    const KEPT: i64 = 2 * (48 + 90);
    let store = database.open().await;
    add_keys(&store).await;
    let mut most = 0;
    for day in 0..365_u64 {
        let hours = (0..24).flat_map(|hour| {
            let at = now() + Duration::from_hours(day * 24 + hour);
            [1, 2].map(|key| (key, at, counts(1, &[(RefusalReason::BadSignature, 1)])))
        });
        record(&store, &hours.collect::<Vec<_>>()).await;
        let end = now() + Duration::from_hours(day * 24 + 23);
        let mut maintenance = store.begin_maintenance().await.unwrap();
        // A batch is not more than it may be, and a second one deletes the rest.
        let deleted = delete_old_use_counters(&mut maintenance, end, 30).await.unwrap();
        assert!(deleted <= 30, "{deleted}");
        delete_old_use_counters(&mut maintenance, end, 30).await.unwrap();
        maintenance.commit().await.unwrap();
        most = most.max(count(&store, ROWS).await);
    }
    assert_eq!(count(&store, ROWS).await, KEPT);
    assert!(most <= KEPT + 2, "{most}");
    let last = now() + Duration::from_hours(364 * 24 + 23);
    let mut connection = store.read().await.unwrap();
    // The last use is in the hour from 21:00 UTC, so that the last day has two hours less.
    for (window, accepted) in [(UseWindow::Day, 24), (UseWindow::Quarter, 90 * 24 - 2)] {
        let by_key = list_use_by_key(&mut connection, UsedKeys::Key(id(1)), window, last).await.unwrap();
        assert_eq!(by_key[&id(1)], counts(accepted, &[(RefusalReason::BadSignature, accepted)]), "{window}");
    }
}

async fn a_batch_of_many_keys_is_counted_completely(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let keys: Vec<ApiKey> = (1..=107).map(|number| api_key(number, user(1).id)).collect();
    change(&store, 2, async |change| {
        for key in &keys {
            insert_api_key(change, key).await?;
        }
        Ok(())
    })
    .await;
    let uses: Vec<_> = (1..=107).map(|number: u8| (number.into(), now(), counts(number.into(), &[]))).collect();
    record(&store, &uses).await;
    let mut connection = store.read().await.unwrap();
    let by_key =
        list_use_by_key(&mut connection, UsedKeys::Of(user(1).id.into()), UseWindow::Day, now()).await.unwrap();
    let expected = (1..=107_u8).map(|number| (id(number.into()), counts(number.into(), &[])));
    assert_eq!(by_key, expected.collect());
}
