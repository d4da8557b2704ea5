//! The rules of a policy, and what they say about a key.

use std::{collections::BTreeSet, fmt};

use jiff::{SignedDuration, Timestamp};

use crate::{ApiKeyId, KeyAlgorithm, limits::KeyLimits, secret::quoted};

/// The maximum number of days in a rule: ten years.
pub const MAX_POLICY_DAYS: u16 = 3650;

/// A value that a rule cannot have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// The number of days is 0 or too large.
    #[error("choose 1 to {MAX_POLICY_DAYS} days")]
    Days,
    /// The list of algorithms is empty, so that no key could be registered.
    #[error("name at least one algorithm, or leave this out to allow all")]
    NoAlgorithm,
    /// It is not an algorithm of keys.
    #[error("{} is not an algorithm of keys; choose among {}", quoted(.0), ALGORITHMS.join(", "))]
    UnknownAlgorithm(String),
}

/// A number of days, from 1 to [`MAX_POLICY_DAYS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Days(u16);

impl Days {
    /// Creates a number of days.
    ///
    /// # Errors
    /// [`PolicyError::Days`] if it is out of range.
    pub fn new(days: u32) -> Result<Self, PolicyError> {
        match u16::try_from(days) {
            Ok(days) if (1..=MAX_POLICY_DAYS).contains(&days) => Ok(Self(days)),
            _ => Err(PolicyError::Days),
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the duration.
    #[must_use]
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.0) * 24)
    }

    fn in_milliseconds(self) -> i64 {
        i64::from(self.0) * 86_400_000
    }
}

/// `1 day`, `90 days`.
impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} day{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// The names of the algorithms, in the order of the bits of [`Algorithms`].
const ALGORITHMS: [&str; 4] = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"];

/// A set of algorithms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Algorithms(u8);

impl Algorithms {
    /// Creates the set of the algorithms with these names, as OpenSSH writes them.
    ///
    /// # Errors
    /// There is none, or one is unknown.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, PolicyError> {
        let mut set = 0;
        for name in names {
            let at = ALGORITHMS.iter().position(|known| *known == name);
            set |= 1 << at.ok_or_else(|| PolicyError::UnknownAlgorithm(name.to_owned()))?;
        }
        if set == 0 { Err(PolicyError::NoAlgorithm) } else { Ok(Self(set)) }
    }

    /// Returns whether it contains the algorithm of a key, of any size.
    #[must_use]
    pub const fn contains(self, algorithm: KeyAlgorithm) -> bool {
        let place = match algorithm {
            KeyAlgorithm::Ed25519 => 0,
            KeyAlgorithm::Rsa { .. } => 1,
            KeyAlgorithm::EcdsaP256 => 2,
            KeyAlgorithm::EcdsaP384 => 3,
        };
        self.0 & 1 << place != 0
    }

    /// Returns the names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ALGORITHMS.into_iter().enumerate().filter(move |(place, _)| self.0 & 1 << place != 0).map(|(_, name)| name)
    }
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}

/// What happens to keys that are not used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UnusedAction {
    /// They are listed.
    Report,
    /// They are disabled.
    Disable,
}

impl UnusedAction {
    /// The names in the API.
    pub const WORDS: &'static [&'static str] = &["report", "disable"];

    /// Returns the name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Disable => "disable",
        }
    }

    /// Returns the action with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Report, Self::Disable].into_iter().find(|action| action.as_str() == name)
    }
}

/// The rule about keys that are not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unused {
    /// After how many days without a request a key is unused.
    pub days: Days,
    /// What then happens.
    pub action: UnusedAction,
}

/// The rules of a policy. The default has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PolicyRules {
    /// The maximum time from the registration of a key to its expiry.
    pub max_key_lifetime: Option<Days>,
    /// Whether a key must have an expiry.
    pub require_expiry: bool,
    /// What happens to keys that are not used.
    pub unused: Option<Unused>,
    /// The algorithms of keys that are allowed.
    pub algorithms: Option<Algorithms>,
    /// Whether a key must be limited to networks.
    pub require_cidrs: bool,
}

