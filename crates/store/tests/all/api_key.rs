//! API keys: what is written is read back, a key exists once, and the latest use is kept.

use domain::{
    PrincipalId, PublicKey, Timestamp,
    api_key::{ApiKey, UnrevokedKey},
    limits::{KeyLimits, Limits},
    public_key::CompactKey,
};
use store::{
    Connection, Store, StoreError, Value,
    api_key::{self, ChangedApiKey, KeyUse, Revocation, UseBeforeRevocation},
};

use crate::support::{
    Backend, add_workspaces_and_users, api_key as sample, at, change, event, id, on_every_engine, public_key,
    service_account, tamper, user,
};

on_every_engine! {
    an_update_writes_every_field
    a_key_that_is_not_revoked_exists_once
    a_revoked_key_keeps_the_workspaces_of_its_owner
    unrevoked_keys_are_read_in_pages_with_what_verification_needs
    keys_are_listed_by_owner_fingerprint_and_registrar
    the_latest_use_is_kept
    a_use_that_was_refused_counts_as_a_verification
    a_key_that_no_node_used_is_known_to_be_unused
    a_leaked_key_counts_as_used
    a_proof_is_recorded_once
    the_public_key_of_a_key_with_limits_is_unreadable_to_a_node_that_knows_none
}

fn owner(number: u8) -> PrincipalId {
    user(number).id.into()
}

async fn insert(store: &Store, number: u8, keys: &[ApiKey]) {
    change(store, number, async |change| {
        for key in keys {
            api_key::insert_api_key(change, key).await?;
        }
        Ok::<_, StoreError>(())
    })
    .await;
}

async fn revoke(store: &Store, number: u8, key: &ApiKey, why: Revocation) {
    change(store, number, async |change| api_key::revoke_api_key(change, key, why).await).await;
}

async fn find(store: &Store, number: u128) -> ApiKey {
    api_key::find_api_key_anywhere(&mut store.read().await.unwrap(), id(number)).await.unwrap().expect("the key exists")
}

async fn an_update_writes_every_field(database: impl Backend) {
    let store = database.open().await;
    let before = ApiKey {
        id: id(1),
        owner: owner(1),
        title: "laptop".to_owned(),
        public_key: public_key(1),
        disabled: false,
        suspended: false,
        expires_at: None,
        revoked_at: None,
        verified_at: Some(at(3)),
        proven_at: Some(at(4)),
        displaced_at: None,
        created_by: "host".to_owned(),
        created_with: Some(id(7)),
        created_at: at(1),
        last_used_at: Some(at(5)),
        last_used_ip: Some("192.0.2.1".to_owned()),
        limits: KeyLimits::none(),
    };
    insert(&store, 1, std::slice::from_ref(&before)).await;
    assert_eq!(find(&store, 1).await, before);

    let after = ApiKey {
        id: id(1),
        owner: owner(2),
        title: "desktop".to_owned(),
        public_key: public_key(2),
        disabled: true,
        suspended: true,
        expires_at: Some(at(100)),
        revoked_at: Some(at(9)),
        verified_at: Some(at(9)),
        proven_at: Some(at(9)),
        displaced_at: Some(at(9)),
        created_by: "usr_x".to_owned(),
        created_with: Some(id(8)),
        created_at: at(9),
        last_used_at: Some(at(9)),
        last_used_ip: Some("192.0.2.2".to_owned()),
        limits: limits("scopes=keyward:read;cidrs=10.0.0.0/8"),
    };
    change(&store, 2, async |change| api_key::update_api_key(change, &before, &after).await).await;
    // The other columns have their own functions, or never change.
    let ApiKey { title, disabled, expires_at, limits, .. } = after;
    let expected = ApiKey { title, disabled, expires_at, limits, ..before };
    assert_eq!(find(&store, 1).await, expected);
    let without = ApiKey { limits: KeyLimits::none(), ..expected.clone() };
    change(&store, 3, async |change| api_key::update_api_key(change, &expected, &without).await).await;
    assert_eq!(find(&store, 1).await, without);
}

fn limits(text: &str) -> KeyLimits {
    text.parse::<Limits>().unwrap().into()
}

