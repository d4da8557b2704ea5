//! Counters of the use of keys over time: accepted requests, and refused requests by reason.

use std::{fmt, ops::AddAssign, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a request with a registered key was refused, as counted. The precise reason is in the audit log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RefusalReason {
    /// The signature is not by the key. Any client can send the fingerprint of any key.
    BadSignature,
    /// The key was revoked.
    KeyRevoked,
    /// The key has expired.
    KeyExpired,
    /// The key is disabled, or suspended since a restore.
    KeyDisabled,
    /// The key's owner is disabled, suspended since a restore, or a member of no workspace.
    OwnerDisabled,
    /// The request was signed too long ago or in the future, or its bearer token has ended.
    WrongTime,
    /// The nonce was used for another request.
    Replayed,
    /// The host does not accept this type of signature.
    HostNotListed,
    /// The signature violates a rule, or the body is not the signed one.
    Invalid,
    /// No route allows the request.
    Forbidden,
    /// There were too many requests with the key.
    RateLimited,
}

impl RefusalReason {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Self; 11] = [
        Self::BadSignature,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::KeyDisabled,
        Self::OwnerDisabled,
        Self::WrongTime,
        Self::Replayed,
        Self::HostNotListed,
        Self::Invalid,
        Self::Forbidden,
        Self::RateLimited,
    ];

    /// Returns the name in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::KeyRevoked => "key_revoked",
            Self::KeyExpired => "key_expired",
            Self::KeyDisabled => "key_disabled",
            Self::OwnerDisabled => "owner_disabled",
            Self::WrongTime => "wrong_time",
            Self::Replayed => "replayed",
            Self::HostNotListed => "host_not_listed",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
        }
    }

    /// Returns whether the client is known to hold the private key. Without it, anyone can cause such a refusal.
    #[must_use]
    pub const fn is_by_holder(self) -> bool {
        !matches!(self, Self::BadSignature)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Numbers of requests with a key, or with several keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UseCounts {
    /// Accepted requests.
    pub accepted: u64,
    refused: [u64; RefusalReason::ALL.len()],
}

impl UseCounts {
    /// Returns the number of accepted requests, without refusals.
    #[must_use]
    pub const fn accepted(count: u64) -> Self {
        Self { accepted: count, refused: [0; RefusalReason::ALL.len()] }
    }

    /// Returns how many requests were refused for a reason.
    #[must_use]
    pub fn refused_for(&self, reason: RefusalReason) -> u64 {
        self.refused.get(reason.index()).copied().unwrap_or_default()
    }

    /// Adds refused requests.
    pub fn add_refused(&mut self, reason: RefusalReason, count: u64) {
        if let Some(refused) = self.refused.get_mut(reason.index()) {
            *refused = refused.saturating_add(count);
        }
    }

    /// Returns the number of all refused requests.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the number of refused requests whose client is known to hold the private key.
    #[must_use]
    pub fn refused_by_holder(&self) -> u64 {
        self.refusals().filter(|(reason, _)| reason.is_by_holder()).fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Returns the reasons for which requests were refused, with their numbers.
    pub fn refusals(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        RefusalReason::ALL.into_iter().map(|reason| (reason, self.refused_for(reason))).filter(|(_, count)| *count > 0)
    }

    /// Returns whether there were no requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for UseCounts {
    fn add_assign(&mut self, other: Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        for (count, more) in self.refused.iter_mut().zip(other.refused) {
            *count = count.saturating_add(more);
        }
    }
}

/// The length of time that one counter covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UseSpan {
    /// An hour, from its first to its last second in UTC.
    Hour,
    /// A day in UTC.
    Day,
}

impl UseSpan {
    /// Both spans.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// Returns the name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Returns its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// Returns how many counters of a key are kept: those of two days by the hour, and those of 90 days by the day. The
    /// current one is included.
    #[must_use]
    pub const fn kept(self) -> i64 {
        match self {
            Self::Hour => 48,
            Self::Day => 90,
        }
    }

    /// Returns the start of the span that contains a time, or of the one that is `earlier` spans before it.
    #[must_use]
    pub fn start(self, at: Timestamp, earlier: i64) -> Timestamp {
        let span = at.as_second().div_euclid(self.seconds()) - earlier;
        // Out of range only at the end of the calendar.
        Timestamp::from_second(span.saturating_mul(self.seconds())).unwrap_or(Timestamp::MIN)
    }
}

impl FromStr for UseSpan {
    type Err = UnknownUseSpan;

    fn from_str(text: &str) -> Result<Self, UnknownUseSpan> {
        Self::ALL.into_iter().find(|span| span.as_str() == text).ok_or(UnknownUseSpan)
    }
}

/// A text that is not a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a counter covers an `hour` or a `day`")]
pub struct UnknownUseSpan;

/// The period whose use is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum UseWindow {
    /// The last 24 hours, by the hour.
    #[serde(rename = "24h")]
    Day,
    /// The last 7 days.
    #[default]
    #[serde(rename = "7d")]
    Week,
    /// The last 90 days.
    #[serde(rename = "90d")]
    Quarter,
}

