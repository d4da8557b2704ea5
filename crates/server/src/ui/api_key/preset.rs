//! When a new key expires: in some days, on a date, or never.

use domain::Timestamp;

use super::row::DAY;
use crate::{AppError, ui::form::end_of_day};

/// A choice on the form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::ui) enum Preset {
    /// At the end of the day after so many days.
    Days(i64),
    /// On the date in the field beside it.
    Date,
    /// Never.
    Never,
}

impl Preset {
    pub(in crate::ui) const ALL: &[Self] = &[Self::Days(30), Self::Days(90), Self::Days(365), Self::Date, Self::Never];

    /// Returns its value in the form.
    pub(in crate::ui) fn value(self) -> String {
        match self {
            Self::Days(days) => days.to_string(),
            Self::Date => "date".to_owned(),
            Self::Never => "never".to_owned(),
        }
    }

    /// Returns its label.
    pub(in crate::ui) fn label(self) -> String {
        match self {
            Self::Days(days) => format!("{days} days"),
            Self::Date => "Date".to_owned(),
            Self::Never => "Never".to_owned(),
        }
    }
}

/// Returns when a key expires, from the choice and the date field of a form. A form without a choice has only the date,
/// which may be empty.
///
/// # Errors
/// The choice is unknown, or its date is missing or malformed.
pub(super) fn expiry(choice: &str, date: &str, now: Timestamp) -> Result<Option<Timestamp>, AppError> {
    if choice.is_empty() {
        return end_of_day("expires", date);
    }
    match Preset::ALL.iter().find(|preset| preset.value() == choice) {
        Some(Preset::Never) => Ok(None),
        Some(Preset::Date) if date.is_empty() => Err(AppError::field("expires", "missing", "choose the last day")),
        Some(Preset::Date) => end_of_day("expires", date),
        Some(Preset::Days(days)) => {
            let last = Timestamp::from_second(now.as_second() + days * DAY).unwrap_or(Timestamp::MAX);
            end_of_day("expires", &last.strftime("%Y-%m-%d").to_string())
        }
        None => Err(AppError::field("expires", "malformed", "choose one of the offered times")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_expires_at_the_end_of_a_day_or_never() {
        let now: Timestamp = "2026-11-27T13:00:00Z".parse().unwrap();
        let told =
            |choice, date| expiry(choice, date, now).ok().map(|at| at.map_or(String::new(), |at| at.to_string()));
        for (choice, date, at) in [
            ("30", "", Some("2026-12-27T23:59:59Z")),
            ("365", "2030-01-01", Some("2027-11-27T23:59:59Z")),
            ("date", "2027-01-31", Some("2027-01-31T23:59:59Z")),
            ("never", "2027-01-31", Some("")),
            ("", "", Some("")),
            ("", "2027-01-31", Some("2027-01-31T23:59:59Z")),
            ("date", "", None),
            ("date", "soon", None),
            ("31", "", None),
        ] {
            assert_eq!(told(choice, date).as_deref(), at, "{choice} {date}");
        }
    }
}
