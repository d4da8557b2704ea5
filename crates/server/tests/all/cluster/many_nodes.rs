//! Several nodes on one PostgreSQL: when a change is answered, it is applied on all nodes, regardless of their clocks
//! and of stopped nodes.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock as _,
    leaked_key::{REVOKE_NAMESPACE, revoke_message},
};
use serde_json::{Value, json};
use server::app::{AppConfig, Caller, KeyOwner};
use store::{Store, Version, node::Node};

use crate::{
    support::browser::Browser,
    support::{Actor, Answer, FakeClock, HOST, Home, Key, SeededRandom, TestApp, TestRequest},
};

/// Adds another node of the same installation, whose wall clock is wrong by this number of seconds.
async fn join(first: &TestApp, seed: u64, clock_off: i64) -> TestApp {
    let clock = Arc::new(FakeClock::new());
    clock.set_wall(first.clock.now().as_second() + clock_off);
    TestApp::open(Arc::clone(&first.directory), clock, Arc::new(SeededRandom::new(seed)), |_| {}).await
}

async fn first() -> (TestApp, Actor, String) {
    let test =
        TestApp::open(Home::on_postgres(), Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)), |_| {}).await;
    let admin = test.user("ada", true).await;
    let workspace = test.workspace("acme", &admin).await;
    (test, admin, workspace)
}

/// Creates, on each engine, an installation with its first node, and a user who registers keys.
async fn first_on_each_engine() -> [(TestApp, Actor); 2] {
    let open = async |home| {
        let test = TestApp::open(home, Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)), |_| {}).await;
        let ada = test.user("ada", true).await;
        (test, ada)
    };
    [open(Home::embedded()).await, open(Home::on_postgres()).await]
}

async fn register(node: &TestApp, by: &Actor, key: &Key) -> Answer {
    node.post(KEYS, &json!({"title": "k", "public_key": key.openssh})).by(&by.key).send().await
}

async fn revoke(node: &TestApp, by: &Actor, made: &Value) {
    node.delete(&format!("{KEYS}/{}", made["id"].as_str().unwrap())).by(&by.key).send().await.expect(204);
}

/// Checks that no node registers it again.
async fn is_permanently_refused(nodes: &[&TestApp], by: &Actor, key: &Key) {
    for node in nodes {
        let problem = register(node, by, key).await.expect_problem(409, "duplicate_key");
        assert_eq!(problem["permanently_blocked"], true, "{problem}");
    }
}

/// Adds a node that registered, took a lease, and then stopped responding.
async fn ghost(store: &Store, test: &TestApp, lease: Duration) -> Node {
    let node = Node {
        id: domain::NodeId::generate(test.clock.now(), test.random.as_ref()),
        name: "ghost:1".to_owned(),
        software_version: "0.1.0".to_owned(),
        lease,
        settings_hash: None,
    };
    store.register_node(&node, Version(0), test.clock.now()).await.expect("registered");
    node
}

const ME: &str = "/api/v1/me";
const KEYS: &str = "/api/v1/me/keys";

