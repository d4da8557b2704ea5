//! The machine's clock and randomness. No other code uses them directly.

use std::time::Duration;

use domain::{Clock, Random, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = clock_gettime(ClockId::Realtime);
        let nanos = i32::try_from(time.tv_nsec).unwrap_or(0);
        // A clock before 1677 or after 9999 is set to the limit. Every signature is then outside its window.
        Timestamp::new(time.tv_sec, nanos).unwrap_or(Timestamp::MAX)
    }

    fn since_boot(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// The machine's random number generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// # Panics
    /// Panics if the machine has no randomness, because a key service must not continue without it.
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "this is where randomness comes in")]
        getrandom::fill(bytes).expect("the operating system must provide randomness");
    }
}
