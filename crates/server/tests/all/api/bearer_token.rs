//! Bearer tokens: bound to a key and its owner, and invalid if one of them is.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::support::{Actor, Answer, FakeClock, Home, SeededRandom, TestApp};

const SECOND: Duration = Duration::from_secs(1);

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    (test, ada, ws)
}

async fn me(test: &TestApp, token: &str) -> Answer {
    test.get("/api/v1/me").bearer(token).send().await
}

#[tokio::test]
async fn a_token_is_valid_for_one_hour_to_the_second() {
    let (test, ada, _) = acme().await;
    let token = test.bearer_token(&ada.key).await;
    assert_eq!(me(&test, &token).await.expect(200)["principal"]["id"], ada.id.as_str());
    test.advance(Duration::from_secs(3599)).await;
    me(&test, &token).await.expect(200);
    test.advance(SECOND).await;
    assert_eq!(me(&test, &token).await.expect_problem(401, "unauthenticated")["reason"], "token_expired");
}

#[tokio::test]
async fn a_token_never_outlives_its_key() {
    let (test, ada, _) = acme().await;
    let key = test.new_key();
    let end = domain::Clock::now(test.clock.as_ref()) + Duration::from_mins(10);
    let body = json!({"title": "k", "public_key": key.openssh, "expires_at": end.to_string()});
    let made = test.post("/api/v1/me/keys", &body).by(&ada.key).send().await.expect(201);
    let token = test.bearer_token(&key).await;
    let path = format!("/api/v1/me/keys/{}", made["id"].as_str().unwrap());
    // Also if the expiry of the key is extended later.
    test.patch(&path, &json!({"expires_at": null})).by(&ada.key).send().await.expect(200);
    test.advance(Duration::from_secs(599)).await;
    me(&test, &token).await.expect(200);
    test.advance(SECOND).await;
    me(&test, &token).await.expect_problem(401, "unauthenticated");
    test.get("/api/v1/me").by(&key).send().await.expect(200);
}

#[tokio::test]
async fn a_token_is_refused_while_its_key_is_disabled_or_revoked() {
    let (test, ada, _) = acme().await;
    let spare = test.add_key(server::app::KeyOwner::User(ada.id.parse().unwrap()), "spare").await;
    let token = test.bearer_token(&spare).await;
    let path = format!("/api/v1/me/keys/{}", spare.id);
    test.post(&format!("{path}/disable"), &Value::Null).by(&ada.key).send().await.expect(200);
    me(&test, &token).await.expect_problem(401, "unauthenticated");
    test.post(&format!("{path}/enable"), &Value::Null).by(&ada.key).send().await.expect(200);
    me(&test, &token).await.expect(200);
    test.delete(&path).by(&ada.key).send().await.expect(204);
    me(&test, &token).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_survives_a_restart() {
    let (test, ada, _) = acme().await;
    let token = test.bearer_token(&ada.key).await;
    let test = test.restart().await;
    me(&test, &token).await.expect(200);
}

#[tokio::test]
async fn an_altered_token_or_one_of_another_installation_is_refused() {
    let (test, ada, _) = acme().await;
    let token = test.bearer_token(&ada.key).await;
    let mut bytes = token.clone().into_bytes();
    for position in 4..bytes.len() {
        bytes[position] ^= 1;
        let changed = String::from_utf8(bytes.clone()).unwrap();
        let refused = me(&test, &changed).await.expect_problem(401, "unauthenticated");
        assert_eq!(refused.get("reason"), None, "{changed}");
        bytes[position] ^= 1;
    }
    for wrong in ["", "kwt_", "kwt_AAAA", &format!("{token}A"), &token[1..]] {
        me(&test, wrong).await.expect_problem(401, "unauthenticated");
    }
    let directory = Home::new();
    let (clock, random) = (Arc::new(FakeClock::new()), Arc::new(SeededRandom::new(8)));
    let elsewhere = TestApp::open(directory, clock, random, |_| {}).await;
    let eve = elsewhere.user("eve", true).await;
    let foreign = elsewhere.bearer_token(&eve.key).await;
    me(&test, &foreign).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_request_has_one_credential() {
    let (test, ada, _) = acme().await;
    let token = test.bearer_token(&ada.key).await;
    let both = test.get("/api/v1/me").by(&ada.key).bearer(&token);
    both.send().await.expect_problem(401, "unauthenticated");
    let basic = test.get("/api/v1/me").by(&ada.key).header("authorization", "Basic YTpi");
    basic.send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_manages_no_keys_or_roles_and_creates_no_token() {
    let (test, ada, ws) = acme().await;
    let token = test.bearer_token(&ada.key).await;
    let body = json!({"title": "k", "public_key": test.new_key().openssh});
    let problem = test.post("/api/v1/me/keys", &body).bearer(&token).send().await.expect_problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("sign this request"), "{problem}");
    let again = test.get("/v2/public/user/bearer-token").bearer(&token).send().await;
    again.expect_problem(403, "forbidden");
    let projects = format!("/api/v1/workspaces/{ws}/projects");
    test.post(&projects, &json!({"title": "Work"})).bearer(&token).send().await.expect(201);
}
