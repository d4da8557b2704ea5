//! How many of a thing there may be. The operator raises a quota per workspace.

/// What a workspace may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quotas {
    /// Service accounts in the workspace.
    pub service_accounts: u32,
    /// Live keys of each service account.
    pub keys_per_service_account: u32,
    /// Live keys of each user; a user of several workspaces has the largest.
    pub keys_per_user: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { service_accounts: 1, keys_per_service_account: 5, keys_per_user: 25 }
    }
}

/// The largest quota that can be set: a limit that an attacker cannot be given by a slip of the finger.
pub const MAX_QUOTA: u32 = 100_000;

/// A quota that is reached.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the limit of {limit} {what} is reached")]
pub struct QuotaExceeded {
    /// What there are too many of, in words.
    pub what: &'static str,
    /// How many there may be.
    pub limit: u32,
}

/// Whether one more fits beside the `present` ones.
///
/// # Errors
/// [`QuotaExceeded`] where the limit is reached.
pub fn require_room(what: &'static str, present: u64, limit: u32) -> Result<(), QuotaExceeded> {
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
    fn the_fifth_fits_and_the_sixth_does_not() {
        assert_eq!(require_room("keys", 4, 5), Ok(()));
        assert_eq!(require_room("keys", 5, 5), Err(QuotaExceeded { what: "keys", limit: 5 }));
        // A quota that was lowered below what is there lets nothing new in.
        assert!(require_room("keys", 9, 5).is_err());
    }
}