#[tokio::test]
async fn a_key_revoked_on_one_node_is_refused_on_all_when_the_call_returns() {
    let (one, admin, workspace) = first().await;
    // A wall clock that is an hour ahead or behind only changes which node reports a wrong clock.
    let others = [join(&one, 8, 3600).await, join(&one, 9, -3600).await];
    let nodes = [&one, &others[0], &others[1]];
    one.raise_quotas(&workspace, 100).await;
    for round in 0..8 {
        let bot = one.service_account(&workspace, &admin, &format!("bot-{round}")).await;
        for node in nodes {
            node.get(ME).by(&bot.key).send().await.expect(200);
        }
        let by = nodes[round % 3];
        let account = format!("/api/v1/workspaces/{workspace}/service-accounts/{}", bot.id);
        let revoked = match round {
            0 | 1 => by.delete(&format!("{account}/keys/{}", bot.key.id)).by(&admin.key).send().await,
            2 | 3 => by.patch(&account, &json!({"disabled": true})).by(&admin.key).send().await,
            4 | 5 => {
                let message = revoke_message(&format!("http://{HOST}"), &bot.key.fingerprint.parse().unwrap());
                let statement = json!({"statement": bot.key.sign_for(REVOKE_NAMESPACE, &message)});
                by.post("/api/v1/leaked-keys/revoke", &statement).send().await
            }
            _ => by.delete(&account).by(&admin.key).send().await,
        };
        assert!(revoked.status.is_success(), "{revoked:?}");
        assert!(revoked.header("keyward-confirmed").ends_with("nodes=3, expired=0"), "{revoked:?}");
        for node in nodes {
            node.get(ME).by(&bot.key).send().await.expect_problem(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_key_created_on_one_node_works_on_all_when_the_call_returns() {
    let (one, admin, _) = first().await;
    let other = join(&one, 8, 0).await;
    for _ in 0..5 {
        let key = one.add_key(KeyOwner::User(admin.id.parse().unwrap()), "fresh").await;
        other.get(ME).by(&key).send().await.expect(200);
        // A token of one node is valid on the other, because they share the installation's key.
        let token = one.bearer_token(&key).await;
        other.get(ME).bearer(&token).send().await.expect(200);
    }
}

#[tokio::test]
async fn a_change_waits_for_the_lease_of_a_lost_node_and_then_evicts_it() {
    let (test, admin, _) = first().await;
    let store = test.store().await;
    let key = test.add_unused_key(&admin).await;
    let gone = ghost(&store, &test, Duration::from_secs(5)).await;
    let revoke = test.delete(&format!("{ME}/keys/{}", key.id)).by(&admin.key);
    let waiting = revoke.send();
    tokio::pin!(waiting);
    for passed in [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(3)] {
        test.clock.advance(passed);
        let early = tokio::time::timeout(Duration::from_millis(150), &mut waiting).await;
        assert!(early.is_err(), "the ghost's lease lasts longer than {passed:?}, whatever this node's own is");
    }
    // The margin for clocks with different rates.
    test.clock.advance(Duration::from_millis(51));
    let answer = waiting.await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("keyward-confirmed").ends_with("nodes=1, expired=1"), "{answer:?}");
    assert!(store.list_nodes().await.unwrap().iter().all(|registered| registered.node.id != gone.id));
}

#[tokio::test]
async fn an_evicted_node_registers_and_loads_again() {
    let (one, admin, _) = first().await;
    let other = join(&one, 8, 0).await;
    let store = one.store().await;
    for registered in store.list_nodes().await.unwrap() {
        assert!(store.remove_node(registered.node.id, Version(0)).await.unwrap());
    }
    // Both had a lease. Neither verifies requests with it after it knows that it was evicted.
    for node in [&one, &other] {
        node.app.renew_lease().await.unwrap();
        node.get(ME).by(&admin.key).send().await.expect(200);
    }
    assert_eq!(store.list_nodes().await.unwrap().len(), 2);
    let key = one.add_key(KeyOwner::User(admin.id.parse().unwrap()), "later").await;
    other.get(ME).by(&key).send().await.expect(200);
}

#[tokio::test]
async fn a_write_sent_to_every_node_at_once_happens_once() {
    let (one, admin, workspace) = first().await;
    let others = [join(&one, 8, 0).await, join(&one, 9, 0).await];
    let projects = format!("/api/v1/workspaces/{workspace}/projects");
    for round in 0..10 {
        let signed = one.post(&projects, &json!({"title": format!("Round {round}")})).by(&admin.key);
        let (first, second, third) =
            tokio::join!(signed.clone().send(), signed.clone().send_to(&others[0]), signed.clone().send_to(&others[1]));
        let (first, second, third) = (first.expect(201), second.expect(201), third.expect(201));
        assert!(first == second && second == third, "one answer for all");
    }
    let listed = one.get(&projects).by(&admin.key).send().await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn a_stored_response_is_returned_only_after_every_node_acknowledged() {
    let (test, admin, _) = first().await;
    let store = test.store().await;
    let key = test.add_unused_key(&admin).await;
    let revoke = test.delete(&format!("{ME}/keys/{}", key.id)).by(&admin.key);
    revoke.clone().send().await.expect(204);
    // As if the node that revoked it had stopped before this node, which holds a lease, acknowledged it.
    ghost(&store, &test, Duration::from_secs(2)).await;
    let again = revoke.send();
    tokio::pin!(again);
    assert!(tokio::time::timeout(Duration::from_millis(150), &mut again).await.is_err());
    test.clock.advance(Duration::from_millis(2051));
    let answer = again.await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("keyward-confirmed").ends_with("expired=1"), "{answer:?}");
}

#[tokio::test]
async fn a_concurrent_request_reports_a_revocation_only_after_every_node_acknowledged() {
    let (test, admin, workspace) = first().await;
    let store = test.store().await;
    let bot = test.service_account(&workspace, &admin, "bot").await;
    let own = test.add_unused_key(&admin).await;
    let account = format!("/api/v1/workspaces/{workspace}/service-accounts/{}", bot.id);
    let created = test.post(&format!("/api/v1/workspaces/{workspace}/projects"), &json!({"title": "Maps"}));
    let project = created.by(&admin.key).send().await.expect(201)["id"].as_str().unwrap().to_owned();
    let project = format!("/api/v1/workspaces/{workspace}/projects/{project}");
    let max = test.member(&workspace, &admin, "max", "member").await;
    let member = format!("/api/v1/workspaces/{workspace}/members/{}", max.id);
    let (own, of_bot) = (format!("{ME}/keys/{}", own.id), format!("{account}/keys/{}", bot.key.id));
    for target in [&own, &of_bot, &project, &member] {
        test.delete(target).by(&admin.key).send().await.expect(204);
    }
    let none = json!({});
    let asked_after_keys = [
        test.delete(&own),
        test.post(&format!("{own}/disable"), &none),
        test.patch(&own, &json!({"title": "late"})),
        test.delete(&of_bot),
        test.post(&format!("{of_bot}/enable"), &none),
        test.delete(&project),
        test.patch(&project, &json!({"title": "late"})),
        test.delete(&member),
        test.patch(&member, &json!({"role": "admin"})),
    ];
    for (nth, request) in asked_after_keys.into_iter().enumerate() {
        waits_for_every_node(&test, &store, nth, request.by(&admin.key)).await;
    }
    test.app.renew_lease().await.expect("a lease");
    test.delete(&account).by(&admin.key).send().await.expect(204);
    let asked_after_the_account =
        [test.delete(&of_bot), test.delete(&account), test.patch(&account, &json!({"disabled": true}))];
    for (nth, request) in asked_after_the_account.into_iter().enumerate() {
        waits_for_every_node(&test, &store, nth, request.by(&admin.key)).await;
    }
}

/// Sends a request whose response depends on a change. It is answered after every node has acknowledged the change, or
/// its lease has ended.
async fn waits_for_every_node(test: &TestApp, store: &Store, nth: usize, request: TestRequest<'_>) {
    test.app.renew_lease().await.expect("a lease");
    // As if the node that made the change were still waiting for this one, which holds a lease.
    ghost(store, test, Duration::from_secs(2)).await;
    let again = request.send();
    tokio::pin!(again);
    let early = tokio::time::timeout(Duration::from_millis(150), &mut again).await;
    assert!(early.is_err(), "{nth}: {early:?}");
    // This node renews its own lease meanwhile, as it would outside of a test. A busy machine may begin with the request
    // only now, so that the lease of the other ends later.
    let answer = loop {
        test.clock.advance(Duration::from_millis(700));
        test.app.renew_lease().await.expect("a lease");
        if let Ok(answer) = tokio::time::timeout(Duration::from_millis(20), &mut again).await {
            break answer;
        }
    };
    assert!([204, 404, 409].contains(&answer.status.as_u16()), "{nth}: {answer:?}");
    assert!(answer.header("keyward-confirmed").ends_with("expired=1"), "{nth}: {answer:?}");
}

#[tokio::test]
async fn pages_show_when_every_node_has_confirmed_and_list_the_nodes() {
    let (one, admin, workspace) = first().await;
    let other = join(&one, 8, 0).await;
    let mut olga = Browser::signed_in(&one, "olga", true).await;
    olga.open("/operator/workspaces").await;
    let quotas = [("service_accounts", "7"), ("keys_per_service_account", "7"), ("keys_per_user", "7")];
    let form = format!("/operator/workspaces/{workspace}/quotas");
    olga.submit(&form, &quotas).await.sees("</b> are set. All 2 nodes have confirmed it.");
    ghost(&one.store().await, &one, Duration::from_secs(1)).await;
    {
        let answer = olga.submit(&form, &quotas);
        tokio::pin!(answer);
        assert!(tokio::time::timeout(Duration::from_millis(150), &mut answer).await.is_err());
        one.clock.advance(Duration::from_millis(1051));
        answer.await.sees("Nodes that have confirmed it: 2. Nodes that did not respond: 1.");
    }

    olga.open("/operator/system").await.sees("Up to date").sees("This node");
    let listed = other.get("/api/v1/admin/nodes").by(&admin.key).send().await.expect(200);
    for node in listed["items"].as_array().unwrap() {
        olga.sees(node["name"].as_str().unwrap());
    }
}

#[tokio::test]
async fn operators_see_every_node_with_its_lease_and_version() {
    let (one, admin, _) = first().await;
    let other = join(&one, 8, 0).await;
    let listed = other.get("/api/v1/admin/nodes").by(&admin.key).send().await.expect(200);
    let nodes = listed["items"].as_array().unwrap();
    assert_eq!(nodes.len(), 2, "{listed}");
    assert_eq!(nodes.iter().filter(|node| node["answers"] == true).count(), 1);
    for node in nodes {
        assert_eq!((&node["behind"], &node["lease_seconds"]), (&json!(0), &json!(2)), "{node}");
        assert!(node["name"].as_str().unwrap().ends_with(&format!(":{}", std::process::id())), "{node}");
    }
}

#[tokio::test]
async fn operators_are_warned_of_nodes_with_other_settings() {
    let (one, admin, _) = first().await;
    let _same = join(&one, 8, 0).await;
    let mut olga = Browser::signed_in(&one, "olga", true).await;
    // For a node of the previous release, this is unknown.
    ghost(&one.store().await, &one, Duration::from_secs(1)).await;
    olga.open("/operator/system").await.sees_not("different hosts");
    let clock = Arc::new(FakeClock::new());
    let _other = TestApp::open(Arc::clone(&one.directory), clock, Arc::new(SeededRandom::new(9)), |settings| {
        settings.proxied_hosts = vec!["api.example.com".to_owned()];
    })
    .await;
    olga.open("/operator/system").await.sees("Nodes run with different hosts");
    let listed = one.get("/api/v1/admin/nodes").by(&admin.key).send().await.expect(200);
    let nodes = listed["items"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);
    let hashes: std::collections::BTreeSet<_> =
        nodes.iter().filter_map(|node| node["settings_hash"].as_str()).collect();
    assert_eq!(hashes.len(), 2, "{listed}");
}

#[tokio::test]
async fn a_node_without_the_installations_key_does_not_start() {
    let (test, _, _) = first().await;
    std::fs::remove_file(test.directory.path().join("installation.key")).unwrap();
    let config = test.directory.app_config(test.app.settings().clone());
    let error = server::App::open_for_serving(config).await.err().expect("no key").to_string();
    assert!(error.contains("copy `installation.key` from another node"), "{error}");
}

#[tokio::test]
async fn a_node_with_another_installation_key_does_not_start_or_verify_requests() {
    let (test, admin, _) = first().await;
    let settings = test.app.settings().clone();
    let foreign = tempfile::tempdir().unwrap();
    let foreign = foreign.path().join("installation.key");
    store::installation_key::load_or_create_key(&foreign, &SeededRandom::new(99)).unwrap();
    let config = || test.directory.app_config(settings.clone());
    let error = server::App::open_for_serving(AppConfig { installation_key: foreign, ..config() }).await.err();
    let error = error.expect("a foreign key").to_string();
    assert!(error.contains("not the key of the installation"), "{error}");
    test.get(ME).by(&admin.key).send().await.expect(200);

    let path = config().installation_key;
    let host = server::App::open_to_replace_key(config()).await.unwrap();
    let caller = Caller::host();
    let replacing = host.replace_installation_key(&caller, &path);
    tokio::pin!(replacing);
    // It waits for the node until its lease has ended, by the clock of the host, and the node gets no other lease.
    let early = tokio::time::timeout(Duration::from_millis(150), &mut replacing).await;
    assert!(early.is_err(), "{early:?}");
    assert!(test.app.renew_lease().await.is_err());
    assert_eq!(replacing.await.unwrap().confirmation().expired, 1);
    assert!(test.app.renew_lease().await.is_err());
    test.clock.advance(Duration::from_secs(3));
    test.get(ME).by(&admin.key).send().await.expect_problem(503, "unavailable");

    let again =
        TestApp::open(Arc::clone(&test.directory), Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(8)), |_| {});
    again.await.get(ME).by(&admin.key).send().await.expect(200);
}

#[tokio::test]
async fn a_node_with_a_fast_clock_does_not_delete_replay_records_early() {
    let (one, admin, workspace) = first().await;
    let ahead = join(&one, 8, 3600).await;
    let projects = format!("/api/v1/workspaces/{workspace}/projects");
    let signed = one.post(&projects, &json!({"title": "Once"})).by(&admin.key);
    let first = signed.clone().send().await.expect(201);
    for _ in 0..3 {
        ahead.app.forget_expired().await.unwrap();
        // Less than the time until no clock accepts the signature any more.
        ahead.clock.advance(Duration::from_secs(30));
        ahead.app.renew_lease().await.unwrap();
    }
    ahead.app.forget_expired().await.unwrap();
    assert_eq!(signed.send().await.expect(201), first, "the stored response, and nothing happened twice");
    let listed = one.get(&projects).by(&admin.key).send().await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);

    // Later it is deleted, because otherwise the table would grow without limit.
    let store = one.store().await;
    let kept = async || {
        let sql = "SELECT COUNT(*) AS kept FROM replays";
        store.read().await.unwrap().fetch_one(sql, store::params![]).await.unwrap().i64("kept").unwrap()
    };
    assert!(kept().await > 0);
    ahead.clock.advance(Duration::from_mins(10));
    ahead.app.renew_lease().await.unwrap();
    ahead.app.forget_expired().await.unwrap();
    assert_eq!(kept().await, 0);
}

#[tokio::test]
async fn a_key_that_one_node_verified_and_another_revoked_at_once_is_never_registered_again() {
    for (one, ada) in first_on_each_engine().await {
        let other = join(&one, 8, 0).await;
        for (uses, revokes) in [(&one, &other), (&other, &one)] {
            let key = one.new_key();
            let made = register(revokes, &ada, &key).await.expect(201);
            uses.get(ME).by(&key).send().await.expect(200);
            revoke(revokes, &ada, &made).await;
            is_permanently_refused(&[revokes, uses], &ada, &key).await;
        }
    }
}

#[tokio::test]
async fn a_key_that_no_node_verified_is_registered_again_after_its_revocation() {
    for (one, ada) in first_on_each_engine().await {
        let key = one.new_key();
        let made = register(&one, &ada, &key).await.expect(201);
        // A node that joins later has reported everything, and a node that leaves has reported its uses.
        let other = join(&one, 8, 0).await;
        revoke(&one, &ada, &made).await;
        let made = register(&one, &ada, &key).await.expect(201);
        revoke(&other, &ada, &made).await;
        other.app.renew_lease().await.unwrap();
        other.app.close().await;
        let made = register(&one, &ada, &key).await.expect(201);
        revoke(&one, &ada, &made).await;
        register(&one, &ada, &key).await.expect(201);
    }
}

#[tokio::test]
async fn a_lost_node_counts_as_having_used_the_key() {
    for (one, ada) in first_on_each_engine().await {
        // A stopped node.
        let other = join(&one, 8, 0).await;
        let key = one.new_key();
        let made = register(&one, &ada, &key).await.expect(201);
        other.app.close().await;
        revoke(&one, &ada, &made).await;
        is_permanently_refused(&[&one], &ada, &key).await;

        // A node that was evicted when its lease had ended.
        let key = one.new_key();
        let made = register(&one, &ada, &key).await.expect(201);
        let store = one.store().await;
        ghost(&store, &one, Duration::from_secs(1)).await;
        let revoking = revoke(&one, &ada, &made);
        tokio::pin!(revoking);
        assert!(tokio::time::timeout(Duration::from_millis(150), &mut revoking).await.is_err());
        one.clock.advance(Duration::from_millis(1051));
        revoking.await;
        is_permanently_refused(&[&one], &ada, &key).await;
    }
}

#[tokio::test]
async fn a_node_of_the_previous_release_counts_as_having_used_the_key() {
    for (one, ada) in first_on_each_engine().await {
        let other = join(&one, 8, 0).await;
        let store = one.store().await;
        let says = async |reports: bool| {
            let mut maintenance = store.begin_maintenance().await.unwrap();
            let nodes = store.list_nodes().await.unwrap();
            let id = nodes.last().unwrap().node.id;
            let sql = "UPDATE nodes SET reports_use = $2 WHERE id = $1";
            assert_eq!(maintenance.execute(sql, store::params![id, reports]).await.unwrap(), 1);
            maintenance.commit().await.unwrap();
        };
        // It runs when the key is registered, and stops before the first request.
        says(false).await;
        let early = one.new_key();
        let made = register(&one, &ada, &early).await.expect(201);
        says(true).await;
        revoke(&one, &ada, &made).await;
        is_permanently_refused(&[&one, &other], &ada, &early).await;
        // It joins after the registration.
        let late = one.new_key();
        let made = register(&one, &ada, &late).await.expect(201);
        says(false).await;
        revoke(&one, &ada, &made).await;
        is_permanently_refused(&[&one, &other], &ada, &late).await;
    }
}
