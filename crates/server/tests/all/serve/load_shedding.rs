//! An overloaded server: which requests it refuses without verifying them, in which form, and which it still answers.
//!
//! With a queue delay of zero, every request waits too long.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use server::http::ConnectionLimits;
use tokio::io::AsyncWriteExt as _;

use crate::{
    proxies::forward_auth::{DIALECTS, ask, trust_local_proxies},
    support::wire::{Running, assert_status, fixed, read_answer},
    support::{Actor, HOST, TestApp, TestRequest},
};

const ME: &str = "/api/v1/me";

/// Starts a server that is overloaded.
async fn overloaded(test: &TestApp) -> Running {
    let limits = ConnectionLimits { queue_delay: Duration::ZERO, ..ConnectionLimits::default() };
    let running = Running::start_with(test, limits);
    assert_status(&running.exchange(&fixed(&test.get("/healthz"))).await, 200);
    running
}

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::with_settings(trust_local_proxies).await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    (test, admin, format!("/api/v1/workspaces/{workspace}/projects"))
}

/// Checks that a response asks the client to come again, and returns its problem.
#[track_caller]
fn expect_overloaded(answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a response");
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 503 "), "{answer}");
    for field in ["content-type: application/problem+json", "cache-control: no-store"] {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "no {field}: {answer}");
    }
    assert!(head.contains("\r\nretry-after: 1\r\n") || head.contains("\r\nretry-after: 2\r\n"), "{answer}");
    let problem: Value = serde_json::from_str(body).expect("a problem");
    assert_eq!((&problem["code"], &problem["title"]), (&json!("unavailable"), &json!("Overloaded")));
    problem
}

fn from_client<'a>(request: TestRequest<'a>, address: &str) -> TestRequest<'a> {
    request.header("x-forwarded-for", address)
}

#[tokio::test]
async fn an_overloaded_server_refuses_reads_before_it_verifies_them() {
    let (test, admin, projects) = acme().await;
    let running = overloaded(&test).await;
    let stranger = test.new_key();
    let encord = test.get("/v2/public/projects").by_encord(&admin.key);
    for read in [test.get(ME).by(&admin.key), test.get(ME).by(&stranger), test.get(&projects), encord] {
        expect_overloaded(&running.exchange(&fixed(&read)).await);
    }
    // Version 1 of the SDK reads these members.
    let version_1 = test.get(ME).header("resourceid", "1").by(&admin.key);
    let problem = expect_overloaded(&running.exchange(&fixed(&version_1)).await);
    assert_eq!((&problem["status"], &problem["response"]), (&json!(503), &json!(["UNAVAILABLE"])));
    let metrics = test.app.render_metrics().await;
    assert!(metrics.lines().any(|line| line == "keyward_overloaded_total 5"), "{metrics}");
}

#[tokio::test]
async fn proxies_get_a_refusal_that_they_pass_on_and_never_401() {
    let (test, admin, _) = acme().await;
    let running = overloaded(&test).await;
    for dialect in DIALECTS {
        for client in [test.get("/v2/things").by(&admin.key), test.get("/v2/things")] {
            let answer = running.exchange(&fixed(&ask(&test, dialect, &client))).await;
            if dialect == "nginx" {
                assert_status(&answer, 403);
                assert!(answer.contains("\r\nkeyward-status: 503\r\n"), "{answer}");
                assert!(answer.contains("\r\nretry-after: ") && answer.contains("keyward-problem: {"), "{answer}");
            } else {
                expect_overloaded(&answer);
            }
            assert!(!answer.contains("remote-user"), "{answer}");
        }
    }
}

#[tokio::test]
async fn envoy_is_told_that_its_call_failed() {
    let (test, ..) = acme().await;
    let running = overloaded(&test).await;
    let (send, connection) = h2::client::handshake(running.connect().await).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.expect("a connection");
    let uri = format!("http://{HOST}/envoy.service.auth.v3.Authorization/Check");
    let request = Request::post(uri).header("content-type", "application/grpc").body(()).expect("a request");
    let (answer, mut body) = send.send_request(request, false).expect("a stream");
    body.send_data(bytes::Bytes::from_static(&[0; 5]), true).expect("a message");
    let answer = answer.await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &"14".parse().expect("a value")));
    connection.abort();
}

#[tokio::test]
async fn an_overloaded_server_answers_health_checks() {
    let (test, ..) = acme().await;
    let running = overloaded(&test).await;
    for _ in 0..100 {
        for path in ["/healthz", "/readyz"] {
            assert_status(&running.exchange(&fixed(&test.get(path))).await, 200);
        }
    }
}

#[tokio::test]
async fn each_client_of_an_overloaded_server_can_make_changes_and_open_pages() {
    let (test, admin, _) = acme().await;
    let running = overloaded(&test).await;
    let spare = test.add_unused_key(&admin).await;
    let revoke = test.delete(&format!("/api/v1/me/keys/{}", spare.id)).by(&admin.key);
    assert_status(&running.exchange(&fixed(&from_client(revoke, "192.0.2.1"))).await, 204);
    let page = test.get("/sign-in").header("accept", "text/html");
    assert_status(&running.exchange(&fixed(&from_client(page, "192.0.2.1"))).await, 200);
    // A client that sends many of them is refused. It has no credential here.
    let change = |address| from_client(test.post("/api/v1/workspaces", &json!({})), address);
    let mut refused = 0;
    for _ in 0..100 {
        let answer = running.exchange(&fixed(&change("192.0.2.1"))).await;
        if answer.starts_with("HTTP/1.1 503 ") {
            expect_overloaded(&answer);
            refused += 1;
        } else {
            assert_status(&answer, 401);
        }
    }
    // Five a second and fifty at once. The test may take some seconds.
    assert!((1..=52).contains(&refused), "{refused}");
    assert_status(&running.exchange(&fixed(&change("192.0.2.2"))).await, 401);
    // A browser is shown a page.
    let pages = (0..100).map(|_| from_client(test.get("/sign-in").header("accept", "text/html"), "192.0.2.1"));
    let mut shown = String::new();
    for page in pages {
        shown = running.exchange(&fixed(&page)).await;
        if shown.starts_with("HTTP/1.1 503 ") {
            break;
        }
    }
    assert_status(&shown, 503);
    assert!(shown.contains("<html") && shown.contains("more requests than it can process"), "{shown}");
}

#[tokio::test]
async fn a_connection_is_kept_after_a_refusal() {
    let (test, admin, _) = acme().await;
    let running = overloaded(&test).await;
    let mut stream = running.connect().await;
    let kept = |request: &TestRequest<'_>| {
        String::from_utf8(fixed(request)).expect("text").replace("connection: close\r\n", "").into_bytes()
    };
    // Traefik passes the body, which is read and discarded.
    let mut with_body = ask(&test, "traefik", &test.post("/v2/things", &json!({"a": 1})).by(&admin.key));
    with_body.method = "POST".to_owned();
    with_body.body = vec![b'x'; 10_000];
    for request in [test.get(ME).by(&admin.key), with_body, test.get(ME).by(&admin.key)] {
        stream.write_all(&kept(&request)).await.expect("the server reads");
        expect_overloaded(&read_answer(&mut stream).await);
    }
    stream.write_all(&kept(&test.get("/healthz"))).await.expect("the server reads");
    assert_status(&read_answer(&mut stream).await, 200);
}