/// A rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RuleName {
    /// `max_key_lifetime`
    MaxKeyLifetime,
    /// `require_expiry`
    RequireExpiry,
    /// `unused_days`
    UnusedDays,
    /// `algorithms`
    Algorithms,
    /// `require_cidrs`
    RequireCidrs,
}

impl RuleName {
    /// The names in the API.
    pub const WORDS: &'static [&'static str] =
        &["max_key_lifetime", "require_expiry", "unused_days", "algorithms", "require_cidrs"];

    /// Returns the name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxKeyLifetime => "max_key_lifetime",
            Self::RequireExpiry => "require_expiry",
            Self::UnusedDays => "unused_days",
            Self::Algorithms => "algorithms",
            Self::RequireCidrs => "require_cidrs",
        }
    }
}

/// What the rules are about of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyFacts {
    /// In milliseconds since 1970, because the id of a key contains its registration in milliseconds.
    created: i64,
    expires_at: Option<Timestamp>,
    algorithm: KeyAlgorithm,
    has_networks: bool,
}

impl KeyFacts {
    /// Returns the facts of a key. Its registration is that in its id.
    #[must_use]
    pub fn of(id: ApiKeyId, algorithm: KeyAlgorithm, expires_at: Option<Timestamp>, limits: &KeyLimits) -> Self {
        Self { created: id.created_millisecond(), expires_at, algorithm, has_networks: limits.has_networks() }
    }

    /// Returns whether the key was registered after this time.
    pub(super) fn is_after(&self, time: Timestamp) -> bool {
        self.created > time.as_millisecond()
    }
}

/// A rule that a key violates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViolatedRule {
    /// The rule.
    pub rule: RuleName,
    /// What the key must be like, as a clause: `it must have an expiry`.
    pub must: String,
    /// What to do, as a clause: `send expires_at`.
    pub advice: String,
}

/// Proof that a key is within the rules of a policy. Only [`PolicyRules::check`] creates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WithinPolicy(());

/// The rules that a key violates. There is at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violations {
    max_key_lifetime: Option<Days>,
    /// With that rule, the latest expiry of the key.
    latest_end: Timestamp,
    require_expiry: bool,
    algorithms: Option<Algorithms>,
    require_cidrs: bool,
}

impl Violations {
    /// Returns each rule.
    #[must_use]
    pub fn list(&self) -> Vec<ViolatedRule> {
        let mut list = Vec::new();
        let mut add = |rule, must: String, advice: String| list.push(ViolatedRule { rule, must, advice });
        if let Some(days) = self.max_key_lifetime {
            let must = format!("it must expire within {days} of its registration");
            add(RuleName::MaxKeyLifetime, must, format!("set expires_at to {:.0} or earlier", self.latest_end));
        }
        if self.require_expiry {
            add(RuleName::RequireExpiry, "it must have an expiry".to_owned(), "set expires_at".to_owned());
        }
        if let Some(algorithms) = self.algorithms {
            let must = match algorithms.0 {
                0 => "no algorithm is allowed by the policies of both the workspace and the installation".to_owned(),
                _ => format!("its algorithm must be one of {algorithms}"),
            };
            add(RuleName::Algorithms, must, "use a new key of such an algorithm".to_owned());
        }
        if self.require_cidrs {
            add(RuleName::RequireCidrs, "it must be limited to networks".to_owned(), "set limits.cidrs".to_owned());
        }
        list
    }

    /// Returns the rules.
    #[must_use]
    pub fn rules(&self) -> BTreeSet<RuleName> {
        self.list().into_iter().map(|violated| violated.rule).collect()
    }

    /// Returns the latest expiry that the rules allow, if the expiry of the key violates them.
    #[must_use]
    pub const fn latest_end(&self) -> Option<Timestamp> {
        if self.max_key_lifetime.is_some() { Some(self.latest_end) } else { None }
    }

