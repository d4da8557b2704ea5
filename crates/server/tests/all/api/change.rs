//! The common rules of changes: a change is retried after a conflict with another one, for every caller, and a request
//! that changes nothing takes no lock.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use server::{
    App,
    app::{AppConfig, Caller, KeyOwner},
};
use store::{Change, Engine, Store, StoreOptions, params, replay};
use test_postgres::Cluster;

use crate::{
    proxies::forward_auth::{ask, trust_local_proxies},
    support::browser::Browser,
    support::signing::{Draft, assert_refused_with, fresh_nonce, quoted},
    support::{Actor, FakeClock, Home, SeededRandom, TestApp, TestRequest},
};

/// Longer than a transaction waits for a lock.
const LOCK_TIMEOUT_OVER: Duration = Duration::from_millis(5500);

async fn open(home: Arc<Home>) -> TestApp {
    TestApp::open(home, Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)), |_| {}).await
}

/// Opens the database of an installation like another process.
async fn another_store(test: &TestApp) -> Store {
    let engine = match test.directory.database_url() {
        Some(url) => Engine::Postgres { url: url.into() },
        None => Engine::Sqlite { path: test.directory.path().join("keyward.db") },
    };
    let now = domain::Clock::now(test.clock.as_ref());
    Store::open(&StoreOptions { engine }, now, test.random.as_ref()).await.expect("the database opens")
}

/// Begins a change in another process: it locks the row until this is dropped.
async fn hold_the_lock(test: &TestApp, store: &Store) -> Change {
    let mut change = store.begin_change(domain::Clock::now(test.clock.as_ref())).await.expect("the lock");
    if test.directory.database_url().is_some() {
        change.execute("SET LOCAL idle_in_transaction_session_timeout = 0", params![]).await.expect("set");
    }
    change
}

/// Waits until a statement of another connection with this beginning waits for a lock.
async fn blocked(store: &Store, statement: &str) {
    let sql = "SELECT COUNT(*) AS n FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1 || '%'";
    loop {
        let mut connection = store.read().await.expect("a connection");
        let row = connection.fetch_one(sql, params![statement]).await.expect("a row");
        if row.i64("n").expect("a number") > 0 {
            return;
        }
    }
}

