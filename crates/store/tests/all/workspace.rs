//! Workspaces and their members: what is written is read back, and slugs are never used again.

use domain::{
    UserId, api_key::ApiKey, id::UserKind, list::Search, principal::Principal, quota::Quotas, role::Role,
    workspace::Workspace,
};
use store::{list::Window, member, workspace, workspace::Workspaces};

use crate::support::{
    Backend, add_workspaces_and_users, api_key, at, change, id, limited, on_every_engine, service_account, user,
    workspace as sample, workspace_access,
};

on_every_engine! {
    what_a_workspace_uses_is_counted
    an_update_writes_every_field
    a_slug_is_never_free_again
    workspaces_are_listed_for_all_and_for_a_member_until_they_are_deleted
    the_objects_in_a_workspace_are_counted
    a_member_gets_another_role_and_leaves
    a_workspace_without_an_enabled_admin_is_found
}

async fn an_update_writes_every_field(database: impl Backend) {
    let store = database.open().await;
    let before = Workspace {
        id: id(1),
        slug: "acme".parse().unwrap(),
        name: "Acme".to_owned(),
        quotas: Quotas { service_accounts: 1, keys_per_service_account: 2, keys_per_user: 3 },
        created_at: at(1),
    };
    change(&store, 1, async |change| workspace::insert_workspace(change, &before).await).await;
    let read = async || workspace::find_workspace(&mut store.read().await.unwrap(), id(1)).await.unwrap();
    assert_eq!(read().await, Some(before.clone()));

    let after = Workspace {
        id: id(1),
        slug: "other".parse().unwrap(),
        name: "Acme Inc.".to_owned(),
        quotas: Quotas { service_accounts: 4, keys_per_service_account: 5, keys_per_user: 6 },
        created_at: at(9),
    };
    change(&store, 2, async |change| workspace::update_workspace(change, &after).await).await;
    // A slug never changes.
    let expected = Workspace { slug: before.slug, created_at: before.created_at, ..after };
    assert_eq!(read().await, Some(expected));
}

async fn a_slug_is_never_free_again(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let slug = sample(1).slug;
    let mut connection = store.read().await.unwrap();
    let found = workspace::find_workspace_by_slug(&mut connection, &slug).await.unwrap();
    assert_eq!(found, Some(sample(1)));
    drop(connection);
    change(&store, 2, async |change| workspace::delete_workspace(change, id(1), at(2)).await).await;
    let mut connection = store.read().await.unwrap();
    assert_eq!(workspace::find_workspace_by_slug(&mut connection, &slug).await.unwrap(), None);
    assert_eq!(workspace::find_workspace(&mut connection, id(1)).await.unwrap(), None);
    assert!(workspace::slug_is_taken(&mut connection, &slug).await.unwrap());
    assert!(!workspace::slug_is_taken(&mut connection, &"free".parse().unwrap()).await.unwrap());
}

async fn workspaces_are_listed_for_all_and_for_a_member_until_they_are_deleted(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    change(&store, 2, async |change| workspace::insert_workspace(change, &sample(3)).await).await;
    let list = async |of: Workspaces| {
        let mut connection = store.read().await.unwrap();
        let window = Window { from: None, backward: false, limit: 9 };
        let rows = store::list::list(&mut connection, &of, &Search::default(), &window).await.unwrap();
        rows.into_iter().map(|listed| listed.row).collect::<Vec<_>>()
    };
    let all = || Workspaces::All(Principal::host().authorize_operator().unwrap());
    assert_eq!(list(all()).await, [sample(1), sample(2), sample(3)]);
    let own = |number, limits: &str| {
        let principal = limited(id::<UserKind>(number), limits);
        Workspaces::Own(principal.authorize_own_workspaces().unwrap())
    };
    assert_eq!(list(own(2, "")).await, [sample(1), sample(2)]);
    assert_eq!(list(own(2, &format!("workspaces={}", sample(2).id))).await, [sample(2)]);
    assert_eq!(list(own(2, "workspaces=")).await, []);
    assert_eq!(list(own(1, "")).await, [sample(1)]);
    change(&store, 3, async |change| workspace::delete_workspace(change, id(1), at(3)).await).await;
    assert_eq!(list(own(1, "")).await, []);
    assert_eq!(list(all()).await, [sample(2), sample(3)]);
}

