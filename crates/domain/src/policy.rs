//! Policy for keys: rules that an operator sets for the installation, and an admin for a workspace. Of both, the narrower
//! rule applies.
//!
//! A key that is registered must be within the policy. A key that existed when the policy was set is refused from a later
//! date on, so that no key stops working by surprise.

mod rules;
mod stored;

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

pub use self::{
    rules::{
        Algorithms, Days, KeyFacts, MAX_POLICY_DAYS, PolicyError, PolicyRules, RuleName, Unused, UnusedAction,
        ViolatedRule, Violations, WithinPolicy,
    },
    stored::StoredRulesError,
};
use crate::WorkspaceId;

/// The number of days from setting a policy to the date from which it refuses existing keys, unless another date is
/// chosen.
pub const GRACE_DAYS: i64 = 30;
/// The maximum number of days from setting a policy to that date.
pub const MAX_GRACE_DAYS: i64 = 366;

/// What a policy is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PolicyPlace {
    /// Every key.
    Installation,
    /// The keys of the workspace's service accounts, and what the keys of its members reach in it.
    Workspace(WorkspaceId),
}

impl PolicyPlace {
    /// Returns the workspace.
    #[must_use]
    pub const fn workspace(self) -> Option<WorkspaceId> {
        match self {
            Self::Installation => None,
            Self::Workspace(workspace) => Some(workspace),
        }
    }
}

impl fmt::Display for PolicyPlace {
    /// Writes the place for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installation => "this installation",
            Self::Workspace(_) => "this workspace",
        })
    }
}

/// A date that a policy cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("choose a date from now on, at most {MAX_GRACE_DAYS} days ahead")]
pub struct EnforcementDateError;

/// The policy of a place: its rules, and the date from which they apply to the keys that existed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyPolicy {
    rules: PolicyRules,
    /// The rules for the keys that existed when the policy was set, until `enforced_from`. They are not narrower than
    /// `rules`.
    before: PolicyRules,
    set_at: Timestamp,
    enforced_from: Timestamp,
}

impl KeyPolicy {
    /// Creates the policy that replaces another one at `now`. A rule that is wider than before applies at once. Where a
    /// rule is narrower, the rule before applies to existing keys until `enforced_from`, or for [`GRACE_DAYS`].
    ///
    /// # Errors
    /// [`EnforcementDateError`] if the date is past or too far ahead.
    pub fn replace(
        previous: Option<&Self>,
        rules: PolicyRules,
        now: Timestamp,
        enforced_from: Option<Timestamp>,
    ) -> Result<Self, EnforcementDateError> {
        let in_days = |days: i64| now.checked_add(SignedDuration::from_hours(days * 24)).unwrap_or(Timestamp::MAX);
        let enforced_from = enforced_from.unwrap_or_else(|| in_days(GRACE_DAYS));
        if enforced_from < now || enforced_from > in_days(MAX_GRACE_DAYS) {
            return Err(EnforcementDateError);
        }
        let in_force = match previous {
            None => PolicyRules::default(),
            Some(previous) if now >= previous.enforced_from => previous.rules,
            Some(previous) => previous.before,
        };
        Ok(Self { rules, before: in_force.widest(rules), set_at: now, enforced_from })
    }

    /// Creates a policy from its parts, as the database has them.
    #[must_use]
    pub const fn from_parts(
        rules: PolicyRules,
        before: PolicyRules,
        set_at: Timestamp,
        enforced_from: Timestamp,
    ) -> Self {
        Self { rules, before, set_at, enforced_from }
    }

    /// Returns the rules for new keys.
    #[must_use]
    pub const fn rules(&self) -> PolicyRules {
        self.rules
    }

    /// Returns the rules for existing keys until the date.
    #[must_use]
    pub const fn before(&self) -> PolicyRules {
        self.before
    }

    /// Returns when it was set.
    #[must_use]
    pub const fn set_at(&self) -> Timestamp {
        self.set_at
    }

    /// Returns the date from which the rules apply to keys that existed when the policy was set.
    #[must_use]
    pub const fn enforced_from(&self) -> Timestamp {
        self.enforced_from
    }

    /// Returns whether it has no rules, so that it need not be kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules == PolicyRules::default()
    }

    /// Returns the rules that decide about a key at `now`.
    #[must_use]
    pub fn rules_of(&self, key: &KeyFacts, now: Timestamp) -> PolicyRules {
        if now >= self.enforced_from || key.is_after(self.set_at) { self.rules } else { self.before }
    }

    /// Returns what a key violates, and from when on it is refused because of this. The time may be past.
    #[must_use]
    pub fn find_violations(&self, key: &KeyFacts) -> Option<(Violations, Timestamp)> {
        let Err(violations) = self.rules.check(key) else { return None };
        let is_refused_before = key.is_after(self.set_at) || self.before.check(key).is_err();
        Some((violations, if is_refused_before { self.set_at } else { self.enforced_from }))
    }
}

/// A key that a policy refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutsidePolicy {
    /// Where.
    pub place: PolicyPlace,
    /// The rules.
    pub violations: Violations,
}

impl fmt::Display for OutsidePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this key is outside the policy of {}: {}", self.place, self.violations)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Policies {
    installation: Option<KeyPolicy>,
    workspaces: BTreeMap<WorkspaceId, KeyPolicy>,
}

/// All policies. A clone shares them. Without any policy, a check is one comparison.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyPolicies(Option<Arc<Policies>>);

impl KeyPolicies {
    /// Returns whether there is no policy.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Adds, replaces or removes the policy of a place.
    pub fn set(&mut self, place: PolicyPlace, policy: Option<KeyPolicy>) {
        if self.0.is_none() && policy.is_none() {
            return;
        }
        let policies = Arc::make_mut(self.0.get_or_insert_default());
        match (place, policy) {
            (PolicyPlace::Installation, policy) => policies.installation = policy,
            (PolicyPlace::Workspace(workspace), Some(policy)) => {
                policies.workspaces.insert(workspace, policy);
            }
            (PolicyPlace::Workspace(workspace), None) => {
                policies.workspaces.remove(&workspace);
            }
        }
        if policies.installation.is_none() && policies.workspaces.is_empty() {
            self.0 = None;
        }
    }

    /// Returns the policy of a place.
    #[must_use]
    pub fn find(&self, place: PolicyPlace) -> Option<&KeyPolicy> {
        let policies = self.0.as_ref()?;
        match place {
            PolicyPlace::Installation => policies.installation.as_ref(),
            PolicyPlace::Workspace(workspace) => policies.workspaces.get(&workspace),
        }
    }

    /// Returns the places that have a policy.
    pub fn places(&self) -> impl Iterator<Item = (PolicyPlace, &KeyPolicy)> {
        let policies = self.0.iter();
        policies.flat_map(|policies| {
            let workspaces = policies.workspaces.iter().map(|(id, policy)| (PolicyPlace::Workspace(*id), policy));
            policies.installation.iter().map(|policy| (PolicyPlace::Installation, policy)).chain(workspaces)
        })
    }

    /// Returns the narrower rules of the installation and of a workspace, for new keys.
    #[must_use]
    pub fn rules_in(&self, place: PolicyPlace) -> PolicyRules {
        let rules = |place| self.find(place).map(KeyPolicy::rules).unwrap_or_default();
        rules(PolicyPlace::Installation).narrowest(rules(place))
    }
}
