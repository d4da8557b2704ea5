//! A real server on a real socket, which tests access with raw bytes.

use std::{net::SocketAddr, sync::Arc};

use server::{Server, http::ConnectionLimits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use crate::support::{TestApp, TestRequest};

/// A server that runs until it is stopped.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Starts a server on a free port.
    pub fn start(test: &TestApp) -> Self {
        Self::start_with(test, ConnectionLimits::default())
    }

    pub fn start_with(test: &TestApp, limits: ConnectionLimits) -> Self {
        Self::start_on(test, std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"), limits)
    }

    pub fn start_on(test: &TestApp, listener: std::net::TcpListener, limits: ConnectionLimits) -> Self {
        let server = Server::on_listener(Arc::clone(&test.app), listener).with_limits(limits);
        let address = server.address().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async move {
            // The server also stops after the sender is dropped.
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
    }

    /// Sends bytes on a new connection, and reads until the server closes it.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("the server reads");
        read_to_end(&mut stream).await
    }

    /// Stops the server. The task ends after the server.
    pub fn stop(self) -> JoinHandle<std::io::Result<()>> {
        let _ = self.stop.send(());
        self.task
    }
}

pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer, then the end");
    String::from_utf8(answer).expect("text")
}

/// Reads one response on a connection that stays open, by its Content-Length.
pub async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("a head");
        answer.push(byte[0]);
        if answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(answer).expect("text");
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::parse::<usize>))
        .map_or(0, |length| length.expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    head + &String::from_utf8(body).expect("text")
}

#[track_caller]
pub fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "not {status}: {answer}");
}

/// Returns the bytes of a request, with these framing headers, the body as given, and `Connection: close`.
pub fn bytes_of(request: &TestRequest<'_>, framing: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.target).into_bytes();
    for (name, value) in &request.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(framing.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Frames it by Content-Length.
pub fn fixed(request: &TestRequest<'_>) -> Vec<u8> {
    bytes_of(request, &format!("content-length: {}\r\n", request.body.len()), &request.body)
}

/// Frames it in chunks of this number of bytes.
pub fn chunked(request: &TestRequest<'_>, size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in request.body.chunks(size) {
        body.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    bytes_of(request, "transfer-encoding: chunked\r\n", &body)
}
