//! Invitations: what is written is read back, and only the latest token opens one.

use domain::{invitation::Invitation, role::Role};
use store::{Store, invitation};

use crate::support::{Backend, add_workspaces_and_users, at, change, id, on_every_engine, user};

on_every_engine! {
    a_renewal_writes_every_field_and_voids_the_previous_token
    open_invitations_are_listed_by_email
    an_accepted_or_revoked_invitation_is_not_open
    an_undelivered_mail_is_recorded_for_the_current_token_only
}

fn sample(number: u8) -> Invitation {
    Invitation {
        id: id(number.into()),
        workspace: id(1),
        email: format!("guest-{number}@example.com").parse().unwrap(),
        role: Role::Member,
        accepted_at: None,
        revoked_at: None,
        expires_at: at(100),
        created_by: user(1).id.to_string(),
        created_at: at(number.into()),
        mailed_at: None,
    }
}

async fn insert(store: &Store, number: u8, invitation: &Invitation, token_hash: &[u8]) {
    change(store, number, async |change| invitation::insert_invitation(change, invitation, token_hash).await).await;
}

async fn find_by_token(store: &Store, token_hash: &[u8]) -> Option<Invitation> {
    invitation::find_invitation_by_token(&mut store.read().await.unwrap(), token_hash).await.unwrap()
}

async fn a_renewal_writes_every_field_and_voids_the_previous_token(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    insert(&store, 2, &sample(1), b"first").await;
    assert_eq!(find_by_token(&store, b"first").await, Some(sample(1)));

    let after = Invitation {
        id: id(1),
        workspace: id(2),
        email: "other@example.com".parse().unwrap(),
        role: Role::Admin,
        accepted_at: Some(at(9)),
        revoked_at: Some(at(9)),
        expires_at: at(200),
        created_by: user(2).id.to_string(),
        created_at: at(9),
        mailed_at: Some(at(3)),
    };
    change(&store, 3, async |change| invitation::renew_invitation(change, &after, b"second").await).await;
    assert_eq!(find_by_token(&store, b"first").await, None);
    let Invitation { expires_at, created_by, mailed_at, .. } = after;
    let expected = Invitation { expires_at, created_by, mailed_at, ..sample(1) };
    assert_eq!(find_by_token(&store, b"second").await, Some(expected.clone()));
    let mut connection = store.read().await.unwrap();
    assert_eq!(invitation::find_invitation(&mut connection, id(1), id(1)).await.unwrap(), Some(expected));
    assert_eq!(invitation::find_invitation(&mut connection, id(2), id(1)).await.unwrap(), None);
}

async fn open_invitations_are_listed_by_email(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    for number in 1..=3 {
        insert(&store, number + 1, &sample(number), &[number]).await;
    }
    let mut connection = store.read().await.unwrap();
    let email = sample(2).email;
    let open = invitation::list_open_invitations(&mut connection, id(1), Some(&email)).await.unwrap();
    assert_eq!(open, [sample(2)]);
    let open = invitation::list_open_invitations(&mut connection, id(1), None).await.unwrap();
    assert_eq!(open.len(), 3);
}

async fn an_accepted_or_revoked_invitation_is_not_open(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    for number in 1..=3 {
        insert(&store, number + 1, &sample(number), &[number]).await;
    }
    change(&store, 5, async |change| {
        invitation::accept_invitation(change, id(1), at(5)).await?;
        invitation::revoke_invitation(change, id(2), at(5)).await
    })
    .await;
    assert_eq!(find_by_token(&store, &[1]).await, Some(Invitation { accepted_at: Some(at(5)), ..sample(1) }));
    assert_eq!(find_by_token(&store, &[2]).await, Some(Invitation { revoked_at: Some(at(5)), ..sample(2) }));
    let mut connection = store.read().await.unwrap();
    let open = invitation::list_open_invitations_of(&mut connection, user(1).id.into()).await.unwrap();
    assert_eq!(open, [sample(3)]);
}

async fn an_undelivered_mail_is_recorded_for_the_current_token_only(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let mailed = Invitation { mailed_at: Some(at(2)), ..sample(1) };
    insert(&store, 2, &mailed, b"first").await;
    let unmark = async |number, token_hash: &[u8]| {
        change(&store, number, async |change| invitation::unmark_mailed(change, id(1), token_hash).await).await
    };
    assert!(!unmark(3, b"previous").await);
    assert_eq!(find_by_token(&store, b"first").await, Some(mailed));
    assert!(unmark(4, b"first").await);
    assert_eq!(find_by_token(&store, b"first").await, Some(sample(1)));
}