/// A node of the previous release reads the public key, and knows no limits.
async fn the_public_key_of_a_key_with_limits_is_unreadable_to_a_node_that_knows_none(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let plain = sample(1, user(1).id);
    let key = ApiKey { limits: limits("projects="), ..plain.clone() };
    insert(&store, 2, std::slice::from_ref(&key)).await;
    let stored = async || {
        let sql = "SELECT public_key FROM api_keys WHERE disabled = $1";
        store.read().await.unwrap().fetch_one(sql, store::params![false]).await.unwrap().bytes("public_key").unwrap()
    };
    assert!(PublicKey::from_stored_blob(&stored().await).is_err());
    assert!(CompactKey::from_stored_blob(&stored().await).is_err());
    assert_eq!(find(&store, 1).await, key);
    change(&store, 3, async |change| api_key::update_api_key(change, &key, &plain).await).await;
    assert_eq!(stored().await, plain.public_key.blob());
    change(&store, 4, async |change| api_key::update_api_key(change, &plain, &key).await).await;
    change(&store, 5, async |change| api_key::update_api_key(change, &key, &key).await).await;
    assert!(PublicKey::from_stored_blob(&stored().await).is_err());
    assert_eq!(find(&store, 1).await, key);
}

async fn a_key_that_is_not_revoked_exists_once(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let first = sample(1, user(1).id);
    let second = ApiKey { public_key: first.public_key.clone(), ..sample(2, user(2).id) };
    insert(&store, 2, std::slice::from_ref(&first)).await;
    let mut change = store.begin_change(at(3)).await.unwrap();
    let error = api_key::insert_api_key(&mut change, &second).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    drop(change);
    revoke(&store, 3, &first, Revocation::Reclaimed).await;
    insert(&store, 4, std::slice::from_ref(&second)).await;
    let mut connection = store.read().await.unwrap();
    let fingerprint = first.public_key.fingerprint();
    let registrations = api_key::list_api_keys_by_fingerprint(&mut connection, &fingerprint).await.unwrap();
    let revoked = ApiKey { revoked_at: Some(at(3)), displaced_at: Some(at(3)), ..first };
    assert_eq!(registrations, [revoked, second]);
}

async fn a_revoked_key_keeps_the_workspaces_of_its_owner(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let keys = [sample(1, user(2).id), sample(2, user(1).id)];
    insert(&store, 2, &keys).await;
    for (number, key) in (3..).zip(&keys) {
        revoke(&store, number, key, Revocation::Ordinary).await;
    }
    // A second revocation changes nothing.
    revoke(&store, 5, &keys[0], Revocation::Reclaimed).await;
    change(&store, 6, async |change| store::member::delete_member(change, id(1), id(2)).await).await;
    let mut connection = store.read().await.unwrap();
    let mut found = api_key::find_changed_api_keys(&mut connection, &[id(1), id(9)]).await.unwrap();
    assert_eq!(found.len(), 1, "there is no key 9");
    let Some(ChangedApiKey::Revoked(revoked)) = found.remove(&id(1)) else { panic!("{found:?}") };
    assert_eq!(revoked.key, ApiKey { revoked_at: Some(at(3)), ..keys[0].clone() });
    assert_eq!(revoked.workspaces, [id(1), id(2)]);
    let listed = api_key::list_revoked_api_keys(&mut connection, 9).await.unwrap();
    assert_eq!(listed.iter().map(|revoked| revoked.key.id).collect::<Vec<_>>(), [id(2), id(1)]);
    assert_eq!(api_key::list_revoked_api_keys(&mut connection, 1).await.unwrap().len(), 1);
    assert_eq!(list_unrevoked(&mut connection, None, None).await.unwrap(), []);
}

async fn list_unrevoked(
    connection: &mut Connection,
    after: Option<u128>,
    up_to: Option<u128>,
) -> Result<Vec<UnrevokedKey>, StoreError> {
    let page = api_key::list_unrevoked_api_keys(connection, after.map(id), up_to.map(id)).await?;
    let mut keys = page.decode()?;
    keys.sort_by_key(|key| key.id);
    Ok(keys)
}

