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
    Complete { is_ok: bool },
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
                    if let Some(is_ok) = parse(&self.received) {
                        return Ok(Response::Complete { is_ok });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Response::Incomplete),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns whether a complete response has the status 200, or `None` if it is not complete.
fn parse(received: &[u8]) -> Option<bool> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = str::from_utf8(received.get(..end)?).ok()?;
    let length = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> = length.map(|(_, value)| value.trim().parse().ok()).next().flatten();
    // Without its length, the end of a body is unknown, and the rest of it would be counted as the next response.
    let is_ok = length.is_some() && head.starts_with("HTTP/1.1 200 ");
    (received.len() >= end + length.unwrap_or(0)).then_some(is_ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_with_its_body() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"), Some(true));
        assert_eq!(parse(b"HTTP/1.1 401 Unauthorized\r\n\r\n"), Some(false));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), Some(false));
    }
}
