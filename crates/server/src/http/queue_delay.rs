//! Measures how long ready tasks wait for a thread, and decides which requests are refused while the server is
//! overloaded.
//!
//! While a server is overloaded, all connections with a request wait in the queue of the runtime, and each further one
//! makes all wait longer. Then a share of the requests is answered 503 before anything is verified, which takes a fraction
//! of the time. The share follows the measured delay by a proportional and a derivative term, as in PIE (RFC 8033, section
//! 4.2).

use std::{
    net::IpAddr,
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::Clock as _;
use verifier::rate_limit::{IpAddressAllowances, Rate};

use crate::system::{SystemClock, SystemRandom};

/// The interval between measurements.
const INTERVAL: Duration = Duration::from_millis(20);
/// How much the share of refused requests grows in an interval, for each multiple of the target by which the delay
/// exceeds it. RFC 8033 calls it alpha.
const PROPORTIONAL: f64 = 0.02;
/// How much the share grows for each multiple of the target by which the delay grew. RFC 8033 calls it beta.
const DERIVATIVE: f64 = 0.1;
/// The most that the share grows in an interval. After a pause of the machine, all connections have waited long. If most of
/// them were refused, they would all send nothing for a second or two.
const MAX_GROWTH: f64 = 0.03;
/// The maximum number of intervals for which a measurement counts. A delay above the interval also delays its measurement.
const MAX_INTERVALS: f64 = 5.0;
/// How long all measurements must exceed the target before a request is refused. A burst of new connections, or a machine
/// that was paused, is not an overload. RFC 8033 calls it the burst allowance.
const BURST: Duration = Duration::from_millis(100);
/// Above this share of the target, a response is not delayed for others.
const LONG_SHARE: u32 = 4;
/// All requests, as the share that is refused.
const ALL: u32 = 1 << 16;
/// 2^32 divided by the golden ratio: its multiples are spread evenly.
const STRIDE: u32 = 0x9E37_79B9;
/// How many requests a second from an IP address are answered although the server is overloaded, of those that the
/// others must not crowd out. A burst may contain those of ten seconds.
const ESSENTIAL_PER_SECOND: u32 = 5;

/// Why a request may be answered although the server is overloaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exemption {
    /// It may not: a read, or a request that a proxy asks about. Clients send these by the thousand, and can repeat them.
    None,
    /// It is a change or a page of this client. By these, an administrator revokes a key or finds out what happens.
    Essential(IpAddr),
    /// It is a health check.
    HealthCheck,
}

/// Which requests are refused while the server is overloaded. While it is not, a request reads one number.
pub(crate) struct QueueDelay {
    /// The delay that is kept while the server is overloaded.
    target: Duration,
    /// The last measured delay in microseconds.
    measured: AtomicU32,
    /// The share of requests that is refused, of [`ALL`].
    share: AtomicU32,
    turn: AtomicU32,
    refused: AtomicU64,
    reported_at: AtomicU64,
    essential: LazyLock<IpAddressAllowances>,
}

impl std::fmt::Debug for QueueDelay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("QueueDelay")
            .field("target", &self.target)
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}

impl QueueDelay {
    /// Keeps this delay while the server is overloaded. With zero, all requests wait too long.
    pub(super) fn new(target: Duration) -> Self {
        Self {
            target,
            measured: AtomicU32::new(0),
            share: AtomicU32::new(if target.is_zero() { ALL } else { 0 }),
            turn: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            reported_at: AtomicU64::new(0),
            essential: LazyLock::new(|| IpAddressAllowances::new(&SystemRandom)),
        }
    }

    /// Returns whether requests waited long at the last measurement.
    pub(crate) fn is_long(&self) -> bool {
        let target = u32::try_from(self.target.as_micros()).unwrap_or(u32::MAX);
        self.measured.load(Ordering::Relaxed) > target / LONG_SHARE
    }

    /// Returns after how many seconds a client is to send its request again, if it is refused.
    ///
    /// Half of the clients are to wait twice as long as the others, so that not all return at once.
    pub(crate) fn refuse(&self, exemption: impl FnOnce() -> Exemption) -> Option<u64> {
        let share = self.share.load(Ordering::Relaxed);
        if share == 0 {
            return None;
        }
        let turn = self.turn.fetch_add(STRIDE, Ordering::Relaxed) >> 16;
        if turn >= share || self.is_exempt(SystemClock.since_boot(), exemption()) {
            return None;
        }
        let refused = self.count_and_report();
        Some(1 + refused % 2)
    }

