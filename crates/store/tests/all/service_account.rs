//! Service accounts: what is written is read back, and addresses are never used again.

use domain::{
    list::{Search, ServiceAccountFilter, ServiceAccountOrder},
    role::Role,
    service_account::ServiceAccount,
};
use store::{
    Store,
    api_key::{KeyUse, LastUse, record_key_uses},
    identity,
    list::{self, Window},
    service_account::{self, ServiceAccounts},
};

use crate::support::{
    Backend, add_workspaces_and_users, api_key, at, change, id, on_every_engine, service_account as account, tamper,
    workspace_access,
};

on_every_engine! {
    an_update_writes_every_field
    an_account_of_a_node_of_the_previous_release_has_its_name_as_display_name
    accounts_are_listed_by_page_with_their_number_of_keys
    accounts_are_searched_filtered_and_sorted
    an_address_is_never_free_again
    a_deleted_account_is_not_found
}

async fn insert(store: &Store, number: u8, account: &ServiceAccount) {
    change(store, number, async |change| service_account::insert_service_account(change, account).await).await;
}

async fn an_update_writes_every_field(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let before = ServiceAccount {
        id: id(1),
        workspace: id(1),
        display_name: "CI runner".to_owned(),
        name: "ci-runner".parse().unwrap(),
        description: "builds".to_owned(),
        address: "ci-runner@acme-1.sa.keyward.local".to_owned(),
        role: Role::Member,
        disabled: false,
        created_at: at(1),
    };
    insert(&store, 2, &before).await;
    let read = async || {
        let mut connection = store.read().await.unwrap();
        service_account::find_service_account(&mut connection, id(1), id(1)).await.unwrap()
    };
    assert_eq!(read().await, Some(before.clone()));

    let after = ServiceAccount {
        id: id(1),
        workspace: id(2),
        display_name: "Deployments".to_owned(),
        name: "deploy-bot".parse().unwrap(),
        description: "deploys".to_owned(),
        address: "deploy-bot@acme-1.sa.keyward.local".to_owned(),
        role: Role::Admin,
        disabled: true,
        created_at: at(9),
    };
    change(&store, 3, async |change| service_account::update_service_account(change, &after).await).await;
    // An update never moves an account or changes when it was created.
    let expected = ServiceAccount { workspace: before.workspace, created_at: before.created_at, ..after };
    assert_eq!(read().await, Some(expected));
}

async fn an_account_of_a_node_of_the_previous_release_has_its_name_as_display_name(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    insert(&store, 2, &account(1)).await;
    let names = async || {
        let mut connection = store.read().await.unwrap();
        let found = service_account::find_service_account(&mut connection, id(1), id(1)).await.unwrap().unwrap();
        let one = identity::find_identity(&mut connection, account(1).id.into()).await.unwrap().unwrap().name;
        let workspaces = identity::list_workspace_names(&mut connection).await.unwrap();
        let all = identity::list_service_account_identities(&mut connection, &workspaces, None, None).await.unwrap();
        let of_all = all.into_iter().find(|identity| identity.id == account(1).id.into()).unwrap().name;
        [found.display_name, one, of_all]
    };
    assert_eq!(names().await, ["Bot 1", "Bot 1", "Bot 1"]);
    tamper(&store, "UPDATE service_accounts SET display_name = NULL", &[]).await;
    assert_eq!(names().await, ["bot-1", "bot-1", "bot-1"]);
}

async fn accounts_are_listed_by_page_with_their_number_of_keys(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    for number in 1..=3 {
        insert(&store, number + 1, &account(number)).await;
    }
    insert(&store, 5, &ServiceAccount { workspace: id(2), ..account(4) }).await;
    change(&store, 6, async |change| {
        let owner = account(2).id;
        for number in 1..=4 {
            let mut key = api_key(number, owner);
            key.disabled = number == 2;
            key.expires_at = (number == 3).then_some(at(20));
            store::api_key::insert_api_key(change, &key).await?;
            if number == 4 {
                store::api_key::revoke_api_key(change, &key, store::api_key::Revocation::Ordinary).await?;
            }
        }
        store::api_key::insert_api_key(change, &api_key(5, account(3).id)).await
    })
    .await;
    let list = async |after: Option<u128>, limit, now| {
        let mut connection = store.read().await.unwrap();
        let after = after.map(id);
        let access = workspace_access(1);
        let rows =
            service_account::list_service_accounts(&mut connection, access, after, limit, at(now)).await.unwrap();
        rows.into_iter().map(|row| (row.account, row.live_keys)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10, 19).await, [(account(1), 0), (account(2), 3), (account(3), 1)]);
    assert_eq!(list(None, 2, 20).await, [(account(1), 0), (account(2), 2)], "a key that has expired does not count");
    assert_eq!(list(Some(2), 2, 20).await, [(account(3), 1)]);
    let mut connection = store.read().await.unwrap();
    assert_eq!(service_account::count_service_accounts(&mut connection, workspace_access(1)).await.unwrap(), 3);
}