async fn unrevoked_keys_are_read_in_pages_with_what_verification_needs(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let keys = [
        sample(1, user(1).id),
        ApiKey { disabled: true, ..sample(2, user(2).id) },
        ApiKey { suspended: true, ..sample(3, user(1).id) },
        ApiKey { expires_at: Some(Timestamp::from_microsecond(-7).unwrap()), ..sample(4, user(1).id) },
        ApiKey {
            public_key: ecdsa_key(),
            disabled: true,
            suspended: true,
            expires_at: Some(at(7)),
            ..sample(5, user(2).id)
        },
        sample(6, user(2).id),
    ];
    let limited = limits("scopes=keyward:read,invoices:read;cidrs=10.0.0.0/8,2001:db8::/32");
    let is_limited = |key: &ApiKey| key.id == id(3) || key.id == id(5);
    let keys = keys.map(|key| if is_limited(&key) { ApiKey { limits: limited.clone(), ..key } } else { key });
    insert(&store, 2, &keys).await;
    revoke(&store, 3, &keys[5], Revocation::Ordinary).await;
    let expected: Vec<UnrevokedKey> = keys[..5].iter().map(UnrevokedKey::from).collect();
    assert!(matches!(expected[0].public_key, CompactKey::Ed25519(_)));
    assert!(matches!(expected[4].public_key, CompactKey::Other(_)));
    let mut connection = store.read().await.unwrap();
    assert_eq!(list_unrevoked(&mut connection, None, None).await.unwrap(), expected);
    assert_eq!(list_unrevoked(&mut connection, Some(1), Some(3)).await.unwrap(), expected[1..3]);
    assert_eq!(list_unrevoked(&mut connection, Some(4), None).await.unwrap(), expected[4..]);
    let ends = [(None, 1, Some(1)), (None, 5, Some(5)), (None, 6, None), (Some(2), 2, Some(4)), (Some(5), 1, None)];
    for (after, size, end) in ends {
        let found = api_key::find_end_of_unrevoked_keys(&mut connection, after.map(id), size).await.unwrap();
        assert_eq!(found, end.map(id), "{size} after {after:?}");
    }
    drop(connection);
    for (damage, column) in [
        ("UPDATE api_keys SET owner_id = 'usr_1' WHERE disabled", "owner_id"),
        ("UPDATE api_keys SET owner_id = 'a,b c' WHERE disabled", "owner_id"),
        ("UPDATE api_keys SET expires_at = 9223372036854775807 WHERE suspended", "expires_at"),
    ] {
        tamper(&store, damage, &[]).await;
        let error = list_unrevoked(&mut store.read().await.unwrap(), None, None).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { what } if what.contains(column)), "{damage}: {error}");
        tamper(&store, "UPDATE api_keys SET owner_id = $1, expires_at = NULL", &[Value::from(owner(1))]).await;
    }
    assert_eq!(list_unrevoked(&mut store.read().await.unwrap(), None, None).await.unwrap().len(), 5);
    for blob in [b"ssh".to_vec(), Vec::new(), [keys[0].public_key.blob(), &[0]].concat()] {
        tamper(&store, "UPDATE api_keys SET public_key = $1 WHERE disabled", &[Value::from(blob)]).await;
        let error = list_unrevoked(&mut store.read().await.unwrap(), None, None).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { what } if what.contains("public_key")), "{error}");
    }
}

/// A key that only has the form of one.
fn ecdsa_key() -> PublicKey {
    let mut blob = Vec::new();
    for part in [b"ecdsa-sha2-nistp256".as_slice(), b"nistp256", &[4; 65]] {
        blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend(part);
    }
    PublicKey::from_stored_blob(&blob).unwrap()
}

async fn keys_are_listed_by_owner_fingerprint_and_registrar(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let made = ApiKey { created_with: Some(id(1)), created_by: owner(1).to_string(), ..sample(3, user(2).id) };
    let keys = [sample(1, user(1).id), sample(2, user(1).id), made];
    insert(&store, 2, &keys).await;
    let mut connection = store.read().await.unwrap();
    let list = api_key::list_api_keys(&mut connection, owner(1), None, 9).await.unwrap();
    assert_eq!(list, keys[..2]);
    let list = api_key::list_api_keys(&mut connection, owner(1), Some(id(1)), 9).await.unwrap();
    assert_eq!(list, keys[1..2]);
    let list = api_key::list_api_keys_made_with(&mut connection, &[id(1), id(2), id(9)]).await.unwrap();
    assert_eq!(list, keys[2..]);
    assert_eq!(api_key::list_api_keys_made_with(&mut connection, &[]).await.unwrap(), []);
    let list = api_key::list_api_keys_registered_by(&mut connection, owner(1)).await.unwrap();
    assert_eq!(list, keys);
    let found = api_key::find_api_key(&mut connection, owner(2), id(3)).await.unwrap();
    assert_eq!(found, Some(keys[2].clone()));
    assert_eq!(api_key::find_api_key(&mut connection, owner(1), id(3)).await.unwrap(), None);
    assert_eq!(api_key::count_live_api_keys(&mut connection, owner(1), at(9)).await.unwrap(), 2);
}

async fn record(store: &Store, uses: &[KeyUse]) {
    let mut maintenance = store.begin_maintenance().await.unwrap();
    api_key::record_key_uses(&mut maintenance, uses).await.unwrap();
    maintenance.commit().await.unwrap();
}

