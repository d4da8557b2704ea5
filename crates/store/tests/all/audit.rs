//! Listing the audit log.

use domain::{
    ApiKeyId, AuditAction, AuditEvent, AuditKind, AuditPrincipal, PrincipalId, ServiceAccountId, UserId, WorkspaceId,
    api_key::ApiKey,
    limits::KeyLimits,
    principal::{KeyCredential, Principal},
    project::Project,
};
use store::{
    Changes, Store, Version,
    audit::{EventFilter, EventPage, EventScope, EventSubject, RefusalRecord, find_event, find_objects, list_events},
    identity::find_identity,
    name::{Named, find_names},
};

use crate::support::{
    Backend, add_workspaces_and_users, api_key, at, change, event, id, log, on_every_engine, service_account,
    workspace_access,
};

on_every_engine! {
    an_event_reads_back_as_it_was_written
    records_of_refusals_are_events_of_that_action_alone
    the_latest_come_first_and_pages_do_not_shift
    events_are_found_by_each_filter
    times_include_their_start_and_not_their_end
    events_are_found_by_their_target_and_kind
    events_that_involve_an_object_are_listed_once
    operators_list_the_installations_own_events
    owners_list_what_was_done_to_their_own_keys
    an_event_is_found_by_its_id_in_its_scope_only
    every_object_in_an_event_has_its_name
    objects_are_found_by_their_names_in_their_scope_only
}

fn everywhere() -> EventScope {
    EventScope::Installation(Principal::host().authorize_host().unwrap())
}

fn in_workspace(number: u128) -> EventScope {
    EventScope::Workspace(workspace_access(number))
}

async fn list(store: &Store, scope: EventScope, filter: &EventFilter) -> Vec<u64> {
    let listed = list_events(&mut store.read().await.unwrap(), scope, filter, 100).await.unwrap();
    listed.into_iter().map(|logged| logged.seq).collect()
}

async fn an_event_reads_back_as_it_was_written(database: impl Backend) {
    let store = database.open().await;
    let bare = AuditEvent {
        workspace: None,
        principal: AuditPrincipal::Anonymous,
        key: None,
        ip_address: None,
        target: None,
        detail: std::collections::BTreeMap::new(),
        ..event(2)
    };
    log(&store, event(1)).await;
    log(&store, bare.clone()).await;
    let listed =
        list_events(&mut store.read().await.unwrap(), everywhere(), &EventFilter::default(), 10).await.unwrap();
    assert_eq!(listed.into_iter().map(|logged| logged.event).collect::<Vec<_>>(), [bare, event(1)]);
}

async fn records_of_refusals_are_events_of_that_action_alone(database: impl Backend) {
    let store = database.open().await;
    let record = |number: u8| RefusalRecord {
        id: id(number.into()),
        workspace: Some(id(number.into())),
        key: Some(id(7)),
        owner: Some(PrincipalId::User(id(8))),
        ip_address: Some("192.0.2.7".parse().unwrap()),
        detail: [("count".to_owned(), number.to_string())].into(),
    };
    store.record_refusals(&[], at(1)).await.unwrap();
    assert_eq!(store.current_version().await.unwrap(), Version(0), "nothing to record is no transaction");
    store.record_refusals(&[record(1), record(2)], at(2)).await.unwrap();
    let listed = list_events(&mut store.read().await.unwrap(), everywhere(), &EventFilter::default(), 9).await.unwrap();
    let event = |number: u8| AuditEvent {
        id: id(number.into()),
        at: at(2),
        workspace: Some(id(number.into())),
        principal: AuditPrincipal::Anonymous,
        key: Some(id(7)),
        ip_address: Some("192.0.2.7".parse().unwrap()),
        action: "request.refuse".into(),
        target: Some(PrincipalId::User(id(8)).to_string()),
        detail: [("count".to_owned(), number.to_string())].into(),
    };
    assert_eq!(listed.into_iter().map(|logged| logged.event).collect::<Vec<_>>(), [event(2), event(1)]);
    let changes = store.changes_since(Version(0)).await.unwrap();
    assert_eq!(changes, Changes::Subjects { subjects: Vec::new(), up_to: Version(1) }, "no node loads anything again");
}

