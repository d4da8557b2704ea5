//! What needs attention in a workspace, and the first steps in it.

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, PrincipalId, ServiceAccountId, Timestamp, WorkspaceId,
    api_key::{ApiKey, KeyState, KeyTimes},
    key_use::{RefusalReason, UseCounts, UseWindow},
    principal::WorkspacePermission,
    service_account::ServiceAccount,
};
use store::{Connection, key_use::UsedKeys};

use super::{App, Caller};
use crate::error::AppError;

/// The maximum number of objects of each kind that are read.
const MOST: i64 = 10_000;

/// A key in an overview.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverviewKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its title.
    pub title: String,
    /// The service account that owns it and its display name, or `None` if it is one of the caller's own keys.
    pub account: Option<(ServiceAccountId, String)>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// Refused requests with a key, in the last 24 hours. Their clients hold the private key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedKey {
    /// The key, which may be revoked.
    pub key: OverviewKey,
    /// Their number.
    pub count: u64,
    /// The most frequent reason.
    pub reason: RefusalReason,
}

/// A disabled service account that has live keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisabledAccount {
    /// Its id.
    pub id: ServiceAccountId,
    /// Its display name.
    pub name: String,
    /// The number of its live keys.
    pub live_keys: u64,
}

/// The state of a workspace as its caller may see it: an admin sees the keys of its service accounts, and every member
/// sees their own keys.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Keys whose requests were refused in the last 24 hours, the most frequent first.
    pub refused: Vec<RefusedKey>,
    /// Active keys that expire soon, the earliest first.
    pub expiring: Vec<OverviewKey>,
    /// Disabled service accounts with live keys.
    pub disabled: Vec<DisabledAccount>,
    /// Active keys that were never used and are older than a week, the oldest first.
    pub unused: Vec<OverviewKey>,
    /// The number of live keys: those of service accounts for an admin, and their own for another member. Only the use
    /// of these is counted in the chart.
    pub live_keys: u64,
    /// The display names of the service accounts, for an admin.
    pub account_names: BTreeMap<ServiceAccountId, String>,
    /// The quota of service accounts, for an admin.
    pub account_limit: Option<u32>,
    /// A service account, for an admin.
    pub account: Option<ServiceAccountId>,
    /// An active key.
    pub key: Option<OverviewKey>,
    /// Whether a request with one of the keys, including revoked ones, was ever accepted.
    pub was_used: bool,
}

/// The keys that the caller sees in a workspace.
struct SeenKeys {
    keys: Vec<ApiKey>,
    accounts: BTreeMap<ServiceAccountId, ServiceAccount>,
}

impl SeenKeys {
    fn account_of(&self, key: &ApiKey) -> Option<&ServiceAccount> {
        match key.owner {
            PrincipalId::ServiceAccount(id) => self.accounts.get(&id),
            PrincipalId::User(_) => None,
        }
    }

    fn show(&self, key: &ApiKey) -> OverviewKey {
        let account = self.account_of(key).map(|account| (account.id, account.display_name.clone()));
        OverviewKey { id: key.id, title: key.title.clone(), account, expires_at: key.expires_at }
    }

    /// Returns whether requests with the key are accepted at `now`.
    fn is_active(&self, key: &ApiKey, now: Timestamp) -> bool {
        key.state(now) == KeyState::Active && self.account_of(key).is_none_or(|account| !account.disabled)
    }
}