#[tokio::test]
async fn a_refused_change_waits_for_no_lock() {
    for home in [Home::embedded(), Home::on_postgres()] {
        let test = open(home).await;
        let admin = test.user("ada", false).await;
        let ws = test.workspace("acme", &admin).await;
        let bot = test.service_account(&ws, &admin, "bot").await;
        let (revoked, stranger) = (test.add_unused_key(&admin).await, test.user("eve", false).await);
        test.workspace("other", &stranger).await;
        let own = format!("/api/v1/me/keys/{}", revoked.id);
        let (place, account) = (format!("/api/v1/workspaces/{ws}"), format!("service-accounts/{}", bot.id));
        let of_bot = format!("{place}/{account}/keys/{}", bot.key.id);
        let created = test.post(&format!("{place}/projects"), &json!({"title": "Maps"})).by(&admin.key).send().await;
        let project = format!("{place}/projects/{}", created.expect(201)["id"].as_str().expect("an id"));
        for target in [&own, &of_bot, &project] {
            test.delete(target).by(&admin.key).send().await.expect(204);
        }
        let kept = test.post(&format!("{place}/projects"), &json!({"title": "Kept"})).by(&admin.key).send().await;
        let kept = format!("{place}/projects/{}", kept.expect(201)["id"].as_str().expect("an id"));
        let (member, operator) = (test.member(&ws, &admin, "max", "member").await, test.user("olga", true).await);
        let fresh = || json!({"title": "fresh", "public_key": test.new_key().openssh});
        let successor = || json!({"public_key": test.new_key().openssh, "overlap_seconds": 60});
        let key = fresh();
        test.post("/api/v1/me/keys", &key).by(&admin.key).send().await.expect(201);
        let token = test.bearer_token(&admin.key).await;
        let quotas = format!("/api/v1/admin/workspaces/{ws}/quotas");
        let full = json!({"service_accounts": 1, "keys_per_service_account": 1, "keys_per_user": 1});
        test.patch(&quotas, &full).by(&operator.key).send().await.expect(200);
        test.post(&format!("{place}/{account}/keys"), &fresh()).by(&admin.key).send().await.expect(201);
        let account_of = |name: &str| json!({"name": name, "description": ""});
        let unknown_account = format!("{place}/service-accounts/sa_01h455vb4pex5vsknk084sn02q");
        let unknown_user = "/api/v1/admin/users/usr_01h455vb4pex5vsknk084sn02q";
        let unknown = "/api/v1/me/keys/key_01h455vb4pex5vsknk084sn02q";
        let invitations = format!("{place}/invitations");
        let invitation = format!("{invitations}/inv_01h455vb4pex5vsknk084sn02q");
        let user = json!({"email": "max@example.com", "name": "Max"});
        let in_kept = |actor: &Actor| format!("{kept}/members/{}", actor.id);

        let other = another_store(&test).await;
        let mut held = hold_the_lock(&test, &other).await;
        let none = json!({});
        for (request, status) in [
            (test.delete(unknown).by(&admin.key), 404),
            (test.patch(unknown, &json!({"title": "x"})).by(&admin.key), 404),
            (test.post(&format!("{unknown}/disable"), &none).by(&admin.key), 404),
            (test.post(&format!("{unknown}/enable"), &none).by(&admin.key), 404),
            (test.delete(&own).by(&admin.key), 204),
            (test.delete(&format!("{own}?cascade=true")).by(&admin.key), 204),
            (test.patch(&own, &json!({"title": "x"})).by(&admin.key), 409),
            (test.delete(&of_bot).by(&admin.key), 204),
            (test.post(&format!("{of_bot}/disable"), &none).by(&admin.key), 409),
            (test.delete(&project).by(&admin.key), 404),
            (test.patch(&project, &json!({"title": "x"})).by(&admin.key), 404),
            (test.delete(&place).by(&stranger.key), 404),
            (test.patch(&place, &json!({"name": "x"})).by(&stranger.key), 404),
            (test.delete(&format!("{place}/{account}")).by(&stranger.key), 404),
            (test.patch(&format!("{place}/{account}"), &json!({"name": "xyz"})).by(&stranger.key), 404),
            (test.delete(&of_bot).by(&stranger.key), 404),
            (test.delete(&format!("{place}/members/{}", stranger.id)).by(&admin.key), 404),
            (test.patch(&format!("{place}/members/{}", stranger.id), &json!({"role": "member"})).by(&admin.key), 404),
            (test.delete(&format!("{place}/members/{}", admin.id)).by(&stranger.key), 404),
            (test.delete(&invitation).by(&admin.key), 404),
            (test.post(&format!("{invitation}/resend"), &none).by(&admin.key), 404),
            (test.delete(&invitation).by(&stranger.key), 404),
            // Creations that are refused.
            (test.post(&format!("{place}/projects"), &json!({"title": "x"})).by(&stranger.key), 404),
            (test.post(&format!("{place}/service-accounts"), &account_of("xyz")).by(&stranger.key), 404),
            (test.post(&format!("{place}/service-accounts"), &account_of("xyz")).by(&member.key), 403),
            (test.post(&format!("{place}/service-accounts"), &account_of("bot")).by(&admin.key), 409),
            (test.post(&format!("{place}/service-accounts"), &account_of("xyz")).by(&admin.key), 409),
            (test.post("/api/v1/me/keys", &key).by(&admin.key), 409),
            (test.post("/api/v1/me/keys", &key).by(&stranger.key), 409),
            (test.post("/api/v1/me/keys", &fresh()).by(&member.key), 409),
            (test.post(&format!("{place}/{account}/keys"), &fresh()).by(&admin.key), 409),
            (test.post(&format!("{place}/{account}/keys"), &fresh()).by(&member.key), 403),
            (test.post(&format!("{unknown_account}/keys"), &fresh()).by(&admin.key), 404),
            (test.post("/api/v1/workspaces", &json!({"name": "x", "slug": "xyz"})).by(&admin.key), 403),
            (test.post("/api/v1/workspaces", &json!({"name": "x", "slug": "acme"})).by(&operator.key), 409),
            (test.post(&invitations, &json!({"emails": ["x@example.com"], "role": "member"})).by(&member.key), 403),
            (test.post(&invitations, &json!({"emails": ["max@example.com"], "role": "member"})).by(&admin.key), 409),
            (test.post("/api/v1/admin/users", &user).by(&admin.key), 403),
            (test.post("/api/v1/admin/users", &user).by(&operator.key), 409),
            (test.post("/api/v1/me/proof-challenges", &none).bearer(&token), 403),
            (test.post(&format!("{unknown}/proof"), &json!({"proof": "x"})).by(&admin.key), 404),
            (test.post(&format!("{unknown}/rotate"), &successor()).by(&admin.key), 404),
            (test.post(&format!("{own}/rotate"), &successor()).by(&admin.key), 409),
            (test.delete(&format!("{own}/rotate")).by(&admin.key), 404),
            // Changes of users, quotas and the members of a project.
            (test.patch(&quotas, &json!({"keys_per_user": 7})).by(&admin.key), 403),
            (test.patch(unknown_user, &json!({"name": "x"})).by(&operator.key), 404),
            (test.patch(unknown_user, &json!({"name": "x"})).by(&admin.key), 403),
            (test.put(&in_kept(&stranger), &json!({"role": "viewer"})).by(&admin.key), 404),
            (test.put(&in_kept(&member), &json!({"role": "viewer"})).by(&stranger.key), 404),
            (test.delete(&in_kept(&member)).by(&admin.key), 404),
            (test.delete(&in_kept(&admin)).by(&admin.key), 409),
        ] {
            let what = format!("{} {}", request.method, request.target);
            let answer = request.send().await;
            assert_eq!(answer.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
            // A refusal because of a role does not depend on other nodes.
            let is_confirmed = answer.header("keyward-confirmed").ends_with("nodes=1, expired=0");
            assert_eq!(is_confirmed, status != 403, "{what}: {answer:?}");
        }
        // All of this while another change held the lock.
        held.execute("UPDATE installation SET token_epoch = token_epoch", params![]).await.expect("it has it still");
    }
}

#[tokio::test]
async fn a_change_missing_on_the_standby_is_not_reported_as_done() {
    let cluster = Box::leak(Box::new(Cluster::start(&[])));
    let home = Home::embedded();
    let settings = server::Settings::new(format!("http://{}", crate::support::HOST));
    let config = AppConfig::on_postgres(cluster.url("postgres"), home.path().join("installation.key"), settings);
    let (clock, random) = (Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)));
    let app = App::open_for_serving(AppConfig { clock: clock.clone(), random: random.clone(), ..config }).await;
    let app = app.expect("an installation");
    let (router, _) = server::build_router(Arc::clone(&app));
    let test = TestApp { app, router, clock, random, directory: home };
    let admin = test.user("ada", false).await;
    let path = format!("/api/v1/workspaces/{}/projects", test.workspace("acme", &admin).await);
    let mut projects = Vec::new();
    for _ in 0..20 {
        let project = test.post(&path, &json!({"title": "Maps"})).by(&admin.key).send().await.expect(201);
        projects.push(format!("{path}/{}", project["id"].as_str().expect("an id")));
    }
    // After a cancelled wait for the standby, the change is on the primary only.
    let cancel =
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    let delete = async |project: &str| {
        let deleting = test.delete(project).by(&admin.key).send();
        tokio::pin!(deleting);
        loop {
            tokio::select! {
                answer = &mut deleting => return answer,
                () = tokio::task::yield_now() => drop(cluster.query("postgres", cancel)),
            }
        }
    };

    // The standby is lost. PostgreSQL applies the setting some time later: until then, deletions succeed.
    let _ = cluster.query("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    let _ = cluster.query("postgres", "SELECT pg_reload_conf()");
    let mut lost = None;
    for project in projects {
        if delete(&project).await.status == 503 {
            lost = Some(project);
            break;
        }
    }
    let lost = lost.expect("a deletion that no standby has");

    // A retry must not report that the project is deleted: after a failover it would exist again.
    delete(&lost).await.expect_problem(503, "unavailable");

    let _ = cluster.query("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    let _ = cluster.query("postgres", "SELECT pg_reload_conf()");
    let answer = test.delete(&lost).by(&admin.key).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("keyward-confirmed").is_empty()), (404, false), "{answer:?}");
}

