//! The sent requests, the retries, and the error messages.

use std::{sync::Arc, time::Duration};

use client::{
    Client, ClientError, ClientOptions, ConnectCause, PrivateKey, Profile, SignError, Signer, generate_key_pair,
};
use http::{Method, Request, StatusCode};
use http_signature::{UnverifiedSignature, VerificationKey};
use serde_json::{Value, json};

use crate::{
    scripted_server::{Received, ScriptedServer},
    still::{CountingRandom, StillClock},
};

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600;
const OK: &str = "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"ok\":true}";

fn key() -> PrivateKey {
    PrivateKey::from_text(&generate_key_pair(&CountingRandom::default(), "me").private_openssh).unwrap()
}

fn options(url: &str) -> ClientOptions {
    let signer = Signer::new(&key(), Profile::Native).unwrap();
    ClientOptions::new(url, signer.with_system(Arc::new(StillClock(NOW)), Arc::new(CountingRandom::default())))
}

fn client(url: &str) -> Client {
    Client::new(options(url)).unwrap()
}

fn is_valid(received: &Received) -> bool {
    let public = VerificationKey::ed25519_from_bytes(key().ed25519_public_key().unwrap()).unwrap();
    let verified = UnverifiedSignature::parse(&received.view()).unwrap().unwrap().verify(&public, NOW);
    verified.is_ok_and(|verified| verified.verify_body(&received.body).is_ok())
}

fn problem(status: u16, fields: &str, detail: &str) -> String {
    let body =
        json!({"type": "urn:keyward:problem:any", "title": "Any", "status": status, "detail": detail, "code": "any"});
    format!("HTTP/1.1 {status} Any\nContent-Type: application/problem+json{fields}\n\n{body}")
}

#[tokio::test]
async fn the_sent_request_is_the_signed_one() {
    let server = ScriptedServer::answering(&[OK, OK, OK, "HTTP/1.1 204 No Content"]);
    let client = client(&format!("{}/prefix/", server.url));
    let answer: Value = client.get("/api/v1/me?q=a b").await.unwrap();
    assert_eq!(answer, json!({"ok": true}));
    client.post::<Value>("/api/v1/workspaces", &json!({"name": "Zoë"})).await.unwrap();
    client.patch::<Value>("/api/v1/../x", &json!({})).await.unwrap();
    client.delete("/api/v1/me/keys/key_1").await.unwrap();

    let received = server.received();
    assert!(received.iter().all(is_valid), "{received:#?}");
    let lines: Vec<_> = received.iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    assert_eq!(
        lines,
        [
            "GET /prefix/api/v1/me?q=a%20b",
            "POST /prefix/api/v1/workspaces",
            "PATCH /prefix/api/x",
            "DELETE /prefix/api/v1/me/keys/key_1",
        ]
    );
    assert_eq!(received[1].body, "{\"name\":\"Zoë\"}".as_bytes());
    assert_eq!(received[1].header("content-type"), "application/json");
    assert_eq!(received[0].header("content-type"), "");
    assert!(received[0].header("user-agent").starts_with("keyward/"));
}

#[tokio::test]
async fn a_write_is_retried_with_the_same_signature_and_a_read_with_a_new_one() {
    for (method, same) in [(Method::POST, true), (Method::DELETE, true), (Method::GET, false)] {
        let busy = problem(429, "\nRetry-After: 0", "slower");
        let away = problem(503, "\nRetry-After: 0", "away");
        let server = ScriptedServer::answering(&[&busy, &away, OK]);
        let response = client(&server.url).send(method.clone(), "/", None).await.unwrap();
        assert_eq!(response.status, StatusCode::OK);
        let received = server.received();
        assert!(received.iter().all(is_valid));
        let signatures: Vec<_> = received.iter().map(|request| request.header("signature")).collect();
        assert_eq!(signatures[0] == signatures[1], same, "{method}");
        assert_eq!(signatures[1] == signatures[2], same, "{method}");
    }
}

#[tokio::test]
async fn retries_come_to_an_end() {
    let busy = problem(503, "\nRetry-After: 0", "still away");
    let server = ScriptedServer::answering(&[busy.as_str(); 4]);
    let error = client(&server.url).get::<Value>("/").await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 503);
    assert_eq!(server.received().len(), 4);

    let server = ScriptedServer::answering(&[&busy]);
    let once = Client::new(ClientOptions { retries: 0, ..options(&server.url) }).unwrap();
    assert!(once.get::<Value>("/").await.is_err());
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_write_is_not_retried_after_its_signature_has_expired() {
    // The clock advances by a minute between signing and the response.
    struct LateClock(std::sync::atomic::AtomicI64);
    impl client::Clock for LateClock {
        fn now(&self) -> jiff::Timestamp {
            let minutes = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            jiff::Timestamp::from_second(NOW + 60 * minutes).unwrap()
        }
    }
    let server = ScriptedServer::answering(&[&problem(503, "\nRetry-After: 0", "away")]);
    let signer = Signer::new(&key(), Profile::Native).unwrap();
    let signer = signer.with_system(Arc::new(LateClock(0.into())), Arc::new(CountingRandom::default()));
    let client = Client::new(ClientOptions::new(&server.url, signer)).unwrap();
    let error = client.send(Method::POST, "/", None).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 503);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn no_redirect_carries_the_signature_elsewhere() {
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} Moved\nLocation: https://elsewhere.example/");
        let server = ScriptedServer::answering(&[&answer]);
        let error = client(&server.url).get::<Value>("/").await.unwrap_err();
        assert!(matches!(&error, ClientError::Redirect { .. }), "{error}");
        assert!(error.to_string().contains("https://elsewhere.example/"), "{error}");
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn a_problem_has_the_message_of_the_server() {
    let body = json!({
        "type": "urn:keyward:problem:quota_exceeded", "title": "Quota", "status": 409, "code": "quota_exceeded",
        "detail": "5 of 5 keys are in use; ask \u{1b}[31mops@example.com",
        "errors": [{"field": "title", "detail": "is too long", "code": "too_long"}], "limit": 5
    });
    let answer = format!("HTTP/1.1 409 Conflict\nContent-Type: application/problem+json; charset=utf-8\n\n{body}");
    let server = ScriptedServer::answering(&[&answer]);
    let error = client(&server.url).post::<Value>("/", &json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "5 of 5 keys are in use; ask  [31mops@example.com; title: is too long");
    let problem = error.problem().unwrap();
    assert_eq!(problem.code, "quota_exceeded");
    assert_eq!(problem.members["limit"], 5);
}

