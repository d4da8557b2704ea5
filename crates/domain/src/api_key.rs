//! API keys: registered public keys and their life cycle.

use jiff::Timestamp;

use crate::{ApiKeyId, PrincipalId, WorkspaceId, public_key::PublicKey};

/// A public key with a title, owned by one principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Its id, for programs.
    pub id: ApiKeyId,
    /// Its owner.
    pub owner: PrincipalId,
    /// Its title; titles repeat.
    pub title: String,
    /// The key.
    pub public_key: PublicKey,
    /// Whether it is paused.
    pub disabled: bool,
    /// Whether it waits for an operator to confirm it after a restore.
    pub suspended: bool,
    /// When it expires. None: never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it first verified a request or a proof, as far as that is recorded.
    pub verified_at: Option<Timestamp>,
    /// When a proof first showed that its owner holds the private key.
    pub proven_at: Option<Timestamp>,
    /// When another principal reclaimed the key with a proof, which revoked this registration.
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

/// A revoked key, and the workspaces whose audit log records its later use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokedApiKey {
    /// The key.
    pub key: ApiKey,
    /// The workspaces that its owner was in when it was revoked; none where a node of the previous release revoked it.
    pub workspaces: Vec<WorkspaceId>,
}

/// The state of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It is accepted.
    Active,
    /// It is paused and can be enabled again.
    Disabled,
    /// It was restored from a backup, and may have been revoked since the backup was made: an operator confirms it.
    Suspended,
    /// It has expired.
    Expired,
    /// It was revoked.
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

/// The state that follows from these facts. What cannot be undone takes precedence.
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
    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        key_state(self.disabled, self.suspended, self.expires_at, self.revoked_at.is_some(), now)
    }

    /// Whether it is known to have verified something before it was revoked, so that its fingerprint is permanently blocked. A
    /// registration that was reclaimed does not count: the fingerprint belongs to the holder of the private key.
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
    fn revoked_precedes_expired_precedes_suspended_precedes_disabled() {
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
    fn active_disabled_and_suspended_keys_count_against_the_quota() {
        use KeyState::{Active, Disabled, Expired, Revoked, Suspended};
        let live = [Active, Disabled, Suspended, Expired, Revoked].map(KeyState::is_live);
        assert_eq!(live, [true, true, true, false, false]);
    }
}
