//! Refusals that do not depend on the caller, and the form of every refusal.

use serde_json::{Value, json};

use crate::support::{Actor, Answer, TestApp};

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    (test, ada, format!("/api/v1/workspaces/{ws}/projects"))
}

#[track_caller]
fn is_problem(answer: Answer, status: u16, code: &str) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.header("x-request-id").is_empty());
    let problem = answer.expect_problem(status, code);
    assert_eq!(problem["type"], format!("urn:keyward:problem:{code}"));
    assert_eq!(problem["status"], status);
    assert!(!problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn unknown_paths_are_404_and_unknown_methods_405() {
    let (test, ada, projects) = acme().await;
    is_problem(test.get("/api/v1/nothing").by(&ada.key).send().await, 404, "not_found");
    is_problem(test.get("/api/v1/me/").by(&ada.key).send().await, 404, "not_found");
    is_problem(test.get("/nothing").send().await, 404, "not_found");
    is_problem(test.put(&projects, &json!({})).by(&ada.key).send().await, 405, "method_not_allowed");
    is_problem(test.post("/healthz", &Value::Null).send().await, 405, "method_not_allowed");
    let unknown = test.get("/api/v1/nothing").by(&test.new_key()).send().await;
    is_problem(unknown, 401, "unauthenticated");
}

#[tokio::test]
async fn a_body_must_be_json_with_its_content_type() {
    let (test, ada, projects) = acme().await;
    let body = json!({"title": "Work"});
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let request = test.post(&projects, &body).header("content-type", kind).by(&ada.key);
        is_problem(request.send().await, 415, "unsupported_media_type");
    }
    let request = test.post(&projects, &body).header("content-type", "Application/JSON; charset=utf-8").by(&ada.key);
    request.send().await.expect(201);
    for bytes in
        [&b"{\"title\":"[..], b"", b"[]", b"\xff", b"{\"title\":\"a\"} x", b"{\"title\":\"a\",\"title\":\"b\"}"]
    {
        let mut request = test.post(&projects, &body);
        request.body = bytes.to_vec();
        is_problem(request.by(&ada.key).send().await, 400, "invalid_request");
    }
    let deep = json!({"title": "x", "description": format!("{}{}", "[".repeat(200), "]".repeat(200))});
    test.post(&projects, &deep).by(&ada.key).send().await.expect(201);
    let mut request = test.post(&projects, &body);
    request.body = "[".repeat(100_000).into_bytes();
    is_problem(request.by(&ada.key).send().await, 400, "invalid_request");
}

#[tokio::test]
async fn unknown_fields_and_query_parameters_are_refused() {
    let (test, ada, projects) = acme().await;
    let body = json!({"title": "Work", "role": "admin"});
    is_problem(test.post(&projects, &body).by(&ada.key).send().await, 400, "invalid_request");
    is_problem(test.get(&format!("{projects}?offset=1")).by(&ada.key).send().await, 400, "invalid_request");
}

#[tokio::test]
async fn oversize_requests_are_refused_before_verification() {
    let (test, _, projects) = acme().await;
    let mut request = test.post(&projects, &json!({}));
    request.body = vec![b' '; 1024 * 1024 + 1];
    is_problem(request.send().await, 413, "too_large");
    let request = test.get("/api/v1/me").header("x-filler", &"x".repeat(16 * 1024));
    is_problem(request.send().await, 431, "headers_too_large");
    let long = test.get(&format!("/api/v1/me?{}", "x".repeat(16 * 1024)));
    is_problem(long.send().await, 431, "headers_too_large");
}

#[tokio::test]
async fn a_401_names_the_accepted_authentication_schemes() {
    let test = TestApp::new().await;
    let answer = test.get("/api/v1/me").send().await;
    assert!(answer.header("www-authenticate").contains("Signature"));
    assert!(answer.header("accept-signature").contains("\"@method\""));
    assert!(answer.header("want-content-digest").contains("sha-256"));
    is_problem(answer, 401, "unauthenticated");
}

#[tokio::test]
async fn a_refusal_names_the_role_that_is_missing() {
    let test = TestApp::new().await;
    let ada = test.user("ada", false).await;
    let ws = test.workspace("acme", &ada).await;
    let bob = test.member(&ws, &ada, "bob", "member").await;
    let accounts = format!("/api/v1/workspaces/{ws}/service-accounts");
    let body = json!({"name": "ci-bot"});
    let problem = test.post(&accounts, &body).by(&bob.key).send().await.expect_problem(403, "forbidden");
    assert_eq!(problem["required_role"], "workspace:admin");
    let workspaces = test.get("/api/v1/admin/workspaces").by(&ada.key).send().await;
    assert_eq!(workspaces.expect_problem(403, "forbidden")["required_role"], "operator");
}
