//! A stopped clock and a counting generator.

use std::sync::atomic::{AtomicU8, Ordering};

use client::{Clock, Random};
use jiff::Timestamp;

/// A clock that always returns this time in Unix seconds.
pub(crate) struct StillClock(pub(crate) i64);

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap()
    }
}

/// Fills with 1, then with 2, and so on.
#[derive(Default)]
pub(crate) struct CountingRandom(AtomicU8);

impl Random for CountingRandom {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(1 + self.0.fetch_add(1, Ordering::Relaxed));
    }
}