impl App {
    /// Returns what needs attention in a workspace: for an admin, about the keys of its service accounts and their own,
    /// and for another member, about their own keys.
    ///
    /// # Errors
    /// The caller is not a member of the workspace.
    pub async fn find_overview(&self, caller: &Caller, workspace: WorkspaceId) -> Result<Overview, AppError> {
        caller.principal.authorize(WorkspacePermission::View, workspace)?;
        let admin = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace).ok();
        let own = caller.principal.id();
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let mut seen = SeenKeys { keys: Vec::new(), accounts: BTreeMap::new() };
        let mut overview = Overview::default();
        let mut refused = BTreeMap::new();
        if let Some(access) = admin {
            let found = store::workspace::find_workspace(&mut connection, workspace).await?;
            overview.account_limit = Some(found.ok_or(AppError::not_found())?.quotas.service_accounts);
            let rows = store::service_account::list_service_accounts(&mut connection, access, None, MOST, now).await?;
            overview.account = rows.first().map(|row| row.account.id);
            let is_kept = |account: &&store::service_account::ServiceAccountRow| {
                account.account.disabled && account.live_keys > 0
            };
            overview.disabled = rows
                .iter()
                .filter(is_kept)
                .map(|row| DisabledAccount {
                    id: row.account.id,
                    name: row.account.display_name.clone(),
                    live_keys: row.live_keys,
                })
                .collect();
            overview.account_names =
                rows.iter().map(|row| (row.account.id, row.account.display_name.clone())).collect();
            seen.accounts = rows.into_iter().map(|row| (row.account.id, row.account)).collect();
            seen.keys = store::api_key::list_keys_of_service_accounts(&mut connection, access, MOST).await?;
            overview.was_used = store::api_key::was_service_account_used(&mut connection, access).await?;
            let keys = UsedKeys::OfServiceAccounts(access);
            refused = store::key_use::list_use_by_key(&mut connection, keys, UseWindow::Day, now).await?;
        }
        if let Some(owner) = own {
            let mut keys = store::api_key::list_api_keys(&mut connection, owner, None, MOST).await?;
            overview.was_used |= keys.iter().any(|key| key.last_used_at.is_some());
            keys.retain(|key| key.revoked_at.is_none());
            seen.keys.append(&mut keys);
            let keys = UsedKeys::Of(owner);
            refused.extend(store::key_use::list_use_by_key(&mut connection, keys, UseWindow::Day, now).await?);
        }
        overview.refused = list_refused(&mut connection, &seen, refused).await?;
        let times = KeyTimes::at(now);
        seen.keys.sort_by_key(|key| key.created_at);
        let is_counted = |key: &&ApiKey| admin.is_none() || matches!(key.owner, PrincipalId::ServiceAccount(_));
        let live = seen.keys.iter().filter(is_counted).filter(|key| key.state(now).is_live());
        overview.live_keys = live.count() as u64;
        let active: Vec<&ApiKey> = seen.keys.iter().filter(|key| seen.is_active(key, now)).collect();
        let mut expiring: Vec<&ApiKey> =
            active.iter().copied().filter(|key| times.expires_soon(key.expires_at)).collect();
        expiring.sort_by_key(|key| key.expires_at);
        overview.expiring = expiring.into_iter().map(|key| seen.show(key)).collect();
        overview.unused =
            active.iter().copied().filter(|key| times.is_never_used(key)).map(|key| seen.show(key)).collect();
        overview.key = active.last().map(|key| seen.show(key));
        Ok(overview)
    }
}

/// Returns the keys with refused requests, the most frequent first. Requests that anyone can send are left out.
async fn list_refused(
    connection: &mut Connection,
    seen: &SeenKeys,
    counts: BTreeMap<ApiKeyId, UseCounts>,
) -> Result<Vec<RefusedKey>, AppError> {
    let refused: BTreeMap<ApiKeyId, (u64, RefusalReason)> = counts
        .into_iter()
        .filter_map(|(id, counts)| {
            let by_holder = counts.refusals().filter(|(reason, _)| reason.is_by_holder());
            let (reason, _) = by_holder.max_by_key(|(_, count)| *count)?;
            Some((id, (counts.refused_by_holder(), reason)))
        })
        .collect();
    let ids: Vec<ApiKeyId> = refused.keys().copied().collect();
    // Revoked keys are read here, because their further use is what needs attention most.
    let rows = store::api_key::list_owned_api_keys(connection, &ids).await?;
    let mut keys: Vec<RefusedKey> = rows
        .iter()
        .filter_map(|row| {
            let (count, reason) = *refused.get(&row.key.id)?;
            Some(RefusedKey { key: seen.show(&row.key), count, reason })
        })
        .collect();
    keys.sort_by(|one, other| (other.count, &one.key.title).cmp(&(one.count, &other.key.title)));
    Ok(keys)
}
