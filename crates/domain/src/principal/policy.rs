//! What a key reaches according to the policies for keys.

use jiff::Timestamp;

use super::{Denied, Identity, Membership};
use crate::{
    PrincipalId, WorkspaceId,
    policy::{KeyFacts, KeyPolicies, KeyPolicy, OutsidePolicy, PolicyPlace},
};

/// A workspace that a user's key does not reach, because the key is outside its policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExcludedWorkspace {
    /// The membership of the user.
    pub membership: Membership,
    /// Why.
    pub outside: OutsidePolicy,
}

/// The workspaces that a key does not reach because of their policies. [`KeyPolicies::check_use`] returns it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyReach(Vec<ExcludedWorkspace>);

impl PolicyReach {
    /// Returns that of a credential without a key, and of a key where no policy excludes it.
    #[must_use]
    pub const fn everything() -> Self {
        Self(Vec::new())
    }

    /// Returns the refusal in a workspace that the key does not reach.
    #[must_use]
    pub fn refusal_in(&self, workspace: WorkspaceId) -> Option<Denied> {
        let excluded = self.0.iter().find(|excluded| excluded.membership.workspace == workspace)?;
        Some(Denied::OutsidePolicy(excluded.outside))
    }

    /// Returns the workspaces that the key does not reach.
    #[must_use]
    pub fn excluded(&self) -> &[ExcludedWorkspace] {
        &self.0
    }

    /// Returns these without the workspaces that the key does not reach anyway.
    #[must_use]
    pub(super) fn only(mut self, reaches: impl Fn(WorkspaceId) -> bool) -> Self {
        self.0.retain(|excluded| reaches(excluded.membership.workspace));
        self
    }
}

impl KeyPolicies {
    /// Decides what a key reaches now. The key of a user does not reach the workspaces whose policy refuses it.
    ///
    /// # Errors
    /// [`OutsidePolicy`] if the key is refused altogether: by the policy of the installation, or, of a service account, by
    /// that of its workspace.
    pub fn check_use(
        &self,
        key: impl FnOnce() -> KeyFacts,
        owner: &Identity,
        now: Timestamp,
    ) -> Result<PolicyReach, OutsidePolicy> {
        if self.is_none() {
            return Ok(PolicyReach::everything());
        }
        let key = key();
        let check = |place, policy: &KeyPolicy| match policy.rules_of(&key, now).check(&key) {
            Ok(_) => Ok(()),
            Err(violations) => Err(OutsidePolicy { place, violations }),
        };
        if let Some(policy) = self.find(PolicyPlace::Installation) {
            check(PolicyPlace::Installation, policy)?;
        }
        let mut reach = PolicyReach::everything();
        for membership in &owner.memberships {
            let place = PolicyPlace::Workspace(membership.workspace);
            let Some(policy) = self.find(place) else { continue };
            match (check(place, policy), owner.id) {
                (Ok(()), _) => {}
                (Err(outside), PrincipalId::ServiceAccount(_)) => return Err(outside),
                (Err(outside), PrincipalId::User(_)) => {
                    reach.0.push(ExcludedWorkspace { membership: membership.clone(), outside });
                }
            }
        }
        Ok(reach)
    }
}
