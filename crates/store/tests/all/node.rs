//! The registry of nodes.

use std::time::Duration;

use store::{
    Store, Version,
    node::{Acknowledgements, Feature, Node, RegisteredNode, Renewal},
    params,
};

use crate::support::{Backend, at, event, id, log, on_every_engine, tamper};

on_every_engine! {
    a_node_is_listed_with_its_applied_version
    an_acknowledgement_never_decreases
    a_lease_renewal_returns_the_version_to_apply
    nodes_that_have_acknowledged_the_committed_version_are_counted
    a_renewal_changes_the_lease_mark
    an_evicted_node_learns_of_it
    a_node_that_renewed_is_not_evicted
    a_second_registration_replaces_the_first
    nodes_that_do_not_know_a_feature_are_listed_until_they_leave
}

fn node(number: u128) -> Node {
    Node {
        id: id(number),
        name: format!("host-{number}:4711"),
        software_version: "0.1.0".into(),
        lease: Duration::from_millis(2000 + u64::try_from(number).unwrap()),
        settings_hash: Some(format!("hash-{number}")),
    }
}

async fn listed(store: &Store) -> Vec<(Node, Version)> {
    let nodes = store.list_nodes().await.unwrap();
    nodes.into_iter().map(|registered| (registered.node, registered.acknowledged)).collect()
}

async fn only(store: &Store) -> RegisteredNode {
    let mut nodes = store.list_nodes().await.unwrap();
    assert_eq!(nodes.len(), 1);
    nodes.remove(0)
}

async fn a_node_is_listed_with_its_applied_version(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(2), Version(0), at(1)).await.unwrap();
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    assert_eq!(listed(&store).await, [(node(1), Version(0)), (node(2), Version(0))]);
    assert!(store.acknowledge(node(2).id, Version(3)).await.unwrap());
    assert_eq!(listed(&store).await, [(node(1), Version(0)), (node(2), Version(3))]);
    assert!(store.remove_node(node(1).id, Version(0)).await.unwrap());
    assert!(!store.remove_node(node(1).id, Version(0)).await.unwrap());
    assert_eq!(listed(&store).await, [(node(2), Version(3))]);
}

async fn an_acknowledgement_never_decreases(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    assert!(store.acknowledge(node(1).id, Version(5)).await.unwrap());
    assert!(store.acknowledge(node(1).id, Version(4)).await.unwrap());
    assert_eq!(only(&store).await.acknowledged, Version(5));
}

async fn a_lease_renewal_returns_the_version_to_apply(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    let shown = |version| Some(Renewal { version: Version(version), durable: Version(version) });
    assert_eq!(store.renew_lease(node(1).id, at(1)).await.unwrap(), shown(0));
    log(&store, event(1)).await;
    assert_eq!(store.renew_lease(node(1).id, at(2)).await.unwrap(), shown(1));
}

async fn nodes_that_have_acknowledged_the_committed_version_are_counted(database: impl Backend) {
    let store = database.open().await;
    let counted = |version, nodes, acknowledged| Acknowledgements { version: Version(version), nodes, acknowledged };
    assert_eq!(store.count_acknowledgements().await.unwrap(), counted(0, 0, 0));
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    store.register_node(&node(2), Version(0), at(1)).await.unwrap();
    assert_eq!(store.count_acknowledgements().await.unwrap(), counted(0, 2, 2));
    log(&store, event(1)).await;
    assert_eq!(store.count_acknowledgements().await.unwrap(), counted(1, 2, 0));
    store.acknowledge(node(2).id, Version(1)).await.unwrap();
    assert_eq!(store.count_acknowledgements().await.unwrap(), counted(1, 2, 1));
}

