//! A server on loopback that answers each request with the next line of its script, and stores the requests.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread::JoinHandle,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use http_signature::RequestView;

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the request in the form of a verifier.
    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: "http",
            authority: self.header("host"),
            target: &self.target,
            headers: &self.headers,
        }
    }
}

pub(crate) struct ScriptedServer {
    pub(crate) url: String,
    thread: JoinHandle<Vec<Received>>,
}

impl ScriptedServer {
    /// Answers as many requests as there are responses. Each response is complete from `HTTP/1.1` on, with `\n` as line
    /// endings.
    pub(crate) fn answering(script: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script: Vec<String> = script.iter().map(|&answer| answer.to_owned()).collect();
        let thread = std::thread::spawn(move || {
            script.iter().map(|answer| serve_one(&listener.accept().unwrap().0, answer)).collect()
        });
        Self { url, thread }
    }

    /// Returns the received requests after the end of the script.
    pub(crate) fn received(self) -> Vec<Received> {
        self.thread.join().unwrap()
    }
}

fn serve_one(mut stream: &TcpStream, answer: &str) -> Received {
    let mut reader = BufReader::new(stream);
    let mut lines = std::iter::from_fn(|| {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
    });
    let request_line = lines.next().unwrap();
    let headers: HeaderMap = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value.trim()).unwrap())
        })
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (head, content) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let head = head.replace('\n', "\r\n");
    let length = content.len();
    write!(stream, "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}").unwrap();
    let mut words = request_line.split(' ').map(str::to_owned);
    Received { method: words.next().unwrap(), target: words.next().unwrap(), headers, body }
}
