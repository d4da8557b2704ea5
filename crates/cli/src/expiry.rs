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
        let unit = text.chars().last().ok_or_else(malformed)?;
        let seconds = match unit {
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err(malformed()),
        };
        // Four digits of weeks are two centuries.
        let number: u16 = text[..text.len() - 1].parse().map_err(|_| malformed())?;
        if number == 0 || number > 9999 {
            return Err(malformed());
        }
        Ok(Self::In(Duration::from_secs(u64::from(number) * seconds)))
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
    fn ambiguous_expiries_are_refused() {
        for text in
            ["", "90", "d", "0d", "-1d", "1.5h", "2027-01-31", "2027-01-31T12:00:00", "1y", "30m", "99999d", "1é"]
        {
            let refused = text.parse::<Expiry>().expect_err(text);
            assert!(refused.contains("90d"), "{refused}");
        }
    }
}