async fn a_renewal_changes_the_lease_mark(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(5)).await.unwrap();
    let mut last = only(&store).await.mark;
    // A clock that stops or is set back does not hide a renewal.
    for now in [6, 6, 1] {
        store.acknowledge(node(1).id, Version(1)).await.unwrap();
        assert_eq!(only(&store).await.mark, last, "an acknowledgement is no renewal");
        store.renew_lease(node(1).id, at(now)).await.unwrap();
        let next = only(&store).await.mark;
        assert!(next > last || next.is_none(), "{next:?}");
        last = next;
    }
    store.register_node(&node(1), Version(0), at(0)).await.unwrap();
    let next = only(&store).await.mark;
    assert!(next > last || next.is_none(), "{next:?}");
}

async fn an_evicted_node_learns_of_it(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    let mark = only(&store).await.mark;
    assert!(store.evict_node(node(1).id, Version(1), mark).await.unwrap());
    assert!(!store.evict_node(node(1).id, Version(1), mark).await.unwrap());
    assert_eq!(store.renew_lease(node(1).id, at(2)).await.unwrap(), None);
    assert!(!store.acknowledge(node(1).id, Version(1)).await.unwrap());
    assert_eq!(listed(&store).await, []);
}

async fn a_node_that_renewed_is_not_evicted(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    let mark = only(&store).await.mark;
    assert!(store.acknowledge(node(1).id, Version(3)).await.unwrap());
    assert!(!store.evict_node(node(1).id, Version(3), mark).await.unwrap());
    store.renew_lease(node(1).id, at(2)).await.unwrap();
    let renewed = only(&store).await.mark;
    if renewed.is_some() {
        assert!(!store.evict_node(node(1).id, Version(4), mark).await.unwrap(), "it has a lease that nobody looked at");
    }
    assert!(store.evict_node(node(1).id, Version(4), renewed).await.unwrap());
}

async fn a_second_registration_replaces_the_first(database: impl Backend) {
    let store = database.open().await;
    store.register_node(&node(1), Version(7), at(1)).await.unwrap();
    let slower = Node { lease: Duration::from_secs(9), ..node(1) };
    store.register_node(&slower, Version(0), at(2)).await.unwrap();
    assert_eq!(listed(&store).await, [(slower, Version(0))]);
}

async fn nodes_that_do_not_know_a_feature_are_listed_until_they_leave(database: impl Backend) {
    let store = database.open().await;
    let without =
        async |feature| store::node::list_nodes_without(&mut store.read().await.unwrap(), feature).await.unwrap();
    let older = async || without(Feature::KeyLimits).await;
    store.register_node(&node(1), Version(0), at(1)).await.unwrap();
    store.register_node(&node(2), Version(0), at(1)).await.unwrap();
    assert_eq!(older().await, [""; 0]);
    assert_eq!(only_known_format(&store, 1).await, Some(store::latest_format()));
    // A node of the previous release does not write the column, and one of the next release may know more.
    for (number, known, expected) in [(1, None, vec!["host-1:4711"]), (2, Some(11), vec!["host-1:4711", "host-2:4711"])]
    {
        let known: Option<i64> = known;
        tamper(&store, "UPDATE nodes SET known_format = $2 WHERE id = $1", params![node(number).id, known]).await;
        assert_eq!(older().await, expected);
    }
    assert_eq!(only_known_format(&store, 1).await, None);
    for (known, expected) in [(12_i64, vec!["host-1:4711", "host-2:4711"]), (13, vec![])] {
        tamper(&store, "UPDATE nodes SET known_format = $1", params![known]).await;
        assert_eq!(older().await, [""; 0]);
        assert_eq!(without(Feature::KeyRotations).await, expected);
        assert_eq!(without(Feature::KeyPolicies).await, ["host-1:4711", "host-2:4711"]);
    }
    tamper(&store, "UPDATE nodes SET known_format = $1", params![1000_i64]).await;
    assert_eq!(older().await, [""; 0]);
}

async fn only_known_format(store: &Store, number: u128) -> Option<u64> {
    let nodes = store.list_nodes().await.unwrap();
    nodes.into_iter().find(|registered| registered.node.id == id(number)).unwrap().known_format
}
