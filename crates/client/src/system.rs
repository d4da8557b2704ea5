//! Traits for time and randomness, and their implementations by the machine. The rest of this crate does not use the
//! machine directly.

use jiff::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Returns the time of the wall clock, which signatures contain.
    fn now(&self) -> Timestamp;
}

/// A source of randomness.
pub trait Random: Send + Sync {
    /// Fills `bytes` from a generator that is suitable for keys.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clock.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place in this crate that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// # Panics
    /// Panics if the operating system provides no randomness, because neither a key nor a nonce can be generated.
    #[expect(clippy::disallowed_methods, reason = "the only place in this crate that draws randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }
}
