//! The findings as text and as JSON.

use std::collections::BTreeSet;

use api::LeakedKeyRegistration;
use domain::secret::shown;
use serde::Serialize;

use super::finding::{Finding, Lookup, Scanned, Severity};
use crate::{failure::Outcome, output};

/// The result as JSON.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    findings: Vec<ReportedFinding<'a>>,
    searched: usize,
    skipped_binary: usize,
    skipped_large: usize,
    errors: &'a [String],
}

#[derive(Serialize)]
struct ReportedFinding<'a> {
    rule: &'static str,
    path: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    commit: Option<&'a str>,
    blob: Option<&'a str>,
    format: String,
    fingerprint: Option<&'a str>,
    /// Whether the server was asked about this key.
    asked: bool,
    registration: Option<&'a LeakedKeyRegistration>,
}

impl<'a> ReportedFinding<'a> {
    fn of(finding: &'a Finding) -> Self {
        let (asked, registration) = match &finding.lookup {
            Lookup::NotAsked => (false, None),
            Lookup::Unknown => (true, None),
            Lookup::Registered(known) => (true, Some(known)),
        };
        Self {
            rule: finding.rule(),
            path: &finding.path,
            line: finding.found.line,
            column: finding.found.column,
            end_line: finding.found.end_line,
            commit: finding.commit.as_deref(),
            blob: finding.blob.as_deref(),
            format: finding.format(),
            fingerprint: finding.fingerprint(),
            asked,
            registration,
        }
    }
}

/// Returns the result for programs.
pub(super) fn to_json(scanned: &Scanned) -> Report<'_> {
    Report {
        findings: scanned.findings.iter().map(ReportedFinding::of).collect(),
        searched: scanned.contents,
        skipped_binary: scanned.binary,
        skipped_large: scanned.large,
        errors: &scanned.errors,
    }
}

/// Prints a line for each finding, and what to do next.
pub(super) fn print(scanned: &Scanned, was_asked: bool) -> Outcome {
    for finding in &scanned.findings {
        let place = match (&finding.commit, &finding.blob) {
            (Some(commit), _) => format!(" (in the history, commit {})", short(commit)),
            (None, Some(blob)) => format!(" (in the history, blob {})", short(blob)),
            (None, None) => String::new(),
        };
        let path = shown(&finding.path);
        output::result(format!("{path}:{}{place}: {}", finding.found.line, finding.sentence()))?;
    }
    for error in &scanned.errors {
        output::tell(format!("error: {error}"))?;
    }
    output::note(summary(scanned, was_asked))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Returns a number of things, whose name gets an `s` if there is not exactly one.
fn count_of(number: usize, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

fn summary(scanned: &Scanned, was_asked: bool) -> String {
    let skipped = match (scanned.binary, scanned.large) {
        (0, 0) => String::new(),
        (binary, large) => format!(" ({binary} binary and {large} large ones skipped)"),
    };
    let searched = format!("searched {}{skipped}", count_of(scanned.contents, "file"));
    if scanned.findings.is_empty() {
        return format!("no private keys: {searched}");
    }
    let count = |least: Severity| {
        let found = scanned.findings.iter().filter(|finding| finding.severity() >= least);
        found.map(|finding| finding.fingerprint().unwrap_or(&finding.path)).collect::<BTreeSet<_>>().len()
    };
    let (all, live) = (count(Severity::Note), count(Severity::Error));
    let (keys, places) = (count_of(all, "private key"), count_of(scanned.findings.len(), "place"));
    let next = if live > 0 {
        "revoke each with `keyward keys revoke-leaked FILE`, then remove it from the files; a key in the history stays \
         readable, so revoke it first"
    } else {
        "remove it from the files, and replace it wherever it is accepted; `--allow FINGERPRINT` accepts a key for tests"
    };
    let registered = if was_asked { format!(", {live} registered and not revoked") } else { String::new() };
    format!("{keys} in {places}{registered}: {searched}\nnext: {next}")
}
