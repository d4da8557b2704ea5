//! What a server counts and times, for Prometheus. Handles are made once; counting is an atomic addition. Which listener
//! they are read from is `http/serve.rs`'s.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use http_signature::Profile;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder as _, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Buckets of durations, in seconds: from a judgement (tens of microseconds) to a change that waits for a lease.
const SECONDS: [f64; 14] =
    [0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

const METADATA: Metadata<'static> = Metadata::new("keyward", Level::INFO, None);

/// What a request showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// A signature of this profile, or one that could not be read as any.
    Signature(Profile),
    /// A bearer token.
    BearerToken,
    /// Something that cannot be read.
    Unreadable,
}

/// What came of judging it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Accepted,
    Refused,
    /// There was no lease.
    Unavailable,
}

impl Shown {
    const ALL: [Self; 4] =
        [Self::Signature(Profile::Native), Self::Signature(Profile::Encord), Self::BearerToken, Self::Unreadable];

    const fn index(self) -> usize {
        match self {
            Self::Signature(Profile::Native) => 0,
            Self::Signature(Profile::Encord) => 1,
            Self::BearerToken => 2,
            Self::Unreadable => 3,
        }
    }

    const fn as_str(self) -> &'static str {
        ["native", "encord", "bearer", "unreadable"][self.index()]
    }

    /// What the headers show, if anything.
    pub(crate) fn in_headers(headers: &HeaderMap) -> Option<Self> {
        // The label is the SDK's own and stands first; anything else is judged as native.
        match headers.get("signature-input").map(HeaderValue::as_bytes) {
            Some(input) if input.starts_with(b"encord-sig=") => Some(Self::Signature(Profile::Encord)),
            Some(_) => Some(Self::Signature(Profile::Native)),
            None if headers.contains_key(header::AUTHORIZATION) => Some(Self::BearerToken),
            None if headers.contains_key("signature") => Some(Self::Unreadable),
            None => None,
        }
    }
}

impl Verdict {
    const ALL: [Self; 3] = [Self::Accepted, Self::Refused, Self::Unavailable];

    const fn index(self) -> usize {
        match self {
            Self::Accepted => 0,
            Self::Refused => 1,
            Self::Unavailable => 2,
        }
    }

    const fn as_str(self) -> &'static str {
        ["accepted", "refused", "unavailable"][self.index()]
    }
}

/// The counters of one server.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    judged: [[Counter; 3]; 4],
    judging_seconds: Histogram,
    answers: [Counter; 5],
    answer_seconds: Histogram,
    change_seconds: Histogram,
    password_checks: Counter,
    directory_keys: Gauge,
    directory_version: Gauge,
    audit_events: Gauge,
    holds_lease: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&SECONDS)?.build_recorder();
        let counter = |name: &'static str, labels: Vec<Label>| {
            recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
        };
        let gauge = |name: &'static str| recorder.register_gauge(&Key::from_static_name(name), &METADATA);
        let histogram = |name: &'static str| recorder.register_histogram(&Key::from_static_name(name), &METADATA);
        describe(&recorder);
        Ok(Self {
            judged: Shown::ALL.map(|shown| {
                Verdict::ALL.map(|verdict| {
                    counter(
                        "keyward_judged_requests_total",
                        vec![Label::new("profile", shown.as_str()), Label::new("verdict", verdict.as_str())],
                    )
                })
            }),
            judging_seconds: histogram("keyward_judging_seconds"),
            answers: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| counter("keyward_answers_total", vec![Label::new("status", class)])),
            answer_seconds: histogram("keyward_answer_seconds"),
            change_seconds: histogram("keyward_change_seconds"),
            password_checks: counter("keyward_password_checks_total", Vec::new()),
            directory_keys: gauge("keyward_directory_keys"),
            directory_version: gauge("keyward_directory_version"),
            audit_events: gauge("keyward_audit_events"),
            holds_lease: gauge("keyward_holds_lease"),
            handle: recorder.handle(),
        })
    }

    /// Counts a judgement.
    pub(crate) fn count_judged(&self, shown: Shown, verdict: Verdict, took: Duration) {
        self.judged[shown.index()][verdict.index()].increment(1);
        self.judging_seconds.record(took.as_secs_f64());
    }

    /// Counts an answer.
    pub(crate) fn count_answer(&self, status: u16, took: Duration) {
        if let Some(counter) = usize::from(status / 100).checked_sub(1).and_then(|class| self.answers.get(class)) {
            counter.increment(1);
        }
        self.answer_seconds.record(took.as_secs_f64());
    }

    /// Times a change, from its begin to its confirmation by all nodes.
    pub(crate) fn time_change(&self, took: Duration) {
        self.change_seconds.record(took.as_secs_f64());
    }

    /// Counts the work of checking a password, which is the same whether there is such a user or not.
    pub(crate) fn count_password_check(&self) {
        self.password_checks.increment(1);
    }

    /// The text that Prometheus reads. What is not counted but is so at the moment is told here.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; these numbers are far below 2^53")]
    pub(crate) fn render(&self, keys: usize, version: u64, audit_events: Option<u64>, holds_lease: bool) -> String {
        self.directory_keys.set(keys as f64);
        self.directory_version.set(version as f64);
        if let Some(events) = audit_events {
            self.audit_events.set(events as f64);
        }
        self.holds_lease.set(f64::from(u8::from(holds_lease)));
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Moves what histograms have gathered into their buckets, so that it does not pile up where nobody reads.
    pub(crate) fn keep_up(&self) {
        self.handle.run_upkeep();
    }
}

fn describe(recorder: &PrometheusRecorder) {
    let counter =
        |name, text: &'static str| recorder.describe_counter(KeyName::from_const_str(name), None, text.into());
    let gauge = |name, text: &'static str| recorder.describe_gauge(KeyName::from_const_str(name), None, text.into());
    let seconds = |name, text: &'static str| {
        recorder.describe_histogram(KeyName::from_const_str(name), Some(Unit::Seconds), text.into());
    };
    counter("keyward_judged_requests_total", "Requests with a credential, by what they showed and what came of it");
    seconds("keyward_judging_seconds", "Time to judge a credential");
    counter("keyward_answers_total", "Answers, by class of status");
    seconds("keyward_answer_seconds", "Time to answer");
    seconds("keyward_change_seconds", "Time of a change, until every node judges by it");
    counter("keyward_password_checks_total", "Passwords that were checked, of users that are there or not");
    gauge("keyward_directory_keys", "Keys in the directory");
    gauge("keyward_directory_version", "Version of the store that the directory shows");
    gauge("keyward_audit_events", "Events in the audit log");
    gauge("keyward_holds_lease", "1 while this node may judge");
}
