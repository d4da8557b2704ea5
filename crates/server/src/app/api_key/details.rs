//! Keys with the data for their pages, with one authorization of the owner and one connection.

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, PrincipalId, Timestamp,
    api_key::{ApiKey, KeyState, KeyTimes},
    list::{Choice as _, KeyFilter, KeyOrder, Search, contains},
};
use store::Connection;

use super::{
    Access, AuthorizedOwner, KeyOwner, authorize, find, find_limit, revocation,
    rotated_key::{self, KeyRotations, Rotations, read_rotations},
    to_wire,
};
use crate::{
    app::{App, Caller, Count, Found, Place, list::SCREEN_PAGE, service_account},
    error::AppError,
};

/// Conditions for the keys of an owner.
#[derive(Clone, Debug, Default)]
pub struct KeySearch {
    /// A text in the title, ignoring case, or in the fingerprint, with the filter and the order.
    pub search: Search<KeyOrder, KeyFilter>,
    /// The page. A cursor is a number of keys. Beyond the end, the last page is returned.
    pub place: Place,
}

/// Returns whether a key passes a filter now.
fn passes(key: &ApiKey, filter: KeyFilter, now: Timestamp) -> bool {
    let (state, times) = (key.state(now), KeyTimes::at(now));
    let is_live = state.is_live();
    match filter {
        KeyFilter::All => true,
        KeyFilter::InUse => is_live,
        KeyFilter::Ended => !is_live,
        KeyFilter::Active => state == KeyState::Active,
        KeyFilter::Disabled => matches!(state, KeyState::Disabled | KeyState::Suspended),
        KeyFilter::Expiring => state == KeyState::Active && times.expires_soon(key.expires_at),
        KeyFilter::Unused => is_live && times.is_unused(key),
        KeyFilter::NeverUsed => is_live && key.last_used_at.is_none(),
        KeyFilter::Limited => is_live && !key.limits.is_none(),
        KeyFilter::Unlimited => is_live && key.limits.is_none(),
    }
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
    pub page: Found<api::ApiKey>,
    /// The emails and addresses of the principals that created the keys on this page, by their ids.
    pub creators: BTreeMap<String, String>,
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
    /// The title of the key that signed the registration.
    pub registered_with: Option<String>,
    /// Its owner.
    pub owner: KeyOwnerDetails,
    /// Its rotations.
    pub rotations: KeyRotations,
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
    pub(super) async fn read_key(
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
        let registered_with = match key.created_with {
            Some(with) => {
                store::api_key::list_owned_api_keys(connection, &[with]).await?.pop().map(|row| row.key.title)
            }
            None => None,
        };
        let now = self.clock.now();
        let wire = rotated_key::to_wire(connection, &key, now).await?;
        let rotations = read_rotations(connection, id, now).await?;
        Ok((KeyDetails { key: wire, creator_email, registered_with, owner, rotations }, key))
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

    /// Returns the keys of an owner that match a search, in any order, with their owner. A page has [`SCREEN_PAGE`]
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
        let expiring = keys.iter().filter(|key| passes(key, KeyFilter::Expiring, now)).count();
        let Search { text, filter, order, descending } = &search.search;
        let lower = text.to_lowercase();
        let matches = |key: &ApiKey| {
            contains(&key.title.to_lowercase(), &lower) || contains(&key.public_key.fingerprint().to_string(), text)
        };
        let mut found: Vec<ApiKey> = keys.into_iter().filter(matches).collect();
        let count = |filter: &KeyFilter| found.iter().filter(|key| passes(key, *filter, now)).count();
        let counts = KeyFilter::ALL.iter().map(count).map(to_count).collect();
        found.retain(|key| passes(key, *filter, now));
        // Equal keys stay in the order of their registration.
        found.sort_by_key(|key| key.id);
        match order {
            KeyOrder::Created => {}
            KeyOrder::Title => found.sort_by_cached_key(|key| key.title.to_lowercase()),
            KeyOrder::LastUsed => found.sort_by_key(|key| key.last_used_at),
            KeyOrder::Expires => found.sort_by_key(|key| (key.expires_at.is_none(), key.expires_at)),
        }
        if *descending {
            found.reverse();
        }
        let limit = usize::try_from(SCREEN_PAGE).unwrap_or(usize::MAX);
        let total = found.len();
        let skipped = match &search.place {
            Place::Start => 0,
            Place::After(cursor) => cursor.parse().unwrap_or(0),
            Place::Before(cursor) => cursor.parse().unwrap_or(0_usize).saturating_sub(limit),
        };
        // Beyond the end, for example after the keys of the last page were revoked, the last page is returned.
        let skipped = if skipped < total { skipped } else { total.saturating_sub(1) / limit * limit };
        let shown = found.iter().skip(skipped).take(limit);
        let creators: Vec<PrincipalId> = shown.clone().filter_map(|key| key.created_by.parse().ok()).collect();
        let creators = store::identity::find_emails(&mut connection, &creators).await?;
        let shown: Vec<ApiKey> = shown.cloned().collect();
        let rotations = Rotations::read(&mut connection, &shown).await?;
        let items: Vec<api::ApiKey> = shown.iter().map(|key| rotations.to_wire(key, now)).collect();
        let end = skipped + items.len();
        let page = Found {
            items,
            skipped: to_count(skipped),
            previous: (skipped > 0).then(|| skipped.to_string()),
            next: (end < total).then(|| end.to_string()),
            counts,
            total: to_count(total),
        };
        let creators = creators.into_iter().map(|(id, email)| (id.to_string(), email)).collect();
        Ok(FoundKeys { owner, page, creators, all, expiring, reclaimed })
    }
}

fn to_count(count: usize) -> Count {
    u64::try_from(count).unwrap_or(u64::MAX).into()
}
