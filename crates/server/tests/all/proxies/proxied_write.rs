//! Proxied writes: the nonce of a native signature is accepted once, permanently and on all nodes.

use serde_json::json;

use crate::{
    proxies::forward_auth::{DIALECTS, ask, trust_local_proxies},
    support::TestApp,
};

#[tokio::test]
async fn a_native_write_passes_once_whatever_the_dialect_and_after_a_restart() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let write = test.post("/v2/things", &json!({"a": 1})).by(&admin.key);
    let (method, target, headers) = (write.method.clone(), write.target.clone(), write.headers.clone());
    ask(&test, "nginx", &write).send().await.expect(200);
    for dialect in DIALECTS {
        let answer = ask(&test, dialect, &write).send().await;
        assert_eq!(answer.status.as_u16(), 401, "{dialect}");
        assert_eq!(answer.json()["reason"], "nonce_reused");
    }
    let test = test.restart().await;
    let mut again = test.request(&method, &target, &json!({"a": 1}));
    again.headers = headers;
    assert_eq!(ask(&test, "caddy", &again).send().await.json()["reason"], "nonce_reused");
}

#[tokio::test]
async fn of_concurrent_copies_of_a_write_one_is_accepted() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let copied = test.post("/v2/things", &json!({})).by(&admin.key);
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..40 {
        let fresh = test.post(&format!("/v2/things/{number}"), &json!({})).by(&admin.key);
        for (kind, client) in [("copy", &copied), ("fresh", &fresh)] {
            let question = ask(&test, "traefik", client).into_request();
            let router = test.router.clone();
            asked.spawn(async move {
                let response = tower::ServiceExt::oneshot(router, question).await.expect("an answer");
                (kind, response.status().as_u16())
            });
        }
    }
    let verdicts = asked.join_all().await;
    let passed = |kind: &str| verdicts.iter().filter(|verdict| **verdict == (kind, 200)).count();
    assert_eq!((passed("copy"), passed("fresh")), (1, 40));
    assert!(verdicts.iter().all(|(_, status)| matches!(status, 200 | 401)));
}

#[tokio::test]
async fn reads_and_the_sdks_retries_may_repeat() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let read = test.get("/v2/things").by(&admin.key);
    let sdk = test.post("/v2/things", &json!({})).by_encord(&admin.key);
    for _ in 0..3 {
        ask(&test, "nginx", &read).send().await.expect(200);
        ask(&test, "nginx", &sdk).send().await.expect(200);
    }
}

#[tokio::test]
async fn a_nonce_used_at_a_proxy_is_refused_by_the_api() {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let ws = test.workspace("acme", &admin).await;
    let write = test.post(&format!("/api/v1/workspaces/{ws}/projects"), &json!({"title": "P"})).by(&admin.key);
    ask(&test, "nginx", &write).send().await.expect(200);
    assert_eq!(write.clone().send().await.expect_problem(401, "unauthenticated")["reason"], "nonce_reused");

    let write = test.post(&format!("/api/v1/workspaces/{ws}/projects"), &json!({"title": "P"})).by(&admin.key);
    write.clone().send().await.expect(201);
    assert_eq!(ask(&test, "caddy", &write).send().await.json()["reason"], "nonce_reused");
}

#[tokio::test]
async fn a_write_that_is_refused_does_not_use_up_its_nonce() {
    let test = TestApp::with_settings(|settings| {
        trust_local_proxies(settings);
        settings.routes = vec![domain::route::Route::parse("POST /v2/{workspace}/things", "workspace:member").unwrap()];
    })
    .await;
    let ada = test.user("ada", false).await;
    test.workspace("acme", &ada).await;
    let bob = test.user("bob", false).await;
    let labs = test.workspace("labs", &bob).await;
    let write = test.post("/v2/labs/things", &json!({})).by(&ada.key);
    ask(&test, "caddy", &write).send().await.expect(404);
    test.join(&labs, &bob, &ada, "member").await;
    ask(&test, "caddy", &write).send().await.expect(200);
}