impl UseWindow {
    /// All windows, the shortest first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Quarter];

    /// Returns the name in the API and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Quarter => "90d",
        }
    }

    /// Returns the span of its counters.
    #[must_use]
    pub const fn span(self) -> UseSpan {
        match self {
            Self::Day => UseSpan::Hour,
            Self::Week | Self::Quarter => UseSpan::Day,
        }
    }

    /// Returns the number of its counters, including the one of the current hour or day.
    #[must_use]
    pub const fn count(self) -> i64 {
        match self {
            Self::Day => 24,
            Self::Week => 7,
            Self::Quarter => 90,
        }
    }

    /// Returns the starts of its counters at a time, the earliest first.
    #[must_use]
    pub fn starts(self, now: Timestamp) -> impl DoubleEndedIterator<Item = Timestamp> {
        (0..self.count()).rev().map(move |earlier| self.span().start(now, earlier))
    }
}

impl fmt::Display for UseWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for UseWindow {
    type Err = UnknownUseWindow;

    fn from_str(text: &str) -> Result<Self, UnknownUseWindow> {
        Self::ALL.into_iter().find(|window| window.as_str() == text).ok_or(UnknownUseWindow)
    }
}

/// A text that is not a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the window must be one of: 24h, 7d, 90d")]
pub struct UnknownUseWindow;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let mut counts = UseCounts::accepted(2);
        for (reason, count) in RefusalReason::ALL.into_iter().zip(1..) {
            counts.add_refused(reason, count);
        }
        for (reason, count) in RefusalReason::ALL.into_iter().zip(1..) {
            assert_eq!(counts.refused_for(reason), count, "{reason:?}");
        }
        assert_eq!((counts.refused(), counts.refused_by_holder()), (66, 65));
        let names: std::collections::BTreeSet<_> = RefusalReason::ALL.map(RefusalReason::as_str).into();
        assert_eq!(names.len(), RefusalReason::ALL.len());
        counts += counts;
        assert_eq!((counts.accepted, counts.refused()), (4, 132));
    }

    #[test]
    fn a_window_ends_with_the_current_span() {
        let now = at("2026-11-27T12:50:54Z");
        let hours: Vec<_> = UseWindow::Day.starts(now).collect();
        assert_eq!((hours.len(), hours[0], hours[23]), (24, at("2026-11-26T13:00:00Z"), at("2026-11-27T12:00:00Z")));
        let days: Vec<_> = UseWindow::Quarter.starts(now).collect();
        assert_eq!((days.len(), days[0], days[89]), (90, at("2026-08-30T00:00:00Z"), at("2026-11-27T00:00:00Z")));
        for window in UseWindow::ALL {
            assert!(window.count() <= window.span().kept(), "{window}");
            assert_eq!(window.as_str().parse(), Ok(window));
            assert_eq!(serde_json::to_value(window).unwrap(), window.as_str());
        }
        assert_eq!("30d".parse::<UseWindow>(), Err(UnknownUseWindow));
    }

    #[test]
    fn a_span_before_1970_starts_before_its_end() {
        assert_eq!(UseSpan::Hour.start(at("1969-12-31T23:59:59Z"), 0), at("1969-12-31T23:00:00Z"));
    }
}
