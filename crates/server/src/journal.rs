//! What judging notes down without waiting: which keys were used, and which requests were refused. Kept in memory,
//! bounded, and written in batches by `App::write_journal`, at most some seconds late.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use crossbeam_queue::ArrayQueue;
use domain::{ApiKeyId, Timestamp};

use crate::directory::DirectoryKey;

/// Uses that wait to be written at the most. A key notes one a second, so this many keys a batch.
const MAX_USES: usize = 65_536;
/// Kinds of refusal that are told apart at a time; the rest is counted together.
const MAX_REFUSALS: usize = 1024;
/// How often one kind of refusal is written at the most.
const REFUSAL_INTERVAL_SECONDS: i64 = 60;

/// A use of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) key: ApiKeyId,
    pub(crate) at: Timestamp,
    pub(crate) address: Option<IpAddr>,
}

/// What refusals are counted by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RefusalKind {
    /// The key, where one was found.
    pub(crate) key: Option<ApiKeyId>,
    /// Where the request came from; none where too many different ones come.
    pub(crate) address: Option<IpAddr>,
    /// The reason's code.
    pub(crate) code: &'static str,
}

/// Refusals of one kind that were not written yet.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    pub(crate) count: u64,
    /// The reason of the last one, in words.
    pub(crate) reason: String,
    written_at: Option<Timestamp>,
}

/// What waits to be written.
pub(crate) struct Journal {
    uses: ArrayQueue<Use>,
    refusals: Mutex<HashMap<RefusalKind, Refusals>>,
    /// One writes refusals at a time: two would write the same ones, and count them down twice.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { uses: ArrayQueue::new(MAX_USES), refusals: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Notes that a key was used. Takes no lock and no memory; one use a key and second is kept.
    pub(crate) fn note_use(&self, key: &DirectoryKey, now: Timestamp, address: Option<IpAddr>) {
        if key.is_first_use_of(now.as_second()) {
            // Full only when more keys are used within seconds than fit: the oldest use gives way.
            self.uses.force_push(Use { key: key.id, at: now, address });
        }
    }

    /// Notes that a request was refused.
    pub(crate) fn note_refusal(&self, mut kind: RefusalKind, reason: String) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() >= MAX_REFUSALS && !refusals.contains_key(&kind) {
            kind = RefusalKind { key: None, address: None, code: kind.code };
        }
        let refusal = refusals.entry(kind).or_insert(Refusals { count: 0, reason: String::new(), written_at: None });
        refusal.count += 1;
        refusal.reason = reason;
    }

    /// The uses that wait, the latest of each key.
    pub(crate) fn take_uses(&self) -> Vec<Use> {
        let mut latest: HashMap<ApiKeyId, Use> = HashMap::new();
        for _ in 0..self.uses.len() {
            let Some(used) = self.uses.pop() else { break };
            let kept = latest.entry(used.key).or_insert(used);
            if used.at >= kept.at {
                *kept = used;
            }
        }
        latest.into_values().collect()
    }

    /// Puts uses back that could not be written.
    pub(crate) fn return_uses(&self, uses: Vec<Use>) {
        for used in uses {
            if self.uses.push(used).is_err() {
                break;
            }
        }
    }

    /// The refusals that are due: each kind at once when it is new, then once a minute.
    pub(crate) fn due_refusals(&self, now: Timestamp) -> Vec<(RefusalKind, Refusals)> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |refusal: &Refusals| {
            refusal.count > 0
                && refusal.written_at.is_none_or(|at| now.as_second() - at.as_second() >= REFUSAL_INTERVAL_SECONDS)
        };
        refusals.iter().filter(|(_, r)| is_due(r)).map(|(kind, r)| (kind.clone(), r.clone())).collect()
    }

    /// Counts down what was written, and forgets kinds that have been quiet.
    pub(crate) fn refusals_written(&self, written: &[(RefusalKind, Refusals)], now: Timestamp) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, refusal) in written {
            if let Some(kept) = refusals.get_mut(kind) {
                kept.count -= refusal.count;
                kept.written_at = Some(now);
            }
        }
        refusals.retain(|_, refusal| {
            refusal.count > 0
                || refusal.written_at.is_some_and(|at| now.as_second() - at.as_second() < REFUSAL_INTERVAL_SECONDS)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn refuse(journal: &Journal, address: u32, code: &'static str) {
        let address = Some(IpAddr::from(address.to_be_bytes()));
        journal.note_refusal(RefusalKind { key: None, address, code }, "why".into());
    }

    #[test]
    fn a_refusal_is_written_at_once_and_then_once_a_minute_with_its_count() {
        let journal = Journal::new();
        refuse(&journal, 1, "stale");
        let due = journal.due_refusals(at(0));
        assert_eq!(due.len(), 1);
        journal.refusals_written(&due, at(0));
        for _ in 0..1000 {
            refuse(&journal, 1, "stale");
        }
        assert!(journal.due_refusals(at(59)).is_empty());
        let due = journal.due_refusals(at(60));
        assert_eq!(due[0].1.count, 1000);
        journal.refusals_written(&due, at(60));
        journal.refusals_written(&[], at(120));
        assert!(journal.refusals.lock().unwrap().is_empty(), "a quiet kind must be forgotten");
    }

    #[test]
    fn a_flood_from_many_addresses_takes_bounded_memory_and_loses_no_count() {
        let journal = Journal::new();
        for address in 0..10_000 {
            refuse(&journal, address, "unknown_key");
        }
        let due = journal.due_refusals(at(0));
        assert_eq!(due.len(), MAX_REFUSALS + 1);
        assert_eq!(due.iter().map(|(_, r)| r.count).sum::<u64>(), 10_000);
    }
}
