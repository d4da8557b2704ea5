//! The metrics of a server, for Prometheus. Handles are created once, and counting is an atomic addition.
//! `http/serve.rs` determines the listener for them.

use std::time::Duration;

use http_signature::Profile;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder as _, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use store::CommitCounts;
use verifier::outside::{CredentialType, Observer, Outcome};

/// Buckets of durations, in seconds: from a verification (tens of microseconds) to a change that waits for a lease.
const SECONDS: [f64; 14] =
    [0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

const METADATA: Metadata<'static> = Metadata::new("keyward", Level::INFO, None);

const CREDENTIALS: [CredentialType; 4] = [
    CredentialType::Signature(Profile::Native),
    CredentialType::Signature(Profile::Encord),
    CredentialType::BearerToken,
    CredentialType::Unreadable,
];

const OUTCOMES: [Outcome; 3] = [Outcome::Accepted, Outcome::Refused, Outcome::Unavailable];

/// Returns the index of a credential in [`CREDENTIALS`], and its label.
const fn credential_label(credential: CredentialType) -> (usize, &'static str) {
    match credential {
        CredentialType::Signature(Profile::Native) => (0, "native"),
        CredentialType::Signature(Profile::Encord) => (1, "encord"),
        CredentialType::BearerToken => (2, "bearer"),
        CredentialType::Unreadable => (3, "unreadable"),
    }
}

/// Returns the index of an outcome in [`OUTCOMES`], and its label.
const fn outcome_label(outcome: Outcome) -> (usize, &'static str) {
    match outcome {
        Outcome::Accepted => (0, "accepted"),
        Outcome::Refused => (1, "refused"),
        Outcome::Unavailable => (2, "unavailable"),
    }
}

/// The counters of one server.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    verifications: [[Counter; 3]; 4],
    verification_seconds: Histogram,
    answers: [Counter; 5],
    answer_seconds: Histogram,
    overloaded: Counter,
    change_seconds: Histogram,
    changes: Counter,
    change_commits: Counter,
    changes_waiting: Gauge,
    password_checks: Counter,
    directory_keys: Gauge,
    directory_version: Gauge,
    audit_events: Gauge,
    holds_lease: Gauge,
    lost_log_lines: Counter,
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
            verifications: CREDENTIALS.map(|credential| {
                OUTCOMES.map(|outcome| {
                    counter(
                        "keyward_verifications_total",
                        vec![
                            Label::new("profile", credential_label(credential).1),
                            Label::new("outcome", outcome_label(outcome).1),
                        ],
                    )
                })
            }),
            verification_seconds: histogram("keyward_verification_seconds"),
            answers: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| counter("keyward_answers_total", vec![Label::new("status", class)])),
            answer_seconds: histogram("keyward_answer_seconds"),
            overloaded: counter("keyward_overloaded_total", Vec::new()),
            change_seconds: histogram("keyward_change_seconds"),
            changes: counter("keyward_changes_total", Vec::new()),
            change_commits: counter("keyward_change_commits_total", Vec::new()),
            changes_waiting: gauge("keyward_changes_waiting"),
            password_checks: counter("keyward_password_checks_total", Vec::new()),
            directory_keys: gauge("keyward_directory_keys"),
            directory_version: gauge("keyward_directory_version"),
            audit_events: gauge("keyward_audit_events"),
            holds_lease: gauge("keyward_holds_lease"),
            lost_log_lines: counter("keyward_lost_log_lines_total", Vec::new()),
            handle: recorder.handle(),
        })
    }

    /// Counts a response.
    pub(crate) fn count_answer(&self, status: u16, took: Duration) {
        self.count_status(status);
        self.answer_seconds.record(took.as_secs_f64());
    }

    /// Counts a request that was refused because the server is overloaded. It took no time that says anything about
    /// others.
    pub(crate) fn count_overloaded(&self, status: u16) {
        self.count_status(status);
        self.overloaded.increment(1);
    }

    fn count_status(&self, status: u16) {
        if let Some(counter) = usize::from(status / 100).checked_sub(1).and_then(|class| self.answers.get(class)) {
            counter.increment(1);
        }
    }

    /// Records the duration of a change, from its beginning until all nodes have confirmed it.
    pub(crate) fn time_change(&self, took: Duration) {
        self.change_seconds.record(took.as_secs_f64());
    }

    /// Counts a password check. It is also counted if the user does not exist.
    pub(crate) fn count_password_check(&self) {
        self.password_checks.increment(1);
    }

    /// Returns the text for Prometheus. The arguments are current values that are not counted.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; these numbers are far below 2^53")]
    pub(crate) fn render(
        &self,
        keys: usize,
        version: u64,
        audit_events: Option<u64>,
        holds_lease: bool,
        lost_lines: u64,
        committed: CommitCounts,
    ) -> String {
        self.directory_keys.set(keys as f64);
        self.directory_version.set(version as f64);
        if let Some(events) = audit_events {
            self.audit_events.set(events as f64);
        }
        self.holds_lease.set(f64::from(u8::from(holds_lease)));
        self.lost_log_lines.absolute(lost_lines);
        self.changes.absolute(committed.changes);
        self.change_commits.absolute(committed.commits);
        self.changes_waiting.set(committed.waiting as f64);
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Moves the values of histograms into their buckets, so that memory does not grow if the metrics are not read.
    pub(crate) fn drain_histograms(&self) {
        self.handle.run_upkeep();
    }
}

impl Observer for Metrics {
    fn observe_verification(&self, credential: CredentialType, outcome: Outcome, duration: Duration) {
        self.verifications[credential_label(credential).0][outcome_label(outcome).0].increment(1);
        self.verification_seconds.record(duration.as_secs_f64());
    }
}

fn describe(recorder: &PrometheusRecorder) {
    let counter =
        |name, text: &'static str| recorder.describe_counter(KeyName::from_const_str(name), None, text.into());
    let gauge = |name, text: &'static str| recorder.describe_gauge(KeyName::from_const_str(name), None, text.into());
    let seconds = |name, text: &'static str| {
        recorder.describe_histogram(KeyName::from_const_str(name), Some(Unit::Seconds), text.into());
    };
    counter("keyward_verifications_total", "Requests with a credential, by credential and outcome");
    seconds("keyward_verification_seconds", "Time to verify a credential");
    counter("keyward_answers_total", "Responses, by status class");
    seconds("keyward_answer_seconds", "Time to respond");
    seconds("keyward_change_seconds", "Time of a change, until every node has applied it");
    counter("keyward_changes_total", "Changes that were committed");
    counter("keyward_change_commits_total", "Commits of changes: several changes may share one");
    counter("keyward_password_checks_total", "Password checks, for existing and unknown users");
    counter("keyward_overloaded_total", "Requests that were refused because the server was overloaded");
    counter("keyward_lost_log_lines_total", "Log lines of answered requests that were lost");
    gauge("keyward_changes_waiting", "Changes that wait for other changes of this node");
    gauge("keyward_directory_keys", "Keys in the directory");
    gauge("keyward_directory_version", "Version of the database that the directory has applied");
    gauge("keyward_audit_events", "Events in the audit log");
    gauge("keyward_holds_lease", "1 while this node may verify requests");
}
