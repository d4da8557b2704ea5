//! Records of the use of keys. They are kept in memory, with a limit, until they are written in a batch.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crossbeam_queue::ArrayQueue;
use domain::{
    ApiKeyId, Timestamp,
    key_use::{RefusalReason, UseCounts, UseSpan},
};

use crate::directory::DirectoryKey;

/// The maximum number of uses in memory. A key adds at most two per second, so a batch can contain half this many keys.
const MAX_USES: usize = 65_536;
/// The length of the queue from which only one use per key and minute is recorded. A million keys that are always in use
/// are then 17,000 rows a second, and each key's last use is right to the minute.
const MANY_USES: usize = 256;
const SECONDS_BETWEEN_MANY_USES: i64 = 60;
/// The maximum number of counters in memory: one per key and hour that was used since the last batch. Only keys that
/// exist are counted.
const MAX_COUNTERS: usize = 65_536;

/// A use of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// The key.
    pub key: ApiKeyId,
    /// The time of the use.
    pub at: Timestamp,
    /// The IP address of the client.
    pub ip_address: Option<IpAddr>,
    /// Whether the request was accepted. If not, its signature was valid and it was refused for another reason.
    pub accepted: bool,
}

/// The requests with a key in one hour that are not written yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountedUse {
    /// The key.
    pub key: ApiKeyId,
    /// The start of the hour.
    pub hour: Timestamp,
    /// Their numbers.
    pub counts: UseCounts,
}

impl From<((ApiKeyId, Timestamp), UseCounts)> for CountedUse {
    fn from(((key, hour), counts): ((ApiKeyId, Timestamp), UseCounts)) -> Self {
        Self { key, hour, counts }
    }
}

/// A use in the queue, and its key with the counter. Uses that were put back have none.
struct Queued {
    used: Use,
    /// Whether it only leads to the counter, because the use of that second is recorded already.
    is_for_counter: bool,
    counted: Option<Arc<DirectoryKey>>,
}

type Counters = HashMap<(ApiKeyId, Timestamp), UseCounts>;

/// The uses that are not written yet.
pub struct UseRecords {
    queue: ArrayQueue<Queued>,
    counters: Mutex<Counters>,
}

impl Default for UseRecords {
    fn default() -> Self {
        Self { queue: ArrayQueue::new(MAX_USES), counters: Mutex::default() }
    }
}

impl UseRecords {
    /// Records that a key was used. It takes no lock and allocates nothing. One use per key and second is kept, or one per
    /// key and minute if there are many.
    pub(crate) fn record_use(&self, key: &Arc<DirectoryKey>, now: Timestamp, ip_address: Option<IpAddr>) {
        let second = now.as_second();
        if key.last_recorded_second() >= second {
            return;
        }
        let interval = if self.queue.len() < MANY_USES { 1 } else { SECONDS_BETWEEN_MANY_USES };
        // If the queue is full, the next use of the key is recorded instead.
        if !self.queue.is_full() && key.record_second(second, interval) {
            let used = Use { key: key.id, at: now, ip_address, accepted: true };
            self.push(key, used, false);
        }
    }

    /// Records that a credential was verified with a key for the first time on this node, whether or not it was
    /// accepted.
    pub(crate) fn record_first_verification(&self, key: &Arc<DirectoryKey>, now: Timestamp) {
        self.push(key, Use { key: key.id, at: now, ip_address: None, accepted: false }, false);
    }

    /// Counts a request that is accepted. It takes no lock and allocates nothing.
    pub(crate) fn count_accepted(&self, key: &Arc<DirectoryKey>, now: Timestamp) {
        // The next batch finds the counter by its place in the queue.
        if key.count_accepted() {
            self.push(key, Use { key: key.id, at: now, ip_address: None, accepted: true }, true);
        }
    }

    fn push(&self, key: &Arc<DirectoryKey>, used: Use, is_for_counter: bool) {
        // The queue is full only if more keys are used within seconds than fit. The counter of the key is then written
        // after its next use. That a key was verified is also reported when it is revoked.
        let _ = self.queue.push(Queued { used, is_for_counter, counted: Some(Arc::clone(key)) });
    }

