//! Rotations of keys.

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, Timestamp,
    api_key::ApiKey,
    key_use::{UseCounts, UseSpan},
    rotation::KeyRotation,
};
use store::{
    Store,
    api_key::{Descendants, Revocation, insert_api_key, list_self_rotated, list_with_descendants, revoke_api_key},
    key_use::{KeyUseCounts, record_use_counts},
    rotation::{count_accepted, find_rotation_of, insert_rotation, list_live_keys, list_rotations, update_rotation},
};

use crate::support::{Backend, add_workspaces_and_users, api_key, at, change, id, on_every_engine, user};

on_every_engine! {
    a_rotation_is_read_back_until_it_is_undone
    live_keys_have_their_predecessors
    self_rotated_keys_are_found_through_revoked_ones
    accepted_requests_are_counted_from_the_start_of_the_day
}

fn rotation(predecessor: u128, successor: u128) -> KeyRotation {
    KeyRotation {
        predecessor: id(predecessor),
        successor: id(successor),
        rotated_at: at(10),
        ends_at: at(70),
        expires_before: Some(at(900)),
        accepted_before: 3,
        undone_at: None,
    }
}

/// Adds keys of user 1. Each is rotated to the next one. Each is registered with the key in `with`.
async fn add_chain(store: &Store, with: &[Option<u128>]) {
    add_workspaces_and_users(store).await;
    change(store, 2, async |change| {
        for (number, with) in (1_u8..).zip(with) {
            let key = ApiKey { created_with: with.map(id), ..api_key(number, user(1).id) };
            insert_api_key(change, &key).await?;
            if number > 1 {
                insert_rotation(change, &rotation(u128::from(number) - 1, number.into())).await?;
            }
        }
        Ok(())
    })
    .await;
}

async fn a_rotation_is_read_back_until_it_is_undone(database: impl Backend) {
    let store = database.open().await;
    add_chain(&store, &[None, None, None]).await;
    let (first, second) = (rotation(1, 2), rotation(2, 3));
    let read = async || {
        let mut connection = store.read().await.unwrap();
        let of_second = list_rotations(&mut connection, &[id(2)]).await.unwrap();
        (find_rotation_of(&mut connection, id(1)).await.unwrap(), of_second)
    };
    assert_eq!(read().await, (Some(first), vec![first, second]));
    let without_expiry = KeyRotation { expires_before: None, ..rotation(1, 4) };
    change(&store, 3, async |change| {
        update_rotation(change, &KeyRotation { undone_at: Some(at(20)), ..first }).await?;
        insert_api_key(change, &api_key(4, user(1).id)).await?;
        insert_rotation(change, &without_expiry).await
    })
    .await;
    assert_eq!(read().await, (Some(without_expiry), vec![second]));
}

async fn live_keys_have_their_predecessors(database: impl Backend) {
    let store = database.open().await;
    add_chain(&store, &[None, None, None]).await;
    let live = async |now: Timestamp| {
        let mut connection = store.read().await.unwrap();
        list_live_keys(&mut connection, user(1).id.into(), now).await.unwrap()
    };
    let expected = |keys: &[(u128, Option<u128>)]| -> BTreeMap<ApiKeyId, Option<ApiKeyId>> {
        keys.iter().map(|(key, before)| (id(*key), before.map(id))).collect()
    };
    assert_eq!(live(at(5)).await, expected(&[(1, None), (2, Some(1)), (3, Some(2))]));
    change(&store, 3, async |change| {
        let before = api_key(3, user(1).id);
        let expired = ApiKey { expires_at: Some(at(60)), ..before.clone() };
        store::api_key::update_api_key(change, &before, &expired).await?;
        revoke_api_key(change, &api_key(1, user(1).id), Revocation::Ordinary).await
    })
    .await;
    assert_eq!(live(at(59)).await, expected(&[(2, Some(1)), (3, Some(2))]));
    assert_eq!(live(at(60)).await, expected(&[(2, Some(1))]));
}

async fn self_rotated_keys_are_found_through_revoked_ones(database: impl Backend) {
    let store = database.open().await;
    // The second and the third rotated themselves. An admin with key 1 rotated the fourth.
    add_chain(&store, &[None, Some(1), Some(2), Some(1)]).await;
    change(&store, 3, async |change| revoke_api_key(change, &api_key(2, user(1).id), Revocation::Ordinary).await).await;
    let mut connection = store.read().await.unwrap();
    let ids = |keys: Vec<ApiKey>| keys.iter().map(|key| key.id).collect::<Vec<_>>();
    assert_eq!(ids(list_self_rotated(&mut connection, &[id(1)]).await.unwrap()), [id(2)]);
    let root = vec![api_key(1, user(1).id)];
    let found = list_with_descendants(&mut connection, root.clone(), Descendants::SelfRotated).await.unwrap();
    assert_eq!(ids(found), [1, 2, 3].map(id));
    let found = list_with_descendants(&mut connection, root, Descendants::All).await.unwrap();
    assert_eq!(ids(found), [1, 2, 4, 3].map(id));
}

async fn accepted_requests_are_counted_from_the_start_of_the_day(database: impl Backend) {
    let store = database.open().await;
    add_chain(&store, &[None, None]).await;
    let start = UseSpan::Day.start(at(0), 0);
    let uses = [(1, start, 5), (1, at(0), 2), (1, start - std::time::Duration::from_secs(1), 7), (2, at(0), 9)];
    let uses = uses.map(|(key, at, many)| KeyUseCounts { key: id(key), at, counts: UseCounts::accepted(many) });
    let mut maintenance = store.begin_maintenance().await.unwrap();
    record_use_counts(&mut maintenance, &uses).await.unwrap();
    maintenance.commit().await.unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(count_accepted(&mut connection, id(1), at(0)).await.unwrap(), 7);
    assert_eq!(count_accepted(&mut connection, id(1), start - std::time::Duration::from_secs(1)).await.unwrap(), 14);
    assert_eq!(count_accepted(&mut connection, id(3), at(0)).await.unwrap(), 0);
}
