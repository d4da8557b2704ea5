//! Listing the audit log.

use domain::{AuditEvent, AuditPrincipal, PrincipalId, principal::Principal};
use store::{
    Changes, Store, Version,
    audit::{EventFilter, EventScope, RefusalRecord, list_events},
};

use crate::support::{Backend, at, event, id, log, on_every_engine, workspace_access};

on_every_engine! {
    an_event_reads_back_as_it_was_written
    records_of_refusals_are_events_of_that_action_alone
    the_latest_come_first_and_pages_do_not_shift
    events_are_found_by_each_filter
    times_include_their_start_and_not_their_end
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
    let page = async |after| {
        let filter = EventFilter { after, ..EventFilter::default() };
        let listed = list_events(&mut store.read().await.unwrap(), in_workspace(1), &filter, 2).await.unwrap();
        listed.into_iter().map(|logged| logged.seq).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [4, 3]);
    log(&store, event(5)).await;
    assert_eq!(page(Some(3)).await, [2, 1]);
    assert_eq!(page(Some(1)).await, [0]);
    assert!(page(Some(0)).await.is_empty());
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
