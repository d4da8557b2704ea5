//! The form of rules in the database.

use std::{fmt, str::FromStr};

use super::rules::{Algorithms, Days, PolicyRules, RuleName, Unused, UnusedAction};

/// A text that is not the form of rules in the database.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a rule of a policy that this release knows")]
pub struct StoredRulesError(String);

/// Writes the form in the database: `max_key_lifetime=90;require_expiry=true`. Without rules, it is empty.
impl fmt::Display for PolicyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_key_lifetime, require_expiry, unused, algorithms, require_cidrs } = self;
        let rules = [
            (RuleName::MaxKeyLifetime, max_key_lifetime.map(|days| days.get().to_string())),
            (RuleName::RequireExpiry, require_expiry.then(|| true.to_string())),
            (RuleName::UnusedDays, unused.map(|unused| format!("{},{}", unused.days.get(), unused.action.as_str()))),
            (RuleName::Algorithms, algorithms.map(|algorithms| algorithms.names().collect::<Vec<_>>().join(","))),
            (RuleName::RequireCidrs, require_cidrs.then(|| true.to_string())),
        ];
        let rules = rules.into_iter().filter_map(|(name, value)| Some(format!("{}={}", name.as_str(), value?)));
        f.write_str(&rules.collect::<Vec<_>>().join(";"))
    }
}

/// Reads the form in the database. A rule that this release does not know is an error, so that no key is accepted with
/// fewer rules than there are.
impl FromStr for PolicyRules {
    type Err = StoredRulesError;

    fn from_str(text: &str) -> Result<Self, StoredRulesError> {
        let mut rules = Self::default();
        for field in text.split(';').filter(|_| !text.is_empty()) {
            let error = || StoredRulesError(field.to_owned());
            let days = |text: &str| text.parse().ok().and_then(|days| Days::new(days).ok()).ok_or_else(error);
            match field.split_once('=').ok_or_else(error)? {
                ("max_key_lifetime", value) if rules.max_key_lifetime.is_none() => {
                    rules.max_key_lifetime = Some(days(value)?);
                }
                ("require_expiry", "true") if !rules.require_expiry => rules.require_expiry = true,
                ("unused_days", value) if rules.unused.is_none() => {
                    let (number, action) = value.split_once(',').ok_or_else(error)?;
                    let action = UnusedAction::from_name(action).ok_or_else(error)?;
                    rules.unused = Some(Unused { days: days(number)?, action });
                }
                ("algorithms", value) if rules.algorithms.is_none() => {
                    rules.algorithms = Some(Algorithms::of(value.split(',')).map_err(|_| error())?);
                }
                ("require_cidrs", "true") if !rules.require_cidrs => rules.require_cidrs = true,
                _ => return Err(error()),
            }
        }
        Ok(rules)
    }
}
