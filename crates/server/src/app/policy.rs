//! Policies for keys: reading and setting them, and the check of a key that is registered or changed.

mod unused;

use std::sync::Arc;

use domain::{
    AuditAction, Timestamp, WorkspaceId,
    api_key::ApiKey,
    limits::KeywardScope,
    policy::{
        Algorithms, Days, KeyFacts, KeyPolicies, KeyPolicy, OutsidePolicy, PolicyPlace, PolicyRules, RuleName, Unused,
        UnusedAction, WithinPolicy,
    },
    principal::WorkspacePermission,
};
use store::{Connection, node::Feature};

use super::{App, Audited, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction, node::require_known};
use crate::error::AppError;

impl Audited for KeyPolicy {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.rules().fields();
        fields.push(("enforced_from", self.enforced_from().to_string()));
        fields
    }
}

impl Audited for PolicyRules {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { max_key_lifetime, require_expiry, unused, algorithms, require_cidrs } = self;
        let days = |days: Option<Days>| days.map_or_else(String::new, |days| days.get().to_string());
        vec![
            ("max_key_lifetime", days(*max_key_lifetime)),
            ("require_expiry", require_expiry.to_string()),
            ("unused_days", days(unused.map(|unused| unused.days))),
            ("unused_action", unused.map_or_else(String::new, |unused| unused.action.as_str().to_owned())),
            ("algorithms", algorithms.map_or_else(String::new, |algorithms| algorithms.to_string())),
            ("require_cidrs", require_cidrs.to_string()),
        ]
    }
}

fn rules_to_wire(rules: &PolicyRules) -> api::PolicyRules {
    api::PolicyRules {
        max_key_lifetime: rules.max_key_lifetime.map(|days| days.get().into()),
        require_expiry: rules.require_expiry,
        unused_days: rules.unused.map(|unused| unused.days.get().into()),
        unused_action: rules.unused.map(|unused| unused.action.as_str().to_owned()),
        algorithms: rules.algorithms.map(|algorithms| algorithms.names().map(str::to_owned).collect()),
        require_cidrs: rules.require_cidrs,
    }
}

fn to_wire(policies: &KeyPolicies, place: PolicyPlace) -> api::KeyPolicy {
    let policy = policies.find(place);
    api::KeyPolicy {
        rules: rules_to_wire(&policy.map(KeyPolicy::rules).unwrap_or_default()),
        effective: rules_to_wire(&policies.rules_in(place)),
        set_at: policy.map(KeyPolicy::set_at),
        enforced_from: policy.map(KeyPolicy::enforced_from),
    }
}

fn parse_rules(rules: &api::PolicyRules) -> Result<PolicyRules, AppError> {
    let api::PolicyRules { max_key_lifetime, require_expiry, unused_days, unused_action, algorithms, require_cidrs } =
        rules;
    let days = |field: &str, days: Option<u32>| {
        let days = days.map(Days::new).transpose();
        days.map_err(|error| AppError::field(&format!("rules.{field}"), "out_of_range", error))
    };
    let action = match unused_action.as_deref() {
        None => UnusedAction::Report,
        Some(_) if unused_days.is_none() => {
            return Err(AppError::field("rules.unused_action", "malformed", "set unused_days, too"));
        }
        Some(name) => UnusedAction::from_name(name)
            .ok_or_else(|| AppError::field("rules.unused_action", "malformed", "choose one of report, disable"))?,
    };
    let algorithms = algorithms.as_ref().map(|names| Algorithms::of(names.iter().map(String::as_str))).transpose();
    Ok(PolicyRules {
        max_key_lifetime: days("max_key_lifetime", *max_key_lifetime)?,
        require_expiry: *require_expiry,
        unused: days("unused_days", *unused_days)?.map(|days| Unused { days, action }),
        algorithms: algorithms.map_err(|error| AppError::field("rules.algorithms", "malformed", error))?,
        require_cidrs: *require_cidrs,
    })
}

pub(super) async fn find_policies(connection: &mut Connection, place: PolicyPlace) -> Result<KeyPolicies, AppError> {
    let workspaces: Vec<WorkspaceId> = place.workspace().into_iter().collect();
    Ok(store::policy::find_policies(connection, &workspaces).await?)
}

/// Returns what policies are about of a key.
pub(super) fn facts_of(key: &ApiKey) -> KeyFacts {
    KeyFacts::of(key.id, key.public_key.algorithm(), key.expires_at, &key.limits)
}

/// The policy for the keys of an owner that are registered or changed: of a service account, that of its workspace and that of
/// the installation. The policy of a workspace decides only what the key of a user reaches, and not whether it exists.
pub(super) struct PolicyOfOwner {
    place: PolicyPlace,
    rules: PolicyRules,
}

impl PolicyOfOwner {
    /// Reads the policy for the keys of the service accounts of this workspace, or else of users.
    pub(super) async fn find(connection: &mut Connection, workspace: Option<WorkspaceId>) -> Result<Self, AppError> {
        let place = workspace.map_or(PolicyPlace::Installation, PolicyPlace::Workspace);
        Ok(Self { place, rules: find_policies(connection, place).await?.rules_in(place) })
    }

