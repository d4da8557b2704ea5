//! Parsing of a key's expiry.

use std::{str::FromStr, time::Duration};

use client::{Clock as _, SystemClock};
use domain::Timestamp;

/// An expiry, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    Never,
    At(Timestamp),
    In(Duration),
}

impl Expiry {
    /// Returns the time of the expiry. A span begins now.
    pub(crate) fn end(self) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(end) => Some(end),
            // Spans end long before the maximum time.
            Self::In(span) => SystemClock.now().checked_add(span).ok(),
        }
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "`{text}` is not an expiry date: write a time such as 2027-01-31T12:00:00Z, a span such as 12h, 90d \
                 or 8w, or `never`"
            )
        };
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(end) = text.parse() {
            return Ok(Self::At(end));
        }
        parse_span(text, &[HOURS, DAYS, WEEKS]).map(Self::In).ok_or_else(malformed)
    }
}

/// The letter of a unit, and its seconds.
type Unit = (char, u64);
const SECONDS: Unit = ('s', 1);
const HOURS: Unit = ('h', 3600);
const DAYS: Unit = ('d', 86_400);
const WEEKS: Unit = ('w', 7 * 86_400);

/// Parses a number of at most four digits, which is not 0, and a unit. Minutes and months are ambiguous, so neither is a unit.
fn parse_span(text: &str, units: &[Unit]) -> Option<Duration> {
    let unit = text.chars().last()?;
    let (_, seconds) = units.iter().find(|(letter, _)| *letter == unit)?;
    // Four digits of weeks are two centuries.
    let digits = &text[..text.len() - 1];
    let number: u16 = digits.chars().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
    (1..=9999).contains(&number).then(|| Duration::from_secs(u64::from(number) * seconds))
}

/// A span of time, which may be empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span(Duration);

impl Span {
    /// Returns its length.
    pub(crate) const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = if text == "0" { Some(Duration::ZERO) } else { parse_span(text, &[SECONDS, HOURS, DAYS, WEEKS]) };
        span.map(Self).ok_or_else(|| format!("`{text}` is not a span: write 0, or a span such as 30s, 12h, 7d or 2w"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_span_or_never() {
        assert_eq!("never".parse(), Ok(Expiry::Never));
        assert_eq!("12h".parse(), Ok(Expiry::In(Duration::from_hours(12))));
        assert_eq!("8w".parse(), Ok(Expiry::In(Duration::from_hours(8 * 7 * 24))));
        let Ok(Expiry::At(end)) = "2027-01-31T12:00:00+02:00".parse() else { panic!("a time") };
        assert_eq!(end.to_string(), "2027-01-31T10:00:00Z");
    }

    #[test]
    fn a_span_may_be_empty_or_have_seconds() {
        let parse = |text: &str| text.parse::<Span>().map(Span::duration);
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("2w"), Ok(Duration::from_hours(2 * 7 * 24)));
        for text in ["", "s", "0s", "00", "-1d", "1.5h", "30m", "7", "never", "99999d", "+1h", "1é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ambiguous_expiries_are_refused() {
        for text in
            ["", "90", "d", "0d", "-1d", "1.5h", "2027-01-31", "2027-01-31T12:00:00", "1y", "30m", "99999d", "1é"]
        {
            let refused = text.parse::<Expiry>().expect_err(text);
            assert!(refused.contains("90d"), "{refused}");
        }
    }
}
