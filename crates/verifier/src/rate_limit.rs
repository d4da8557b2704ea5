//! Rate limits: exact ones by key, and ones by IP address in a fixed amount of memory. They use no locks.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use domain::Random;

const NANOS: u64 = 1_000_000_000;
/// A burst may contain the requests of this number of seconds.
const BURST_SECONDS: u64 = 10;
/// The number of counters in a row of the table. Two IP addresses share an allowance only if they share a counter in
/// both rows. Of 1000 addresses at a time, this affects one in four thousand.
const ROW: usize = 1 << 16;

/// How many requests a second are verified. A burst may contain those of ten seconds. 0 means no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// From one IP address, whether their credentials are valid or not. For IPv6, its /64 counts.
    pub per_address: u32,
    /// By one key.
    pub per_key: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { per_address: 1000, per_key: 1000 }
    }
}

/// A number of requests a second, with bursts of ten seconds.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Nanoseconds of one request.
    interval: u64,
    /// Nanoseconds of a burst.
    burst: u64,
}

impl Rate {
    /// Creates a rate with this number of requests a second. Returns `None` for 0, which is no limit.
    #[must_use]
    pub fn per_second(requests: u32) -> Option<Self> {
        let interval = NANOS / u64::from(NonZeroU32::new(requests)?.get());
        Some(Self { interval, burst: interval * u64::from(requests) * BURST_SECONDS })
    }

    /// Returns the time until which requests are used up after this one, if `taken_until` is at most the burst ahead of
    /// `now`. Otherwise returns how long to wait.
    fn admit(self, taken_until: u64, now: u64) -> Result<u64, RetryAfter> {
        let until = taken_until.max(now) + self.interval;
        match (until - now).checked_sub(self.burst) {
            None | Some(0) => Ok(until),
            Some(wait) => Err(RetryAfter(wait.div_ceil(NANOS))),
        }
    }
}

/// There are too many requests. Contains the seconds after which to retry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryAfter(pub u64);

fn nanos(since_boot: Duration) -> u64 {
    u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// The allowance of a key: the time until which its requests have used up their share (GCRA).
#[derive(Debug, Default)]
pub struct Allowance(AtomicU64);

impl Allowance {
    /// Takes one request from it.
    ///
    /// # Errors
    /// The rate is exceeded.
    pub fn take(&self, rate: Rate, since_boot: Duration) -> Result<(), RetryAfter> {
        let now = nanos(since_boot);
        let mut taken_until = self.0.load(Ordering::Relaxed);
        loop {
            let until = rate.admit(taken_until, now)?;
            match self.0.compare_exchange_weak(taken_until, until, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => taken_until = other,
            }
        }
    }
}

/// The allowances of all IP addresses, in two rows of counters. Of an address's two counters the lower one applies, so
/// that another address affects it only if it shares both.
pub struct IpAddressAllowances {
    counters: Box<[AtomicU64]>,
    /// Secret, so that a client cannot choose an address that shares counters with another one.
    seed: [u8; 16],
}

impl IpAddressAllowances {
    /// Creates unused allowances.
    #[must_use]
    pub fn new(random: &dyn Random) -> Self {
        let mut seed = [0; 16];
        random.fill(&mut seed);
        Self { counters: (0..2 * ROW).map(|_| AtomicU64::new(0)).collect(), seed }
    }

    /// Takes one request from the allowance of an IP address. For IPv6, its /64 counts, which usually is one customer.
    ///
    /// # Errors
    /// The rate is exceeded.
    pub fn take(&self, ip_address: IpAddr, rate: Rate, since_boot: Duration) -> Result<(), RetryAfter> {
        let now = nanos(since_boot);
        let [first, second] = self.counters_of(ip_address);
        let (Some(first), Some(second)) = (self.counters.get(first), self.counters.get(second)) else { return Ok(()) };
        loop {
            let (one, other) = (first.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
            let (emptier, fuller, taken_until) =
                if one <= other { (first, second, one) } else { (second, first, other) };
            let until = rate.admit(taken_until, now)?;
            if emptier.compare_exchange_weak(taken_until, until, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                fuller.fetch_max(until, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    fn counters_of(&self, ip_address: IpAddr) -> [usize; 2] {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.seed);
        match ip_address {
            IpAddr::V4(ip_address) => ip_address.hash(&mut hasher),
            IpAddr::V6(ip_address) => hasher.write_u128(ip_address.to_bits() >> 64),
        }
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        [usize::from(u16::from_le_bytes([a, b])), ROW + usize::from(u16::from_le_bytes([c, d]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn at(millis: u64) -> Duration {
        Duration::from_hours(1) + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_of_ten_seconds_passes_and_then_the_rate_applies() {
        let rate = Rate::per_second(5).unwrap();
        let allowance = Allowance::default();
        for request in 0..50 {
            assert_eq!(allowance.take(rate, at(0)), Ok(()), "{request}");
        }
        assert_eq!(allowance.take(rate, at(0)), Err(RetryAfter(1)));
        assert_eq!(allowance.take(rate, at(199)), Err(RetryAfter(1)));
        assert_eq!(allowance.take(rate, at(200)), Ok(()));
        assert_eq!(allowance.take(rate, at(200)), Err(RetryAfter(1)));
        for request in 0..50 {
            assert_eq!(allowance.take(rate, at(60_000)), Ok(()), "a quiet minute fills it: {request}");
        }
        assert!(allowance.take(rate, at(60_000)).is_err());
        assert!(Rate::per_second(0).is_none());
    }

    #[test]
    fn a_busy_address_does_not_limit_other_addresses() {
        let allowances = IpAddressAllowances::new(&Zeros);
        let rate = Rate::per_second(1).unwrap();
        let busy = IpAddr::from([10, 0, 0, 1]);
        let admitted = (0..1000).filter(|_| allowances.take(busy, rate, at(0)).is_ok()).count();
        assert_eq!(admitted, 10);
        let others = (0..5000_u32)
            .filter(|n| allowances.take(IpAddr::from((0x0b00_0000 + n).to_be_bytes()), rate, at(0)).is_ok());
        assert_eq!(others.count(), 5000);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let allowances = IpAddressAllowances::new(&Zeros);
        let rate = Rate::per_second(1).unwrap();
        let admitted = (0..100_u128)
            .filter(|n| {
                let ip_address = IpAddr::from((0x2001_0db8_u128 << 96 | n).to_be_bytes());
                allowances.take(ip_address, rate, at(0)).is_ok()
            })
            .count();
        assert_eq!(admitted, 10);
    }

    #[test]
    fn concurrent_requests_do_not_exceed_the_rate() {
        let allowances = IpAddressAllowances::new(&Zeros);
        let rate = Rate::per_second(100).unwrap();
        let ip_address = IpAddr::from([10, 0, 0, 1]);
        let admitted: usize = std::thread::scope(|scope| {
            let ask = || (0..1000).filter(|_| allowances.take(ip_address, rate, at(0)).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // Two threads that read the counters in another order may each take the same time.
        assert!((1000..1010).contains(&admitted), "{admitted}");
    }
}
