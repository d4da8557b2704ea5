//! THREATS §6: the resources that a client without a credential may use, over real sockets: connections that wait for
//! their client, incomplete bodies, unread responses, forms with many fields.

use std::{net::Ipv4Addr, time::Duration};

use http::Request;
use serde_json::json;
use server::http::{ConnectionLimits, MAX_BODY, MAX_UNAUTHENTICATED_BODY};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{
    support::signing::{Draft, digest_of},
    support::wire::{Running, assert_status, bytes_of, fixed, read_answer, read_to_end},
    support::{Actor, HOST, TestApp, TestRequest},
};

const ME: &str = "/api/v1/me";

async fn acme() -> (TestApp, Actor, String) {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    (test, admin, format!("/api/v1/workspaces/{workspace}/projects"))
}

fn healthy() -> Vec<u8> {
    format!("GET /healthz HTTP/1.1\r\nhost: {HOST}\r\n\r\n").into_bytes()
}

async fn connect_from(running: &Running, address: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::from(address), 0).into()).expect("an address of this machine");
    socket.connect(running.address).await.expect("the server listens")
}

/// Sends a health check on a connection that stays open.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(&healthy()).await.expect("the server reads");
    assert_status(&read_answer(stream).await, 200);
}

/// Returns whether the server ended a connection. It waits for the end.
async fn ends(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // It may also be reset, because data was left unread.
    let _ = stream.read_to_end(&mut rest).await;
}

/// Begins a request, and returns when the server waits for its body.
async fn await_body(running: &Running, request: &TestRequest<'_>) -> TcpStream {
    let mut stream = running.connect().await;
    let length = request.body.len();
    let framing = format!("content-length: {length}\r\nexpect: 100-continue\r\n");
    stream.write_all(&bytes_of(request, &framing, b"")).await.expect("the server reads");
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.expect("leave to send the body");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn unfinished_bodies_do_not_block_other_clients() {
    let (test, admin, projects) = acme().await;
    let running = Running::start(&test);
    let accept = test.post("/api/v1/invitations/accept", &json!({"token": "t", "name": "n", "password": "p"}));
    let form = test.post("/sign-in", &json!("email=a")).header("origin", &format!("http://{HOST}"));
    let mut held = Vec::new();
    // More requests than one client may have at a time.
    for request in std::iter::repeat_n([&accept, &form], 150).flatten() {
        held.push(await_body(&running, request).await);
    }
    let project = test.post(&projects, &json!({"title": "Meanwhile"})).by(&admin.key);
    assert_status(&running.exchange(&fixed(&project)).await, 201);
    assert_status(&running.exchange(&fixed(&test.get(ME).by(&admin.key))).await, 200);
    let mut stream = running.connect().await;
    ask(&mut stream).await;
    // Requests whose body arrives at last are answered.
    let mut last = held.pop().expect("a form");
    last.write_all(&form.body).await.expect("the server reads");
    assert_status(&read_to_end(&mut last).await, 400);
}

#[tokio::test]
async fn a_client_over_its_limit_loses_its_longest_idle_connection() {
    let (test, admin, _) = acme().await;
    let limits = ConnectionLimits { connections_per_client: 3, ..ConnectionLimits::default() };
    let running = Running::start_with(&test, limits);
    let (mut slow_head, mut idle, mut active) =
        (running.connect().await, running.connect().await, running.connect().await);
    slow_head.write_all(b"GET /healthz HTTP/1.1\r\n").await.expect("the server reads");
    ask(&mut idle).await;
    ask(&mut active).await;
    // A few bytes at a time do not extend the time limit.
    slow_head.write_all(b"x: y\r\n").await.expect("the server reads");
    assert_status(&running.exchange(&fixed(&test.get(ME).by(&admin.key))).await, 200);
    ends(&mut slow_head).await;
    ask(&mut active).await;
    let mut other = running.connect().await;
    ask(&mut other).await;
    let mut another = running.connect().await;
    ask(&mut another).await;
    ends(&mut idle).await;
    ask(&mut active).await;
}

#[tokio::test]
async fn a_client_gets_a_connection_when_another_has_taken_all() {
    let (test, admin, _) = acme().await;
    let limits = ConnectionLimits { connections: 6, connections_per_client: 5, ..ConnectionLimits::default() };
    let running = Running::start_with(&test, limits);
    let mut quiet = connect_from(&running, [127, 0, 0, 2]).await;
    ask(&mut quiet).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut stream = running.connect().await;
        ask(&mut stream).await;
        held.push(stream);
    }
    let mut newcomer = connect_from(&running, [127, 0, 0, 3]).await;
    newcomer.write_all(&fixed(&test.get(ME).by(&admin.key))).await.expect("the server reads");
    assert_status(&read_to_end(&mut newcomer).await, 200);
    ends(&mut held[0]).await;
    // No other client has lost a connection.
    ask(&mut quiet).await;
}

