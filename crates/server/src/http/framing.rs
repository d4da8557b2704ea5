//! Tracks where each HTTP/1.1 request of a connection begins and ends, and refuses a request whose end another server
//! (a proxy in front) may interpret differently. If a request has both Transfer-Encoding and Content-Length, hyper uses
//! the former (RFC 9112 §6.3 allows this) and does not report it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http2_path::Http2;

/// The beginning of an HTTP/2 connection (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The number of bytes of a line that are kept, which is enough for the two fields that frame a message.
const KEPT: usize = 64;
/// The maximum number of digits of a chunk's size.
const MAX_SIZE_DIGITS: u8 = 15;

/// A connection whose requests are tracked.
pub(crate) struct Watched<S> {
    stream: S,
    framing: Framing,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, framing: Framing::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Framing::Refused { left } = &mut self.framing {
            // After these, hyper treats the client as disconnected and closes the connection.
            let (now, later) = left.split_at(left.len().min(buffer.remaining()));
            buffer.put_slice(now);
            *left = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let passed = self.framing.watch(&mut buffer.filled_mut()[before..]);
        buffer.set_filled(before + passed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The position in a connection.
#[derive(Debug)]
enum Framing {
    /// This number of bytes of the preface was received, and no other bytes.
    Preface(usize),
    Http2(Box<Http2>),
    Head(Head),
    /// This number of bytes of a body is still expected.
    Body(u64),
    Chunks(Chunks),
    /// Further bytes are ignored. hyper reads these bytes instead.
    Refused {
        left: &'static [u8],
    },
}

impl Default for Framing {
    fn default() -> Self {
        Self::Preface(0)
    }
}

impl Framing {
    /// Processes received bytes, and returns how many of them may be passed on. In a refused head, a byte is replaced
    /// by one that no head may contain. hyper then answers 400 and closes the connection, as for every malformed head.
    fn watch(&mut self, received: &mut [u8]) -> usize {
        let mut at = 0;
        while at < received.len() {
            match self {
                Self::Http2(http2) => {
                    if http2.watch(received.get_mut(at..).unwrap_or_default()).is_err() {
                        *self = Self::Refused { left: b"" };
                        return at;
                    }
                    return received.len();
                }
                Self::Refused { .. } => return at,
                Self::Body(left) => {
                    let step = usize::try_from(*left).unwrap_or(usize::MAX).min(received.len() - at);
                    at += step;
                    *left -= step as u64;
                    if *left == 0 {
                        *self = Self::Head(Head::default());
                    }
                }
                Self::Chunks(chunks @ Chunks { expected: Expected::Data(_), .. }) => at += chunks.skip(&received[at..]),
                Self::Head(head) => {
                    let rest = received.get(at..).unwrap_or_default();
                    let Some(length) = memchr(b'\n', rest) else {
                        head.keep(rest);
                        return received.len();
                    };
                    head.keep(rest.get(..length).unwrap_or_default());
                    at += length;
                    self.take(b'\n');
                    if let Self::Refused { left } = self {
                        received[at] = 0;
                        // hyper parses a head when it is complete.
                        *left = b"\r\n\r\n";
                    }
                    at += 1;
                }
                Self::Preface(_) | Self::Chunks(_) => {
                    self.take(received[at]);
                    at += 1;
                }
            }
        }
        at
    }

    fn take(&mut self, byte: u8) {
        match self {
            Self::Preface(matched) if byte == PREFACE[*matched] => {
                *matched += 1;
                if *matched == PREFACE.len() {
                    *self = Self::Http2(Box::default());
                }
            }
            Self::Preface(matched) => {
                let matched = *matched;
                *self = Self::Head(Head::default());
                for byte in PREFACE[..matched].iter().chain([&byte]) {
                    self.take(*byte);
                }
            }
            Self::Head(head) => match head.take(byte) {
                None => {}
                Some(Ok(0)) => *self = Self::Head(Head::default()),
                Some(Ok(length)) if length == CHUNKED => *self = Self::Chunks(Chunks::default()),
                Some(Ok(length)) => *self = Self::Body(length),
                Some(Err(Ambiguous)) => *self = Self::Refused { left: b"" },
            },
            Self::Chunks(chunks) => match chunks.take(byte) {
                Ok(false) => {}
                Ok(true) => *self = Self::Head(Head::default()),
                Err(Ambiguous) => *self = Self::Refused { left: b"" },
            },
            Self::Http2(_) | Self::Body(_) | Self::Refused { .. } => {}
        }
    }
}

/// Two servers may interpret it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ambiguous;

/// A length that no accepted `Content-Length` has.
const CHUNKED: u64 = u64::MAX;

/// The request line and the headers of a request, line by line.
#[derive(Debug)]
struct Head {
    line: [u8; KEPT],
    length: usize,
    in_headers: bool,
    content_length: Option<u64>,
    is_chunked: bool,
    is_ambiguous: bool,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            line: [0; KEPT],
            length: 0,
            in_headers: false,
            content_length: None,
            is_chunked: false,
            is_ambiguous: false,
        }
    }
}

impl Head {
    /// Takes bytes of a line, without its end.
    fn keep(&mut self, bytes: &[u8]) {
        // A target has no fragment (RFC 9112 §3.2). hyper removes it, so that a signature for another target would be
        // valid.
        self.is_ambiguous |= !self.in_headers && memchr(b'#', bytes).is_some();
        for (place, byte) in self.line.iter_mut().skip(self.length).zip(bytes) {
            *place = *byte;
        }
        self.length = self.length.saturating_add(bytes.len());
    }

