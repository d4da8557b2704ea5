//! The same signed write happens once, and gets the stored response.

use domain::{PrincipalId, Timestamp};
use store::{
    ReplayKey, StoreError, StoredBody, StoredResponse, Version, identity,
    replay::{self, Earlier},
};

use crate::support::{Backend, at, event, id, on_every_engine, tamper};

on_every_engine! {
    a_stored_response_survives_a_restart
    a_plain_body_of_the_previous_release_is_read_as_plain
    the_same_write_happens_once
    a_nonce_is_used_once_by_a_key
    writes_without_a_nonce_do_not_conflict
    stored_responses_are_deleted_after_their_signatures_expire
    rows_of_the_previous_release_get_the_epoch_that_finds_them
    a_failed_change_stores_no_response
    a_recorded_nonce_is_fresh_once
}

fn answer(key: u8, nonce: Option<&str>, expires_at: Timestamp) -> StoredResponse {
    StoredResponse {
        replay: ReplayKey { key: [key; 32], api_key: id(1), nonce: nonce.map(str::to_owned), expires_at },
        status: 201,
        body: StoredBody::Sealed(format!("{{\"id\":{key}}}").into_bytes()),
    }
}

async fn commit(store: &store::Store, number: u8, answer: &StoredResponse) -> Result<Version, StoreError> {
    let change = store.begin_change(at(number.into())).await.unwrap();
    change.commit(event(number), Some(answer)).await.map(|committed| committed.version)
}

async fn find(store: &store::Store, key: u8) -> Option<StoredResponse> {
    match find_earlier(store, &answer(key, None, at(300)).replay).await {
        Some(Earlier::Executed(response)) => Some(response),
        Some(Earlier::UsedNonce) | None => None,
    }
}

async fn find_earlier(store: &store::Store, replay: &ReplayKey) -> Option<Earlier> {
    let mut connection = store.read().await.unwrap();
    let found = replay::find_earlier(&mut connection, replay).await.unwrap();
    let nobody = PrincipalId::ServiceAccount(id(9));
    let of_change = identity::find_sender(&mut connection, nobody, None, Some(replay)).await.unwrap();
    assert_eq!(of_change.earlier, found, "a change reads it together with its sender");
    found
}

async fn a_stored_response_survives_a_restart(database: impl Backend) {
    let store = database.open().await;
    let first = answer(1, Some("nonce"), at(300));
    commit(&store, 1, &first).await.unwrap();
    store.close().await;

    let store = database.open().await;
    assert_eq!(find(&store, 1).await, Some(first));
    assert_eq!(find(&store, 2).await, None);
    let mut other = answer(3, Some("nonce"), at(300)).replay;
    assert_eq!(find_earlier(&store, &other).await, Some(Earlier::UsedNonce));
    other.nonce = Some("Nonce".to_owned());
    assert_eq!(find_earlier(&store, &other).await, None);
    other = ReplayKey { api_key: id(2), nonce: Some("nonce".to_owned()), ..other };
    assert_eq!(find_earlier(&store, &other).await, None);
}

async fn a_plain_body_of_the_previous_release_is_read_as_plain(database: impl Backend) {
    let store = database.open().await;
    let plain = StoredResponse { body: StoredBody::Plain(b"{}".to_vec()), ..answer(1, None, at(300)) };
    let sealed = StoredResponse { body: StoredBody::Sealed(b"{}".to_vec()), ..answer(2, None, at(300)) };
    commit(&store, 1, &plain).await.unwrap();
    commit(&store, 2, &sealed).await.unwrap();
    assert_eq!((find(&store, 1).await, find(&store, 2).await), (Some(plain), Some(sealed)));
}

async fn the_same_write_happens_once(database: impl Backend) {
    let store = database.open().await;
    let first = answer(1, None, at(300));
    commit(&store, 1, &first).await.unwrap();
    let again = StoredResponse { status: 200, ..first.clone() };
    let error = commit(&store, 2, &again).await.unwrap_err();
    assert!(error.is_conflict(replay::REPLAY_KEY_CONSTRAINT), "{error}");
    assert_eq!(find(&store, 1).await, Some(first));
    assert_eq!(store.current_version().await.unwrap(), Version(1));
}

