//! A node without its store verifies requests until its lease ends, makes no changes, and never reports an outage as an
//! invalid credential.

use std::time::Duration;

use serde_json::{Value, json};
use verifier::{OriginalRequest, Scheme};

use crate::{
    proxies::forward_auth::{DIALECTS, ask, trust_local_proxies},
    support::signing::assert_refused_without_key_details,
    support::{Actor, Answer, HOST, TestApp},
};

#[track_caller]
fn assert_unavailable(answer: Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.header("retry-after"), "1", "{what}");
    answer.expect_problem(503, "unavailable");
}

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    (test, admin, format!("/api/v1/workspaces/{workspace}/projects"))
}

#[tokio::test]
async fn reads_are_verified_without_the_store_while_the_lease_lasts() {
    let (test, admin, _) = acme().await;
    let token = test.bearer_token(&admin.key).await;
    test.app.close_store().await;
    let principal_of = |request: crate::support::TestRequest<'_>| {
        let verified = test.app.verifier().verify_request(&OriginalRequest {
            method: &request.method,
            scheme: Scheme::Http,
            authority: HOST,
            target: &request.target,
            headers: &request.headers,
            body: Some(&request.body),
            ip_address: Some(request.address),
            client_ip: Some(request.address),
        });
        verified.map(|verified| verified.map(|verified| verified.principal.id().unwrap().to_string()))
    };
    let lease = test.app.settings().lease;
    for passed in [Duration::ZERO, lease / 2, (lease / 2).saturating_sub(Duration::from_micros(1))] {
        test.clock.advance(passed);
        for request in [
            test.get("/api/v1/me").by(&admin.key),
            test.get("/api/v1/me").by_encord(&admin.key),
            test.get("/api/v1/me").bearer(&token),
        ] {
            assert_eq!(principal_of(request.clone()).unwrap(), Some(admin.id.clone()));
            assert_eq!(request.send().await.expect(200)["principal"]["id"], admin.id.as_str());
        }
        for dialect in DIALECTS {
            let asked = ask(&test, dialect, &test.get("/anything").by(&admin.key)).send().await;
            assert_eq!(
                (asked.status.as_u16(), asked.header("keyward-principal")),
                (200, admin.id.as_str()),
                "{dialect}"
            );
        }
    }
    test.clock.advance(Duration::from_micros(1));
    for request in [
        test.get("/api/v1/me").by(&admin.key),
        test.get("/api/v1/me").by_encord(&admin.key),
        test.get("/api/v1/me").bearer(&token),
        test.get("/api/v1/me").by(&test.new_key()),
        test.get("/api/v1/me").bearer("kwt_unknown"),
    ] {
        assert!(principal_of(request.clone()).is_err());
        assert_unavailable(request.send().await, "without a lease");
    }
    for dialect in DIALECTS {
        let asked = ask(&test, dialect, &test.get("/anything").by(&admin.key)).send().await;
        if dialect == "nginx" {
            assert_eq!((asked.status.as_u16(), asked.header("keyward-status")), (403, "503"));
        } else {
            assert_unavailable(asked, dialect);
        }
    }
}

#[tokio::test]
async fn requests_that_need_the_store_are_503_and_never_401() {
    let (test, admin, projects) = acme().await;
    test.app.close_store().await;
    for request in [
        test.get(&projects).by(&admin.key),
        test.get(&projects).by_encord(&admin.key),
        test.post(&projects, &json!({"title": "Lost"})).by(&admin.key),
        test.post(&projects, &json!({"title": "Lost"})).by_encord(&admin.key),
        test.delete(&format!("/api/v1/me/keys/{}", admin.key.id)).by(&admin.key),
        test.get("/v2/public/projects").by_encord(&admin.key),
        test.post("/api/v1/invitations/accept", &json!({"token": "t", "name": "n", "password": "correct horse"})),
    ] {
        let what = format!("{} {}", request.method, request.target);
        assert_unavailable(request.send().await, &what);
    }
    // A proxied write must be recorded first.
    let write = test.post("/anything", &json!({})).by(&admin.key);
    assert_unavailable(ask(&test, "caddy", &write).send().await, "a proxied write");
    // An unauthenticated request is recognised without the store.
    assert_refused_without_key_details(test.get(&projects).by(&test.new_key()).send().await, "an unknown key");
    assert_refused_without_key_details(test.post(&projects, &Value::Null).send().await, "no credential");
    assert_eq!(test.get("/healthz").send().await.status, 200);
    // A node that cannot write to the store is not ready once its lease has ended.
    test.clock.advance(test.app.settings().lease);
    assert_unavailable(test.get("/readyz").send().await, "/readyz");
}
