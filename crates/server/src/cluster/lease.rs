//! A node's lease: its permission to verify requests, which ends unless the database keeps confirming it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::Clock;
use verifier::outside::Lease;

/// The maximum difference between the wall clock and the clock since boot, in microseconds. Above it, the lease is
/// dropped, because the machine may have been suspended or restored from a snapshot, which the clock since boot does
/// not always show.
const MAX_CLOCK_DRIFT: u64 = 1_000_000;

/// The lease of a running node.
pub struct NodeLease {
    clock: Arc<dyn Clock>,
    /// Microseconds since boot until which it is valid.
    until: AtomicU64,
    /// How far the wall clock was ahead of the clock since boot at the last renewal, in microseconds.
    clock_offset: AtomicI64,
}

/// The clocks just before a renewal was sent. The renewed lease begins then.
#[derive(Clone, Copy, Debug)]
pub(super) struct RenewalStart {
    at: Duration,
    clock_offset: i64,
}

impl NodeLease {
    /// Creates a lease that has ended.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, until: AtomicU64::new(0), clock_offset: AtomicI64::new(0) }
    }

    /// Returns the time at which the next renewal begins.
    pub(super) fn start_renewal(&self) -> RenewalStart {
        RenewalStart { at: self.clock.since_boot(), clock_offset: self.measure_clock_offset() }
    }

    /// Extends the lease by a renewal that has committed.
    pub(super) fn extend(&self, start: RenewalStart, length: Duration) {
        self.clock_offset.store(start.clock_offset, Ordering::Relaxed);
        // Of two concurrent renewals, the one that started first may finish last.
        self.until.fetch_max(micros(start.at + length), Ordering::AcqRel);
    }

    /// Ends the lease.
    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    fn measure_clock_offset(&self) -> i64 {
        let since_boot = micros(self.clock.since_boot()).cast_signed();
        self.clock.now().as_microsecond().saturating_sub(since_boot)
    }
}

impl Lease for NodeLease {
    /// Returns whether the last renewal started less than a lease ago, according to both clocks.
    fn is_held(&self) -> bool {
        let offset = self.measure_clock_offset();
        micros(self.clock.since_boot()) < self.until.load(Ordering::Acquire)
            && offset.abs_diff(self.clock_offset.load(Ordering::Relaxed)) <= MAX_CLOCK_DRIFT
    }
}

/// The lease of a process that is not a node and verifies no requests.
pub struct NoLease;

impl Lease for NoLease {
    fn is_held(&self) -> bool {
        false
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    /// The wall clock and the clock since boot, in seconds.
    #[derive(Default)]
    struct Clocks {
        wall: AtomicI64,
        boot: AtomicU64,
    }

    impl Clocks {
        fn advance(&self, wall: i64, boot: u64) {
            self.wall.fetch_add(wall, Ordering::Relaxed);
            self.boot.fetch_add(boot, Ordering::Relaxed);
        }
    }

    impl Clock for Clocks {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.wall.load(Ordering::Relaxed)).unwrap()
        }

        fn since_boot(&self) -> Duration {
            Duration::from_secs(self.boot.load(Ordering::Relaxed))
        }
    }

    const LENGTH: Duration = Duration::from_secs(10);

    fn lease() -> (Arc<Clocks>, NodeLease) {
        let clocks = Arc::new(Clocks::default());
        clocks.advance(1_767_323_045, 100);
        (Arc::clone(&clocks), NodeLease::new(clocks))
    }

    #[test]
    fn a_lease_runs_from_before_its_renewal_was_sent() {
        let (clocks, lease) = lease();
        assert!(!lease.is_held(), "it was never renewed");
        let start = lease.start_renewal();
        clocks.advance(4, 4);
        lease.extend(start, LENGTH);
        clocks.advance(5, 5);
        assert!(lease.is_held());
        clocks.advance(1, 1);
        assert!(!lease.is_held());
    }

    #[test]
    fn a_renewal_that_started_earlier_does_not_shorten_the_lease() {
        let (clocks, lease) = lease();
        let first = lease.start_renewal();
        clocks.advance(5, 5);
        lease.extend(lease.start_renewal(), LENGTH);
        lease.extend(first, LENGTH);
        clocks.advance(9, 9);
        assert!(lease.is_held());
    }

    #[test]
    fn a_lease_ends_when_the_clocks_part() {
        let (clocks, lease) = lease();
        lease.extend(lease.start_renewal(), LENGTH);
        clocks.advance(2, 1);
        assert!(lease.is_held(), "a second is tolerated");
        clocks.advance(2, 1);
        assert!(!lease.is_held());
        lease.extend(lease.start_renewal(), LENGTH);
        assert!(lease.is_held());
        lease.end();
        assert!(!lease.is_held());
    }
}
