//! A private key that was found, and where.

use api::{KeyState, LeakedKeyRegistration};
use client::{FoundContent, FoundKey, PrivateKey, find_private_keys, is_binary};

use super::Limits;

/// The result of a scan.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) findings: Vec<Finding>,
    /// How many contents were searched.
    pub(super) contents: usize,
    /// How many were skipped because they are no text.
    pub(super) binary: usize,
    /// How many were skipped because they are too large.
    pub(super) large: usize,
    /// What could not be read.
    pub(super) errors: Vec<String>,
}

/// A private key in a place.
pub(super) struct Finding {
    pub(super) path: String,
    /// The blob in the history of the repository, if it was found there.
    pub(super) blob: Option<String>,
    /// A commit that has this blob.
    pub(super) commit: Option<String>,
    pub(super) found: FoundKey,
    pub(super) lookup: Lookup,
}

/// What the server said about a key.
#[derive(Clone)]
pub(super) enum Lookup {
    /// It was not asked.
    NotAsked,
    /// The key was never registered.
    Unknown,
    /// The key is or was registered.
    Registered(LeakedKeyRegistration),
}

/// How urgent a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Severity {
    /// No client can use the key at the server, or at all as it stands.
    Note,
    /// A private key that other systems may accept.
    Warning,
    /// The server accepts the key, or would after it is enabled.
    Error,
}

impl Scanned {
    /// Searches a content, and counts it.
    pub(super) fn search(&mut self, path: &str, blob: Option<&str>, content: &[u8]) {
        if is_binary(content) {
            self.binary += 1;
            return;
        }
        self.contents += 1;
        for found in find_private_keys(content) {
            let blob = blob.map(ToOwned::to_owned);
            self.findings.push(Finding { path: path.to_owned(), blob, commit: None, found, lookup: Lookup::NotAsked });
        }
    }

    /// Returns whether a content is small enough, and otherwise counts it.
    pub(super) fn is_small(&mut self, size: u64, limits: &Limits) -> bool {
        let is_small = size <= limits.max_size;
        self.large += usize::from(!is_small);
        is_small
    }
}

impl Finding {
    /// Returns the key, if it can sign.
    pub(super) fn key(&self) -> Option<&PrivateKey> {
        match &self.found.content {
            FoundContent::Key(key) => Some(key),
            FoundContent::Protected | FoundContent::Unsupported(_) | FoundContent::Damaged => None,
        }
    }

    pub(super) fn fingerprint(&self) -> Option<&str> {
        self.found.fingerprint.as_deref()
    }

    /// Returns the name of the kind of finding, for programs.
    pub(super) fn rule(&self) -> &'static str {
        match &self.found.content {
            FoundContent::Protected => "protected-private-key",
            FoundContent::Unsupported(_) => "unsupported-private-key",
            FoundContent::Damaged => "damaged-private-key",
            FoundContent::Key(_) => match &self.lookup {
                Lookup::Registered(_) => "registered-private-key",
                Lookup::NotAsked | Lookup::Unknown => "private-key",
            },
        }
    }

    pub(super) fn severity(&self) -> Severity {
        match (&self.found.content, &self.lookup) {
            (FoundContent::Damaged, _) => Severity::Note,
            (_, Lookup::Registered(known)) if known.state == KeyState::Revoked => Severity::Note,
            (_, Lookup::Registered(_)) => Severity::Error,
            (_, Lookup::NotAsked | Lookup::Unknown) => Severity::Warning,
        }
    }

    /// Returns the format and the encoding.
    pub(super) fn format(&self) -> String {
        let encoding = if self.found.is_encoded { ", in base64" } else { "" };
        format!("{}{encoding}", self.found.format)
    }

    /// Returns the sentence about the key, without its place. It contains no part of the private key.
    pub(super) fn sentence(&self) -> String {
        let name = self.fingerprint().map_or_else(String::new, |fingerprint| format!(" {fingerprint}"));
        let format = self.format();
        match &self.found.content {
            FoundContent::Protected => {
                format!("private key{name} ({format}), protected by a passphrase: the server was not asked about it")
            }
            FoundContent::Unsupported(kind) => {
                format!("private key ({format}) of a kind that Keyward does not support: {kind}")
            }
            FoundContent::Damaged => format!("parts of a private key ({format}), which cannot be read"),
            FoundContent::Key(_) => match &self.lookup {
                Lookup::NotAsked => format!("private key{name} ({format})"),
                Lookup::Unknown => format!("private key{name} ({format}), not registered at the server"),
                Lookup::Registered(known) => format!(
                    "private key{name} ({format}), registered at the server as {}, the key of {}: {}",
                    known.title,
                    crate::leaked_key::owner(known.owner_kind),
                    crate::api_key::state_name(known.state)
                ),
            },
        }
    }
}
