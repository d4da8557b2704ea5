//! The verifier: what it holds, and what the other modules of this crate do with it.

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

/// What an operator sets about verification.
pub struct VerifierConfig {
    /// The hosts that this installation answers for.
    pub hosts: Hosts,
    /// What proxied requests require; the first that matches decides. Empty: any accepted credential.
    pub routes: Vec<Route>,
    /// Whether a CORS preflight to a proxied API passes without a credential.
    pub allow_preflights: bool,
    /// How many requests are verified.
    pub rate_limits: RateLimits,
    /// What bearer tokens are authenticated with.
    pub token_key: TokenKey,
}

/// What the outside gives to verification.
pub struct Outside {
    /// The keys, identities and projects, which are kept up to date elsewhere.
    pub directory: Arc<Directory>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// This node's permission to verify requests.
    pub lease: Arc<dyn Lease>,
    /// Where the nonces of proxied writes are recorded.
    pub nonces: Arc<dyn NonceStore>,
    /// Counts and times verifications.
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
    /// A verifier with nothing recorded.
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

    /// The keys, identities and projects that requests are verified against.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The hosts that this installation answers for.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The uses that are not written yet.
    #[must_use]
    pub const fn uses(&self) -> &UseRecords {
        &self.uses
    }

    /// The refusals that are not written yet.
    #[must_use]
    pub const fn refusals(&self) -> &RefusalRecords {
        &self.refusals
    }

    /// Whether this node may verify requests now.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        self.lease.is_held()
    }

    /// Refuses where this node may not verify requests.
    ///
    /// # Errors
    /// [`VerificationError::NoLease`]
    pub fn require_lease(&self) -> Result<(), VerificationError> {
        if self.holds_lease() { Ok(()) } else { Err(VerificationError::NoLease) }
    }

    /// Refuses a client address that sends too many requests. Where the address is not known, its keys alone are counted.
    ///
    /// # Errors
    /// [`VerificationError::RateLimited`]
    pub fn limit_ip_address(&self, ip_address: Option<IpAddr>) -> Result<(), VerificationError> {
        let (Some(ip_address), Some(rate)) = (ip_address, self.ip_address_rate) else { return Ok(()) };
        let taken = self.ip_address_allowances.take(ip_address, rate, self.clock.since_boot());
        taken.map_err(VerificationError::RateLimited)
    }

    /// The rows of refusals that are due at `now`; with `all`, those of every refusal that is not written yet.
    #[must_use]
    pub fn due_refusals(&self, now: Timestamp, all: bool) -> Vec<RefusalRow> {
        self.refusals.due(now, all, |kind| self.charge_of(kind))
    }

    /// Whose budget the rows of a refusal are taken from.
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

    /// The workspaces that read of a refusal that names a key, revoked or not; none for a key that is not known.
    #[must_use]
    pub fn find_readers(&self, kind: &RefusalKind) -> Option<RefusalReaders> {
        let id = kind.key?;
        let directory = self.directory.load();
        let (owner, fingerprint, mut workspaces) = match (directory.key(id), directory.revoked_key(id)) {
            (Some(key), _) => (key.owner, key.fingerprint, Vec::new()),
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

/// Whose key a refused request named, and who reads of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusalReaders {
    /// The key's owner.
    pub owner: PrincipalId,
    /// The key's fingerprint.
    pub fingerprint: Fingerprint,
    /// Where its owner is now, or was when the key was revoked; in order, each once.
    pub workspaces: Vec<WorkspaceId>,
}