    /// Returns the length of the body at the end of the head.
    fn take(&mut self, byte: u8) -> Option<Result<u64, Ambiguous>> {
        if byte != b'\n' {
            self.keep(&[byte]);
            return None;
        }
        let length = std::mem::take(&mut self.length);
        let kept = &self.line[..length.min(KEPT)];
        let line = kept.strip_suffix(b"\r").unwrap_or(kept);
        if line.is_empty() {
            // Empty lines before a request are skipped (RFC 9112 §2.2).
            return self.in_headers.then(|| self.body_length());
        }
        if !std::mem::replace(&mut self.in_headers, true) {
            return None;
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = line.get(name.len() + 1..).unwrap_or_default().trim_ascii();
            let number = Some(value)
                .filter(|value| length <= KEPT && !value.is_empty() && value.iter().all(u8::is_ascii_digit))
                .and_then(|digits| str::from_utf8(digits).ok()?.parse().ok())
                .filter(|number| *number != CHUNKED);
            self.is_ambiguous |= number.is_none() || self.content_length.is_some();
            self.content_length = number;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // With another coding, the body would not be the signed one.
            let is_known = line.get(name.len() + 1..).unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"chunked");
            self.is_ambiguous |= std::mem::replace(&mut self.is_chunked, true) || !is_known;
        }
        None
    }

    fn body_length(&self) -> Result<u64, Ambiguous> {
        match (self.is_chunked, self.content_length) {
            _ if self.is_ambiguous => Err(Ambiguous),
            (true, Some(_)) => Err(Ambiguous),
            (true, None) => Ok(CHUNKED),
            (false, length) => Ok(length.unwrap_or(0)),
        }
    }
}

/// The next part of a chunked body (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug)]
enum Expected {
    Size { digits: u8 },
    Extension,
    SizeEnd,
    Data(u64),
    DataEnd { after_cr: bool },
    Trailer { is_empty: bool },
}

/// A chunked body.
#[derive(Debug)]
struct Chunks {
    expected: Expected,
    size: u64,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { expected: Expected::Size { digits: 0 }, size: 0 }
    }
}

impl Chunks {
    /// Skips data of the chunk.
    fn skip(&mut self, received: &[u8]) -> usize {
        let Expected::Data(left) = self.expected else { return 0 };
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(received.len());
        let left = left - step as u64;
        self.expected = if left == 0 { Expected::DataEnd { after_cr: false } } else { Expected::Data(left) };
        step
    }

