//! Identities: the pages that a directory loads contain what a single look-up returns, and a look-up may include a key.

use domain::{
    PrincipalId, UserId,
    api_key::{ApiKey, KeyState},
    limits::{KeyLimits, Limits},
    principal::Identity,
};
use store::{
    Connection, ReplayKey, Store, StoredBody, StoredResponse,
    api_key::{self, Revocation},
    identity,
    replay::Earlier,
    service_account,
};

use crate::support::{
    Backend, add_workspaces_and_users, api_key as sample, at, change, event, id, on_every_engine,
    service_account as account,
};

on_every_engine! {
    pages_contain_every_principal_as_it_is_found_alone
    a_principal_is_found_together_with_a_key
    a_principal_is_found_once_together_with_two_earlier_requests
}

/// Returns all principals from pages of `size`, in the order of their ids.
async fn load(store: &Store, size: u16) -> Vec<Identity> {
    let mut connection = store.read().await.unwrap();
    let names = identity::list_workspace_names(&mut connection).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let up_to = identity::find_end_of_users(&mut connection, after, size).await.unwrap();
        all.extend(identity::list_user_identities(&mut connection, &names, after, up_to).await.unwrap());
        after = up_to;
        if up_to.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let up_to = identity::find_end_of_service_accounts(&mut connection, after, size).await.unwrap();
        all.extend(identity::list_service_account_identities(&mut connection, &names, after, up_to).await.unwrap());
        after = up_to;
        if up_to.is_none() {
            break;
        }
    }
    all.sort_by_key(|identity| identity.id);
    all
}

async fn find(connection: &mut Connection) -> Vec<Identity> {
    let mut found = Vec::new();
    for number in 1..=3 {
        found.extend(identity::find_identity(connection, id_of_user(number).into()).await.unwrap());
    }
    for number in 1..=4 {
        found.extend(identity::find_identity(connection, account(number).id.into()).await.unwrap());
    }
    found
}

fn id_of_user(number: u128) -> UserId {
    id(number)
}

async fn pages_contain_every_principal_as_it_is_found_alone(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    change(&store, 2, async |change| {
        for number in 1..=4 {
            let account = domain::service_account::ServiceAccount {
                workspace: id(if number == 3 { 2 } else { 1 }),
                disabled: number == 2,
                ..account(number)
            };
            service_account::insert_service_account(change, &account).await?;
        }
        service_account::delete_service_account(change, id(4), at(2)).await
    })
    .await;
    let check = async |principals: usize, memberships: [usize; 3]| {
        let found = find(&mut store.read().await.unwrap()).await;
        assert_eq!(found.len(), principals);
        let everyone: Vec<PrincipalId> =
            (1..=4).flat_map(|n: u8| [id_of_user(n.into()).into(), account(n).id.into()]).collect();
        let together = identity::find_identities(&mut store.read().await.unwrap(), &everyone).await.unwrap();
        let mut together: Vec<_> = together.into_values().collect();
        together.sort_by_key(|identity| identity.id);
        assert_eq!(together, found);
        assert_eq!(found.iter().take(3).map(|user| user.memberships.len()).collect::<Vec<_>>(), memberships);
        for size in [1, 2, 3, 100] {
            assert_eq!(load(&store, size).await, found, "in pages of {size}");
        }
    };
    check(6, [1, 2, 0]).await;
    change(&store, 3, async |change| store::workspace::delete_workspace(change, id(2), at(3)).await).await;
    check(5, [1, 1, 0]).await;
}

async fn a_principal_is_found_together_with_a_key(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let [one, two]: [PrincipalId; 2] = [id_of_user(1).into(), id_of_user(2).into()];
    let limits: KeyLimits = "scopes=keyward:read;cidrs=10.0.0.0/8".parse::<Limits>().unwrap().into();
    let key = ApiKey { expires_at: Some(at(100)), limits: limits.clone(), ..sample(1, one) };
    change(&store, 2, async |change| api_key::insert_api_key(change, &key).await).await;
    let mut connection = store.read().await.unwrap();
    let identities = identity::find_identities(&mut connection, &[one, two]).await.unwrap();
    for (principal, key) in [(one, Some(id(1))), (one, Some(id(2))), (one, None), (two, Some(id(1)))] {
        let found = identity::find_sender(&mut connection, principal, key, None).await.unwrap();
        assert_eq!(found.identity.as_ref(), identities.get(&principal));
        let standing = found.key.map(|key| (key.owner, key.limits));
        assert_eq!(standing, (key == Some(id(1))).then(|| (one, limits.clone())));
    }
    let nobody = identity::find_sender(&mut connection, id_of_user(77).into(), Some(id(1)), None).await.unwrap();
    assert_eq!(nobody.identity, None);
    let standing = nobody.key.unwrap();
    let state = |now| standing.state(at(now));
    assert_eq!((state(99), state(100)), (KeyState::Active, KeyState::Expired));
    drop(connection);
    change(&store, 3, async |change| {
        api_key::update_api_key(change, &key, &ApiKey { disabled: true, ..key.clone() }).await?;
        store::workspace::delete_workspace(change, id(1), at(3)).await
    })
    .await;
    let mut connection = store.read().await.unwrap();
    let found = identity::find_sender(&mut connection, one, Some(id(1)), None).await.unwrap();
    assert_eq!(found.key.unwrap().state(at(99)), KeyState::Disabled);
    assert_eq!(found.identity.unwrap().memberships, []);
    drop(connection);
    change(&store, 4, async |change| api_key::revoke_api_key(change, &key, Revocation::Ordinary).await).await;
    let found = identity::find_sender(&mut store.read().await.unwrap(), one, Some(id(1)), None).await.unwrap();
    assert_eq!(found.key.unwrap().state(at(99)), KeyState::Revoked);
}

async fn a_principal_is_found_once_together_with_two_earlier_requests(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let user: PrincipalId = id_of_user(2).into();
    let stored = |number: u8, nonce: &str| StoredResponse {
        replay: ReplayKey { key: [number; 32], api_key: id(1), nonce: Some(nonce.to_owned()), expires_at: at(300) },
        status: 201,
        body: StoredBody::Sealed(vec![number]),
    };
    for (number, nonce) in [(2, "one"), (3, "two")] {
        let change = store.begin_change(at(number.into())).await.unwrap();
        change.commit(event(number), Some(&stored(number, nonce))).await.unwrap();
    }
    // It has the signature of the one, and the nonce of the other.
    let replay = stored(3, "one").replay;
    let mut connection = store.read().await.unwrap();
    let found = identity::find_sender(&mut connection, user, None, Some(&replay)).await.unwrap();
    let alone = identity::find_sender(&mut connection, user, None, None).await.unwrap();
    assert_eq!(found.earlier, Some(Earlier::Executed(stored(3, "two"))));
    assert!(alone.identity.as_ref().is_some_and(|identity| identity.memberships.len() > 1));
    assert_eq!((found.identity, alone.earlier), (alone.identity, None));
}
