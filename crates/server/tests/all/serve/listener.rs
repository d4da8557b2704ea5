//! The listener closes slow connections and those above the limits, and lets requests finish when the server stops.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use domain::Clock as _;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::json;
use server::http::ConnectionLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

use crate::{
    support::wire::{Running, assert_status, fixed, read_answer, read_to_end},
    support::{HOST, TestApp},
};

fn short() -> ConnectionLimits {
    ConnectionLimits { header_timeout: Duration::from_millis(200), ..ConnectionLimits::default() }
}

#[tokio::test]
async fn a_connection_with_unfinished_headers_is_closed() {
    let test = TestApp::new().await;
    let running = Running::start_with(&test, short());
    for begin in
        ["", "G", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nhost: a\r\nx: y\r\n", "PRI * HTTP/2.0\r\n"]
    {
        let began = server::system::SystemClock.since_boot();
        let mut stream = running.connect().await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        let took = server::system::SystemClock.since_boot().saturating_sub(began);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{begin:?}: {answer}");
        assert!(took >= Duration::from_millis(190), "{begin:?} was cut off after {took:?} already");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let test = TestApp::new().await;
    let running = Running::start_with(&test, short());
    let mut stream = running.connect().await;
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert_status(&answer, 200);
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    let signed =
        test.post(&format!("/api/v1/workspaces/{workspace}/projects"), &json!({"title": "Slow"})).by(&admin.key);
    // From here on, time passes when all tasks wait.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let drip = tokio::spawn(async move {
        for byte in signed.body {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if sender.send(Bytes::from(vec![byte])).await.is_err() {
                return;
            }
        }
    });
    let frames = futures_of(receiver);
    let mut request = http::Request::builder().method("POST").uri(signed.target);
    *request.headers_mut().unwrap() = signed.headers;
    let request = request.body(Body::new(frames)).unwrap();
    let answer = test.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 408);
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("Send the request again"), "{body:?}");
    drip.await.unwrap();
}

/// Returns a body with the data from a channel.
fn futures_of(
    mut receiver: tokio::sync::mpsc::Receiver<Bytes>,
) -> impl http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static {
    StreamBody::new(futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(http_body::Frame::data(chunk))))
    }))
}

#[tokio::test]
async fn a_stopping_server_finishes_open_requests_and_accepts_no_more() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    let projects = format!("/api/v1/workspaces/{workspace}/projects");
    let running = Running::start(&test);
    let address = running.address;
    let bytes = fixed(&test.post(&projects, &json!({"title": "In flight"})).by(&admin.key));
    let (head, tail) = bytes.split_at(bytes.len() - 1);
    let mut stream = running.connect().await;
    stream.write_all(head).await.unwrap();
    // The server must have started the request. A response on another connection follows it.
    assert_status(&running.exchange(&fixed(&test.get("/api/v1/me").by(&admin.key))).await, 200);
    let mut idle = running.connect().await;

    let stopped = running.stop();
    assert_eq!(idle.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0, "an idle connection is closed");
    stream.write_all(tail).await.unwrap();
    assert_status(&read_to_end(&mut stream).await, 201);
    stopped.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the listener is closed");

    let test = test.restart().await;
    let listed = test.get(&projects).by(&admin.key).send().await.expect(200);
    assert_eq!(listed["items"][0]["title"], "In flight");
}

#[tokio::test]
async fn a_stopping_server_stops_within_its_timeout() {
    let test = TestApp::new().await;
    let limits = ConnectionLimits { shutdown_timeout: Duration::from_millis(100), ..ConnectionLimits::default() };
    let running = Running::start_with(&test, limits);
    let mut stream = running.connect().await;
    let begin = format!("POST /api/v1/workspaces HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 10\r\n\r\n");
    stream.write_all(begin.as_bytes()).await.unwrap();
    assert_status(
        &running
            .exchange(format!("GET /healthz HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n").as_bytes())
            .await,
        200,
    );
    running.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_draining_server_is_not_ready_and_still_answers() {
    let test = TestApp::new().await;
    let limits = ConnectionLimits { drain: Duration::from_hours(1), ..ConnectionLimits::default() };
    let running = Running::start_with(&test, limits);
    let address = running.address;
    let get = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    };
    assert_status(&get("/readyz").await, 200);
    let stopping = running.stop();
    // Until the notified task has run.
    for attempt in 0.. {
        if get("/readyz").await.starts_with("HTTP/1.1 503") {
            break;
        }
        assert!(attempt < 10_000, "it still reports that it is ready");
        tokio::task::yield_now().await;
    }
    let answer = get("/healthz").await;
    assert_status(&answer, 200);
    assert!(answer.contains("connection: close"), "the next request goes elsewhere: {answer}");
    stopping.abort();
}