    /// Returns those of these rules, or `None` if there are none of them.
    #[must_use]
    pub fn only(self, rules: &[RuleName]) -> Option<Self> {
        let has = |rule| rules.contains(&rule);
        let rest = Self {
            max_key_lifetime: self.max_key_lifetime.filter(|_| has(RuleName::MaxKeyLifetime)),
            latest_end: self.latest_end,
            require_expiry: self.require_expiry && has(RuleName::RequireExpiry),
            algorithms: self.algorithms.filter(|_| has(RuleName::Algorithms)),
            require_cidrs: self.require_cidrs && has(RuleName::RequireCidrs),
        };
        (!rest.is_empty()).then_some(rest)
    }

    const fn is_empty(&self) -> bool {
        self.max_key_lifetime.is_none() && !self.require_expiry && self.algorithms.is_none() && !self.require_cidrs
    }
}

/// The list for people, as a clause.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list().into_iter().map(|violated| violated.must).collect::<Vec<_>>().join("; "))
    }
}

impl PolicyRules {
    /// Checks a key. The rule about unused keys is about time, and not about the key.
    ///
    /// # Errors
    /// The rules that it violates.
    pub fn check(&self, key: &KeyFacts) -> Result<WithinPolicy, Violations> {
        let lives_within = |days: &Days| {
            key.expires_at.is_some_and(|end| end.as_millisecond() - key.created <= days.in_milliseconds())
        };
        let max_key_lifetime = self.max_key_lifetime.filter(|days| !lives_within(days));
        let end = max_key_lifetime.map_or(key.created, |days| key.created.saturating_add(days.in_milliseconds()));
        let violations = Violations {
            max_key_lifetime,
            latest_end: Timestamp::from_millisecond(end).unwrap_or(Timestamp::MAX),
            require_expiry: self.require_expiry && key.expires_at.is_none(),
            algorithms: self.algorithms.filter(|algorithms| !algorithms.contains(key.algorithm)),
            require_cidrs: self.require_cidrs && !key.has_networks,
        };
        if violations.is_empty() { Ok(WithinPolicy(())) } else { Err(violations) }
    }

    /// Returns the narrower of each rule.
    #[must_use]
    pub fn narrowest(self, other: Self) -> Self {
        Self {
            max_key_lifetime: either(self.max_key_lifetime, other.max_key_lifetime, Days::min),
            require_expiry: self.require_expiry || other.require_expiry,
            unused: either(self.unused, other.unused, |one, two| {
                let is_first = (one.days, two.action) <= (two.days, one.action);
                if is_first { one } else { two }
            }),
            algorithms: either(self.algorithms, other.algorithms, |one, two| Algorithms(one.0 & two.0)),
            require_cidrs: self.require_cidrs || other.require_cidrs,
        }
    }

    /// Returns the wider of each rule.
    #[must_use]
    pub fn widest(self, other: Self) -> Self {
        let both = |one: Option<Days>, two: Option<Days>| one.zip(two).map(|(one, two)| one.max(two));
        Self {
            max_key_lifetime: both(self.max_key_lifetime, other.max_key_lifetime),
            require_expiry: self.require_expiry && other.require_expiry,
            unused: self
                .unused
                .zip(other.unused)
                .map(|(one, two)| Unused { days: one.days.max(two.days), action: one.action.min(two.action) }),
            algorithms: self.algorithms.zip(other.algorithms).map(|(one, two)| Algorithms(one.0 | two.0)),
            require_cidrs: self.require_cidrs && other.require_cidrs,
        }
    }
}

/// Returns the value that is there, or of both the one that `choose` returns.
fn either<T>(one: Option<T>, two: Option<T>, choose: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, two) {
        (Some(one), Some(two)) => Some(choose(one, two)),
        (one, two) => one.or(two),
    }
}
