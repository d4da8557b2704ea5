//! The log line of each answered request, and the id that all log lines of a request have.
//!
//! Every request has such a line, so it costs more than all other lines together. The program may provide a
//! [`RequestLog`] that writes it in its own way. Without one, it is an event of `tracing` in a span, as any other line.

use std::{
    fmt,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Random, Timestamp};

/// The target of the log lines of answered requests, for the filter of the log.
pub const TARGET: &str = "server::http::answer";

/// The id of a request, which is in its log lines and in its response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// Reads it from its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        text.as_bytes().try_into().ok().filter(|id: &[u8; 16]| id.iter().all(is_base64url)).map(Self)
    }

    /// Returns it as text: base64url.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Returns the id of the request that this task answers, if the program has a [`RequestLog`].
#[must_use]
pub fn current_request_id() -> Option<RequestId> {
    CURRENT.try_with(|id| *id).ok()
}

/// Runs a future, whose log lines get this id.
pub(crate) async fn within<F: Future>(id: Option<RequestId>, future: F) -> F::Output {
    match id {
        Some(id) => CURRENT.scope(id, future).await,
        None => future.await,
    }
}

/// Generates the ids of requests: a random number for each process, and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: [u8; 7],
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(random: &dyn Random) -> Self {
        let mut prefix = [0; 7];
        random.fill(&mut prefix);
        Self { prefix, next: AtomicU64::new(0) }
    }

    pub(crate) fn generate(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut bytes = [0; 12];
        let (prefix, counter) = bytes.split_at_mut(self.prefix.len());
        prefix.copy_from_slice(&self.prefix);
        // The last five bytes: a trillion requests.
        counter.copy_from_slice(number.last_chunk::<5>().unwrap_or(&[0; 5]));
        let mut text = [b'-'; 16];
        // Twelve bytes are 16 characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        RequestId(text)
    }
}

/// What is logged about an answered request.
#[derive(Debug)]
pub struct AnsweredRequest<'a> {
    /// When it was answered.
    pub at: Timestamp,
    /// Its id.
    pub id: RequestId,
    /// Its method, which a client may have invented.
    pub method: &'a str,
    /// Its route, without the values of parameters. `-` if there is none.
    pub route: &'a str,
    /// The status of its response.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// Its principal. `-` if there is none.
    pub principal: &'a str,
    /// The IP address of its client, if it is known.
    pub address: Option<IpAddr>,
}

impl AnsweredRequest<'_> {
    /// Writes its line as any other log line.
    pub fn trace(&self) {
        let Self { method, route, status, took, principal, address, .. } = *self;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let address = address.map(tracing::field::display);
        tracing::info!(target: TARGET, method, route, status, micros, principal, address, "answered");
    }
}

/// Writes the lines of answered requests.
pub trait RequestLog: Send + Sync {
    /// Writes a line. It does not wait.
    fn write(&self, request: &AnsweredRequest<'_>);

    /// Returns how many lines were lost because they could not be written fast enough.
    fn count_lost(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones;

    impl Random for Ones {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    #[test]
    fn ids_are_a_prefix_and_a_counter() {
        let ids = RequestIds::new(&Ones);
        assert_eq!(ids.generate().as_str(), "_________wAAAAAA");
        assert_eq!(ids.generate().to_string(), "_________wAAAAAB");
        ids.next.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(ids.generate().as_str(), "________________");
    }
}