    /// Returns the expiry of a successor: at most as late as the policy allows for a key that is registered `now`.
    pub(super) fn expiry_of_successor(&self, expires_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let Some(days) = self.rules.max_key_lifetime else { return expires_at };
        let latest = now.checked_add(days.duration()).unwrap_or(Timestamp::MAX);
        Some(expires_at.map_or(latest, |end| end.min(latest)))
    }

    /// Checks a new key.
    ///
    /// # Errors
    /// It is outside the policy.
    pub(super) fn check_new(&self, key: &ApiKey) -> Result<WithinPolicy, AppError> {
        self.rules
            .check(&facts_of(key))
            .map_err(|violations| AppError::OutsidePolicy(OutsidePolicy { place: self.place, violations }))
    }

    /// Checks the rules that a change of a key is about. A key that is outside the policy may be changed towards it, and in
    /// what the policy is not about.
    ///
    /// # Errors
    /// The change leaves the policy, or an expiry is chosen that is outside, while one within is possible.
    pub(super) fn check_change(&self, before: &ApiKey, after: &ApiKey, now: Timestamp) -> Result<(), AppError> {
        let Err(violations) = self.rules.check(&facts_of(after)) else { return Ok(()) };
        let mut changed = Vec::new();
        let is_shorter = after.expires_at.is_some_and(|end| before.expires_at.is_none_or(|before| end < before));
        let is_possible = violations.latest_end().is_none_or(|latest| latest > now);
        if before.expires_at != after.expires_at && (!is_shorter || is_possible) {
            changed.extend([RuleName::MaxKeyLifetime, RuleName::RequireExpiry]);
        }
        if before.limits.has_networks() {
            changed.push(RuleName::RequireCidrs);
        }
        match violations.only(&changed) {
            None => Ok(()),
            Some(violations) => Err(AppError::OutsidePolicy(OutsidePolicy { place: self.place, violations })),
        }
    }
}

impl App {
    /// Returns the policy of a workspace, for its members.
    ///
    /// # Errors
    /// The caller is not a member.
    pub async fn find_workspace_policy(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
    ) -> Result<api::KeyPolicy, AppError> {
        caller.principal.authorize(WorkspacePermission::View, workspace)?;
        let mut connection = self.store.read().await?;
        store::workspace::find_workspace(&mut connection, workspace).await?.ok_or(AppError::not_found())?;
        let place = PolicyPlace::Workspace(workspace);
        Ok(to_wire(&find_policies(&mut connection, place).await?, place))
    }

    /// Returns the policy of the installation, for operators.
    ///
    /// # Errors
    /// The caller is not an operator.
    pub async fn find_installation_policy(&self, caller: &Caller) -> Result<api::KeyPolicy, AppError> {
        caller.principal.authorize_operator()?;
        let place = PolicyPlace::Installation;
        Ok(to_wire(&find_policies(&mut *self.store.read().await?, place).await?, place))
    }

    /// Sets a policy. After this has returned, no node accepts a key that the policy refuses already.
    ///
    /// # Errors
    /// The caller may not do this, or a rule or the date is invalid. A node of an earlier release, which would not apply the
    /// policy, is running.
    pub async fn set_policy(
        self: &Arc<Self>,
        caller: &Caller,
        place: PolicyPlace,
        set: api::SetKeyPolicy,
    ) -> Result<Confirmed<api::KeyPolicy>, ChangeError> {
        self.change(caller, SetPolicy { place, set }).await
    }
}

struct SetPolicy {
    place: PolicyPlace,
    set: api::SetKeyPolicy,
}

/// A policy that can be set.
struct CheckedPolicy {
    before: KeyPolicies,
    policy: KeyPolicy,
}

impl Operation for SetPolicy {
    type Checked = CheckedPolicy;
    type Response = api::KeyPolicy;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<CheckedPolicy, AppError> {
        match self.place {
            PolicyPlace::Installation => _ = scope.principal.authorize_operator()?,
            PolicyPlace::Workspace(workspace) => {
                _ = scope.principal.authorize_policy(workspace)?;
                store::workspace::find_workspace(scope.connection, workspace).await?.ok_or(AppError::not_found())?;
            }
        }
        let rules = parse_rules(&self.set.rules)?;
        let before = find_policies(scope.connection, self.place).await?;
        let policy = KeyPolicy::replace(before.find(self.place), rules, scope.now, self.set.enforced_from)
            .map_err(|error| AppError::field("enforced_from", "out_of_range", error))?;
        if !policy.is_empty() {
            require_known(scope.connection, Feature::KeyPolicies).await?;
        }
        Ok(CheckedPolicy { before, policy })
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        CheckedPolicy { before, policy }: CheckedPolicy,
    ) -> Result<api::KeyPolicy, AppError> {
        store::policy::put_policy(&mut transaction.change, self.place, &policy).await?;
        let detail = match before.find(self.place) {
            Some(before) => Detail::of_change(before, &policy),
            None => Detail::of(&policy),
        };
        let workspace = self.place.workspace();
        let target = workspace.map_or_else(|| "installation".to_owned(), |workspace| workspace.to_string());
        transaction.note(app, AuditAction::PolicyUpdate, workspace, target, detail);
        let mut after = before;
        after.set(self.place, Some(policy).filter(|policy| !policy.is_empty()));
        Ok(to_wire(&after, self.place))
    }
}
