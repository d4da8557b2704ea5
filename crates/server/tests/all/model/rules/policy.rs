//! The rules of policies for keys.

use super::{ApiKey, Caller, FORBIDDEN, HOUR, Model, NOT_FOUND, Verdict, Who, require};

const OUTSIDE: (u16, &str) = (409, "outside_policy");

/// What keys must be like. `None` of days is any lifetime.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    pub days: Option<i64>,
    pub expiry: bool,
    pub networks: bool,
}

impl Rules {
    fn lifetime_is_outside(self, key: &ApiKey) -> bool {
        let lives_within = |days| key.expires_at.is_some_and(|end| end - key.created_at <= days * 24 * HOUR);
        self.days.is_some_and(|days| !lives_within(days)) || self.expiry && key.expires_at.is_none()
    }

    fn is_outside(self, key: &ApiKey) -> bool {
        self.lifetime_is_outside(key) || self.networks && key.limits.from_here.is_none()
    }
}

/// All policies that a place ever had, the oldest first, each with when it was set and from when on it applies to the keys
/// that existed.
#[derive(Debug, Default)]
pub struct Policies(Vec<(i64, i64, Rules)>);

impl Policies {
    fn current(&self) -> Rules {
        self.0.last().map_or(Rules::default(), |(.., rules)| *rules)
    }

    /// The rules for keys that existed before the policy with that number, at this time.
    fn for_existing(&self, number: usize, now: i64) -> Rules {
        let (set_at, from, rules) = self.0[number];
        if now >= from {
            return rules;
        }
        // What was in force when it was set, as far as it is not wider.
        let before = if number == 0 { Rules::default() } else { self.for_existing(number - 1, set_at) };
        Rules {
            days: before.days.zip(rules.days).map(|(one, two)| one.max(two)),
            expiry: before.expiry && rules.expiry,
            networks: before.networks && rules.networks,
        }
    }

    fn refuse(&self, key: &ApiKey, now: i64) -> bool {
        let Some(number) = self.0.len().checked_sub(1) else { return false };
        let (set_at, _, rules) = self.0[number];
        let rules = if key.created_at > set_at { rules } else { self.for_existing(number, now) };
        rules.is_outside(key)
    }
}

impl Model {
    /// Returns whether the policy of a workspace, or of the installation, refuses a key now.
    pub fn policy_refuses(&self, place: Option<usize>, key: usize) -> bool {
        self.policies.get(&place).is_some_and(|policies| policies.refuse(&self.keys[key], self.now))
    }

    /// Returns whether a key that the host registers without an expiry and without limits is within the policy.
    pub fn host_may_add_key(&self) -> bool {
        let rules = self.policies.get(&None).map_or(Rules::default(), Policies::current);
        rules == Rules::default()
    }

    /// The narrower rules for a key of this owner.
    fn rules_for(&self, owner: Who) -> Rules {
        let of = |place| self.policies.get(&place).map_or(Rules::default(), Policies::current);
        let all = of(None);
        let Who::Account(account) = owner else { return all };
        let own = of(Some(self.accounts[account].workspace));
        Rules {
            days: all.days.into_iter().chain(own.days).min(),
            expiry: all.expiry || own.expiry,
            networks: all.networks || own.networks,
        }
    }

    pub(super) fn require_new_within_policy(&self, key: &ApiKey) -> Verdict<()> {
        require(!self.rules_for(key.owner).is_outside(key), OUTSIDE)
    }

    /// A successor lives at most as long as the policy allows.
    pub(super) fn end_of_successor(&self, owner: Who, end: Option<i64>) -> Option<i64> {
        let latest = self.rules_for(owner).days.map(|days| self.now + days * 24 * HOUR);
        end.into_iter().chain(latest).min()
    }

    /// A change of a key must not leave the policy, and an expiry is chosen within it where that is possible.
    pub(super) fn require_change_within_policy(&self, key: usize, after: &ApiKey) -> Verdict<()> {
        let (before, rules) = (&self.keys[key], self.rules_for(after.owner));
        let loses_networks = before.limits.from_here.is_some() && after.limits.from_here.is_none();
        require(!(rules.networks && loses_networks), OUTSIDE)?;
        if before.expires_at == after.expires_at || !rules.lifetime_is_outside(after) {
            return Ok(());
        }
        let is_shorter = after.expires_at.is_some_and(|end| before.expires_at.is_none_or(|before| end < before));
        let is_too_old = rules.days.is_some_and(|days| after.created_at + days * 24 * HOUR <= self.now);
        require(is_shorter && is_too_old, OUTSIDE)
    }

    pub fn set_policy(&mut self, caller: Caller, place: Option<usize>, rules: Rules, from: i64) -> Verdict<()> {
        match place {
            None => self.require_operator(caller)?,
            Some(ws) => {
                self.require_signing_admin(caller, ws)?;
                require(matches!(caller.who, Who::User(_)), FORBIDDEN)?;
                require(!self.workspaces[ws].deleted, NOT_FOUND)?;
            }
        }
        let policies = self.policies.entry(place).or_default();
        // A policy without rules leaves nothing of those before.
        if rules == Rules::default() {
            policies.0.clear();
        } else {
            policies.0.push((self.now, from, rules));
        }
        Ok(())
    }
}