#[tokio::test]
async fn a_node_acknowledges_only_after_its_snapshot_was_swapped() {
    let one = open(Home::on_postgres()).await;
    let store = another_store(&one).await;
    let first = store.list_nodes().await.expect("nodes")[0].node.id;
    let two = open(Arc::clone(&one.directory)).await;
    let admin = one.user("ada", false).await;
    one.workspace("acme", &admin).await;
    let key = one.add_unused_key(&admin).await;
    two.get("/api/v1/me").by(&key).send().await.expect(200);

    // The second node's row is locked, so that its acknowledgement is sent and does not arrive.
    let nodes = store.list_nodes().await.expect("nodes");
    // In the order of their ids, which does not show which of them started first.
    let second = nodes.iter().map(|registered| registered.node.id).find(|id| *id != first).expect("the second node");
    let mut held = store.begin_maintenance().await.expect("a transaction");
    held.execute("SET LOCAL idle_in_transaction_session_timeout = 0", params![]).await.expect("set");
    held.execute("UPDATE nodes SET name = name WHERE id = $1", params![second]).await.expect("locked");
    let revoking = one.delete(&format!("/api/v1/me/keys/{}", key.id)).by(&admin.key).send();
    tokio::pin!(revoking);
    tokio::select! {
        answer = &mut revoking => panic!("it waits for the second node: {answer:?}"),
        () = blocked(&store, "UPDATE nodes SET") => {}
    }
    // The acknowledgement is being sent. From here on the first node may respond, so the second one must already refuse
    // the key.
    two.get("/api/v1/me").by(&key).send().await.expect_problem(401, "unauthenticated");
    held.commit().await.expect("unlocked");
    revoking.await.expect(204);
}

