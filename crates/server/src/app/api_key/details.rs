//! Keys with the data for their pages, with one authorization of the owner and one connection.

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, PrincipalId, Timestamp,
    api_key::{ApiKey, KeyState},
};
use store::Connection;

use super::{Access, AuthorizedOwner, KeyOwner, authorize, find, find_limit, revocation, to_wire};
use crate::{
    app::{App, Caller, DEFAULT_PAGE, service_account},
    error::AppError,
};

/// The order of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyOrder {
    /// By the time of their registration.
    #[default]
    Created,
    /// By their titles, ignoring case.
    Title,
    /// By the time of their last use. Unused keys come first.
    LastUsed,
    /// By their expiry. Keys without an expiry come last.
    Expires,
}

/// Conditions for the keys of an owner.
#[derive(Clone, Debug, Default)]
pub struct KeySearch {
    /// A text in the title, ignoring case, or in the fingerprint. If it is empty, all keys match.
    pub text: String,
    /// Whether to include expired and revoked keys.
    pub with_inactive: bool,
    /// Their order.
    pub order: KeyOrder,
    /// Whether to reverse the order.
    pub descending: bool,
    /// The number of keys on earlier pages. Beyond the end, the last page is returned.
    pub skip: usize,
    /// A live key that expires before this time expires soon.
    pub soon: Timestamp,
}

/// The owner of keys.
#[derive(Clone, Debug)]
pub struct KeyOwnerDetails {
    /// The service account, or `None` if a user owns the keys.
    pub service_account: Option<api::ServiceAccount>,
    /// The number of the owner's live keys, and the quota.
    pub keys: api::KeyCount,
}

impl KeyOwnerDetails {
    /// Returns whether the owner is a disabled service account. In that case, all its keys are refused.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.service_account.as_ref().is_some_and(|account| account.disabled)
    }
}

/// One page of the keys that match, and their number.
#[derive(Clone, Debug)]
pub struct FoundKeys {
    /// The owner.
    pub owner: KeyOwnerDetails,
    /// One page of keys.
    pub items: Vec<api::ApiKey>,
    /// The number of keys on earlier pages.
    pub skipped: usize,
    /// The emails and addresses of the principals that created the keys on this page, by their ids.
    pub creators: BTreeMap<String, String>,
    /// The number of keys that match, on all pages.
    pub found: usize,
    /// The number of keys that were excluded because they are expired or revoked.
    pub inactive: usize,
    /// The number of all keys of the owner, including expired and revoked ones.
    pub all: usize,
    /// The number of all live keys of the owner that expire soon.
    pub expiring: usize,
    /// All keys of the owner that another principal reclaimed with a proof in the last [`RECLAIMED_DAYS`] days.
    pub reclaimed: Vec<api::ApiKey>,
}

/// A key with the data for its page.
#[derive(Clone, Debug)]
pub struct KeyDetails {
    /// The key.
    pub key: api::ApiKey,
    /// The email or address of the principal that created it, if it is known.
    pub creator_email: Option<String>,
    /// Its owner.
    pub owner: KeyOwnerDetails,
}

/// How many days the pages show a reclaimed registration.
const RECLAIMED_DAYS: i64 = 30;

