//! Records of which keys were used. They are kept in memory, bounded, until they are taken to be written in a batch.

use std::{collections::HashMap, net::IpAddr};

use crossbeam_queue::ArrayQueue;
use domain::{ApiKeyId, Timestamp};

use crate::directory::DirectoryKey;

/// Maximum number of uses that are kept. A key adds one per second, so a batch can hold this many keys.
const MAX_USES: usize = 65_536;

/// A use of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// The key.
    pub key: ApiKeyId,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub ip_address: Option<IpAddr>,
    /// Whether the request was accepted; if not, its signature verified and it was refused for another reason.
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
    /// Records that a key was used. Takes no lock and allocates nothing; one use per key and second is kept.
    pub(crate) fn record_use(&self, key: &DirectoryKey, now: Timestamp, ip_address: Option<IpAddr>) {
        if key.is_first_use_of(now.as_second()) {
            // Full only when more keys are used within seconds than fit: the oldest use is dropped.
            self.queue.force_push(Use { key: key.id, at: now, ip_address, accepted: true });
        }
    }

    /// Records that a credential verified under a key for the first time on this node, whether or not it was accepted.
    pub(crate) fn record_first_verification(&self, key: &DirectoryKey, now: Timestamp) {
        self.queue.force_push(Use { key: key.id, at: now, ip_address: None, accepted: false });
    }

    /// Takes the uses, of each key the latest accepted one, else one that was not accepted.
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

    /// Puts uses back that could not be written.
    pub fn put_back(&self, uses: Vec<Use>) {
        for used in uses {
            if self.queue.push(used).is_err() {
                break;
            }
        }
    }
}
