//! Users: what is written is read back.

use domain::user::User;
use store::user;

use crate::support::{Backend, add_workspaces_and_users, at, change, id, on_every_engine, user as sample};

on_every_engine! {
    an_update_writes_every_field
    a_password_is_kept_apart
    a_user_is_found_by_email_with_their_workspaces
    operators_are_counted
    the_largest_key_quota_of_a_users_workspaces_counts
}

async fn an_update_writes_every_field(database: impl Backend) {
    let store = database.open().await;
    let before = User {
        id: id(1),
        email: "ada@example.com".parse().unwrap(),
        email_verified_at: None,
        name: "Ada".to_owned(),
        operator: false,
        disabled: false,
        suspended: false,
        created_at: at(1),
    };
    change(&store, 1, async |change| user::insert_user(change, &before, None).await).await;
    let read = async || user::find_user(&mut store.read().await.unwrap(), id(1)).await.unwrap();
    assert_eq!(read().await, Some(before.clone()));

    let after = User {
        id: id(1),
        email: "ada.l@example.org".parse().unwrap(),
        email_verified_at: Some(at(5)),
        name: "Ada L.".to_owned(),
        operator: true,
        disabled: true,
        suspended: true,
        created_at: at(9),
    };
    change(&store, 2, async |change| user::update_user(change, &after).await).await;
    // Only a restore suspends users, and only its confirmation ends that.
    let expected = User { suspended: before.suspended, created_at: before.created_at, ..after };
    assert_eq!(read().await, Some(expected));
}

async fn a_password_is_kept_apart(database: impl Backend) {
    let store = database.open().await;
    change(&store, 1, async |change| {
        user::insert_user(change, &sample(1), Some("first hash")).await?;
        user::insert_user(change, &sample(2), None).await
    })
    .await;
    let read = async |number| {
        let email = sample(number).email;
        user::find_user_with_password(&mut store.read().await.unwrap(), &email).await.unwrap()
    };
    assert_eq!(read(1).await, Some((sample(1), Some("first hash".to_owned()))));
    assert_eq!(read(2).await, Some((sample(2), None)));
    assert_eq!(read(3).await, None);
    let renamed = User { name: "Another".to_owned(), ..sample(1) };
    change(&store, 2, async |change| {
        user::update_password(change, id(1), "second hash").await?;
        user::update_user(change, &renamed).await
    })
    .await;
    assert_eq!(read(1).await, Some((renamed, Some("second hash".to_owned()))));
}

async fn a_user_is_found_by_email_with_their_workspaces(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let mut connection = store.read().await.unwrap();
    let found = user::find_user_by_email(&mut connection, &sample(2).email).await.unwrap();
    assert_eq!(found, Some(sample(2)));
    assert_eq!(user::list_workspaces_of_user(&mut connection, id(2)).await.unwrap(), [id(1), id(2)]);
}

async fn operators_are_counted(database: impl Backend) {
    let store = database.open().await;
    change(&store, 1, async |change| {
        for (number, disabled, suspended) in [(1, false, false), (2, true, false), (3, false, true)] {
            let operator = User { operator: true, disabled, suspended, ..sample(number) };
            user::insert_user(change, &operator, None).await?;
        }
        user::insert_user(change, &sample(4), None).await
    })
    .await;
    let mut connection = store.read().await.unwrap();
    assert_eq!(user::count_operators(&mut connection).await.unwrap(), 2);
    assert_eq!(user::count_confirmed_operators(&mut connection).await.unwrap(), 1);
}

async fn the_largest_key_quota_of_a_users_workspaces_counts(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    change(&store, 2, async |change| {
        let mut workspace = crate::support::workspace(2);
        workspace.quotas.keys_per_user = 70;
        store::workspace::update_workspace(change, &workspace).await
    })
    .await;
    let quota = async |number| user::find_user_key_quota(&mut store.read().await.unwrap(), id(number)).await.unwrap();
    assert_eq!((quota(1).await, quota(2).await, quota(3).await), (Some(25), Some(70), None));
    change(&store, 3, async |change| store::workspace::delete_workspace(change, id(2), at(3)).await).await;
    assert_eq!(quota(2).await, Some(25));
}