async fn the_latest_come_first_and_pages_do_not_shift(database: impl Backend) {
    let store = database.open().await;
    for number in 0..5 {
        log(&store, event(number)).await;
    }
    let page = async |page| {
        let filter = EventFilter { page, ..EventFilter::default() };
        let listed = list_events(&mut store.read().await.unwrap(), in_workspace(1), &filter, 2).await.unwrap();
        listed.into_iter().map(|logged| logged.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(EventPage::Latest).await, [4, 3]);
    log(&store, event(5)).await;
    assert_eq!(page(EventPage::OlderThan(3)).await, [2, 1]);
    assert_eq!(page(EventPage::OlderThan(1)).await, [0]);
    assert!(page(EventPage::OlderThan(0)).await.is_empty());
    assert_eq!(page(EventPage::NewerThan(0)).await, [2, 1], "the next newer ones, the latest first");
    assert_eq!(page(EventPage::NewerThan(4)).await, [5]);
    assert!(page(EventPage::NewerThan(5)).await.is_empty());
}

async fn events_are_found_by_each_filter(database: impl Backend) {
    let store = database.open().await;
    log(&store, event(0)).await;
    log(&store, AuditEvent { workspace: Some(id(2)), ..event(1) }).await;
    log(&store, AuditEvent { principal: AuditPrincipal::ServiceAccount(id(1)), ..event(2) }).await;
    log(&store, AuditEvent { key: None, ..event(3) }).await;
    log(&store, AuditEvent { action: "api_key.revoke".into(), ..event(4) }).await;
    log(&store, AuditEvent { principal: AuditPrincipal::Host, workspace: None, key: None, ..event(5) }).await;

    let none = EventFilter::default();
    let by = |change: fn(&mut EventFilter)| {
        let mut filter = none.clone();
        change(&mut filter);
        filter
    };
    for (scope, filter, expected) in [
        (everywhere(), none.clone(), &[5, 4, 3, 2, 1, 0][..]),
        (in_workspace(1), none.clone(), &[4, 3, 2, 0]),
        (in_workspace(3), none.clone(), &[]),
        (everywhere(), by(|f| f.principal = Some(AuditPrincipal::ServiceAccount(id(1)))), &[2]),
        (everywhere(), by(|f| f.principal = Some(AuditPrincipal::Host)), &[5]),
        (in_workspace(1), by(|f| f.principal = Some(AuditPrincipal::Host)), &[]),
        (everywhere(), by(|f| f.key = Some(id(1))), &[4, 2, 1, 0]),
        (in_workspace(2), by(|f| f.key = Some(id(1))), &[1]),
        (everywhere(), by(|f| f.action = Some("api_key.revoke".into())), &[4]),
        (in_workspace(2), by(|f| f.action = Some("api_key.revoke".into())), &[]),
        (everywhere(), by(|f| f.action = Some("api_key".into())), &[]),
        (
            in_workspace(1),
            by(|f| {
                f.principal = Some(AuditPrincipal::User(id(1)));
                f.key = Some(id(1));
                f.action = Some("api_key.create".into());
            }),
            &[0],
        ),
    ] {
        assert_eq!(list(&store, scope, &filter).await, expected, "{scope:?} {filter:?}");
    }
}

async fn times_include_their_start_and_not_their_end(database: impl Backend) {
    let store = database.open().await;
    for number in 0..5 {
        log(&store, event(number)).await;
    }
    let filter = EventFilter { from: Some(at(1)), to: Some(at(3)), ..EventFilter::default() };
    assert_eq!(list(&store, everywhere(), &filter).await, [2, 1]);
}

async fn events_are_found_by_their_target_and_kind(database: impl Backend) {
    let store = database.open().await;
    log(&store, event(0)).await;
    log(&store, AuditEvent { target: Some("usr_1".to_owned()), ..event(1) }).await;
    log(&store, AuditEvent { action: "request.refuse".into(), ..event(2) }).await;
    log(&store, AuditEvent { action: "session.create".into(), ..event(3) }).await;
    log(&store, AuditEvent { action: "of.a_later_release".into(), ..event(4) }).await;
    log(&store, AuditEvent { workspace: Some(id(2)), ..event(5) }).await;
    let of_kind = |kind| EventFilter { kind: Some(kind), ..EventFilter::default() };
    let of_target = EventFilter { target: Some("usr_1".to_owned()), ..EventFilter::default() };
    for (scope, filter, expected) in [
        (everywhere(), of_target.clone(), &[1][..]),
        (in_workspace(2), of_target, &[]),
        (in_workspace(1), of_kind(AuditKind::Change), &[4, 1, 0]),
        (in_workspace(1), of_kind(AuditKind::Refusal), &[2]),
        (in_workspace(1), of_kind(AuditKind::SignIn), &[3]),
        (everywhere(), of_kind(AuditKind::Change), &[5, 4, 1, 0]),
    ] {
        assert_eq!(list(&store, scope, &filter).await, expected, "{scope:?} {filter:?}");
    }
    // Events of every action are of exactly one kind.
    let kinds = [AuditKind::Change, AuditKind::SignIn, AuditKind::Refusal];
    for action in AuditAction::ALL {
        assert_eq!(AuditAction::from_name(action.as_str()), Some(*action));
        assert_eq!(kinds.iter().filter(|kind| kind.actions().any(|of_kind| of_kind == *action)).count(), 1);
    }
}

async fn events_that_involve_an_object_are_listed_once(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    // The account 1 of workspace 1 has the key 5, and the user 2 has the key 6.
    change(&store, 2, async |change| {
        store::service_account::insert_service_account(change, &service_account(1)).await?;
        store::api_key::insert_api_key(change, &api_key(5, PrincipalId::ServiceAccount(id(1)))).await?;
        store::api_key::insert_api_key(change, &api_key(6, PrincipalId::User(id(2)))).await
    })
    .await;
    let account = PrincipalId::ServiceAccount(id(1));
    let key: ApiKeyId = id(5);
    let quiet = |number: u8| AuditEvent { key: None, target: None, ..event(number) };
    let first = {
        log(&store, quiet(10)).await;
        list(&store, everywhere(), &EventFilter::default()).await[0]
    };
    // By the account, with its key, about itself: three times the same event.
    let itself =
        AuditEvent { principal: account.into(), key: Some(key), target: Some(account.to_string()), ..event(11) };
    log(&store, itself).await;
    log(&store, AuditEvent { target: Some(account.to_string()), ..quiet(12) }).await;
    log(&store, AuditEvent { target: Some(key.to_string()), ..quiet(13) }).await;
    log(&store, AuditEvent { workspace: Some(id(2)), target: Some(key.to_string()), ..quiet(14) }).await;
    log(&store, AuditEvent { key: Some(key), target: Some(account.to_string()), ..quiet(15) }).await;
    log(&store, AuditEvent { target: Some("key_00000000000000000000000006".to_owned()), ..quiet(16) }).await;
    let listed = async |scope, subject, page, limit| -> Vec<u64> {
        let filter = EventFilter { subject: Some(subject), page, ..EventFilter::default() };
        let events = list_events(&mut store.read().await.unwrap(), scope, &filter, limit).await.unwrap();
        events.into_iter().map(|logged| logged.seq - first).collect()
    };
    let (of_account, of_key) = (EventSubject::Principal(account), EventSubject::Key(key));
    let latest = EventPage::Latest;
    assert_eq!(listed(in_workspace(1), of_account, latest, 9).await, [5, 3, 2, 1]);
    assert_eq!(listed(in_workspace(1), of_key, latest, 9).await, [5, 3, 1]);
    assert_eq!(listed(in_workspace(2), of_account, latest, 9).await, [4]);
    assert_eq!(listed(everywhere(), of_key, latest, 9).await, [5, 4, 3, 1]);
    assert_eq!(listed(in_workspace(1), of_account, latest, 2).await, [5, 3], "the latest of all statements");
    assert_eq!(listed(in_workspace(1), of_account, EventPage::OlderThan(first + 3), 2).await, [2, 1]);
    assert_eq!(listed(in_workspace(1), of_account, EventPage::NewerThan(first + 1), 2).await, [3, 2]);
}

fn own() -> EventScope {
    EventScope::InstallationOwn(Principal::host().authorize_operator().unwrap())
}

async fn operators_list_the_installations_own_events(database: impl Backend) {
    let store = database.open().await;
    let without = |number: u8| AuditEvent { workspace: None, ..event(number) };
    log(&store, event(0)).await;
    log(&store, AuditEvent { action: "user.create".into(), ..without(1) }).await;
    log(&store, AuditEvent { action: "workspace.create".into(), ..event(2) }).await;
    log(&store, AuditEvent { action: "quota.update".into(), ..event(3) }).await;
    log(&store, AuditEvent { action: "project.create".into(), ..event(4) }).await;
    log(&store, AuditEvent { action: "session.create".into(), ..without(5) }).await;
    log(&store, AuditEvent { action: "workspace.delete".into(), workspace: Some(id(2)), ..event(6) }).await;
    let list_own = async |filter: EventFilter| list(&store, own(), &filter).await;
    assert_eq!(list_own(EventFilter::default()).await, [6, 5, 3, 2, 1]);
    let changes = EventFilter { kind: Some(AuditKind::Change), ..EventFilter::default() };
    assert_eq!(list_own(changes).await, [6, 3, 2, 1]);
    let project = EventFilter { action: Some("project.create".to_owned()), ..EventFilter::default() };
    assert!(list_own(project).await.is_empty(), "it is the workspace's");
    let subject = Some(EventSubject::Principal(PrincipalId::User(id(1))));
    assert_eq!(list_own(EventFilter { subject, ..EventFilter::default() }).await, [6, 5, 3, 2, 1]);
}

async fn owners_list_what_was_done_to_their_own_keys(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    change(&store, 2, async |change| {
        store::api_key::insert_api_key(change, &api_key(5, PrincipalId::User(id(1)))).await?;
        store::api_key::insert_api_key(change, &api_key(6, PrincipalId::User(id(2)))).await
    })
    .await;
    let user = PrincipalId::User(id(1));
    let identity = find_identity(&mut store.read().await.unwrap(), user).await.unwrap().expect("the user");
    let principal = Principal::of_key(
        &identity.into(),
        KeyCredential::Signature(id(5)),
        &KeyLimits::none(),
        domain::principal::PolicyReach::everything(),
    );
    let scope = EventScope::OwnKeys(principal.authorize_own().unwrap());
    let (own, other): (ApiKeyId, ApiKeyId) = (id(5), id(6));
    let without = |number: u8| AuditEvent { workspace: None, key: None, target: None, ..event(number) };
    let first = list(&store, everywhere(), &EventFilter::default()).await.len() as u64;
    log(&store, AuditEvent { target: Some(own.to_string()), ..without(10) }).await;
    log(&store, AuditEvent { target: Some(other.to_string()), ..without(11) }).await;
    log(&store, AuditEvent { key: Some(own), ..without(12) }).await;
    log(&store, AuditEvent { workspace: Some(id(1)), target: Some(own.to_string()), ..without(13) }).await;
    log(&store, AuditEvent { principal: AuditPrincipal::User(id(1)), ..without(14) }).await;
    let of = async |subject| {
        let seqs = list(&store, scope, &EventFilter { subject, ..EventFilter::default() }).await;
        seqs.into_iter().map(|seq| seq - first).collect::<Vec<_>>()
    };
    assert_eq!(of(None).await, [2, 0]);
    assert_eq!(of(Some(EventSubject::Key(own))).await, [2, 0]);
    assert!(of(Some(EventSubject::Key(other))).await.is_empty());
    let mut connection = store.read().await.unwrap();
    for (number, is_found) in [(10, true), (11, false), (12, true), (13, false), (14, false)] {
        assert_eq!(find_event(&mut connection, scope, id(number)).await.unwrap().is_some(), is_found, "{number}");
    }
}

async fn an_event_is_found_by_its_id_in_its_scope_only(database: impl Backend) {
    let store = database.open().await;
    log(&store, event(0)).await;
    log(&store, AuditEvent { action: "workspace.create".into(), ..event(1) }).await;
    log(&store, AuditEvent { workspace: None, ..event(2) }).await;
    let find = async |scope, number: u8| {
        let found = find_event(&mut store.read().await.unwrap(), scope, id(number.into())).await.unwrap();
        found.map(|logged| logged.seq)
    };
    for (scope, expected) in [
        (everywhere(), [Some(0), Some(1), Some(2), None]),
        (in_workspace(1), [Some(0), Some(1), None, None]),
        (in_workspace(2), [None; 4]),
        (own(), [None, Some(1), Some(2), None]),
    ] {
        for (number, expected) in (0..).zip(expected) {
            assert_eq!(find(scope, number).await, expected, "{scope:?} {number}");
        }
    }
}

async fn every_object_in_an_event_has_its_name(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let owner = PrincipalId::ServiceAccount(id(1));
    let project = Project {
        id: id(1),
        workspace: id(1),
        title: "Cats".to_owned(),
        description: String::new(),
        created_by: "host".to_owned(),
        created_at: at(1),
        updated_at: at(1),
    };
    change(&store, 2, async |change| {
        store::service_account::insert_service_account(change, &service_account(1)).await?;
        store::service_account::delete_service_account(change, id(1), at(3)).await?;
        store::workspace::delete_workspace(change, id(2), at(3)).await?;
        store::project::insert_project(change, &project).await?;
        store::api_key::insert_api_key(change, &api_key(1, owner)).await
    })
    .await;
    let (user, account): (UserId, ServiceAccountId) = (id(1), id(1));
    let (key, place, gone): (ApiKeyId, WorkspaceId, WorkspaceId) = (id(1), id(1), id(2));
    let texts = [user.to_string(), key.to_string(), project.id.to_string(), place.to_string(), gone.to_string()];
    let strange = ["host", "", "key_00000000000000000000000009", "usr_00000000000000000000000009", "a title"];
    let ids = texts.iter().map(String::as_str).chain(strange);
    let names = find_names(&mut store.read().await.unwrap(), ids).await.unwrap();
    let workspace = |number: u8, is_deleted| Named::Workspace {
        slug: format!("acme-{number}"),
        name: format!("Acme {number}"),
        is_deleted,
    };
    let expected = [
        (user.to_string(), Named::User { name: "User 1".to_owned(), email: "user-1@example.com".to_owned() }),
        (key.to_string(), Named::ApiKey { owner, title: "key 1".to_owned() }),
        (project.id.to_string(), Named::Project { workspace: place, title: "Cats".to_owned() }),
        (place.to_string(), workspace(1, false)),
        (gone.to_string(), workspace(2, true)),
        // The owner of the key, which is deleted.
        (
            account.to_string(),
            Named::ServiceAccount {
                workspace: place,
                name: "Bot 1".to_owned(),
                address: "bot-1@acme-1.sa.keyward.local".to_owned(),
                is_deleted: true,
            },
        ),
    ];
    assert_eq!(names, expected.into());
}

async fn objects_are_found_by_their_names_in_their_scope_only(database: impl Backend) {
    let store = database.open().await;
    add_workspaces_and_users(&store).await;
    let owner = PrincipalId::ServiceAccount(id(1));
    let key = api_key(1, owner);
    change(&store, 2, async |change| {
        store::service_account::insert_service_account(change, &service_account(1)).await?;
        store::api_key::insert_api_key(change, &key).await
    })
    .await;
    log(&store, AuditEvent { principal: owner.into(), key: None, workspace: Some(id(1)), ..event(7) }).await;
    let mut connection = store.read().await.unwrap();
    let digest = key.public_key.fingerprint().to_string().replace("SHA256:", "");
    let account = EventSubject::Principal(owner);
    for (text, expected) in [
        ("bot 1", vec![account]),
        ("BOT-1@acme-1", vec![account]),
        ("key 1", vec![EventSubject::Key(id(1))]),
        (digest.as_str(), vec![EventSubject::Key(id(1))]),
        ("user-1", vec![EventSubject::Principal(PrincipalId::User(id(1)))]),
        ("100%", vec![]),
    ] {
        let found = find_objects(&mut connection, in_workspace(1), text).await.unwrap();
        assert_eq!(found.subjects, expected, "{text}");
        let elsewhere = find_objects(&mut connection, in_workspace(2), text).await.unwrap();
        assert_eq!(elsewhere.subjects, [], "{text}");
    }
    let objects = Some(find_objects(&mut connection, in_workspace(1), "bot 1").await.unwrap());
    let filter = EventFilter { objects, ..EventFilter::default() };
    drop(connection);
    // A key of a member is known in a workspace once it is in an event there.
    let own = ApiKey { title: "Travel laptop".to_owned(), ..api_key(9, PrincipalId::User(id(1))) };
    change(&store, 3, async |change| store::api_key::insert_api_key(change, &own).await).await;
    let travel = async || find_objects(&mut store.read().await.unwrap(), in_workspace(1), "travel").await.unwrap();
    assert_eq!(travel().await.subjects, []);
    log(&store, AuditEvent { key: Some(own.id), workspace: Some(id(1)), ..event(8) }).await;
    assert_eq!(travel().await.subjects, [EventSubject::Key(own.id)]);
    let found = list(&store, in_workspace(1), &filter).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(list(&store, in_workspace(2), &filter).await, [0_u64; 0]);
    let subject = Some(account);
    assert_eq!(list(&store, in_workspace(1), &EventFilter { subject, ..filter }).await, found);
    let objects = Some(store::audit::EventObjects::default());
    let nothing = EventFilter { objects, ..EventFilter::default() };
    assert_eq!(list(&store, in_workspace(1), &nothing).await, [0_u64; 0]);
}
