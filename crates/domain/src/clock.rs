//! Time and randomness as traits, so that tests can control them.

use std::time::Duration;

use jiff::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Returns the time of the wall clock. It is compared with signed times, and never with another node's clock.
    fn now(&self) -> Timestamp;

    /// Returns the time since the machine started, including suspended time (`CLOCK_BOOTTIME`). Leases use it.
    fn since_boot(&self) -> Duration;
}

/// A source of randomness.
pub trait Random: Send + Sync {
    /// Fills `bytes` from a generator that is suitable for keys.
    fn fill(&self, bytes: &mut [u8]);
}