#[tokio::test]
async fn api_pages_and_host_commands_retry_a_change_after_a_lock_timeout() {
    for home in [Home::embedded(), Home::on_postgres()] {
        let test = open(home).await;
        let admin = test.user("ada", false).await;
        let ws = test.workspace("acme", &admin).await;
        let mut page = Browser::admin_of(&test, "pages", "pam").await;
        page.open("/w/pages/projects/new").await;
        let host = host_of(&test).await;

        let other = another_store(&test).await;
        let held = hold_the_lock(&test, &other).await;
        let api =
            test.post(&format!("/api/v1/workspaces/{ws}/projects"), &json!({"title": "By the API"})).by(&admin.key);
        let caller = Caller::host();
        let create = api::CreateUser {
            email: "max@example.com".to_owned(),
            name: "Max".to_owned(),
            password: None,
            operator: false,
        };
        let all = async {
            tokio::join!(
                api.send(),
                page.submit("/w/pages/projects", &[("title", "By a page"), ("description", "")]),
                host.create_user(&caller, create),
            )
        };
        tokio::pin!(all);
        assert!(tokio::time::timeout(LOCK_TIMEOUT_OVER, &mut all).await.is_err(), "one of them timed out");
        drop(held);
        let (api, page, user) = all.await;
        api.expect(201);
        assert!(page.status < 400, "{} {}", page.status, page.page);
        page.sees("By a page");
        let user = user.expect("a user");
        assert_eq!(user.email, "max@example.com");
        assert_eq!(user.confirmation().nodes, 1);
    }
}

/// Opens the installation like a command on its host, while the server is running.
async fn host_of(test: &TestApp) -> Arc<App> {
    let config = test.directory.app_config(test.app.settings().clone());
    App::open_on_host(AppConfig { clock: test.clock.clone(), random: test.random.clone(), ..config })
        .await
        .expect("opened")
}

