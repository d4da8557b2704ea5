//! API keys: registered public keys and their life cycle.

use jiff::{SignedDuration, Timestamp};

use crate::{
    ApiKeyId, PrincipalId, WorkspaceId,
    limits::KeyLimits,
    public_key::{CompactKey, PublicKey},
};

/// A public key with a title, owned by one principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Its id, for programs.
    pub id: ApiKeyId,
    /// Its owner.
    pub owner: PrincipalId,
    /// Its title. Several keys may have the same title.
    pub title: String,
    /// The key.
    pub public_key: PublicKey,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Whether it is suspended until an operator confirms it after a restore.
    pub suspended: bool,
    /// When it expires. `None` if it never does.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it first verified a request or a proof, if that is recorded.
    pub verified_at: Option<Timestamp>,
    /// When a proof first showed that its owner holds the private key.
    pub proven_at: Option<Timestamp>,
    /// When another principal reclaimed the key with a proof, which revoked this registration.
    pub displaced_at: Option<Timestamp>,
    /// The principal that registered it: `usr_…`, `sa_…` or `host`.
    pub created_by: String,
    /// The key that signed the registration, if the request was signed.
    pub created_with: Option<ApiKeyId>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When a request with it was last accepted. The value is some seconds late.
    pub last_used_at: Option<Timestamp>,
    /// The IP address of that request.
    pub last_used_ip: Option<String>,
    /// What takes away from the permissions of its owner.
    pub limits: KeyLimits,
}

/// A key that is not revoked, with the data for request verification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnrevokedKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its owner.
    pub owner: PrincipalId,
    /// The key.
    pub public_key: CompactKey,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Whether it is suspended until an operator confirms it after a restore.
    pub suspended: bool,
    /// When it expires. `None` if it never does.
    pub expires_at: Option<Timestamp>,
    /// What takes away from the permissions of its owner.
    pub limits: KeyLimits,
}

impl From<&ApiKey> for UnrevokedKey {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id,
            owner: key.owner,
            public_key: (&key.public_key).into(),
            disabled: key.disabled,
            suspended: key.suspended,
            expires_at: key.expires_at,
            limits: key.limits.clone(),
        }
    }
}

/// A revoked key, and the workspaces whose audit log records its later use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokedApiKey {
    /// The key.
    pub key: ApiKey,
    /// The workspaces of its owner at its revocation. Empty if a node of the previous release revoked it.
    pub workspaces: Vec<WorkspaceId>,
}

/// How many days before its expiry a key expires soon.
pub const EXPIRING_DAYS: i64 = 14;
/// After how many days without a request a key is unused.
pub const UNUSED_DAYS: i64 = 90;
/// After how many days a new key that was never used needs attention.
pub const NEVER_USED_DAYS: i64 = 7;

/// The times that decide which keys need attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyTimes {
    /// A key that expires before this time expires soon.
    pub soon: Timestamp,
    /// A key that was created before this time and not used since then is unused.
    pub unused_since: Timestamp,
    /// A key that was created before this time and never used needs attention.
    pub never_used_since: Timestamp,
}

impl KeyTimes {
    /// Returns the times, seen from `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let in_days = |days: i64| {
            let end = if days < 0 { Timestamp::MIN } else { Timestamp::MAX };
            now.checked_add(SignedDuration::from_hours(days * 24)).unwrap_or(end)
        };
        Self {
            soon: in_days(EXPIRING_DAYS),
            unused_since: in_days(-UNUSED_DAYS),
            never_used_since: in_days(-NEVER_USED_DAYS),
        }
    }

    /// Returns whether a key with this expiry expires soon, or has expired.
    #[must_use]
    pub fn expires_soon(&self, expires_at: Option<Timestamp>) -> bool {
        expires_at.is_some_and(|end| end < self.soon)
    }

    /// Returns whether a key is unused.
    #[must_use]
    pub fn is_unused(&self, key: &ApiKey) -> bool {
        key.last_used_at.unwrap_or(key.created_at) < self.unused_since
    }

    /// Returns whether a key was never used and is not new any more.
    #[must_use]
    pub fn is_never_used(&self, key: &ApiKey) -> bool {
        key.last_used_at.is_none() && key.created_at < self.never_used_since
    }
}

/// The state of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It is accepted.
    Active,
    /// It is refused until it is enabled.
    Disabled,
    /// It was restored from a backup, and may have been revoked after that backup was made. It is refused until an
    /// operator confirms it.
    Suspended,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyState {
    /// Returns the name in the API.
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

    /// Returns whether a key in this state counts towards the quota.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Active | Self::Disabled | Self::Suspended)
    }
}

/// Returns the state that follows from these facts. States that are permanent take precedence.
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
    /// Returns its state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        key_state(self.disabled, self.suspended, self.expires_at, self.revoked_at.is_some(), now)
    }

    /// Returns whether it is known to have verified something before it was revoked, so that its fingerprint is
    /// permanently blocked. A registration that was reclaimed does not count, because the fingerprint belongs to the
    /// holder of the private key.
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
    fn the_times_of_attention_do_not_include_their_ends() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let times = KeyTimes::at(now);
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        assert!(times.expires_soon(at("2026-06-14T23:59:59Z")) && !times.expires_soon(at("2026-06-15T00:00:00Z")));
        assert!(!times.expires_soon(None));
        assert_eq!(times.unused_since.to_string(), "2026-03-03T00:00:00Z");
        assert_eq!(times.never_used_since.to_string(), "2026-05-25T00:00:00Z");
        assert_eq!(KeyTimes::at(Timestamp::MAX).soon, Timestamp::MAX);
        assert_eq!(KeyTimes::at(Timestamp::MIN).unused_since, Timestamp::MIN);
    }

    #[test]
    fn active_disabled_and_suspended_keys_count_against_the_quota() {
        use KeyState::{Active, Disabled, Expired, Revoked, Suspended};
        let live = [Active, Disabled, Suspended, Expired, Revoked].map(KeyState::is_live);
        assert_eq!(live, [true, true, true, false, false]);
    }
}
