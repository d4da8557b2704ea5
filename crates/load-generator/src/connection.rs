//! A connection, with at most one request at a time.

use std::{
    io::{self, Read as _, Write as _},
    time::Instant,
};

use mio::net::TcpStream;

/// The state of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Response {
    Incomplete,
    Complete(Answer),
}

/// What a response says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Ok,
    /// 429 or 503 with Retry-After: the client is to send the request again after so many seconds.
    Later(u32),
    Other,
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    /// When the request was due.
    pub(crate) due: Instant,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, now: Instant) -> Self {
        Self { stream, received: Vec::with_capacity(16 * 1024), unsent: Vec::new(), due: now }
    }

    pub(crate) fn send(&mut self, request: &[u8], due: Instant) -> io::Result<()> {
        self.due = due;
        self.received.clear();
        let sent = match self.stream.write(request) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent.clear();
        self.unsent.extend_from_slice(request.get(sent..).unwrap_or_default());
        Ok(())
    }

    /// Sends what is left of a request.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => _ = self.unsent.drain(..sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn receive(&mut self) -> io::Result<Response> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.received.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    // A complete response is followed by nothing, so another read would only find this out.
                    if let Some(answer) = parse(&self.received) {
                        return Ok(Response::Complete(answer));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Response::Incomplete),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns what a complete response says, or `None` if it is not complete.
fn parse(received: &[u8]) -> Option<Answer> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = str::from_utf8(received.get(..end)?).ok()?;
    let value = |wanted: &str| {
        let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
        fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).next()
    };
    let length: Option<usize> = value("content-length").and_then(|length| length.parse().ok());
    // Without its length, the end of a body is unknown, and the rest of it would be counted as the next response.
    let answer = match head.get(.."HTTP/1.1 200 ".len()) {
        _ if length.is_none() => Answer::Other,
        Some("HTTP/1.1 200 ") => Answer::Ok,
        Some("HTTP/1.1 429 " | "HTTP/1.1 503 ") => {
            value("retry-after").and_then(|seconds| seconds.parse().ok()).map_or(Answer::Other, Answer::Later)
        }
        _ => Answer::Other,
    };
    (received.len() >= end + length.unwrap_or(0)).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_with_its_body() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"), Some(Answer::Ok));
        assert_eq!(parse(b"HTTP/1.1 401 Unauthorized\r\n\r\n"), Some(Answer::Other));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), Some(Answer::Other));
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let refusal = |head: &str| parse(format!("HTTP/1.1 {head}content-length: 0\r\n\r\n").as_bytes());
        assert_eq!(refusal("503 Service Unavailable\r\nRetry-After: 1\r\n"), Some(Answer::Later(1)));
        assert_eq!(refusal("429 Too Many Requests\r\nretry-after: 20\r\n"), Some(Answer::Later(20)));
        assert_eq!(refusal("503 Service Unavailable\r\n"), Some(Answer::Other));
        assert_eq!(refusal("500 Internal Server Error\r\nretry-after: 1\r\n"), Some(Answer::Other));
    }
}