    /// Counts a request with a registered key that is refused.
    pub(crate) fn count_refused(&self, key: ApiKeyId, now: Timestamp, reason: RefusalReason) {
        let mut counts = UseCounts::default();
        counts.add_refused(reason, 1);
        count(&mut self.lock_counters(), key, UseSpan::Hour.start(now, 0), counts);
    }

    fn lock_counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the length of the queue: at least the number of uses that are not taken yet.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Removes and returns the uses. Of each key, it is the latest accepted one, or else one that was not accepted.
    #[must_use]
    pub fn take(&self) -> Vec<Use> {
        self.take_first(self.queue.len())
    }

    /// Removes this many entries from the front of the queue, and returns their uses as [`take`](Self::take) does.
    #[must_use]
    pub fn take_first(&self, entries: usize) -> Vec<Use> {
        let mut latest: HashMap<ApiKeyId, Use> = HashMap::new();
        // The lock is not held while the queue is read, so that no refusal waits for it.
        let mut accepted = Vec::new();
        for _ in 0..entries {
            let Some(Queued { used, is_for_counter, counted }) = self.queue.pop() else { break };
            let requests = counted.map_or(0, |key| key.take_accepted());
            if requests > 0 {
                accepted.push((used.key, used.at, requests));
            }
            if is_for_counter {
                continue;
            }
            let kept = latest.entry(used.key).or_insert(used);
            if used.accepted && (!kept.accepted || used.at >= kept.at) {
                *kept = used;
            }
        }
        let mut counters = self.lock_counters();
        for (key, at, requests) in accepted {
            count(&mut counters, key, UseSpan::Hour.start(at, 0), UseCounts::accepted(requests));
        }
        latest.into_values().collect()
    }

    /// Returns the number of counters that are not taken yet.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.lock_counters().len()
    }

    /// Removes and returns the counters: those of the uses that [`take`](Self::take) returned, and those of refused
    /// requests.
    #[must_use]
    pub fn take_counts(&self) -> Vec<CountedUse> {
        let counters = std::mem::take(&mut *self.lock_counters());
        counters.into_iter().map(CountedUse::from).collect()
    }

    /// Removes and returns at most this many counters.
    #[must_use]
    pub fn take_some_counts(&self, max: usize) -> Vec<CountedUse> {
        self.lock_counters().extract_if(|_, _| true).take(max).map(CountedUse::from).collect()
    }

    /// Returns the number of accepted requests with a key in the hours from that which starts at `first` to that of `last`, of
    /// which the counters are not taken yet. Uses that [`take`](Self::take) has not returned yet are not in them.
    #[must_use]
    pub fn count_untaken(&self, key: ApiKeyId, first: Timestamp, last: Timestamp) -> u64 {
        let counters = self.lock_counters();
        let hours = (0..).map(|earlier| UseSpan::Hour.start(last, earlier)).take_while(|hour| *hour >= first);
        let counts = hours.filter_map(|hour| counters.get(&(key, hour)));
        counts.fold(0, |sum, counts| sum.saturating_add(counts.accepted))
    }

    /// Puts back uses that could not be written.
    pub fn put_back(&self, uses: Vec<Use>) {
        for used in uses {
            if self.queue.push(Queued { used, is_for_counter: false, counted: None }).is_err() {
                break;
            }
        }
    }

    /// Puts back counters that could not be written.
    pub fn put_back_counts(&self, counts: Vec<CountedUse>) {
        let mut counters = self.lock_counters();
        for counted in counts {
            count(&mut counters, counted.key, counted.hour, counted.counts);
        }
    }
}

/// Adds to a counter. A new one is not added above the maximum number.
fn count(counters: &mut Counters, key: ApiKeyId, hour: Timestamp, counts: UseCounts) {
    let is_full = counters.len() >= MAX_COUNTERS;
    match counters.get_mut(&(key, hour)) {
        Some(counter) => *counter += counts,
        None if is_full => {}
        None => {
            counters.insert((key, hour), counts);
        }
    }
}
