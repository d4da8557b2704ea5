//! A key in the list and on its own pages.

use domain::{ApiKeyId, Timestamp, api_key::KeyTimes};

use crate::{
    app::KeyAccount,
    ui::{
        key_limits::summarise,
        page::{Shell, When},
    },
};

pub(super) const DAY: i64 = 86_400;
/// How many days after its last use a key was used recently.
const RECENT_DAYS: i64 = 7;

/// The displayed status of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::ui) enum KeyStatus {
    Active,
    /// The key is active, and expires within [`EXPIRING_DAYS`](domain::api_key::EXPIRING_DAYS).
    Soon,
    /// The key is active, and begins to be accepted later.
    NotYet,
    /// The key is active, and its owner is disabled.
    OwnerDisabled,
    Disabled,
    Suspended,
    Expired,
    Revoked,
}

impl KeyStatus {
    pub(in crate::ui) const fn new(state: api::KeyState, owner_disabled: bool) -> Self {
        match state {
            api::KeyState::Active if owner_disabled => Self::OwnerDisabled,
            api::KeyState::Active => Self::Active,
            api::KeyState::Disabled => Self::Disabled,
            api::KeyState::Suspended => Self::Suspended,
            api::KeyState::Expired => Self::Expired,
            api::KeyState::Revoked => Self::Revoked,
        }
    }

    /// Returns the class in the style sheet.
    pub(in crate::ui) const fn class(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Soon => "soon",
            Self::NotYet => "pending",
            Self::OwnerDisabled | Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    pub(in crate::ui) const fn words(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Soon => "Expires soon",
            Self::NotYet => "Not valid yet",
            Self::OwnerDisabled => "Account disabled",
            Self::Disabled => "Disabled",
            Self::Suspended => "Suspended",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
        }
    }

    /// Returns whether the key can be used now.
    pub(in crate::ui) const fn is_usable(self) -> bool {
        matches!(self, Self::Active | Self::Soon)
    }

    pub(in crate::ui) const fn may_be_disabled(self) -> bool {
        matches!(self, Self::Active | Self::Soon | Self::NotYet | Self::OwnerDisabled)
    }

    pub(in crate::ui) const fn may_be_enabled(self) -> bool {
        matches!(self, Self::Disabled)
    }

    pub(in crate::ui) const fn is_suspended(self) -> bool {
        matches!(self, Self::Suspended)
    }

    pub(in crate::ui) const fn is_revoked(self) -> bool {
        matches!(self, Self::Revoked)
    }

    /// Returns whether the key has expired or was revoked.
    pub(in crate::ui) const fn has_ended(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked)
    }
}

/// A key in the table and on its own page.
pub(in crate::ui) struct KeyRow {
    pub(in crate::ui) id: ApiKeyId,
    pub(in crate::ui) title: String,
    pub(in crate::ui) fingerprint: String,
    pub(in crate::ui) public_key: String,
    pub(in crate::ui) algorithm: String,
    pub(in crate::ui) status: KeyStatus,
    pub(in crate::ui) created_at: When,
    /// The creator, such as `by ada@example.com`.
    pub(in crate::ui) created_by: String,
    /// The key that signed the registration.
    pub(in crate::ui) created_with: Option<ApiKeyId>,
    pub(in crate::ui) last_used_at: Option<When>,
    pub(in crate::ui) last_used_ip: String,
    pub(in crate::ui) expires_at: Option<When>,
    /// The day on which it expires, for people.
    pub(in crate::ui) expires_day: String,
    /// The same day, in the format of a date field.
    pub(in crate::ui) expires_on: String,
    pub(in crate::ui) expires_soon: bool,
    pub(in crate::ui) used_recently: bool,
    pub(in crate::ui) proven_at: Option<When>,
    pub(in crate::ui) displaced_at: Option<When>,
    /// Its limits in a few words, if it has any.
    pub(in crate::ui) limits: Option<String>,
    /// The key that replaces it, unless that one was revoked.
    pub(in crate::ui) successor: Option<OtherKey>,
    /// The key that it replaces, during the overlap.
    pub(in crate::ui) predecessor: Option<OtherKey>,
    /// Whether it can be rotated now.
    pub(in crate::ui) can_rotate: bool,
    /// The service account, in a list of the keys of several ones.
    pub(in crate::ui) account: Option<AccountLink>,
}