    /// Returns whether the body has ended.
    fn take(&mut self, byte: u8) -> Result<bool, Ambiguous> {
        self.expected = match (self.expected, byte) {
            (Expected::Size { digits }, _) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.size = self.size << 4 | u64::from(digit);
                Expected::Size { digits: digits + 1 }
            }
            (Expected::Size { digits: 1.. } | Expected::Extension, b'\r') => Expected::SizeEnd,
            (Expected::Extension, b'\n') => return Err(Ambiguous),
            (Expected::Size { digits: 1.. }, b';') | (Expected::Extension, _) => Expected::Extension,
            (Expected::SizeEnd, b'\n') => match std::mem::take(&mut self.size) {
                0 => Expected::Trailer { is_empty: true },
                size => Expected::Data(size),
            },
            (Expected::DataEnd { after_cr: false }, b'\r') => Expected::DataEnd { after_cr: true },
            (Expected::DataEnd { after_cr: true }, b'\n') => Expected::Size { digits: 0 },
            (Expected::Trailer { is_empty: true }, b'\n') => return Ok(true),
            (Expected::Trailer { .. }, b'\n') => Expected::Trailer { is_empty: true },
            (Expected::Trailer { is_empty }, b'\r') => Expected::Trailer { is_empty },
            (Expected::Trailer { .. }, _) => Expected::Trailer { is_empty: false },
            _ => return Err(Ambiguous),
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes that are passed on, which must not depend on how the requests are split into reads.
    fn watch(requests: &[u8]) -> (Vec<u8>, bool) {
        let mut results = (1..=requests.len()).map(|step| {
            let mut framing = Framing::default();
            let mut passed = Vec::new();
            for read in requests.chunks(step) {
                let mut read = read.to_vec();
                let length = framing.watch(&mut read);
                passed.extend_from_slice(&read[..length]);
            }
            (passed, matches!(framing, Framing::Refused { .. }))
        });
        let first = results.next().expect("a request");
        assert!(results.all(|other| other == first), "the verdict depends on how the bytes came");
        first
    }

    #[track_caller]
    fn assert_passes(requests: &str) {
        assert_eq!(watch(requests.as_bytes()), (requests.as_bytes().to_vec(), false), "{requests}");
    }

    /// Checks that the requests are refused, with a byte that no head may contain at the end of the head.
    #[track_caller]
    fn assert_refused(before: &str, requests: &str) {
        let (passed, refused) = watch(format!("{before}{requests}").as_bytes());
        assert!(refused, "{requests}");
        assert_eq!(passed.last(), Some(&0), "{requests}");
        assert!(passed.len() > before.len(), "{requests}");
    }

    #[test]
    fn requests_with_unambiguous_framing_pass_unchanged() {
        assert_passes("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_passes("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n");
        assert_passes("\r\n\r\nGET / HTTP/1.1\nHost: a\n\n");
        assert_passes(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        );
        assert_passes(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n\
             GET / HTTP/1.1\r\n\r\n",
        );
    }

    #[test]
    fn two_lengths_in_one_request_are_refused() {
        let fixed = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for before in ["", "\r\n", fixed, chunked] {
            for headers in [
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                "transfer-encoding:chunked\ncontent-length:3\n",
                "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
                "Content-Length: 3\r\nContent-Length: 3\r\n",
                "Content-Length: 3\r\nX: y\r\nContent-Length: 4\r\n",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: gzip, chunked\r\n",
                "Transfer-Encoding: identity\r\n",
                "Content-Length: +3\r\n",
                "Content-Length: 3, 3\r\n",
                "Content-Length: 18446744073709551615\r\n",
                "Content-Length: 18446744073709551616\r\n",
                "Content-Length: 00000000000000000000000000000000000000000000000000000000000000000003\r\n",
            ] {
                assert_refused(before, &format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\nabc"));
            }
        }
    }

    #[test]
    fn a_fragment_is_refused_in_the_request_line_only() {
        for before in ["", "\r\n", "GET / HTTP/1.1\r\n\r\n"] {
            assert_refused(before, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_refused(before, "GET # HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_refused(before, &format!("GET /{}?q#b HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2 * KEPT)));
        }
        assert_passes("POST /%23 HTTP/1.1\r\nX: #\r\nContent-Length: 1\r\n\r\n#GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn the_content_of_a_body_is_not_parsed_as_a_head() {
        let hidden = "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        assert_passes(&format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()));
        let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
        assert_passes(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
    }

    #[test]
    fn a_chunk_that_is_malformed_ends_the_connection() {
        for chunks in
            ["x\r\n", "\r\n", "3\n", "3 \r\n", "-3\r\n", "3\r\nabcd\r\n", "3;a\nb\r\n", "0000000000000000\r\n"]
        {
            let (passed, refused) =
                watch(format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}GET /").as_bytes());
            assert!(refused && !passed.ends_with(b"GET /"), "{chunks}");
        }
    }

    #[test]
    fn http_2_is_passed_on_after_a_complete_preface() {
        let twice = "Content-Length: 1\r\nContent-Length: 1\r\n\r\n";
        assert_passes(&format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nPOST / HTTP/1.1\r\n{twice}"));
        assert_refused("", &format!("PRI * HTTP/2.0\r\n{twice}"));
        assert_refused("PRI * HTTP/2.0\r\n\r\n", &format!("POST / HTTP/1.1\r\n{twice}"));
    }
}
