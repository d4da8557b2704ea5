//! The registry of running servers.

use std::time::Duration;

use domain::NodeId;
use store::{Version, node::Node};

use crate::support::{Backend, at, event, id, log, on_every_engine};

on_every_engine! {
    who_has_not_acknowledged_is_waited_for
    an_acknowledgement_is_never_taken_back
    a_lease_is_renewed_up_to_what_must_be_taken_in
    a_node_that_was_given_up_for_dead_learns_of_it
    registering_again_begins_anew
}

fn node(number: u128) -> Node {
    Node {
        id: id(number),
        name: format!("host-{number}:4711"),
        software_version: "0.1.0".into(),
        lease: Duration::from_millis(2000 + u64::try_from(number).unwrap()),
    }
}

async fn waited_for(store: &store::Store, version: u64, except: Option<NodeId>) -> Vec<Node> {
    store.unacknowledged_nodes(Version(version), except).await.unwrap()
}

async fn who_has_not_acknowledged_is_waited_for(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    store.register_node(&node(2), Version(0), at(1)).await.unwrap();
    assert_eq!(waited_for(&store, 1, None).await, [node(1), node(2)]);
    assert_eq!(waited_for(&store, 1, Some(node(1).id)).await, [node(2)]);
    assert_eq!(waited_for(&store, 0, None).await, []);

    assert!(store.acknowledge(node(2).id, Version(3), at(2)).await.unwrap());
    assert_eq!(waited_for(&store, 3, None).await, [node(1)]);
    assert_eq!(waited_for(&store, 4, Some(node(1).id)).await, [node(2)]);
}

async fn an_acknowledgement_is_never_taken_back(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    assert!(store.acknowledge(node(1).id, Version(5), at(2)).await.unwrap());
    assert!(store.acknowledge(node(1).id, Version(4), at(3)).await.unwrap());
    assert_eq!(waited_for(&store, 5, None).await, []);
}

async fn a_lease_is_renewed_up_to_what_must_be_taken_in(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    assert_eq!(store.renew_lease(node(1).id).await.unwrap(), Some(Version(0)));
    log(&store, event(1)).await;
    assert_eq!(store.renew_lease(node(1).id).await.unwrap(), Some(Version(1)));
}

async fn a_node_that_was_given_up_for_dead_learns_of_it(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    assert!(store.remove_node(node(1).id).await.unwrap());
    assert!(!store.remove_node(node(1).id).await.unwrap());
    assert_eq!(store.renew_lease(node(1).id).await.unwrap(), None);
    assert!(!store.acknowledge(node(1).id, Version(1), at(2)).await.unwrap());
    assert_eq!(waited_for(&store, 1, None).await, []);
}

async fn registering_again_begins_anew(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(7), at(1)).await.unwrap();
    let slower = Node { lease: Duration::from_secs(9), ..node(1) };
    store.register_node(&slower, Version(0), at(2)).await.unwrap();
    assert_eq!(waited_for(&store, 1, None).await, [slower]);
}