#[tokio::test]
async fn a_trusted_proxy_has_no_connection_limit() {
    let test = TestApp::with_settings(|settings| {
        settings.trusted_proxies = vec!["127.0.0.9".parse().expect("an address")];
    })
    .await;
    let limits = ConnectionLimits { connections: 2, connections_per_client: 2, ..ConnectionLimits::default() };
    let running = Running::start_with(&test, limits);
    let mut proxied = Vec::new();
    for _ in 0..10 {
        let mut stream = connect_from(&running, [127, 0, 0, 9]).await;
        ask(&mut stream).await;
        proxied.push(stream);
    }
    let mut client = running.connect().await;
    ask(&mut client).await;
    for stream in &mut proxied {
        ask(stream).await;
    }
}

fn short() -> ConnectionLimits {
    let short = Duration::from_millis(200);
    ConnectionLimits { header_timeout: short, idle_timeout: short, ..ConnectionLimits::default() }
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

/// `:method GET`, `:scheme http`, `:path /` of the static table (RFC 7541 appendix A).
const GET: &[u8] = &[0x82, 0x86, 0x84];

fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

#[tokio::test]
async fn an_http_2_connection_without_a_complete_request_is_closed() {
    let (test, ..) = acme().await;
    let running = Running::start_with(&test, short());
    for begin in [vec![], frame(HEADERS, 0, 1, GET)] {
        let mut stream = running.connect().await;
        stream.write_all(&[preface(), begin].concat()).await.expect("the server reads");
        ends(&mut stream).await;
    }
}

#[tokio::test]
async fn an_idle_http_2_connection_gets_goaway() {
    let (test, ..) = acme().await;
    let running = Running::start_with(&test, short());
    let (send, connection) = h2::client::handshake(running.connect().await).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.expect("a connection");
    let request = Request::get(format!("http://{HOST}/healthz")).body(()).expect("a request");
    let (answer, _) = send.send_request(request, true).expect("a stream");
    assert_eq!(answer.await.expect("an answer").status(), 200);
    connection.await.expect("no panic").expect("closed in good order");
}

#[tokio::test]
async fn a_connection_with_an_unread_response_is_closed() {
    let (test, ..) = acme().await;
    let running = Running::start_with(&test, short());
    let mut builder = h2::client::Builder::new();
    let handshake = builder.initial_window_size(0).handshake::<_, bytes::Bytes>(running.connect().await);
    let (send, connection) = handshake.await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.expect("a connection");
    let request = Request::get(format!("http://{HOST}/sign-in")).body(()).expect("a request");
    let (answer, _) = send.send_request(request, true).expect("a stream");
    let answer = answer.await.expect("a head");
    assert_eq!(answer.status(), 200);
    // Other requests on the connection do not keep it open.
    let mut asked = 0;
    while let Ok(ready) = send.ready().await {
        send = ready;
        let request = Request::head(format!("http://{HOST}/healthz")).body(()).expect("a request");
        let Ok((other, _)) = send.send_request(request, true) else { break };
        if other.await.is_err() {
            break;
        }
        asked += 1;
        tokio::task::yield_now().await;
    }
    assert!(asked > 0, "it is used meanwhile");
    connection.abort();
}

#[tokio::test]
async fn a_flood_of_continuation_frames_ends_its_connection_and_no_other() {
    let (test, admin, _) = acme().await;
    let running = Running::start(&test);
    let mut stream = running.connect().await;
    let begin = [preface(), frame(HEADERS, 0, 1, GET)].concat();
    stream.write_all(&begin).await.expect("the server reads");
    // The same indexed field many times, and empty frames.
    for payload in [vec![0x82; 1000], vec![]] {
        let continuation = frame(CONTINUATION, 0, 1, &payload).repeat(64);
        let mut sent = 0;
        while stream.write_all(&continuation).await.is_ok() {
            sent += 1;
            assert!(sent < 10_000, "it never ends");
        }
        ends(&mut stream).await;
        stream = running.connect().await;
        stream.write_all(&begin).await.expect("the server reads");
    }
    assert_status(&running.exchange(&fixed(&test.get(ME).by(&admin.key))).await, 200);
}

/// Returns a form as a browser sends it from a page of this server.
fn form<'a>(test: &'a TestApp, path: &str, body: &str) -> TestRequest<'a> {
    let mut request = test.post(path, &json!(null));
    request.body = body.as_bytes().to_vec();
    request.header("origin", &format!("http://{HOST}")).header("content-type", "application/x-www-form-urlencoded")
}