async fn the_objects_in_a_workspace_are_counted(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    change(&store, 2, async |change| {
        store::service_account::insert_service_account(change, &service_account(1)).await?;
        store::api_key::insert_api_key(change, &api_key(1, service_account(1).id)).await?;
        // An expired key is not live.
        let expired = ApiKey { expires_at: Some(at(3)), ..api_key(3, service_account(1).id) };
        store::api_key::insert_api_key(change, &expired).await?;
        store::api_key::insert_api_key(change, &api_key(2, user(1).id)).await
    })
    .await;
    let mut connection = store.read().await.unwrap();
    let counts = workspace::count_in_workspace(&mut connection, workspace_access(1), at(4)).await.unwrap();
    let expected = workspace::WorkspaceCounts { members: 2, projects: 0, service_accounts: 1, service_account_keys: 1 };
    assert_eq!(counts, expected);
    let mut principals = workspace::list_principals(&mut connection, id(1)).await.unwrap();
    principals.sort_unstable();
    let mut expected = [user(1).id.into(), user(2).id.into(), service_account(1).id.into()];
    expected.sort_unstable();
    assert_eq!(principals, expected);
}

async fn a_member_gets_another_role_and_leaves(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let row = |number, role| member::MemberRow {
        user: id(number),
        email: user(u8::try_from(number).unwrap()).email,
        email_verified: false,
        name: format!("User {number}"),
        role,
        disabled: false,
        joined_at: at(1),
    };
    let list = async |after: Option<u128>| {
        member::list_members(&mut store.read().await.unwrap(), workspace_access(1), after.map(id), 9).await.unwrap()
    };
    assert_eq!(list(None).await, [row(1, Role::Admin), row(2, Role::Member)]);
    assert_eq!(list(Some(1)).await, [row(2, Role::Member)]);
    change(&store, 2, async |change| member::update_member(change, id(1), id(2), Role::Admin).await).await;
    let find = async |number| member::find_member(&mut store.read().await.unwrap(), id(1), id(number)).await.unwrap();
    assert_eq!(find(2).await, Some(row(2, Role::Admin)));
    let emails = member::list_admin_emails(&mut store.read().await.unwrap(), id(1)).await.unwrap();
    assert_eq!(emails, ["user-1@example.com", "user-2@example.com"]);
    change(&store, 3, async |change| member::delete_member(change, id(1), id(2)).await).await;
    assert_eq!(find(2).await, None);
}

async fn a_workspace_without_an_enabled_admin_is_found(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let without = async || workspace::list_workspaces_without_admin(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(without().await, [id(2)]);
    let beside = async |numbers: &[u128]| {
        let users: Vec<UserId> = numbers.iter().map(|number| id(*number)).collect();
        member::has_enabled_admin_beside(&mut store.read().await.unwrap(), id(1), &users).await.unwrap()
    };
    assert!(!beside(&[1]).await && beside(&[2]).await && beside(&[]).await && !beside(&[2, 1]).await);
    change(&store, 2, async |change| {
        store::user::update_user(change, &domain::user::User { disabled: true, ..user(1) }).await
    })
    .await;
    assert!(!beside(&[2]).await && !beside(&[]).await);
    let mut found = without().await;
    found.sort_unstable();
    assert_eq!(found, [id(1), id(2)]);
}

async fn what_a_workspace_uses_is_counted(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    change(&store, 2, async |change| {
        for number in [1, 2, 3] {
            store::service_account::insert_service_account(change, &service_account(number)).await?;
        }
        store::service_account::delete_service_account(change, id(3), at(2)).await?;
        for (number, owner) in [(1, 1), (2, 1), (3, 2)] {
            let owner = domain::PrincipalId::ServiceAccount(id(owner));
            store::api_key::insert_api_key(change, &api_key(number, owner)).await?;
        }
        // Of the members, user 1 has one key and an expired one, and user 2 has two. User 3 is no member.
        for (number, owner) in [(4, 1), (5, 2), (6, 2), (7, 3), (8, 3), (9, 3)] {
            store::api_key::insert_api_key(change, &api_key(number, domain::PrincipalId::User(id(owner)))).await?;
        }
        let expired =
            domain::api_key::ApiKey { expires_at: Some(at(9)), ..api_key(10, domain::PrincipalId::User(id(1))) };
        store::api_key::insert_api_key(change, &expired).await?;
        Ok(())
    })
    .await;
    let access = domain::principal::Principal::host().authorize_operator().unwrap();
    let ids = [id(1), id(2), id(9)];
    let uses = store::workspace::list_uses(&mut store.read().await.unwrap(), access, &ids, at(10)).await.unwrap();
    let first = store::workspace::WorkspaceUse {
        members: 2,
        service_accounts: 2,
        service_account_keys: 3,
        most_keys_of_service_account: 2,
        most_keys_of_user: 2,
        last_activity_at: Some(at(2)),
    };
    let second = store::workspace::WorkspaceUse { members: 1, most_keys_of_user: 2, ..Default::default() };
    assert_eq!(uses, [(id(1), first), (id(2), second)].into());
}