    /// Returns whether a request is answered in any case. Clients are not verified before, so each IP address has a small
    /// number of essential requests.
    fn is_exempt(&self, now: Duration, exemption: Exemption) -> bool {
        match exemption {
            Exemption::None => false,
            Exemption::Essential(client) => Rate::per_second(ESSENTIAL_PER_SECOND)
                .is_some_and(|rate| self.essential.take(client, rate, now).is_ok()),
            Exemption::HealthCheck => true,
        }
    }

    /// Counts a refused request, and returns the count. There are thousands a second, so the log has one line a second about them.
    fn count_and_report(&self) -> u64 {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let now = u64::try_from(SystemClock.since_boot().as_millis()).unwrap_or(u64::MAX);
        let last = self.reported_at.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= 1000
            && self.reported_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            tracing::warn!(
                refused,
                "overloaded: some requests are answered 503 without being verified; `refused` counts them since the start"
            );
        }
        refused
    }

    /// Measures the delay until the future is dropped.
    pub(crate) async fn measure(&self) {
        let mut ticks = match ticks::Ticks::new(INTERVAL) {
            Ok(ticks) => ticks,
            Err(error) => {
                tracing::warn!(%error, "the delay of requests cannot be measured: an overloaded server refuses none");
                return;
            }
        };
        let (mut control, mut last) = (Control::default(), SystemClock.since_boot());
        loop {
            let delay = match ticks.next().await {
                Ok(delay) => delay,
                Err(error) => {
                    tracing::warn!(%error, "the delay of requests is no longer measured: an overloaded server refuses none");
                    self.share.store(0, Ordering::Relaxed);
                    return;
                }
            };
            let now = SystemClock.since_boot();
            let share = control.observe(delay, now.saturating_sub(last), self.target);
            tracing::debug!(?delay, share, "measured the delay of tasks");
            last = now;
            self.measured.store(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
            if !self.target.is_zero() {
                self.share.store(share, Ordering::Relaxed);
            }
        }
    }
}

/// The share of requests that is refused, from one measurement to the next.
#[derive(Debug, Default)]
struct Control {
    share: f64,
    last: Duration,
    /// For how long all measurements have exceeded the target, since the first of them.
    long: Option<Duration>,
}

impl Control {
    /// Returns the share of requests to refuse after a measurement, of [`ALL`].
    fn observe(&mut self, delay: Duration, elapsed: Duration, target: Duration) -> u32 {
        let of_target = |time: Duration| time.as_secs_f64() / target.as_secs_f64().max(f64::MIN_POSITIVE);
        let excess = of_target(delay) - 1.0;
        self.long = (excess > 0.0).then(|| self.long.map_or(Duration::ZERO, |long| long.saturating_add(elapsed)));
        if self.share > 0.0 || self.long.is_some_and(|long| long >= BURST) {
            let intervals = (elapsed.as_secs_f64() / INTERVAL.as_secs_f64()).clamp(1.0, MAX_INTERVALS);
            let change = PROPORTIONAL * excess * intervals + DERIVATIVE * (of_target(delay) - of_target(self.last));
            self.share = (self.share + change.min(MAX_GROWTH * intervals)).clamp(0.0, 1.0);
        }
        self.last = delay;
        // The clients that were refused already are enough.
        if excess < -0.5 {
            self.share /= 2.0;
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and ALL")]
        let share = (self.share * f64::from(ALL)).round() as u32;
        share
    }
}

/// A clock whose ticks arrive as the requests of a connection do: the system reports that a file descriptor is ready, and
/// the task that reads it waits behind the tasks that became ready before. A timer of the runtime would not do. Its task
/// runs before all others.
#[cfg(target_os = "linux")]
mod ticks {
    use std::{fs::File, io, time::Duration};

    use domain::Clock as _;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::{io::AsyncReadExt as _, net::unix::pipe};

    use crate::system::SystemClock;

    pub(super) struct Ticks {
        /// Read as a pipe, which is a file descriptor like it: it becomes readable, and a read does not block.
        timer: pipe::Receiver,
        interval: Duration,
        /// When the last tick was that was read.
        at: Duration,
    }

    impl Ticks {
        pub(super) fn new(interval: Duration) -> io::Result<Self> {
            let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            let every = Timespec::try_from(interval).map_err(io::Error::other)?;
            let at = SystemClock.since_boot();
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: every, it_value: every })?;
            Ok(Self { timer: pipe::Receiver::from_file_unchecked(File::from(timer))?, interval, at })
        }

