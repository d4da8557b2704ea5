//! The verifier: its state, and its interface for the other modules of this crate.

use std::{net::IpAddr, sync::Arc};

use domain::{Clock, Fingerprint, PrincipalId, Random, Timestamp, WorkspaceId, route::Route};

use crate::{
    directory::Directory,
    error::VerificationError,
    hosts::Hosts,
    outside::{Lease, NonceStore, Observer},
    rate_limit::{IpAddressAllowances, Rate, RateLimits},
    refusal_records::{Budget, Charge, RefusalKind, RefusalRecords, RefusalRow},
    token::TokenKey,
    use_records::UseRecords,
};

/// The settings of verification.
pub struct VerifierConfig {
    /// The hosts that this installation answers for.
    pub hosts: Hosts,
    /// The requirements of proxied requests. The first matching route applies. If there are no routes, any accepted
    /// credential is sufficient.
    pub routes: Vec<Route>,
    /// Whether a CORS preflight to a proxied API is accepted without a credential.
    pub allow_preflights: bool,
    /// The rate limits.
    pub rate_limits: RateLimits,
    /// The key that authenticates bearer tokens.
    pub token_key: TokenKey,
}

/// The dependencies of verification.
pub struct Outside {
    /// The keys, identities and projects. Other code keeps them up to date.
    pub directory: Arc<Directory>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// This node's permission to verify requests.
    pub lease: Arc<dyn Lease>,
    /// Records the nonces of proxied writes.
    pub nonces: Arc<dyn NonceStore>,
    /// Counts verifications and measures their duration.
    pub observer: Arc<dyn Observer>,
}

/// Verifies requests against the directory, and records uses and refusals.
pub struct Verifier {
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    lease: Arc<dyn Lease>,
    pub(crate) nonces: Arc<dyn NonceStore>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) hosts: Hosts,
    pub(crate) routes: Vec<Route>,
    pub(crate) allow_preflights: bool,
    pub(crate) token_key: TokenKey,
    pub(crate) key_rate: Option<Rate>,
    ip_address_rate: Option<Rate>,
    ip_address_allowances: IpAddressAllowances,
    pub(crate) explanation_allowances: IpAddressAllowances,
    pub(crate) uses: UseRecords,
    pub(crate) refusals: RefusalRecords,
}

impl Verifier {
    /// Creates a verifier without records.
    #[must_use]
    pub fn new(config: VerifierConfig, outside: Outside, random: &dyn Random) -> Self {
        let VerifierConfig { hosts, routes, allow_preflights, rate_limits, token_key } = config;
        let Outside { directory, clock, lease, nonces, observer } = outside;
        Self {
            directory,
            clock,
            lease,
            nonces,
            observer,
            hosts,
            routes,
            allow_preflights,
            token_key,
            key_rate: Rate::per_second(rate_limits.per_key),
            ip_address_rate: Rate::per_second(rate_limits.per_address),
            ip_address_allowances: IpAddressAllowances::new(random),
            explanation_allowances: IpAddressAllowances::new(random),
            uses: UseRecords::default(),
            refusals: RefusalRecords::default(),
        }
    }

    /// Returns the keys, identities and projects for verification.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns the hosts of this installation.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Returns the uses that are not written yet.
    #[must_use]
    pub const fn uses(&self) -> &UseRecords {
        &self.uses
    }

    /// Returns the refusals that are not written yet.
    #[must_use]
    pub const fn refusals(&self) -> &RefusalRecords {
        &self.refusals
    }

    /// Returns whether this node may verify requests now.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        self.lease.is_held()
    }

    /// Checks that this node may verify requests.
    ///
    /// # Errors
    /// [`VerificationError::NoLease`] if it holds no lease.
    pub fn require_lease(&self) -> Result<(), VerificationError> {
        if self.holds_lease() { Ok(()) } else { Err(VerificationError::NoLease) }
    }

    /// Refuses an IP address that sends too many requests. If the address is unknown, only the limits of keys apply.
    ///
    /// # Errors
    /// [`VerificationError::RateLimited`] if the limit is exceeded.
    pub fn limit_ip_address(&self, ip_address: Option<IpAddr>) -> Result<(), VerificationError> {
        let (Some(ip_address), Some(rate)) = (ip_address, self.ip_address_rate) else { return Ok(()) };
        let taken = self.ip_address_allowances.take(ip_address, rate, self.clock.since_boot());
        taken.map_err(VerificationError::RateLimited)
    }

    /// Returns the rows of refusals that are due at `now`. With `all`, returns those of every refusal that is not
    /// written yet.
    #[must_use]
    pub fn due_refusals(&self, now: Timestamp, all: bool) -> Vec<RefusalRow> {
        self.refusals.due(now, all, |kind| self.charge_of(kind))
    }

    /// Returns the budgets that the rows of a refusal are taken from.
    fn charge_of(&self, kind: &RefusalKind) -> Charge {
        let workspaces = self.find_readers(kind).map_or(Vec::new(), |readers| readers.workspaces);
        match (kind.verified, workspaces.is_empty()) {
            (false, _) => {
                let rows = u32::try_from(workspaces.len()).unwrap_or(u32::MAX).max(1);
                Charge { budgets: vec![Budget::Unverified], rows }
            }
            (true, true) => Budget::Installation.into(),
            (true, false) => Charge { budgets: workspaces.into_iter().map(Budget::Workspace).collect(), rows: 1 },
        }
    }

    /// Returns the workspaces that may read about a refusal with a key, whether it is revoked or not. Empty for an
    /// unknown key.
    #[must_use]
    pub fn find_readers(&self, kind: &RefusalKind) -> Option<RefusalReaders> {
        let id = kind.key?;
        let directory = self.directory.load();
        let (owner, fingerprint, mut workspaces) = match (directory.key(id), directory.revoked_key(id)) {
            (Some(key), _) => (key.owner, key.fingerprint(), Vec::new()),
            (None, Some(key)) => (key.owner, key.fingerprint, key.workspaces.to_vec()),
            (None, None) => return None,
        };
        let memberships = directory.identity(owner).map(|owner| owner.memberships.as_slice()).unwrap_or_default();
        workspaces.extend(memberships.iter().map(|membership| membership.workspace));
        workspaces.sort_unstable();
        workspaces.dedup();
        Some(RefusalReaders { owner, fingerprint, workspaces })
    }
}

/// The owner of the key in a refused request, and the workspaces that may read about the refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusalReaders {
    /// The key's owner.
    pub owner: PrincipalId,
    /// The key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The workspaces of its owner now, or at the revocation of the key, in order and without duplicates.
    pub workspaces: Vec<WorkspaceId>,
}
