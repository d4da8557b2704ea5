//! Time and chance, which come in from outside so that tests can hold them still.

use std::time::Duration;

use jiff::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The wall clock. Compared with what clients sign, never with another node's.
    fn now(&self) -> Timestamp;

    /// Time since the machine started, suspended time included (`CLOCK_BOOTTIME`). Leases run on it.
    fn since_boot(&self) -> Duration;
}

/// Where randomness comes from.
pub trait Random: Send + Sync {
    /// Fills `bytes` from a generator that is fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}