#[tokio::test]
async fn a_wrong_clock_is_distinguished_from_a_wrong_key() {
    let unauthenticated = |date: &str| problem(401, &format!("\nDate: {date}"), "the signature is stale by 412 s");
    for (date, told) in [
        ("Thu, 01 Jan 2026 00:06:52 GMT", Some("412 s behind the server's")),
        ("Wed, 31 Dec 2025 23:59:20 GMT", Some("40 s ahead of the server's")),
        ("Thu, 01 Jan 2026 00:00:05 GMT", None),
    ] {
        let server = ScriptedServer::answering(&[&unauthenticated(date)]);
        let error = client(&server.url).get::<Value>("/").await.unwrap_err();
        assert!(error.to_string().starts_with("the signature is stale by 412 s"), "{error}");
        assert_eq!(matches!(error, ClientError::Clock { .. }), told.is_some());
        assert!(told.is_none_or(|told| error.to_string().contains(told)), "{error}");
        assert_eq!(error.problem().unwrap().status, 401);
    }
}

#[tokio::test]
async fn answers_that_are_not_keywards_are_recognised() {
    let server = ScriptedServer::answering(&[
        "HTTP/1.1 404 Not Found\nContent-Type: text/html\n\n<h1>nginx</h1>",
        "HTTP/1.1 500 Oops\nContent-Type: application/problem+json\n\nnot json",
        "HTTP/1.1 200 OK\n\n<h1>hello</h1>",
    ]);
    let client = client(&server.url);
    for status in [404, 500] {
        let error = client.get::<Value>("/").await.unwrap_err();
        assert!(matches!(&error, ClientError::Status { status: given, .. } if given.as_u16() == status), "{error}");
    }
    assert!(matches!(client.get::<Value>("/").await, Err(ClientError::Answer { .. })));
}

#[tokio::test]
async fn a_raw_request_gives_the_answer_whatever_its_status() {
    let answer = "HTTP/1.1 403 Forbidden\nX-Any: thing\n\nno";
    let server = ScriptedServer::answering(&[answer]);
    let request = Request::put("/ignored").header("x-mine", "1").body(b"body".to_vec()).unwrap();
    let url = format!("{}/elsewhere#fragment", server.url);
    let response = client("https://keys.example.com").send_to(&url, request).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (StatusCode::FORBIDDEN, &b"no"[..]));
    assert_eq!(response.headers["x-any"], "thing");
    assert_eq!(response.version, http::Version::HTTP_11);
    let received = server.received().remove(0);
    assert_eq!((&*received.target, received.header("x-mine")), ("/elsewhere", "1"));
    assert!(is_valid(&received));
}

#[tokio::test]
async fn an_answer_without_end_is_dropped() {
    let answer = format!("HTTP/1.1 200 OK\n\n{}", "a".repeat(1001));
    let server = ScriptedServer::answering(&[&answer]);
    let small = Client::new(ClientOptions { max_answer_bytes: 1000, ..options(&server.url) }).unwrap();
    assert!(matches!(small.get::<Value>("/").await, Err(ClientError::TooLong { limit: 1000 })));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn an_unreachable_server_is_distinguished_from_a_silent_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The kernel accepts the connection, and no process responds.
    let impatient = Client::new(ClientOptions { timeout: Duration::from_millis(100), ..options(&url) }).unwrap();
    let error = impatient.get::<Value>("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    drop(listener);
    let error = client(&url).get::<Value>("/").await.unwrap_err();
    assert!(matches!(&error, ClientError::Connect { cause: ConnectCause::NotListening, .. }), "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn urls_of_other_servers_are_refused() {
    for url in ["", "keys.example.com", "ftp://keys.example.com", "unix:/run/keyward"] {
        assert!(matches!(Client::new(options(url)), Err(ClientError::Url { .. })), "{url}");
    }
    let with_password = Client::new(options("https://me:hunter2@keys.example.com"));
    assert!(matches!(with_password, Err(ClientError::Sign(SignError::UserInfo))));
    let error = client("https://keys.example.com").get::<Value>(".elsewhere.example/").await.unwrap_err();
    assert!(matches!(error, ClientError::Url { .. }), "{error}");
}
