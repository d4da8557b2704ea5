//! API keys: registered public keys and their life cycle.

use jiff::Timestamp;

use crate::{ApiKeyId, PrincipalId, WorkspaceId, public_key::PublicKey};

/// A public key with a title, owned by one principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Its id, for programs.
    pub id: ApiKeyId,
    /// Whose it is.
    pub owner: PrincipalId,
    /// Its title; titles repeat.
    pub title: String,
    /// The key.
    pub public_key: PublicKey,
    /// Whether it is paused.
    pub disabled: bool,
    /// Whether it waits for an operator to confirm it after a restore.
    pub suspended: bool,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, for good.
    pub revoked_at: Option<Timestamp>,
    /// When it first verified a request or a proof, as far as that was written down.
    pub verified_at: Option<Timestamp>,
    /// When a proof first showed that whoever registered it holds the private key.
    pub proven_at: Option<Timestamp>,
    /// When a proof by somebody else ended this registration.
    pub displaced_at: Option<Timestamp>,
    /// Who registered it: `usr_…`, `sa_…` or `host`.
    pub created_by: String,
    /// The key that signed the registration, if one did.
    pub created_with: Option<ApiKeyId>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When a request was last accepted with it, some seconds late.
    pub last_used_at: Option<Timestamp>,
    /// From where.
    pub last_used_ip: Option<String>,
}

/// A revoked key, and who is told when it is still used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokedApiKey {
    /// The key.
    pub key: ApiKey,
    /// The workspaces that its owner was in when it was revoked; none where a node of the previous release revoked it.
    pub workspaces: Vec<WorkspaceId>,
}

/// Where a key stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It works.
    Active,
    /// It is paused and can be enabled again.
    Disabled,
    /// It came back with a backup, and nobody can know whether it was revoked since: an operator confirms it.
    Suspended,
    /// Its time is over.
    Expired,
    /// It is dead.
    Revoked,
}

impl KeyState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a key in this state counts against the quota.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Active | Self::Disabled | Self::Suspended)
    }
}

/// The state that these facts make. What cannot be undone goes first.
#[must_use]
pub fn key_state(
    disabled: bool,
    suspended: bool,
    expires_at: Option<Timestamp>,
    revoked: bool,
    now: Timestamp,
) -> KeyState {
    if revoked {
        KeyState::Revoked
    } else if expires_at.is_some_and(|end| now >= end) {
        KeyState::Expired
    } else if suspended {
        KeyState::Suspended
    } else if disabled {
        KeyState::Disabled
    } else {
        KeyState::Active
    }
}

impl ApiKey {
    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        key_state(self.disabled, self.suspended, self.expires_at, self.revoked_at.is_some(), now)
    }

    /// Whether it is known to have verified something before it was revoked, so that its fingerprint can never be registered
    /// again. A registration that was displaced does not count: the fingerprint went to whoever holds the private key.
    #[must_use]
    pub fn was_revoked_after_use(&self) -> bool {
        let was_used = self.verified_at.is_some() || self.proven_at.is_some();
        self.revoked_at.is_some() && self.displaced_at.is_none() && was_used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_revoked_before_it_is_expired_before_it_is_suspended_before_it_is_disabled() {
        let now = Timestamp::from_second(1000).unwrap();
        let end = |second| Some(Timestamp::from_second(second).unwrap());
        assert_eq!(key_state(false, false, None, false, now), KeyState::Active);
        assert_eq!(key_state(false, false, end(1001), false, now), KeyState::Active);
        assert_eq!(key_state(false, false, end(1000), false, now), KeyState::Expired);
        assert_eq!(key_state(true, false, end(1001), false, now), KeyState::Disabled);
        assert_eq!(key_state(true, true, end(1001), false, now), KeyState::Suspended);
        assert_eq!(key_state(true, true, end(999), false, now), KeyState::Expired);
        assert_eq!(key_state(true, true, end(999), true, now), KeyState::Revoked);
    }

    #[test]
    fn keys_that_work_or_may_work_again_count_against_the_quota() {
        use KeyState::{Active, Disabled, Expired, Revoked, Suspended};
        let live = [Active, Disabled, Suspended, Expired, Revoked].map(KeyState::is_live);
        assert_eq!(live, [true, true, true, false, false]);
    }
}