async fn accounts_are_searched_filtered_and_sorted(database: impl Backend) {
    use ServiceAccountFilter::{Active, All, Disabled, WithoutKeys};
    use ServiceAccountOrder::{Created, Keys, LastUsed, Name};

    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    for (number, display_name) in [(1, "zebra"), (2, "Apple"), (3, "mango")] {
        let account =
            ServiceAccount { display_name: display_name.to_owned(), disabled: number == 3, ..account(number) };
        insert(&store, number + 1, &account).await;
    }
    insert(&store, 5, &ServiceAccount { workspace: id(2), ..account(4) }).await;
    change(&store, 6, async |change| {
        // An expired key and a revoked one do not count. A use counts also if its key is revoked.
        for (number, owner) in [(1, 1), (2, 1), (3, 1), (4, 3), (5, 4)] {
            let mut key = api_key(number, account(owner).id);
            key.expires_at = (number == 2).then_some(at(20));
            store::api_key::insert_api_key(change, &key).await?;
            if number == 3 {
                store::api_key::revoke_api_key(change, &key, store::api_key::Revocation::Ordinary).await?;
            }
        }
        Ok(())
    })
    .await;
    let mut maintenance = store.begin_maintenance().await.unwrap();
    let used = |key: u128, seconds| KeyUse {
        key: id(key),
        at: at(seconds),
        ip_address: Some(format!("192.0.2.{key}")),
        accepted: true,
    };
    record_key_uses(&mut maintenance, &[used(1, 30), used(3, 40), used(5, 50)]).await.unwrap();
    maintenance.commit().await.unwrap();

    let all = ServiceAccounts(workspace_access(1), at(30));
    let find = async |text: &str, filter, order, descending| {
        let search = Search { text: text.to_owned(), filter, order, descending };
        let window = Window { from: None, backward: false, limit: 10 };
        let mut connection = store.read().await.unwrap();
        let found = list::list(&mut connection, &all, &search, &window).await.unwrap();
        found.into_iter().map(|listed| listed.row.row.account.display_name).collect::<Vec<_>>()
    };
    assert_eq!(find("", All, Created, false).await, ["zebra", "Apple", "mango"]);
    assert_eq!(find("", All, Name, false).await, ["Apple", "mango", "zebra"]);
    assert_eq!(find("", All, LastUsed, true).await, ["zebra", "mango", "Apple"], "unused ones are last");
    assert_eq!(find("", All, Keys, true).await, ["mango", "zebra", "Apple"]);
    assert_eq!(find("APP", All, Name, false).await, ["Apple"], "by the display name");
    assert_eq!(find("bot-3@acme", All, Name, false).await, ["mango"], "by the address");
    assert_eq!(find("", Active, Name, false).await, ["zebra"]);
    assert_eq!(find("", WithoutKeys, Name, false).await, ["Apple"]);
    assert_eq!(find("", Disabled, Name, false).await, ["mango"]);

    let mut connection = store.read().await.unwrap();
    let counts = list::count(&mut connection, &all, "", &[All, Active, WithoutKeys, Disabled]).await.unwrap();
    assert_eq!(counts, [3, 1, 1, 1]);
    let search = Search { order: LastUsed, descending: true, ..Search::default() };
    let window = Window { from: None, backward: false, limit: 1 };
    let first = list::list(&mut connection, &all, &search, &window).await.unwrap().remove(0).row;
    assert_eq!(first.row.live_keys, 1);
    assert_eq!(first.last_use, Some(LastUse { at: at(40), ip_address: Some("192.0.2.3".to_owned()) }));
}

async fn an_address_is_never_free_again(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    insert(&store, 2, &account(1)).await;
    let renamed = ServiceAccount { address: "new@acme-1.sa.keyward.local".to_owned(), ..account(1) };
    change(&store, 3, async |change| service_account::update_service_account(change, &renamed).await).await;
    change(&store, 4, async |change| service_account::delete_service_account(change, id(1), at(4)).await).await;
    let mut connection = store.read().await.unwrap();
    for address in [&account(1).address, &renamed.address] {
        assert!(service_account::address_is_taken(&mut connection, address, None).await.unwrap(), "{address}");
        assert!(service_account::address_is_taken(&mut connection, address, Some(id(2))).await.unwrap(), "{address}");
        assert!(!service_account::address_is_taken(&mut connection, address, Some(id(1))).await.unwrap(), "{address}");
    }
    assert!(!service_account::address_is_taken(&mut connection, "free@acme-1.sa.keyward.local", None).await.unwrap());
}

async fn a_deleted_account_is_not_found(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    insert(&store, 2, &account(1)).await;
    let address = account(1).address;
    let find = async || {
        let mut connection = store.read().await.unwrap();
        let by_id = service_account::find_service_account(&mut connection, id(1), id(1)).await.unwrap();
        let by_address = service_account::find_service_account_by_address(&mut connection, &address).await.unwrap();
        assert_eq!(by_id, by_address);
        by_id
    };
    assert_eq!(find().await, Some(account(1)));
    let mut connection = store.read().await.unwrap();
    assert_eq!(service_account::find_service_account(&mut connection, id(2), id(1)).await.unwrap(), None);
    drop(connection);
    change(&store, 3, async |change| service_account::delete_service_account(change, id(1), at(3)).await).await;
    assert_eq!(find().await, None);
    let mut connection = store.read().await.unwrap();
    assert_eq!(service_account::find_workspace_of(&mut connection, id(1)).await.unwrap(), Some(id(1)));
}
