//! `keyward scan`: finds private keys in files, in the index and in the history of a git repository, and asks the server
//! which of them are registered.

mod finding;
mod git;
mod report;
mod sarif;
mod tree;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use self::finding::{Finding, Lookup, Scanned};
use crate::{
    failure::{Failure, Outcome},
    leaked_key::LeakedKeyClient,
    output,
    remote::RemoteArguments,
};

/// Find private keys in files and in git, and ask the server which of them are registered
///
/// Finds keys in the formats of OpenSSH, PEM (PKCS#1, PKCS#8, SEC 1), DER, PuTTY and JWK: in text of any kind, also quoted,
/// escaped or in base64. Binary files, large files and symbolic links are skipped. The question to the server is signed with
/// each key that was found, so that nobody learns about keys that they do not hold. Private keys are neither printed nor sent.
///
/// Exit status: 0 no private key, 1 private keys were found, 2 an error.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["paths", "git", "staged"])), after_help = "\
Examples:
  keyward scan . --url https://keys.example.com
  keyward scan --git --sarif > keyward.sarif              the history, too; for CI
  keyward scan --staged --offline                         before a commit")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Scan {
    /// Files and directories
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A git repository: its files, and everything in its history [default path: the current directory]
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = ".")]
    git: Option<PathBuf>,
    /// What would be committed: the changes in the index of the git repository in the current directory
    #[arg(long)]
    staged: bool,
    /// Do not ask the server
    #[arg(long)]
    offline: bool,
    /// Skip what begins with this path, such as `tests/keys`; may be repeated
    #[arg(long, value_name = "PATH")]
    exclude: Vec<String>,
    /// Do not report the key with this fingerprint, such as a key for tests; may be repeated
    #[arg(long, value_name = "FINGERPRINT")]
    allow: Vec<String>,
    /// Skip files that are larger than this number of bytes
    #[arg(long, value_name = "BYTES", default_value_t = 10_000_000)]
    max_size: u64,
    /// Print the findings as JSON
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// Print the findings as SARIF 2.1.0, for CI
    #[arg(long)]
    sarif: bool,
    #[command(flatten)]
    server: RemoteArguments,
}

/// Which contents are scanned.
struct Limits {
    max_size: u64,
    exclude: Vec<String>,
}

impl Limits {
    /// Returns whether a path, relative to the root of the scan, is excluded.
    fn excludes(&self, path: &str) -> bool {
        let path = path.strip_prefix("./").unwrap_or(path);
        let is_below = |prefix: &String| {
            let prefix = prefix.strip_prefix("./").unwrap_or(prefix).trim_end_matches('/');
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.exclude.iter().any(is_below)
    }
}

impl Scan {
    pub(crate) async fn run(self) -> Outcome {
        match self.scan().await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Failure::Printed),
            Err(failure) => Err(Failure::Incomplete(Box::new(failure))),
        }
    }

    /// Returns whether private keys were found.
    async fn scan(&self) -> Outcome<bool> {
        // Before the scan, which may take long.
        let server = if self.offline { None } else { Some(LeakedKeyClient::new(&self.server).map_err(offline_hint)?) };
        let limits = Limits { max_size: self.max_size, exclude: self.exclude.clone() };
        let mut scanned = Scanned::default();
        for path in &self.paths {
            tree::scan(path, Path::new("."), &limits, &mut scanned);
        }
        if let Some(repository) = &self.git {
            git::scan_repository(repository, &limits, &mut scanned)?;
        }
        if self.staged {
            git::scan_index(&limits, &mut scanned)?;
        }
        scanned.findings.retain(|finding| finding.fingerprint().is_none_or(|own| !self.allow.iter().any(|a| a == own)));
        let asked = match &server {
            Some(server) => ask(server, &mut scanned.findings).await,
            None => Ok(()),
        };
        if self.sarif {
            output::json(&sarif::to_log(&scanned))?;
        } else if self.json {
            output::json(&report::to_json(&scanned))?;
        } else {
            report::print(&scanned, server.is_some())?;
        }
        asked?;
        match scanned.errors.as_slice() {
            [] => Ok(!scanned.findings.is_empty()),
            [first, rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(", and {} more errors", rest.len()) };
                Err(Failure::new(format!("the scan is incomplete: {first}{more}")))
            }
        }
    }
}

fn offline_hint(failure: Failure) -> Failure {
    let told = format!("{failure}; or pass `--offline` to ask no server");
    failure.retold(told)
}

/// Asks the server about each key once.
async fn ask(server: &LeakedKeyClient, findings: &mut [Finding]) -> Outcome {
    let mut answers: BTreeMap<String, Lookup> = BTreeMap::new();
    for finding in findings {
        let Some(key) = finding.key() else { continue };
        let fingerprint = key.fingerprint();
        if !answers.contains_key(&fingerprint) {
            let answer = server.find(key).await?;
            answers.insert(fingerprint.clone(), answer.registration.map_or(Lookup::Unknown, Lookup::Registered));
        }
        if let Some(answer) = answers.get(&fingerprint) {
            finding.lookup = answer.clone();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excluded_path_is_a_file_or_a_directory() {
        let limits = Limits { max_size: 1, exclude: vec!["tests/keys/".to_owned(), "./a.pem".to_owned()] };
        for path in ["tests/keys", "tests/keys/rsa", "./tests/keys/deep/er", "a.pem"] {
            assert!(limits.excludes(path), "{path}");
        }
        for path in ["tests/keys2", "tests", "b/a.pem", "a.pem2", ""] {
            assert!(!limits.excludes(path), "{path}");
        }
    }
}
