//! Policies for keys.

use domain::{
    ApiKeyId, Timestamp,
    api_key::ApiKey,
    policy::{KeyPolicies, KeyPolicy, PolicyPlace},
};
use store::{
    Store,
    api_key::insert_api_key,
    identity::find_sender,
    installation::find_installation,
    key_review::{list_keys_to_disable, note_enabled},
    params,
    policy::{delete_policy, find_policies, list_policies, put_policy},
};

use crate::support::{
    Backend, add_workspaces_and_users, api_key, at, change, id, on_every_engine, service_account, tamper, user,
};

on_every_engine! {
    a_policy_is_read_back_until_it_is_removed
    the_public_key_of_an_installation_with_policies_is_unreadable_to_a_node_that_knows_none
    keys_that_are_not_used_are_found
}

const ALL: PolicyPlace = PolicyPlace::Installation;

fn place(number: u128) -> PolicyPlace {
    PolicyPlace::Workspace(id(number))
}

fn policy(rules: &str, before: &str) -> KeyPolicy {
    KeyPolicy::from_parts(rules.parse().unwrap(), before.parse().unwrap(), at(5), at(9))
}

async fn put(store: &Store, number: u8, place: PolicyPlace, policy: KeyPolicy) {
    change(store, number, async |change| put_policy(change, place, &policy).await).await;
}

async fn a_policy_is_read_back_until_it_is_removed(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let (first, second) = (policy("max_key_lifetime=90", ""), policy("unused_days=9,disable", "require_expiry=true"));
    put(&store, 2, ALL, policy("require_cidrs=true", "")).await;
    put(&store, 3, ALL, first).await;
    put(&store, 4, place(1), second).await;
    let all = async || list_policies(&mut store.read().await.unwrap()).await.unwrap();
    let mut expected = KeyPolicies::default();
    expected.set(ALL, Some(first));
    let only = expected.clone();
    expected.set(place(1), Some(second));
    assert_eq!(all().await, expected);
    let mut connection = store.read().await.unwrap();
    assert_eq!(find_policies(&mut connection, &[id(1)]).await.unwrap(), expected);
    assert_eq!(find_policies(&mut connection, &[id(2)]).await.unwrap(), only);
    // With the principal, those of its workspaces are read.
    let key = ApiKey { expires_at: Some(at(99)), ..api_key(1, user(1).id) };
    change(&store, 5, async |change| insert_api_key(change, &key).await).await;
    let found = find_sender(&mut connection, user(1).id.into(), Some(key.id), None).await.unwrap();
    let workspaces: Vec<_> = found.identity.unwrap().memberships.iter().map(|m| m.workspace).collect();
    assert_eq!(found.policies, find_policies(&mut connection, &workspaces).await.unwrap());
    assert!(!found.policies.is_none());
    let standing = found.key.unwrap();
    let expected = domain::policy::KeyFacts::of(key.id, key.public_key.algorithm(), key.expires_at, &key.limits);
    assert_eq!(standing.facts, expected);
    drop(connection);
    change(&store, 6, async |change| put_policy(change, ALL, &policy("", "")).await).await;
    change(&store, 7, async |change| delete_policy(change, place(1)).await).await;
    assert!(all().await.is_none());
}

/// A node of the previous release reads 32 bytes.
async fn the_public_key_of_an_installation_with_policies_is_unreadable_to_a_node_that_knows_none(
    database: impl Backend,
) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    tamper(&store, "UPDATE installation SET public_key = $1", params![[7_u8; 32]]).await;
    let stored = async || {
        let row = store.read().await.unwrap().fetch_one("SELECT public_key FROM installation", params![]).await;
        row.unwrap().bytes("public_key").unwrap()
    };
    let public_key = async || find_installation(&mut store.read().await.unwrap()).await.unwrap().public_key;
    put(&store, 2, place(1), policy("require_expiry=true", "")).await;
    put(&store, 3, place(2), policy("require_expiry=true", "")).await;
    assert_eq!(stored().await.len(), 33);
    assert_eq!(public_key().await, Some([7; 32]));
    change(&store, 4, async |change| delete_policy(change, place(1)).await).await;
    assert_eq!(stored().await.len(), 33);
    // Another key of the installation is marked, too.
    change(&store, 5, async |change| store::installation_key::replace_public_key(change, [8; 32]).await).await;
    assert_eq!(stored().await.len(), 33);
    assert_eq!(public_key().await, Some([8; 32]));
    change(&store, 6, async |change| delete_policy(change, place(2)).await).await;
    assert_eq!(stored().await, [8; 32]);
    assert_eq!(public_key().await, Some([8; 32]));
}

async fn keys_that_are_not_used_are_found(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let account = service_account(1);
    change(&store, 2, async |change| store::service_account::insert_service_account(change, &account).await).await;
    let day = |number: i64| Timestamp::from_second(number * 86_400).unwrap();
    let key = |number: u8, created: i64, used: Option<i64>| ApiKey {
        created_at: day(created),
        last_used_at: used.map(day),
        expires_at: None,
        revoked_at: None,
        ..api_key(number, user(1).id)
    };
    let of_account = ApiKey { owner: account.id.into(), ..key(6, 0, None) };
    let keys = [
        key(1, 0, None),
        key(2, 0, Some(95)),
        key(3, 95, None),
        ApiKey { disabled: true, ..key(4, 0, None) },
        key(5, 0, Some(20)),
        of_account,
    ];
    change(&store, 3, async |change| {
        for key in &keys {
            insert_api_key(change, key).await?;
        }
        Ok(())
    })
    .await;
    let found = async |place: PolicyPlace, policy: KeyPolicy, now: i64| -> Vec<ApiKeyId> {
        let mut connection = store.read().await.unwrap();
        let keys = list_keys_to_disable(&mut connection, (place, &policy), day(now), 100).await.unwrap();
        keys.into_iter().map(|key| key.id).collect()
    };
    let of = |rules: &str, before: &str, from: i64| {
        KeyPolicy::from_parts(rules.parse().unwrap(), before.parse().unwrap(), day(90), day(from))
    };
    let expected = [id(1), id(5), id(6)];
    assert_eq!(found(ALL, of("unused_days=30,disable", "", 100), 100).await, expected);
    assert_eq!(found(ALL, of("unused_days=30,disable", "", 101), 100).await, []);
    assert_eq!(found(ALL, of("unused_days=30,disable", "unused_days=90,disable", 101), 100).await, [id(1), id(6)]);
    assert_eq!(found(ALL, of("unused_days=30,report", "", 100), 100).await, []);
    assert_eq!(found(ALL, of("unused_days=5,disable", "", 200), 101).await, [id(3)], "it is new");
    let workspace = PolicyPlace::Workspace(account.workspace);
    assert_eq!(found(workspace, of("unused_days=30,disable", "", 100), 100).await, [id(6)]);
    tamper(&store, "UPDATE api_keys SET enabled_at = $1 WHERE id = $2", params![day(80), ApiKeyId::to_string(&id(1))])
        .await;
    assert_eq!(found(ALL, of("unused_days=30,disable", "", 100), 100).await, [id(5), id(6)]);
    change(&store, 4, async |change| note_enabled(change, id(6)).await).await;
}