fn used(second: i64, accepted: bool) -> KeyUse {
    KeyUse { key: id(1), at: at(second), ip_address: Some(format!("192.0.2.{second}")), accepted }
}

async fn the_latest_use_is_kept(database: impl Backend) {
    let store = database.open().await;
    insert(&store, 1, &[sample(1, user(1).id)]).await;
    record(&store, &[used(20, true), used(10, true)]).await;
    record(&store, &[used(15, true)]).await;
    let key = find(&store, 1).await;
    assert_eq!((key.last_used_at, key.last_used_ip.as_deref()), (Some(at(20)), Some("192.0.2.20")));
    assert!(key.verified_at.is_some() && key.proven_at.is_none(), "{key:?}");
}

async fn a_use_that_was_refused_counts_as_a_verification(database: impl Backend) {
    let store = database.open().await;
    insert(&store, 1, &[sample(1, user(1).id)]).await;
    // At the time of its registration. That time means a proof, so the next microsecond is written.
    record(&store, &[used(1, false)]).await;
    let key = find(&store, 1).await;
    assert_eq!((key.last_used_at, key.proven_at), (None, None));
    assert_eq!(key.verified_at.map(domain::Timestamp::as_microsecond), Some(at(1).as_microsecond() + 1));
}

async fn a_key_that_no_node_used_is_known_to_be_unused(database: impl Backend) {
    let store = database.open().await;
    let keys = [sample(1, user(1).id), sample(2, user(1).id)];
    insert(&store, 1, &keys).await;
    store.record_verifications(&[id(2)], at(2)).await.unwrap();
    for (number, key) in (3..).zip(&keys) {
        revoke(&store, number, key, Revocation::Ordinary).await;
    }
    let was_used = async |number| {
        let mut connection = store.read().await.unwrap();
        api_key::find_use_before_revocation(&mut connection, id(number), None).await.unwrap()
    };
    assert_eq!(was_used(1).await, UseBeforeRevocation::Never);
    assert_eq!(was_used(2).await, UseBeforeRevocation::Possible);
    let node = store::node::Node {
        id: id(1),
        name: String::new(),
        software_version: String::new(),
        lease: std::time::Duration::from_secs(2),
        settings_hash: None,
    };
    store.register_node(&node, store::Version(1), at(5)).await.unwrap();
    assert_eq!(was_used(1).await, UseBeforeRevocation::Unconfirmed);
    let version = store.current_version().await.unwrap();
    let mut connection = store.read().await.unwrap();
    let own = api_key::find_use_before_revocation(&mut connection, id(1), Some((id(1), version))).await.unwrap();
    assert_eq!(own, UseBeforeRevocation::Never);
    drop(connection);
    store.acknowledge(id(1), version).await.unwrap();
    assert_eq!(was_used(1).await, UseBeforeRevocation::Never);
}

async fn a_leaked_key_counts_as_used(database: impl Backend) {
    let store = database.open().await;
    insert(&store, 9, &[sample(1, user(1).id), sample(2, user(1).id)]).await;
    store.record_verifications(&[id(2)], at(3)).await.unwrap();
    // The first at the time of its registration. That time means a proof, so the next microsecond is written.
    for (key, number, first_use) in [(1, 1, at(1).as_microsecond() + 1), (2, 4, at(3).as_microsecond())] {
        revoke(&store, number, &find(&store, key).await, Revocation::Leaked).await;
        let found = find(&store, key).await;
        assert_eq!((found.revoked_at, found.displaced_at, found.proven_at), (Some(at(number.into())), None, None));
        assert_eq!(found.verified_at.map(domain::Timestamp::as_microsecond), Some(first_use));
        let mut connection = store.read().await.unwrap();
        let was_used = api_key::find_use_before_revocation(&mut connection, id(key), None).await.unwrap();
        assert_eq!(was_used, UseBeforeRevocation::Possible);
    }
}

async fn a_proof_is_recorded_once(database: impl Backend) {
    let store = database.open().await;
    insert(&store, 1, &[sample(1, service_account(1).id)]).await;
    for number in [2, 3] {
        let mut change = store.begin_change(at(number)).await.unwrap();
        api_key::prove_api_key(&mut change, id(1)).await.unwrap();
        change.commit(event(u8::try_from(number).unwrap()), None).await.unwrap();
    }
    let key = find(&store, 1).await;
    assert_eq!((key.proven_at, key.verified_at), (Some(at(2)), Some(at(2))));
}
