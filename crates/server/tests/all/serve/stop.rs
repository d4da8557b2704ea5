//! A server that stops answers every request that a client could send before it knew.

use std::time::Duration;

use http::Request;
use serde_json::json;
use server::http::ConnectionLimits;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    support::wire::{Running, assert_status, fixed, read_answer, read_to_end},
    support::{HOST, TestApp},
};

/// Limits with which no test ends by time.
fn patient() -> ConnectionLimits {
    let hour = Duration::from_hours(1);
    ConnectionLimits { stop_grace: hour, shutdown_timeout: hour, ..ConnectionLimits::default() }
}

fn healthy() -> Vec<u8> {
    format!("GET /healthz HTTP/1.1\r\nhost: {HOST}\r\n\r\n").into_bytes()
}

/// Waits until the server has closed its listener.
async fn await_refusal(address: std::net::SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_on_a_kept_connection_is_answered_after_the_stop() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let running = Running::start_with(&test, patient());
    let address = running.address;
    let (mut used, mut unused, mut begun) = (running.connect().await, running.connect().await, running.connect().await);
    for stream in [&mut used, &mut begun] {
        stream.write_all(&healthy()).await.unwrap();
        assert_status(&read_answer(stream).await, 200);
    }
    begun.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();

    let stopped = running.stop();
    await_refusal(address).await;
    let signed = fixed(&test.get("/api/v1/me").by(&admin.key));
    let without_close = String::from_utf8(signed).unwrap().replace("connection: close\r\n", "");
    for stream in [&mut used, &mut unused] {
        stream.write_all(without_close.as_bytes()).await.unwrap();
        // It also ends the connection.
        let answer = read_to_end(stream).await;
        assert_status(&answer, 200);
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    begun.write_all(format!("host: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    assert_status(&read_to_end(&mut begun).await, 200);
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_is_not_accepted_yet_is_served() {
    let test = TestApp::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&healthy()).await.unwrap();
        waiting.push(stream);
    }
    // The server is told to stop before it accepts anything.
    let stopped = Running::start_on(&test, listener, patient()).stop();
    for stream in &mut waiting {
        assert_status(&read_to_end(stream).await, 200);
    }
    stopped.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_grace() {
    let test = TestApp::new().await;
    let limits = ConnectionLimits { stop_grace: Duration::from_millis(50), ..patient() };
    let running = Running::start_with(&test, limits);
    let (mut used, mut unused) = (running.connect().await, running.connect().await);
    used.write_all(&healthy()).await.unwrap();
    assert_status(&read_answer(&mut used).await, 200);
    let stopped = running.stop();
    for stream in [&mut used, &mut unused] {
        assert_eq!(read_to_end(stream).await, "");
    }
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn http_2_requests_end_before_their_connection() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    let projects = format!("/api/v1/workspaces/{workspace}/projects");
    let running = Running::start_with(&test, patient());
    let address = running.address;
    let (send, connection) = h2::client::handshake(running.connect().await).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.expect("a connection");
    let signed = test.post(&projects, &json!({"title": "In flight"})).by(&admin.key);
    let mut request = Request::post(format!("http://{HOST}{projects}")).body(()).unwrap();
    *request.headers_mut() = signed.headers.clone();
    request.headers_mut().remove("host");
    let (answer, mut body) = send.send_request(request, false).expect("a stream");
    // An answer on the same connection follows the beginning of the request.
    let other = Request::get(format!("http://{HOST}/healthz")).body(()).unwrap();
    let mut send = send.ready().await.expect("a connection");
    assert_eq!(send.send_request(other, true).expect("a stream").0.await.expect("an answer").status(), 200);

    let stopped = running.stop();
    await_refusal(address).await;
    body.send_data(signed.body.clone().into(), true).expect("the stream is open");
    assert_eq!(answer.await.expect("an answer").status(), 201);
    connection.await.unwrap().expect("closed in good order");
    stopped.await.unwrap().unwrap();
}
