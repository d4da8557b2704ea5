//! The rules of limits of keys.

use std::collections::BTreeSet;

use super::{Caller, Credential, FORBIDDEN, Model, NOT_FOUND, Owner, Verdict, Who, require};

/// The built-in scopes. Each includes those before it, and 0 is none of them.
pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
pub const MANAGE: u8 = 3;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    pub scope: Option<u8>,
    pub projects: Option<BTreeSet<usize>>,
    pub workspaces: Option<BTreeSet<usize>>,
    /// Whether the networks of the key include the IP address of all clients of the test.
    pub from_here: Option<bool>,
    pub not_before: Option<i64>,
}

impl Limits {
    pub fn allow_use(&self, now: i64) -> bool {
        self.from_here != Some(false) && self.not_before.is_none_or(|start| now >= start)
    }

    pub fn has_places(&self) -> bool {
        self.projects.is_some() || self.workspaces.is_some()
    }

    pub fn reach_workspace(&self, ws: usize) -> bool {
        self.workspaces.as_ref().is_none_or(|workspaces| workspaces.contains(&ws))
    }

    pub fn reach_project(&self, project: usize) -> bool {
        self.projects.as_ref().is_none_or(|projects| projects.contains(&project))
    }

    /// What a key with these limits gives to a key of `owner`, unless it asks for more.
    fn grant(&self, asked: &Self, owner: Who) -> Verdict<Self> {
        let of_user = matches!(owner, Who::User(_));
        let granted = Self {
            scope: asked.scope.or(self.scope),
            projects: asked.projects.clone().or_else(|| self.projects.clone()),
            workspaces: asked.workspaces.clone().or_else(|| self.workspaces.clone().filter(|_| of_user)),
            from_here: asked.from_here.or(self.from_here),
            not_before: asked.not_before,
        };
        require(granted.is_within(self, owner), FORBIDDEN)?;
        Ok(granted)
    }

    /// Returns whether a key of `owner` with these limits may do no more than one with the other limits.
    fn is_within(&self, other: &Self, owner: Who) -> bool {
        fn subset(own: Option<&BTreeSet<usize>>, other: Option<&BTreeSet<usize>>) -> bool {
            match (own, other) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(other)) => own.is_subset(other),
            }
        }
        let scope = other.scope.is_none_or(|other| self.scope.is_some_and(|own| own <= other));
        let network = other.from_here.is_none_or(|other| self.from_here == Some(other));
        let workspaces =
            matches!(owner, Who::Account(_)) || subset(self.workspaces.as_ref(), other.workspaces.as_ref());
        scope && network && workspaces && subset(self.projects.as_ref(), other.projects.as_ref())
    }
}

impl Model {
    pub fn limits(&self, caller: Caller) -> &Limits {
        &self.keys[caller.key].limits
    }

    pub fn require_scope(&self, caller: Caller, scope: u8) -> Verdict<Caller> {
        require(self.limits(caller).scope.is_none_or(|own| own >= scope), FORBIDDEN)?;
        Ok(caller)
    }

    /// Authenticates a request for an operation that needs this scope.
    pub fn admit(&mut self, credential: Credential, scope: u8) -> Verdict<Caller> {
        let caller = self.authenticate(credential)?;
        self.require_scope(caller, scope)
    }

    /// Returns whether the caller is an admin of a workspace that its key reaches.
    pub fn role(&self, caller: Caller, ws: usize) -> Verdict<bool> {
        let role = self.is_admin(caller.who, ws).filter(|_| self.limits(caller).reach_workspace(ws));
        let role = role.ok_or(NOT_FOUND)?;
        require(!self.policy_refuses(Some(ws), caller.key), (403, "outside_policy"))?;
        Ok(role)
    }

    /// Refuses a caller that would let a key with more permissions than its own be used again, or for longer.
    pub fn require_within(&self, caller: Caller, key: usize) -> Verdict<()> {
        let key = &self.keys[key];
        require(key.limits.is_within(self.limits(caller), key.owner), FORBIDDEN)
    }

    pub fn grant_limits(&self, caller: Caller, asked: &Limits, owner: Who) -> Verdict<Limits> {
        self.limits(caller).grant(asked, owner)
    }

    pub fn set_limits(&mut self, caller: Caller, owner: Owner, key: usize, asked: &Limits) -> Verdict<()> {
        let who = self.find_unrevoked(caller, owner, key)?;
        let limits = self.grant_limits(caller, asked, who)?;
        let after = super::ApiKey { limits, ..self.keys[key].clone() };
        self.require_change_within_policy(key, &after)?;
        self.keys[key] = after;
        Ok(())
    }
}
