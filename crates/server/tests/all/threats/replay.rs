//! THREATS §2: repeated signed writes, and repeated nonces.

use futures_util::future::join_all;
use http_signature::Profile;
use serde_json::{Value, json};
use server::{
    App,
    app::{AppConfig, Caller},
};

use crate::{
    support::signing::{Draft, assert_refused_with, fresh_nonce, quoted},
    support::{Actor, TestApp, TestRequest},
};

const BOTH: [Profile; 2] = [Profile::Native, Profile::Encord];

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    (test, admin, format!("/api/v1/workspaces/{workspace}"))
}

async fn titles(test: &TestApp, admin: &Actor, workspace: &str) -> Vec<Value> {
    let listed = test.get(&format!("{workspace}/projects?limit=200")).by(&admin.key).send().await.expect(200);
    let mut titles: Vec<Value> =
        listed["items"].as_array().expect("a list").iter().map(|project| project["title"].clone()).collect();
    // Ids from the same millisecond have no order.
    titles.sort_by_key(Value::to_string);
    titles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_concurrent_copies_one_is_done_and_all_get_its_response() {
    let (test, admin, workspace) = acme().await;
    for profile in BOTH {
        let create = test.post(&format!("{workspace}/projects"), &json!({"title": format!("{profile:?}")}));
        let create = create.signed(&admin.key, profile, 0);
        let answers = join_all((0..50).map(|_| create.clone().send())).await;
        let first = answers[0].bytes.clone();
        for answer in answers {
            assert_eq!((answer.status.as_u16(), &answer.bytes), (201, &first));
        }
    }
    assert_eq!(titles(&test, &admin, &workspace).await, ["Encord", "Native"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_requests_with_one_nonce_one_is_done() {
    let (test, admin, workspace) = acme().await;
    let nonce = quoted(&fresh_nonce(&test));
    let requests = (0..20).map(|number| {
        let create = test.post(&format!("{workspace}/projects"), &json!({"title": number.to_string()}));
        Draft::native(&test, &admin.key, "POST").set("nonce", &nonce).sign(create, &admin.key).send()
    });
    let mut done = 0;
    for answer in join_all(requests).await {
        if answer.status == 201 {
            done += 1;
        } else {
            assert_refused_with(answer, "nonce_reused");
        }
    }
    assert_eq!(done, 1);
    assert_eq!(titles(&test, &admin, &workspace).await.len(), 1);
}

#[tokio::test]
async fn a_nonce_belongs_to_one_request_of_one_key_also_after_a_restart() {
    let (test, admin, workspace) = acme().await;
    let eve = test.member(&workspace["/api/v1/workspaces/".len()..], &admin, "eve", "member").await;
    let path = format!("{workspace}/projects");
    let nonce = quoted(&fresh_nonce(&test));
    let create = |test: &TestApp, actor: &Actor, title: &str| {
        let draft = Draft::native(test, &actor.key, "POST").set("nonce", &nonce);
        let request = draft.sign(test.post(&path, &json!({"title": title})), &actor.key);
        (request.headers, request.body)
    };
    let send = async |test: &TestApp, (headers, body): (http::HeaderMap, Vec<u8>)| {
        let mut request = test.post(&path, &Value::Null);
        (request.headers, request.body) = (headers, body);
        request.send().await
    };
    let first = create(&test, &admin, "First");
    let second = create(&test, &admin, "Second");
    let answer = send(&test, first.clone()).await.expect(201);
    assert_refused_with(send(&test, second.clone()).await, "nonce_reused");
    send(&test, create(&test, &eve, "Of another key")).await.expect(201);

    let test = test.restart().await;
    assert_refused_with(send(&test, second).await, "nonce_reused");
    assert_eq!(send(&test, first).await.expect(201), answer);
    assert_eq!(titles(&test, &admin, &workspace).await, ["First", "Of another key"]);
}

#[tokio::test]
async fn a_failed_write_is_not_stored_and_may_succeed_later() {
    let (test, admin, workspace) = acme().await;
    let accounts = format!("{workspace}/service-accounts");
    let id = &workspace["/api/v1/workspaces/".len()..];
    test.service_account(id, &admin, "first").await;
    for (number, profile) in BOTH.into_iter().enumerate() {
        let create = test.post(&accounts, &json!({"name": format!("bot-{number}"), "description": ""}));
        let create = create.signed(&admin.key, profile, 0);
        create.clone().send().await.expect_problem(409, "quota_exceeded");
        create.clone().send().await.expect_problem(409, "quota_exceeded");
        test.raise_quotas(id, 2 + u32::try_from(number).expect("few")).await;
        let answer = create.clone().send().await.expect(201);
        assert_eq!(create.send().await.expect(201), answer);
    }
    let listed = test.get(&accounts).by(&admin.key).send().await.expect(200);
    assert_eq!(listed["items"].as_array().expect("a list").len(), 3);
}

#[tokio::test]
async fn each_kind_of_write_gets_its_stored_response() {
    let (test, admin, workspace) = acme().await;
    for profile in BOTH {
        let twice = async |request: TestRequest<'_>, status: u16| {
            let request = request.signed(&admin.key, profile, 0);
            let first = request.clone().send().await;
            let second = request.send().await;
            assert_eq!(first.status.as_u16(), status, "{}", String::from_utf8_lossy(&first.bytes));
            assert_eq!((first.status, &first.bytes), (second.status, &second.bytes));
            assert_eq!(first.headers.get("content-type"), second.headers.get("content-type"));
            first.json()
        };
        let key = test.new_key();
        let create = json!({"title": "K", "public_key": key.openssh});
        let key = twice(test.post("/api/v1/me/keys", &create), 201).await;
        let key = format!("/api/v1/me/keys/{}", key["id"].as_str().expect("an id"));
        twice(test.patch(&key, &json!({"title": "L"})), 200).await;
        twice(test.post(&format!("{key}/disable"), &Value::Null), 200).await;
        twice(test.post(&format!("{key}/enable"), &Value::Null), 200).await;
        twice(test.delete(&key), 204).await;
        twice(test.post("/api/v1/me/proof-challenges", &Value::Null), 201).await;

        let project = twice(test.post(&format!("{workspace}/projects"), &json!({"title": "P"})), 201).await;
        let project = format!("{workspace}/projects/{}", project["id"].as_str().expect("an id"));
        twice(test.patch(&project, &json!({"title": "Q"})), 200).await;
        twice(test.delete(&project), 204).await;

        let invite = json!({"emails": [format!("{profile:?}@example.com")], "role": "member"});
        let issued = twice(test.post(&format!("{workspace}/invitations"), &invite), 201).await;
        let id = issued["items"][0]["id"].as_str().expect("an id").to_owned();
        twice(test.delete(&format!("{workspace}/invitations/{id}")), 204).await;

        // A name can only be used once.
        let account = json!({"name": format!("bot-{profile:?}").to_lowercase(), "description": ""});
        let account = twice(test.post(&format!("{workspace}/service-accounts"), &account), 201).await;
        let account = format!("{workspace}/service-accounts/{}", account["id"].as_str().expect("an id"));
        let key = json!({"title": "K", "public_key": test.new_key().openssh});
        twice(test.post(&format!("{account}/keys"), &key), 201).await;
        twice(test.patch(&account, &json!({"description": "changed"})), 200).await;
        twice(test.delete(&account), 204).await;
    }
    assert!(titles(&test, &admin, &workspace).await.is_empty());
}

#[tokio::test]
async fn a_repeated_write_is_verified_again() {
    let (test, admin, workspace) = acme().await;
    let id = &workspace["/api/v1/workspaces/".len()..];
    let eve = test.member(id, &admin, "eve", "member").await;
    let create = test.post(&format!("{workspace}/projects"), &json!({"title": "Once"})).by(&eve.key);
    create.clone().send().await.expect(201);

    let key = format!("/api/v1/me/keys/{}", eve.key.id);
    let second = test.new_key();
    let register = json!({"title": "second", "public_key": second.openssh});
    test.post("/api/v1/me/keys", &register).by(&eve.key).send().await.expect(201);
    test.post(&format!("{key}/disable"), &Value::Null).by(&second).send().await.expect(200);
    assert_refused_with(create.clone().send().await, "key_disabled");
    test.post(&format!("{key}/enable"), &Value::Null).by(&second).send().await.expect(200);
    create.clone().send().await.expect(201);

    let member = format!("{workspace}/members/{}?successor={}", eve.id, admin.id);
    test.delete(&member).by(&admin.key).send().await.expect(204);
    assert_refused_with(create.clone().send().await, "owner_without_workspace");

    let now = domain::Clock::now(test.clock.as_ref()).as_second();
    test.set_wall(now + 61).await;
    assert_refused_with(create.send().await, "stale");
    assert_eq!(titles(&test, &admin, &workspace).await, ["Once"]);
}

#[tokio::test]
async fn a_write_with_an_unreadable_stored_response_is_not_repeated() {
    let (test, admin, workspace) = acme().await;
    let create = test.post(&format!("{workspace}/projects"), &json!({"title": "Once"})).by(&admin.key);
    let (target, headers, body) = (create.target.clone(), create.headers.clone(), create.body.clone());
    create.send().await.expect(201);

    test.app.close().await;
    let settings = test.app.settings().clone();
    let TestApp { directory, clock, random, .. } = test;
    let config = AppConfig { clock: clock.clone(), random: random.clone(), ..directory.app_config(settings.clone()) };
    let (path, caller) = (config.installation_key.clone(), Caller::host());
    let host = App::open_to_replace_key(config).await.expect("opened");
    host.replace_installation_key(&caller, &path).await.expect("replaced");
    host.close().await;

    let test = TestApp::open(directory, clock, random, |s| *s = settings).await;
    let mut again = test.post(&target, &Value::Null);
    (again.headers, again.body) = (headers, body);
    again.send().await.expect_problem(409, "answer_unreadable");
    assert_eq!(titles(&test, &admin, &workspace).await, ["Once"]);
}