async fn a_nonce_is_used_once_by_a_key(database: impl Backend) {
    let store = database.open().await;
    commit(&store, 1, &answer(1, Some("nonce"), at(300))).await.unwrap();
    let error = commit(&store, 2, &answer(2, Some("nonce"), at(300))).await.unwrap_err();
    assert!(error.is_conflict(replay::NONCE_CONSTRAINT), "{error}");
    let mut of_another_key = answer(3, Some("nonce"), at(300));
    of_another_key.replay.api_key = id(2);
    assert_eq!(commit(&store, 3, &of_another_key).await.unwrap(), Version(2));
}

async fn writes_without_a_nonce_do_not_conflict(database: impl Backend) {
    let store = database.open().await;
    commit(&store, 1, &answer(1, None, at(300))).await.unwrap();
    commit(&store, 2, &answer(2, None, at(300))).await.unwrap();
    assert!(find(&store, 1).await.is_some() && find(&store, 2).await.is_some());
}

async fn stored_responses_are_deleted_after_their_signatures_expire(database: impl Backend) {
    let store = database.open().await;
    commit(&store, 1, &answer(1, None, at(300))).await.unwrap();
    commit(&store, 2, &answer(2, None, at(301))).await.unwrap();
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let epoch = replay::begin_epoch(&mut maintenance).await.unwrap();
    maintenance.commit().await.unwrap();
    commit(&store, 3, &answer(3, None, at(300))).await.unwrap();
    for (now, forgotten) in [(300, 0), (301, 1), (301, 0), (302, 1), (999, 0)] {
        let mut maintenance = store.begin_maintenance().await.unwrap();
        assert_eq!(replay::delete_expired(&mut maintenance, epoch, at(now)).await.unwrap(), forgotten);
        maintenance.commit().await.unwrap();
    }
    assert!(find(&store, 1).await.is_none() && find(&store, 2).await.is_none());
    assert!(find(&store, 3).await.is_some(), "it is of the epoch that has begun, however late it is by that clock");
}

async fn rows_of_the_previous_release_get_the_epoch_that_finds_them(database: impl Backend) {
    let store = database.open().await;
    commit(&store, 0, &answer(1, None, at(300))).await.unwrap();
    tamper(&store, "UPDATE replays SET epoch = NULL", &[]).await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let first = replay::begin_epoch(&mut maintenance).await.unwrap();
    assert_eq!(replay::delete_expired(&mut maintenance, first, at(301)).await.unwrap(), 1);
    maintenance.commit().await.unwrap();
}

async fn a_failed_change_stores_no_response(database: impl Backend) {
    let store = database.open().await;
    commit(&store, 1, &answer(1, None, at(300))).await.unwrap();
    // The event's id exists, so nothing of the change is kept.
    commit(&store, 1, &answer(2, None, at(300))).await.unwrap_err();
    assert_eq!(find(&store, 2).await, None);
}

async fn a_recorded_nonce_is_fresh_once(database: impl Backend) {
    let store = database.open().await;
    let note = async |answers: &[&StoredResponse]| {
        let requests: Vec<_> = answers.iter().map(|answer| &answer.replay).collect();
        let mut maintenance = store.begin_maintenance().await.unwrap();
        let fresh = replay::insert_nonces(&mut maintenance, &requests).await.unwrap();
        maintenance.commit().await.unwrap();
        fresh
    };
    let noted = answer(1, Some("noted"), at(300));
    let answered = answer(2, Some("answered"), at(300));
    commit(&store, 1, &answered).await.unwrap();
    let same_nonce = answer(3, Some("noted"), at(300));
    assert_eq!(note(&[&noted, &noted, &same_nonce, &answered]).await, [true, false, false, false]);
    assert_eq!(note(&[&noted, &answer(4, Some("other"), at(300))]).await, [false, true]);

    assert_eq!(find(&store, 1).await, None, "a nonce is no answer");
    assert_eq!(
        find_earlier(&store, &noted.replay).await,
        Some(Earlier::UsedNonce),
        "the same request, without an answer"
    );
    assert_eq!(find_earlier(&store, &same_nonce.replay).await, Some(Earlier::UsedNonce));
    assert_eq!(find_earlier(&store, &answer(1, None, at(300)).replay).await, None);
    let error = commit(&store, 2, &same_nonce).await.unwrap_err();
    assert!(error.is_conflict(replay::NONCE_CONSTRAINT), "{error}");
}
