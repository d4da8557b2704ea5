//! Sessions: what is written is read back, and only the latest token opens one.

use domain::session::{SESSION_IDLE_LIFETIME, SESSION_LIFETIME, Session};
use store::{Store, session};

use crate::support::{Backend, add_workspaces_and_users, at, change, id, on_every_engine};

on_every_engine! {
    a_session_is_found_by_its_token_and_its_id
    a_renewal_voids_the_previous_token
    the_latest_use_is_kept
    sessions_end_alone_or_together
    expired_sessions_are_deleted
}

fn sample(number: u8) -> Session {
    Session {
        id: id(number.into()),
        user: id(1),
        created_at: at(number.into()),
        authenticated_at: at(i64::from(number) + 1),
        last_seen_at: at(i64::from(number) + 2),
        ip_address: (number % 2 == 1).then(|| "192.0.2.1".to_owned()),
        user_agent: format!("browser {number}"),
    }
}

/// Opens a store with the first three sessions of user 1. The token hash of each is its number.
async fn open(database: &impl Backend) -> Store {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    for number in 1..=3 {
        change(&store, number + 1, async |change| session::insert_session(change, &sample(number), &[number]).await)
            .await;
    }
    store
}

async fn list(store: &Store) -> Vec<Session> {
    session::list_sessions(&mut store.read().await.unwrap(), id(1)).await.unwrap()
}

async fn find_by_token(store: &Store, token_hash: &[u8]) -> Option<Session> {
    session::find_session_by_token(&mut store.read().await.unwrap(), token_hash).await.unwrap()
}

async fn a_session_is_found_by_its_token_and_its_id(database: impl Backend) {
    let store = open(&database).await;
    assert_eq!(find_by_token(&store, &[1]).await, Some(sample(1)));
    assert_eq!(find_by_token(&store, &[2]).await, Some(sample(2)));
    assert_eq!(find_by_token(&store, &[9]).await, None);
    let found = session::find_session(&mut store.read().await.unwrap(), id(1)).await.unwrap();
    assert_eq!(found, Some(sample(1)));
    assert_eq!(list(&store).await, [sample(3), sample(2), sample(1)], "the latest first");
}

async fn a_renewal_voids_the_previous_token(database: impl Backend) {
    let store = open(&database).await;
    change(&store, 5, async |change| session::renew_session(change, id(1), b"renewed", at(50)).await).await;
    assert_eq!(find_by_token(&store, &[1]).await, None);
    let renewed = Session { authenticated_at: at(50), last_seen_at: at(50), ..sample(1) };
    assert_eq!(find_by_token(&store, b"renewed").await, Some(renewed));
}

async fn the_latest_use_is_kept(database: impl Backend) {
    let store = open(&database).await;
    for second in [60, 55] {
        let mut maintenance = store.begin_maintenance().await.unwrap();
        session::record_session_use(&mut maintenance, id(1), at(second)).await.unwrap();
        maintenance.commit().await.unwrap();
    }
    assert_eq!(find_by_token(&store, &[1]).await, Some(Session { last_seen_at: at(60), ..sample(1) }));
}

async fn sessions_end_alone_or_together(database: impl Backend) {
    let store = open(&database).await;
    change(&store, 5, async |change| session::delete_session(change, id(1)).await).await;
    assert_eq!(list(&store).await, [sample(3), sample(2)]);
    let ended = change(&store, 6, async |change| session::delete_sessions_of(change, id(1), Some(id(3))).await).await;
    assert_eq!((ended, list(&store).await), (1, vec![sample(3)]));
    let ended = change(&store, 7, async |change| session::delete_sessions_of(change, id(1), None).await).await;
    assert_eq!((ended, list(&store).await), (1, vec![]));
}

async fn expired_sessions_are_deleted(database: impl Backend) {
    let store = open(&database).await;
    let delete = async |now| {
        let mut maintenance = store.begin_maintenance().await.unwrap();
        let deleted = session::delete_expired_sessions(&mut maintenance, now).await.unwrap();
        maintenance.commit().await.unwrap();
        deleted
    };
    let first_idle = sample(1).last_seen_at + SESSION_IDLE_LIFETIME;
    assert_eq!(delete(first_idle - std::time::Duration::from_micros(1)).await, 0);
    assert_eq!(delete(first_idle).await, 1);
    assert_eq!(list(&store).await, [sample(3), sample(2)]);
    assert_eq!(delete(sample(3).created_at + SESSION_LIFETIME).await, 2);
}
