//! Quotas. An operator sets them per workspace.

use std::fmt;

/// The quotas of a workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quotas {
    /// Service accounts in the workspace.
    pub service_accounts: u32,
    /// Live keys of each service account.
    pub keys_per_service_account: u32,
    /// Live keys of each user. For a user of several workspaces, the largest quota applies.
    pub keys_per_user: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { service_accounts: 1, keys_per_service_account: 5, keys_per_user: 25 }
    }
}

/// The maximum value of a quota. It prevents a typing error from removing the limit.
pub const MAX_QUOTA: u32 = 100_000;

/// The objects that a quota limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotaSubject {
    /// Service accounts of a workspace.
    ServiceAccounts,
    /// Live keys of a service account.
    ServiceAccountKeys,
    /// Live keys of a user.
    UserKeys,
}

impl fmt::Display for QuotaSubject {
    /// Writes the subject for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceAccounts => "service accounts in this workspace",
            Self::ServiceAccountKeys => "live keys of this service account",
            Self::UserKeys => "live keys of this user",
        })
    }
}

/// A quota that is reached.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the limit of {limit} {what} is reached")]
pub struct QuotaExceeded {
    /// The objects that are limited.
    pub what: QuotaSubject,
    /// The limit.
    pub limit: u32,
}

/// Checks that one more object is allowed in addition to the `present` ones.
///
/// # Errors
/// [`QuotaExceeded`] if the limit is reached.
pub fn require_room(what: QuotaSubject, present: u64, limit: u32) -> Result<(), QuotaExceeded> {
    if present < u64::from(limit) { Ok(()) } else { Err(QuotaExceeded { what, limit }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_account_five_keys_and_twenty_five_user_keys_until_the_operator_says_otherwise() {
        let quotas = Quotas::default();
        assert_eq!((quotas.service_accounts, quotas.keys_per_service_account, quotas.keys_per_user), (1, 5, 25));
    }

    #[test]
    fn a_quota_of_five_admits_the_fifth_and_refuses_the_sixth() {
        let what = QuotaSubject::UserKeys;
        assert_eq!(require_room(what, 4, 5), Ok(()));
        assert_eq!(require_room(what, 5, 5), Err(QuotaExceeded { what, limit: 5 }));
        // A quota below the current number prevents new objects.
        assert!(require_room(what, 9, 5).is_err());
    }
}