impl App {
    /// Returns the owner of keys.
    ///
    /// # Errors
    /// The caller may not view the keys.
    pub async fn find_key_owner_details(&self, caller: &Caller, owner: KeyOwner) -> Result<KeyOwnerDetails, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let mut connection = self.store.read().await?;
        self.read_owner(&mut connection, &owner).await
    }

    async fn read_owner(
        &self,
        connection: &mut Connection,
        owner: &AuthorizedOwner,
    ) -> Result<KeyOwnerDetails, AppError> {
        match (owner.id, owner.workspace) {
            (PrincipalId::ServiceAccount(id), Some(access)) => {
                let (workspace, account) = service_account::find(connection, access, id).await?;
                let account = self.service_account_to_wire(connection, &workspace, account).await?;
                Ok(KeyOwnerDetails { keys: account.keys, service_account: Some(account) })
            }
            (id, _) => {
                super::require_owner(connection, owner).await?;
                let live = store::api_key::count_live_api_keys(connection, id, self.clock.now()).await?;
                let (_, limit) = find_limit(connection, owner).await?;
                Ok(KeyOwnerDetails { keys: api::KeyCount { live, limit }, service_account: None })
            }
        }
    }

    /// Returns a key with the data for its page.
    ///
    /// # Errors
    /// The caller may not view it.
    pub async fn find_key_details(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<KeyDetails, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let mut connection = self.store.read().await?;
        let (details, _) = self.read_key(&mut connection, &owner, id).await?;
        Ok(details)
    }

    /// Returns a key with the data for its page, and the stored key.
    async fn read_key(
        &self,
        connection: &mut Connection,
        authorized: &AuthorizedOwner,
        id: ApiKeyId,
    ) -> Result<(KeyDetails, ApiKey), AppError> {
        let owner = self.read_owner(connection, authorized).await?;
        let key = find(connection, authorized, id).await?;
        let creator_email = match key.created_by.parse::<PrincipalId>() {
            Ok(creator) => store::identity::find_email(connection, creator).await?,
            Err(_) => None,
        };
        Ok((KeyDetails { key: to_wire(&key, self.clock.now()), creator_email, owner }, key))
    }

    /// Returns a key that the caller may revoke, and the keys that a revocation with `cascade` would revoke in addition
    /// to it now.
    ///
    /// # Errors
    /// The caller may not revoke the key.
    pub async fn preview_revocation(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<(KeyDetails, api::Cascade), AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        let mut connection = self.store.read().await?;
        let (details, root) = self.read_key(&mut connection, &owner, id).await?;
        let cascade = revocation::read_cascade(&mut connection, &caller.principal, root, self.clock.now()).await?;
        Ok((details, cascade))
    }

    /// Returns the keys of an owner that match a search, in any order, with their owner. A page has [`DEFAULT_PAGE`]
    /// keys. An owner has few keys, so they are searched and sorted in memory.
    ///
    /// # Errors
    /// The caller may not view them.
    pub async fn search_api_keys(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        search: &KeySearch,
    ) -> Result<FoundKeys, AppError> {
        let authorized = authorize(&caller.principal, owner, Access::View)?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let owner = self.read_owner(&mut connection, &authorized).await?;
        let keys = store::api_key::list_api_keys(&mut connection, authorized.id, None, i64::MAX).await?;
        let all = keys.len();
        let is_recent = |at: Timestamp| now.as_second() - at.as_second() < RECLAIMED_DAYS * 86_400;
        let reclaimed = keys.iter().filter(|key| key.displaced_at.is_some_and(is_recent));
        let reclaimed = reclaimed.map(|key| to_wire(key, now)).collect();
        let text = search.text.trim().to_lowercase();
        let matches = |key: &ApiKey| {
            key.title.to_lowercase().contains(&text)
                || key.public_key.fingerprint().to_string().contains(search.text.trim())
        };
        let is_inactive = |key: &ApiKey| matches!(key.state(now), KeyState::Expired | KeyState::Revoked);
        let expires_soon = |key: &&ApiKey| !is_inactive(key) && key.expires_at.is_some_and(|end| end < search.soon);
        let expiring = keys.iter().filter(expires_soon).count();
        let (inactive, live): (Vec<ApiKey>, Vec<ApiKey>) = keys.into_iter().filter(matches).partition(is_inactive);
        let left_out = if search.with_inactive { 0 } else { inactive.len() };
        let mut found = live;
        if search.with_inactive {
            found.extend(inactive);
        }
        // Equal keys stay in the order of their registration.
        found.sort_by_key(|key| key.id);
        match search.order {
            KeyOrder::Created => {}
            KeyOrder::Title => found.sort_by_cached_key(|key| key.title.to_lowercase()),
            KeyOrder::LastUsed => found.sort_by_key(|key| key.last_used_at),
            KeyOrder::Expires => found.sort_by_key(|key| (key.expires_at.is_none(), key.expires_at)),
        }
        if search.descending {
            found.reverse();
        }
        let limit = usize::try_from(DEFAULT_PAGE).unwrap_or(usize::MAX);
        // Beyond the end, for example after the keys of the last page were revoked, the last page is returned.
        let last_page = found.len().saturating_sub(1) / limit * limit;
        let skipped = if search.skip < found.len() { search.skip } else { last_page };
        let shown = found.iter().skip(skipped).take(limit);
        let creators: Vec<PrincipalId> = shown.clone().filter_map(|key| key.created_by.parse().ok()).collect();
        let creators = store::identity::find_emails(&mut connection, &creators).await?;
        Ok(FoundKeys {
            owner,
            items: shown.map(|key| to_wire(key, now)).collect(),
            skipped,
            creators: creators.into_iter().map(|(id, email)| (id.to_string(), email)).collect(),
            found: found.len(),
            inactive: left_out,
            all,
            expiring,
            reclaimed,
        })
    }
}
