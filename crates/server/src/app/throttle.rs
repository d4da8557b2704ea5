//! Limits for guessing passwords: by IP address, by account, and by browser that signed in to the account before. They
//! are in memory, separate on each node, and reset by a restart.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use verifier::network::network_of;

/// The source of an attempt, by which failures are counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Source {
    /// An IP address, if the browser never signed in to the account. For IPv6, it is the /64, which a household usually
    /// has.
    IpAddress(IpAddr),
    /// An account, for attempts from browsers that never signed in to it.
    Account(String),
    /// A browser that signed in to the account before, at any IP address. Attempts of others do not lock its user out.
    Device([u8; 16]),
}

impl Source {
    pub(super) fn of_ip_address(ip_address: IpAddr) -> Self {
        Self::IpAddress(network_of(ip_address))
    }

    /// Returns the allowed number of failures, and the time after which one is forgotten.
    const fn limit(&self) -> (u32, Duration) {
        match self {
            Self::IpAddress(_) => (20, Duration::from_secs(30)),
            Self::Account(_) | Self::Device(_) => (10, Duration::from_mins(1)),
        }
    }
}

/// The maximum number of sources. Above it, those that would expire first are removed.
const MAX_SOURCES: usize = 100_000;

/// For each source, the time since boot at which all its failures expire (GCRA's theoretical arrival time).
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<Source, Duration>>);

impl Throttle {
    /// Counts one attempt for all sources, or for none of them.
    ///
    /// # Errors
    /// The time to wait.
    pub(super) fn take(&self, sources: &[Source], now: Duration) -> Result<(), Duration> {
        let mut forgiven_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if forgiven_at.len() >= MAX_SOURCES {
            forgiven_at.retain(|_, at| *at > now);
        }
        if forgiven_at.len() >= MAX_SOURCES {
            let mut times: Vec<Duration> = forgiven_at.values().copied().collect();
            let (_, &mut median, _) = times.select_nth_unstable(MAX_SOURCES / 2);
            forgiven_at.retain(|_, at| *at > median);
        }
        for source in sources {
            let (burst, interval) = source.limit();
            let at = forgiven_at.get(source).copied().unwrap_or_default().max(now) + interval;
            let wait = at.saturating_sub(now + interval * burst);
            if !wait.is_zero() {
                return Err(wait);
            }
        }
        for source in sources {
            let (_, interval) = source.limit();
            let at = forgiven_at.entry(source.clone()).or_default();
            *at = (*at).max(now) + interval;
        }
        Ok(())
    }

    /// Removes an attempt that was successful.
    pub(super) fn give_back(&self, sources: &[Source]) {
        let mut forgiven_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for source in sources {
            if let Some(at) = forgiven_at.get_mut(source) {
                *at = at.saturating_sub(source.limit().1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_guesses_at_once_and_then_one_a_minute() {
        let throttle = Throttle::default();
        let account = [Source::Account("ada@example.com".to_owned())];
        let start = Duration::from_secs(1000);
        for _ in 0..10 {
            throttle.take(&account, start).unwrap();
        }
        assert_eq!(throttle.take(&account, start), Err(Duration::from_mins(1)));
        assert_eq!(throttle.take(&account, start + Duration::from_secs(59)), Err(Duration::from_secs(1)));
        throttle.take(&account, start + Duration::from_mins(1)).unwrap();
        throttle.take(&[Source::Device([1; 16])], start).unwrap();
    }

    #[test]
    fn successful_attempts_do_not_count() {
        let throttle = Throttle::default();
        let ip_address = [Source::of_ip_address("2001:db8::1".parse().unwrap())];
        for _ in 0..1000 {
            throttle.take(&ip_address, Duration::from_secs(1)).unwrap();
            throttle.give_back(&ip_address);
        }
    }

    #[test]
    fn a_household_is_one_source() {
        let of = |text: &str| Source::of_ip_address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