        /// Returns how long ago the first tick was that has not been read.
        pub(super) async fn next(&mut self) -> io::Result<Duration> {
            let mut ticks = [0; 8];
            self.timer.read_exact(&mut ticks).await?;
            let ticks = u64::from_ne_bytes(ticks);
            let delay = SystemClock.since_boot().saturating_sub(self.at + self.interval);
            self.at += self.interval.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
            Ok(delay)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod ticks {
    use std::{io, time::Duration};

    use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

    pub(super) struct Ticks(Interval);

    impl Ticks {
        pub(super) fn new(every: Duration) -> io::Result<Self> {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            Ok(Self(ticks))
        }

        pub(super) async fn next(&mut self) -> io::Result<Duration> {
            let due = self.0.tick().await;
            // The timer's task runs before others, so it waits behind them once.
            tokio::task::yield_now().await;
            Ok(Instant::now().saturating_duration_since(due))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(25);

    fn queue_that_refuses(share: u32) -> QueueDelay {
        let queue = QueueDelay::new(TARGET);
        queue.share.store(share, Ordering::Relaxed);
        queue
    }

    /// Returns the share after each of these delays in milliseconds, in percent.
    fn shares(control: &mut Control, delays: &[u64]) -> Vec<u32> {
        let observe = |millis: &u64| {
            let delay = Duration::from_millis(*millis);
            control.observe(delay, delay.max(INTERVAL), TARGET) * 100 / ALL
        };
        delays.iter().map(observe).collect()
    }

    #[test]
    fn a_burst_or_a_pause_refuses_nothing() {
        let mut control = Control::default();
        assert_eq!(shares(&mut control, &[0, 80, 20, 0, 5000, 20, 10, 24, 60, 20]), [0; 10]);
        assert_eq!(shares(&mut control, &[60, 90, 20, 60, 40, 40, 20]), [0; 7], "less than 100 ms in a row");
    }

    #[test]
    fn after_a_pause_few_requests_are_refused() {
        let mut control = Control::default();
        let refused = shares(&mut control, &[0, 400, 380, 300, 200, 100, 50, 20, 5]);
        assert!(refused.iter().all(|percent| *percent <= 45), "{refused:?}");
        assert_eq!(refused.last(), Some(&0));
        let lasting = shares(&mut Control::default(), &[200; 12]);
        assert_eq!(lasting.last(), Some(&100), "{lasting:?}");
    }

    #[test]
    fn a_lasting_overload_refuses_more_until_the_delay_is_the_target() {
        let mut control = Control::default();
        assert_eq!(shares(&mut control, &[60, 60]), [0, 0], "it may be a burst");
        let rising = shares(&mut control, &[60, 60, 60, 60, 60, 60]);
        assert!(rising[0] > 0, "{rising:?}");
        assert!(rising.windows(2).all(|pair| pair[0] < pair[1]), "{rising:?}");
        let steady = shares(&mut control, &[25; 5]);
        assert_eq!(steady, [steady[0]; 5], "the share stays at the target");
        let gone = shares(&mut control, &[0; 100]);
        assert_eq!(gone.last(), Some(&0));
        assert_eq!(shares(&mut control, &[60, 0]), [0, 0], "the next burst is answered again");
    }

    #[test]
    fn a_share_of_the_requests_is_refused_evenly() {
        for (share, expected) in [(0, 0), (ALL / 10, 100), (ALL / 2, 500), (ALL, 1000)] {
            let queue = queue_that_refuses(share);
            let refused = (0..1000).filter(|_| queue.refuse(|| Exemption::None).is_some()).count();
            assert!(refused.abs_diff(expected) <= 2, "{refused} of 1000 for {share}");
        }
    }

    #[test]
    fn health_checks_and_a_few_essential_requests_of_a_client_pass() {
        let queue = queue_that_refuses(ALL);
        let passed = |exemption| (0..100).filter(|_| queue.is_exempt(Duration::from_hours(1), exemption)).count();
        assert_eq!(passed(Exemption::Essential([192, 0, 2, 1].into())), 50);
        assert_eq!(passed(Exemption::Essential([192, 0, 2, 2].into())), 50, "another client has its own");
        assert_eq!(passed(Exemption::None), 0);
        assert_eq!(passed(Exemption::HealthCheck), 100);
    }

    #[tokio::test]
    async fn the_delay_is_that_of_a_task_that_waits_behind_others() {
        let mut ticks = ticks::Ticks::new(Duration::from_millis(1)).unwrap();
        ticks.next().await.unwrap();
        let busy = tokio::spawn(async {
            // The only thread of the runtime, for longer than an interval.
            let began = SystemClock.since_boot();
            while SystemClock.since_boot().saturating_sub(began) < Duration::from_millis(20) {}
        });
        busy.await.unwrap();
        let delay = ticks.next().await.unwrap();
        assert!(delay >= Duration::from_millis(15), "{delay:?}");
    }
}