/// The other key of a rotation.
pub(in crate::ui) struct OtherKey {
    pub(in crate::ui) id: ApiKeyId,
    /// The start of its fingerprint.
    pub(in crate::ui) fingerprint: String,
}

impl OtherKey {
    fn new(key: &api::RotatedKey) -> Self {
        let start = key.fingerprint.trim_start_matches("SHA256:").chars().take(6);
        Self { id: key.id, fingerprint: start.chain(['\u{2026}']).collect() }
    }
}

/// The service account that owns a key.
pub(in crate::ui) struct AccountLink {
    pub(in crate::ui) name: String,
    pub(in crate::ui) path: String,
}

impl KeyRow {
    /// Returns the start and the end of the fingerprint, for a list.
    pub(in crate::ui) fn short_fingerprint(&self) -> String {
        shorten(&self.fingerprint)
    }

    /// Creates the row of a key, which `creator` created.
    pub(super) fn new(
        key: &api::ApiKey,
        creator: Option<&str>,
        owner_disabled: bool,
        shell: &Shell,
        now: Timestamp,
    ) -> Self {
        let was_recent = |used: Timestamp| now.as_second() - used.as_second() < RECENT_DAYS * DAY;
        let expires_soon = KeyTimes::at(now).expires_soon(key.expires_at);
        let starts_later = key.limits.as_ref().and_then(|limits| limits.not_before).is_some_and(|start| start > now);
        let status = match KeyStatus::new(key.state, owner_disabled) {
            KeyStatus::Active if starts_later => KeyStatus::NotYet,
            KeyStatus::Active if expires_soon => KeyStatus::Soon,
            status => status,
        };
        let successor = key.successor.as_ref().filter(|other| other.state != api::KeyState::Revoked);
        let created_by = match key.created_by.as_str() {
            "host" => "on the server".to_owned(),
            id => format!("by {}", creator.unwrap_or(id)),
        };
        Self {
            id: key.id,
            title: key.title.clone(),
            fingerprint: key.fingerprint.clone(),
            public_key: key.public_key.clone(),
            algorithm: key.algorithm.trim_start_matches("ssh-").to_owned(),
            status,
            created_at: shell.when(&key.created_at),
            created_by,
            created_with: key.created_with,
            last_used_at: key.last_used_at.as_ref().map(|time| shell.when(time)),
            last_used_ip: key.last_used_ip.clone().unwrap_or_default(),
            expires_at: key.expires_at.as_ref().map(|time| shell.when(time)),
            expires_day: key.expires_at.map_or(String::new(), |time| time.strftime("%-d %b %Y").to_string()),
            expires_on: key.expires_at.map_or(String::new(), |time| time.strftime("%Y-%m-%d").to_string()),
            expires_soon: !status.has_ended() && expires_soon,
            used_recently: key.last_used_at.is_some_and(was_recent),
            proven_at: key.proven_at.as_ref().map(|time| shell.when(time)),
            displaced_at: key.displaced_at.as_ref().map(|time| shell.when(time)),
            limits: key.limits.as_ref().map(|limits| summarise(limits, |_| None)),
            can_rotate: key.state == api::KeyState::Active && successor.is_none(),
            successor: successor.map(OtherKey::new),
            predecessor: key.predecessor.as_ref().filter(|other| other.pending).map(OtherKey::new),
            account: None,
        }
    }

    /// Adds the service account that owns the key. `accounts` is the path of the list of service accounts.
    pub(super) fn of(self, account: &KeyAccount, accounts: &str) -> Self {
        let path = format!("{accounts}/{}", account.id);
        Self { account: Some(AccountLink { name: account.name.clone(), path }), ..self }
    }
}

/// Returns the start and the end of a fingerprint.
pub(in crate::ui) fn shorten(fingerprint: &str) -> String {
    let digest = fingerprint.trim_start_matches("SHA256:");
    match (digest.get(..6), digest.len().checked_sub(5).and_then(|end| digest.get(end..))) {
        (Some(start), Some(end)) if digest.len() > 12 => format!("{start}\u{2026}{end}"),
        _ => digest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_list_shows_the_start_and_the_end_of_a_fingerprint() {
        let whole = "SHA256:Q04beK8hTfNzuYm1WGL7t9b5NGNzZQMlbRJSohDhc8s";
        assert_eq!(super::shorten(whole), "Q04beK\u{2026}Dhc8s");
        assert_eq!(super::shorten("SHA256:short"), "short");
    }
}