#[tokio::test]
async fn forms_are_limited_in_fields_and_bytes() {
    let (test, ..) = acme().await;
    let running = Running::start(&test);
    let many = format!("email=ada%40example.com&password=p&{}", "a&".repeat(MAX_UNAUTHENTICATED_BODY / 2 - 100));
    let long = format!("email={}", "a".repeat(MAX_UNAUTHENTICATED_BODY));
    let fits = format!("email=ada%40example.com&password={}", "p".repeat(MAX_UNAUTHENTICATED_BODY - 100));
    for (body, status) in [(many, 400), (long, 413), (fits, 401)] {
        assert_status(&running.exchange(&fixed(&form(&test, "/sign-in", &body))).await, status);
    }
}

#[tokio::test]
async fn a_form_of_another_origin_is_refused_before_its_body_is_read() {
    let (test, ..) = acme().await;
    let running = Running::start(&test);
    for length in [100, MAX_UNAUTHENTICATED_BODY + 1, MAX_BODY] {
        let foreign = form(&test, "/sign-in", &"a".repeat(length)).header("origin", "https://evil.example");
        let bytes = String::from_utf8(fixed(&foreign)).expect("text").replace("connection: close\r\n", "");
        let mut stream = running.connect().await;
        stream.write_all(bytes.as_bytes()).await.expect("the server reads");
        assert_status(&read_answer(&mut stream).await, 403);
        // The body was read, so the connection can still be used.
        ask(&mut stream).await;
    }
}

/// Returns a request with a body of this size, signed by `key`.
fn sized<'a>(test: &'a TestApp, projects: &str, key: &crate::support::Key, length: usize) -> TestRequest<'a> {
    let mut request = test.post(projects, &json!({"title": "Large"}));
    request.body.resize(length, b' ');
    let digest = digest_of(&request.body);
    Draft::native(test, key, "POST").sign(request.header("content-digest", &digest), key)
}

#[tokio::test]
async fn the_credential_is_verified_before_the_body_is_read() {
    let (test, admin, projects) = acme().await;
    let running = Running::start(&test);
    let stranger = test.new_key();
    // The signature is verified first, so that a client without the key does not see that the body is too large.
    for length in [10, MAX_BODY, MAX_BODY + 1] {
        assert_status(&running.exchange(&fixed(&sized(&test, &projects, &stranger, length))).await, 401);
    }
    assert_status(&running.exchange(&fixed(&sized(&test, &projects, &admin.key, MAX_BODY + 1))).await, 413);
    assert_status(&running.exchange(&fixed(&sized(&test, &projects, &admin.key, MAX_BODY))).await, 201);
    // A request without a credential may only have a small body.
    let mut anonymous = test.post("/api/v1/invitations/accept", &json!({"token": "t"}));
    anonymous.body.resize(MAX_UNAUTHENTICATED_BODY, b' ');
    assert_status(&running.exchange(&fixed(&anonymous)).await, 409);
    anonymous.body.push(b' ');
    assert_status(&running.exchange(&fixed(&anonymous)).await, 413);
}

#[tokio::test]
async fn a_refused_request_gets_no_100_continue() {
    let (test, _, projects) = acme().await;
    let running = Running::start(&test);
    let refused = sized(&test, &projects, &test.new_key(), 1000);
    let head = bytes_of(&refused, "content-length: 1000\r\nexpect: 100-continue\r\n", b"");
    assert_status(&running.exchange(&head).await, 401);
}

#[tokio::test]
async fn a_key_revoked_while_the_body_arrives_is_refused_and_records_no_use() {
    let (test, admin, projects) = acme().await;
    let running = Running::start(&test);
    let spare = test.add_unused_key(&admin).await;
    let request = test.post(&projects, &json!({"title": "Too late"})).by(&spare);
    let mut stream = await_body(&running, &request).await;
    test.delete(&format!("/api/v1/me/keys/{}", spare.id)).by(&admin.key).send().await.expect(204);
    stream.write_all(&request.body).await.expect("the server reads");
    let answer = read_to_end(&mut stream).await;
    assert_status(&answer, 401);

    // Also with a signature that expires.
    let second = test.add_unused_key(&admin).await;
    let request = test.post(&projects, &json!({"title": "Too late"})).by(&second);
    let mut stream = await_body(&running, &request).await;
    test.advance(Duration::from_secs(61)).await;
    stream.write_all(&request.body).await.expect("the server reads");
    assert_status(&read_to_end(&mut stream).await, 401);

    test.app.write_records().await.expect("the store answers");
    let keys = test.get("/api/v1/me/keys").by(&admin.key).send().await.expect(200);
    for key in keys["items"].as_array().expect("a list") {
        if key["id"] == second.id.as_str() || key["id"] == spare.id.as_str() {
            assert_eq!(key["last_used_at"], json!(null), "{key}");
        }
    }
    let listed = test.get(&projects).by(&admin.key).send().await.expect(200);
    assert_eq!(listed["items"], json!([]));
}
