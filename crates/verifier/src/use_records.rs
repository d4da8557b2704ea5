//! Records of the use of keys. They are kept in memory, with a limit, until they are written in a batch.

use std::{collections::HashMap, net::IpAddr};

use crossbeam_queue::ArrayQueue;
use domain::{ApiKeyId, Timestamp};

use crate::directory::DirectoryKey;

/// The maximum number of uses in memory. A key adds at most one per second, so a batch can contain this many keys.
const MAX_USES: usize = 65_536;

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

/// The uses that are not written yet.
pub struct UseRecords {
    queue: ArrayQueue<Use>,
}

impl Default for UseRecords {
    fn default() -> Self {
        Self { queue: ArrayQueue::new(MAX_USES) }
    }
}

impl UseRecords {
    /// Records that a key was used. It takes no lock and allocates nothing. One use per key and second is kept.
    pub(crate) fn record_use(&self, key: &DirectoryKey, now: Timestamp, ip_address: Option<IpAddr>) {
        if key.is_first_use_of(now.as_second()) {
            // The queue is full only if more keys are used within seconds than fit. Then the oldest use is removed.
            self.queue.force_push(Use { key: key.id, at: now, ip_address, accepted: true });
        }
    }

    /// Records that a credential was verified with a key for the first time on this node, whether or not it was
    /// accepted.
    pub(crate) fn record_first_verification(&self, key: &DirectoryKey, now: Timestamp) {
        self.queue.force_push(Use { key: key.id, at: now, ip_address: None, accepted: false });
    }

    /// Removes and returns the uses. Of each key, it is the latest accepted one, or else one that was not accepted.
    #[must_use]
    pub fn take(&self) -> Vec<Use> {
        let mut latest: HashMap<ApiKeyId, Use> = HashMap::new();
        for _ in 0..self.queue.len() {
            let Some(used) = self.queue.pop() else { break };
            let kept = latest.entry(used.key).or_insert(used);
            if used.accepted && (!kept.accepted || used.at >= kept.at) {
                *kept = used;
            }
        }
        latest.into_values().collect()
    }

    /// Puts back uses that could not be written.
    pub fn put_back(&self, uses: Vec<Use>) {
        for used in uses {
            if self.queue.push(used).is_err() {
                break;
            }
        }
    }
}
