//! The log lines of answered requests in JSON: collected in memory, and written by a thread of their own.
//!
//! The thread writes the lines of some milliseconds at once. Other log lines are written immediately, after those that
//! wait. If standard error is not read fast enough, lines of answered requests are lost. They are counted, for the
//! metrics and in the log itself.

use std::{
    io::{self, Write},
    panic,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use server::request_log::{AnsweredRequest, RequestLog, TARGET};

use crate::message::{CleanStderr, clean};

/// How long lines are collected.
const COLLECT: Duration = Duration::from_millis(20);
/// From this number of bytes on, lines are written without waiting for more.
const MANY: usize = 256 * 1024;
/// The maximum number of bytes that wait.
const MOST: usize = 4 * 1024 * 1024;
/// The methods that are no secret of a client.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

static STARTED: OnceLock<Arc<RequestLines>> = OnceLock::new();

/// The lines that wait to be written.
#[derive(Default)]
pub(crate) struct RequestLines {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// Held while lines are written, so that they stay in order. Its memory is used again.
    writing: Mutex<Vec<u8>>,
    /// All lines that were lost.
    lost: AtomicU64,
    /// Those of them that the log mentions.
    mentioned: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The second of the last line, and its time without the fraction.
    second: i64,
    time: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RequestLines {
    /// Starts the thread that writes them to standard error.
    ///
    /// # Errors
    /// The machine refuses another thread.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let lines = Arc::clone(STARTED.get_or_init(Arc::default));
        let writer = Arc::clone(&lines);
        thread::Builder::new().name("request-log".to_owned()).spawn(move || writer.write_for_ever())?;
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            flush_at_panic();
            hook(panic);
        }));
        Ok(lines)
    }

    fn write_for_ever(&self) {
        loop {
            let mut waiting = lock(&self.waiting);
            while waiting.lines.is_empty() {
                waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            drop(self.arrived.wait_timeout_while(waiting, COLLECT, |waiting| waiting.lines.len() < MANY));
            self.write_waiting(&mut lock(&self.writing), &mut io::stderr());
            self.mention_lost();
        }
    }

    fn write_waiting(&self, writing: &mut Vec<u8>, output: &mut impl Write) {
        std::mem::swap(&mut lock(&self.waiting).lines, writing);
        if !writing.is_empty() && output.write_all(writing).is_err() {
            let lines = writing.split(|byte| *byte == b'\n').count() - 1;
            self.lost.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        writing.clear();
    }

    fn mention_lost(&self) {
        let lost = self.lost.load(Ordering::Relaxed);
        let lines = lost - self.mentioned.swap(lost, Ordering::Relaxed).min(lost);
        if lines > 0 {
            tracing::warn!(lines, "log lines were lost, because standard error was not read fast enough");
        }
    }
}

impl RequestLog for RequestLines {
    fn write(&self, request: &AnsweredRequest<'_>) {
        let mut waiting = lock(&self.waiting);
        if waiting.lines.len() >= MOST {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = waiting.lines.len();
        waiting.push(request);
        let is_first = before == 0;
        let are_many = before < MANY && waiting.lines.len() >= MANY;
        drop(waiting);
        if is_first || are_many {
            self.arrived.notify_one();
        }
    }

    fn count_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Waiting {
    /// Adds a line as `tracing_subscriber` writes an event in the span of its request.
    fn push(&mut self, request: &AnsweredRequest<'_>) {
        let AnsweredRequest { at, id, method, route, status, took, principal, address } = *request;
        let second = at.as_second();
        if second != self.second || self.time.is_empty() {
            self.second = second;
            let text = at.to_string();
            // Up to the fraction.
            self.time.clear();
            self.time.push_str(text.get(..19).unwrap_or(&text));
        }
        let Self { lines, time, .. } = self;
        // Writing to memory cannot fail.
        let _ = write!(
            lines,
            "{{\"timestamp\":\"{time}.{:06}Z\",\"level\":\"INFO\",\"message\":\"answered\",\"method\":",
            at.subsec_nanosecond() / 1000
        );
        if METHODS.contains(&method) {
            push_string(lines, method);
        } else {
            push_string(lines, &clean(method));
        }
        lines.extend_from_slice(b",\"route\":");
        push_string(lines, route);
        let _ = write!(lines, ",\"status\":{status},\"micros\":{},\"principal\":", took.as_micros());
        push_string(lines, principal);
        if let Some(address) = address {
            let _ = write!(lines, ",\"address\":\"{address}\"");
        }
        let _ = writeln!(lines, ",\"target\":\"{TARGET}\",{}}}", span_of(id.as_str()));
    }
}

/// Returns the members of a line that contain the id of its request.
pub(crate) fn span_of(id: &str) -> String {
    format!("\"span\":{{\"id\":\"{id}\",\"name\":\"request\"}},\"spans\":[{{\"id\":\"{id}\",\"name\":\"request\"}}]")
}

/// Adds a JSON string.
fn push_string(line: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        // A string is always valid JSON, and memory can be written to.
        let _ = serde_json::to_writer(line, text);
    }
}

/// Writes all lines that wait, and waits for a thread that is writing some.
pub(crate) fn flush() {
    if let Some(lines) = STARTED.get() {
        lines.write_waiting(&mut lock(&lines.writing), &mut io::stderr());
    }
}

/// As [`flush`], for a panic. If a thread is writing lines, possibly the one that panics, it is left to that thread.
fn flush_at_panic() {
    let Some(lines) = STARTED.get() else { return };
    if let Ok(mut writing) = lines.writing.try_lock() {
        lines.write_waiting(&mut writing, &mut io::stderr());
    }
}

/// Standard error for the other log lines. What waits is written first.
pub(crate) struct AfterRequestLines;

impl Write for AfterRequestLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(lines) = STARTED.get() else { return CleanStderr.write(line) };
        let mut writing = lock(&lines.writing);
        lines.write_waiting(&mut writing, &mut io::stderr());
        CleanStderr.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        CleanStderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use domain::Timestamp;
    use server::request_log::RequestId;
    use tracing::subscriber::with_default;

    use super::*;

    const ID: &str = "AbCdEfGhIjKlMnOp";

    fn answered(method: &str) -> AnsweredRequest<'_> {
        AnsweredRequest {
            at: Timestamp::new(1_795_796_795, 5_040_000).unwrap(),
            id: RequestId::parse(ID).unwrap(),
            method,
            route: "/api/v1/me",
            status: 200,
            took: Duration::from_micros(93),
            principal: "usr_1",
            address: Some([192, 0, 2, 1].into()),
        }
    }

    fn line(request: &AnsweredRequest<'_>) -> String {
        let lines = RequestLines::default();
        lines.write(request);
        let mut written = Vec::new();
        lines.write_waiting(&mut Vec::new(), &mut written);
        String::from_utf8(written).unwrap()
    }

    struct Output(Sender<Vec<u8>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output that is closed.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_the_same_as_that_of_an_event_in_a_span() {
        let (sender, lines) = channel();
        let output = move || Output(sender.clone());
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(output).finish();
        let subscriber = Arc::new(subscriber);
        for address in [None, Some([192, 0, 2, 1].into())] {
            let request = AnsweredRequest { address, ..answered("GET") };
            with_default(Arc::clone(&subscriber), || {
                tracing::info_span!("request", id = ID).in_scope(|| request.trace());
            });
            let expected = String::from_utf8(lines.recv().unwrap()).unwrap();
            // The event has the time of the test.
            let without_time = |line: &str| line.split_once(',').unwrap().1.to_owned();
            assert_eq!(without_time(&line(&request)), without_time(&expected));
        }
        assert!(line(&answered("GET")).starts_with("{\"timestamp\":\"2026-11-27T16:26:35.005040Z\",\"level\":"));
    }

    #[test]
    fn a_method_that_a_client_invented_is_a_string_without_secrets() {
        let quoted: serde_json::Value = serde_json::from_str(&line(&answered("A\"B\\"))).unwrap();
        assert_eq!(quoted["method"], "A\"B\\");
        let secret = format!("kwt_{}", "a1".repeat(40));
        assert!(!line(&answered(&secret)).contains(&secret));
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_and_all_others_are_complete() {
        let lines = RequestLines::default();
        let length = line(&answered("GET")).len();
        let fitting = MOST.div_ceil(length);
        for _ in 0..fitting + 3 {
            lines.write(&answered("GET"));
        }
        assert_eq!(lines.count_lost(), 3);
        let mut written = Vec::new();
        lines.write_waiting(&mut Vec::new(), &mut written);
        assert_eq!(written.len(), fitting * length);
        lines.write(&answered("GET"));
        assert_eq!(lines.count_lost(), 3);

        lines.write_waiting(&mut Vec::new(), &mut Closed);
        assert_eq!(lines.count_lost(), 4);
    }
}