#[tokio::test]
async fn api_pages_and_host_commands_retry_a_change_after_a_deadlock() {
    let test = open(Home::on_postgres()).await;
    let mut page = Browser::admin_of(&test, "acme", "ada").await;
    let admin = test.user("max", false).await;
    test.workspace("other", &admin).await;
    let of_page = test.app.find_user_by_email(&Caller::host(), "ada@example.com").await.expect("a user").id;
    let keys = [
        test.add_unused_key(&admin).await,
        test.add_key(KeyOwner::User(of_page), "of the page").await,
        test.add_unused_key(&admin).await,
    ];
    page.open(&format!("/profile/api-keys/{}", keys[1].id)).await;
    let (host, caller) = (host_of(&test).await, Caller::host());
    let owner = KeyOwner::User(admin.id.parse().expect("usr_"));
    let store = another_store(&test).await;
    for (kind, key) in ["api", "page", "host"].into_iter().zip(&keys) {
        // Uses of keys are written at the same time as changes, here in the order that causes a deadlock.
        let mut uses = store.begin_maintenance().await.expect("a transaction");
        for sql in ["SET LOCAL idle_in_transaction_session_timeout = 0", "SET LOCAL deadlock_timeout = '60s'"] {
            uses.execute(sql, params![]).await.expect("set");
        }
        uses.execute("UPDATE api_keys SET last_used_ip = 'x' WHERE id = $1", params![&key.id]).await.expect("locked");
        let change = async {
            match kind {
                "api" => {
                    let path = format!("/api/v1/me/keys/{}/disable", key.id);
                    test.post(&path, &json!({})).by(&admin.key).send().await.expect(200);
                }
                "page" => {
                    page.submit(&format!("/profile/api-keys/{}/disable", key.id), &[]).await;
                    assert!(page.status < 400, "{} {}", page.status, page.page);
                }
                _ => {
                    let id = key.id.parse().expect("key_");
                    host.disable_api_key(&caller, owner, id).await.expect("disabled");
                }
            }
        };
        let conflict = async {
            blocked(&store, "UPDATE api_keys SET").await;
            let sql = "UPDATE installation SET token_epoch = token_epoch";
            uses.execute(sql, params![]).await.expect("the change is ended, not this");
            uses.commit().await.expect("committed");
        };
        tokio::join!(change, conflict);
        test.get("/api/v1/me").by(key).send().await.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_all_succeed_without_a_retry_by_the_client() {
    for home in [Home::embedded(), Home::on_postgres()] {
        let test = open(home).await;
        let admin = test.user("ada", false).await;
        let ws = test.workspace("acme", &admin).await;
        let mut pages = Browser::admin_of(&test, "pages", "pam").await;
        pages.open("/w/pages/projects/new").await;
        let csrf = pages.csrf();
        let (host, caller) = (host_of(&test).await, Caller::host());
        let path = format!("/api/v1/workspaces/{ws}/projects");
        let (mut requests, mut hosts) = (Vec::new(), Vec::new());
        for number in 0..15 {
            requests.push(test.post(&path, &json!({"title": number.to_string()})).by(&admin.key));
            let title = number.to_string();
            let fields = [("title", title.as_str()), ("description", ""), ("csrf", csrf.as_str())];
            requests.push(pages.form("/w/pages/projects", &fields));
            let name = format!("user-{number}");
            let create =
                api::CreateUser { email: format!("{name}@example.com"), name, password: None, operator: false };
            let (host, caller) = (&host, &caller);
            hosts.push(async move { host.create_user(caller, create).await });
        }
        let (answers, users) = tokio::join!(join_all(requests.into_iter().map(TestRequest::send)), join_all(hosts));
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert!(statuses.iter().all(|status| matches!(status, 201 | 303)), "{statuses:?}");
        assert!(users.iter().all(Result::is_ok), "{users:?}");
    }
}

/// Returns the value of a metric.
async fn metric(test: &TestApp, name: &str) -> u64 {
    let metrics = test.app.render_metrics().await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {metrics}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_that_wait_are_committed_together_and_each_is_answered_by_itself() {
    for home in [Home::embedded(), Home::on_postgres()] {
        let test = open(home).await;
        let admin = test.user("ada", false).await;
        let ws = test.workspace("acme", &admin).await;
        let place = format!("/api/v1/workspaces/{ws}");
        let before =
            (metric(&test, "keyward_changes_total").await, metric(&test, "keyward_change_commits_total").await);
        let projects = (0..28).map(|number| {
            test.post(&format!("{place}/projects"), &json!({"title": number.to_string()})).by(&admin.key)
        });
        let mut requests: Vec<TestRequest<'_>> = projects.collect();
        // A repeated request: both pass the first check.
        let repeated = test.post(&format!("{place}/projects"), &json!({"title": "once"})).by(&admin.key);
        requests.extend([repeated.clone(), repeated]);
        // The quota is one, and both pass the first check.
        for name in ["one", "two"] {
            let create = json!({"name": name, "description": ""});
            requests.push(test.post(&format!("{place}/service-accounts"), &create).by(&admin.key));
        }

        let other = another_store(&test).await;
        let held = hold_the_lock(&test, &other).await;
        let all_wait = async {
            // The first one waits for the row, the others for the first one.
            while metric(&test, "keyward_changes_waiting").await < 31 {
                tokio::task::yield_now().await;
            }
            drop(held);
        };
        let (answers, ()) = tokio::join!(join_all(requests.into_iter().map(TestRequest::send)), all_wait);
        let (projects, others) = answers.split_at(28);
        let mut ids: Vec<String> = Vec::new();
        for answer in projects.iter().chain(&others[..1]) {
            assert_eq!(answer.status, 201, "{answer:?}");
            assert!(answer.header("keyward-confirmed").ends_with("nodes=1, expired=0"), "{answer:?}");
            ids.push(answer.json()["id"].as_str().expect("an id").to_owned());
        }
        assert_eq!((others[1].status.as_u16(), others[1].json()), (201, others[0].json()), "the stored response");
        let mut accounts: Vec<u16> = others[2..].iter().map(|answer| answer.status.as_u16()).collect();
        accounts.sort_unstable();
        assert_eq!(accounts, [201, 409]);

        let changes = metric(&test, "keyward_changes_total").await - before.0;
        let commits = metric(&test, "keyward_change_commits_total").await - before.1;
        assert_eq!(changes, 30, "28 projects, the repeated one once, and one account");
        assert!(commits < changes / 2, "{commits} commits");
        // Each has its own events, and the directory has all of them.
        let log =
            test.get(&format!("{place}/audit-events?action=project.create&limit=100")).by(&admin.key).send().await;
        let log = log.expect(200);
        let mut targets: Vec<String> = log["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|event| event["target"].as_str().unwrap().to_owned())
            .collect();
        targets.sort_unstable();
        ids.sort_unstable();
        assert_eq!(targets, ids);
        let report = test.app.verify_audit_log(&Caller::host(), None, None).await.expect("verified");
        assert!(report.is_intact(), "{report:?}");
        for id in &ids {
            test.get(&format!("{place}/projects/{id}")).by(&admin.key).send().await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_nonce_used_concurrently_by_a_proxied_write_is_401_and_not_500() {
    let home = Home::on_postgres();
    let (clock, random) = (Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(7)));
    let test = TestApp::open(home, clock, random, trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let nonce = fresh_nonce(&test);
    let path = format!("/api/v1/workspaces/{ws}/projects");
    let create = Draft::native(&test, &admin.key, "POST").set("nonce", &quoted(&nonce));
    let create = create.sign(test.post(&path, &json!({"title": "Late"})), &admin.key);

    // The transaction of the proxied write does this before its commit.
    let store = another_store(&test).await;
    let mut noting = store.begin_maintenance().await.expect("a transaction");
    noting.execute("SET LOCAL idle_in_transaction_session_timeout = 0", params![]).await.expect("set");
    let proxied = store::ReplayKey {
        key: [1; 32],
        api_key: admin.key.id.parse().expect("key_"),
        nonce: Some(nonce),
        expires_at: domain::Clock::now(test.clock.as_ref()),
    };
    assert_eq!(replay::insert_nonces(&mut noting, &[&proxied]).await.expect("noted"), [true]);
    let commit = async {
        blocked(&store, "INSERT INTO replays").await;
        noting.commit().await.expect("committed");
    };
    let (answer, ()) = tokio::join!(create.send(), commit);
    assert_refused_with(answer, "nonce_reused");
    let listed = test.get(&path).by(&admin.key).send().await.expect(200);
    assert_eq!(listed["items"], json!([]), "nothing was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_concurrent_writes_with_one_nonce_one_is_accepted() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin: Actor = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let path = format!("/api/v1/workspaces/{ws}/projects");
    for round in 0..20 {
        let nonce = quoted(&fresh_nonce(&test));
        let draft = || Draft::native(&test, &admin.key, "POST").set("nonce", &nonce);
        let own = draft().sign(test.post(&path, &json!({"title": round.to_string()})), &admin.key);
        let proxied = draft().sign(test.post("/v2/things", &json!({"a": 1})), &admin.key);
        let (own, proxied) = tokio::join!(own.send(), ask(&test, "caddy", &proxied).send());
        let statuses = (own.status.as_u16(), proxied.status.as_u16());
        assert!(matches!(statuses, (201, 401) | (401, 200)), "{statuses:?}");
    }
}
