//! The use of keys over time, from the counters of all nodes.

use std::collections::BTreeMap;

use domain::{
    ApiKeyId, Timestamp, WorkspaceId,
    key_use::{UseCounts, UseWindow},
    principal::{Denied, WorkspacePermission},
};
use store::{Connection, api_key::OwnedKeyRow, key_use::UsedKeys};

use super::{App, Caller, api_key::KeyOwner};
use crate::error::AppError;

/// The number of keys in [`api::UseOfKeys::most_used`].
const MOST_USED: usize = 10;

impl App {
    /// Returns the use of a key of an owner.
    ///
    /// # Errors
    /// The caller may not view the key.
    pub async fn find_key_use(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        window: UseWindow,
    ) -> Result<api::KeyUse, AppError> {
        // Also checks that the caller may view the key.
        let key = self.find_api_key(caller, owner, id).await?;
        let mut connection = self.store.read().await?;
        let (total, spans) = read_use(&mut connection, UsedKeys::Key(key.id), window, self.clock.now()).await?;
        Ok(api::KeyUse { window, total, spans })
    }

    /// Returns the use of the caller's own keys.
    ///
    /// # Errors
    /// The caller is the host.
    pub async fn find_own_use(&self, caller: &Caller, window: UseWindow) -> Result<api::UseOfKeys, AppError> {
        let owner = caller.principal.id().ok_or(Denied::NotFound)?;
        self.read_use_of_keys(UsedKeys::Of(owner), window).await
    }

    /// Returns the use of the keys of the service accounts of a workspace. The keys of users are not part of it, because
    /// they are also used in other workspaces.
    ///
    /// # Errors
    /// The caller is not an admin of the workspace.
    pub async fn find_workspace_use(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        window: UseWindow,
    ) -> Result<api::UseOfKeys, AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        self.read_use_of_keys(UsedKeys::OfServiceAccounts(access), window).await
    }

    async fn read_use_of_keys(&self, keys: UsedKeys, window: UseWindow) -> Result<api::UseOfKeys, AppError> {
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let (total, spans) = read_use(&mut connection, keys, window, now).await?;
        let by_key = store::key_use::list_use_by_key(&mut connection, keys, window, now).await?;
        let keys_in_use = by_key.values().filter(|counts| counts.accepted > 0).count() as u64;
        let mut most: Vec<(ApiKeyId, UseCounts)> = by_key.into_iter().collect();
        most.sort_by_key(|(_, counts)| std::cmp::Reverse((counts.accepted, counts.refused())));
        most.truncate(MOST_USED);
        let ids: Vec<ApiKeyId> = most.iter().map(|(id, _)| *id).collect();
        let found = store::api_key::list_owned_api_keys(&mut connection, &ids).await?;
        let found: BTreeMap<ApiKeyId, OwnedKeyRow> = found.into_iter().map(|row| (row.key.id, row)).collect();
        let most_used = most.into_iter().filter_map(|(id, counts)| {
            let OwnedKeyRow { key, owner_email } = found.get(&id)?;
            Some(api::UseOfKey {
                id,
                title: key.title.clone(),
                fingerprint: key.public_key.fingerprint().to_string(),
                owner: key.owner.to_string(),
                owner_email: owner_email.clone(),
                counts: to_wire(&counts),
            })
        });
        Ok(api::UseOfKeys { window, total, spans, keys_in_use, most_used: most_used.collect() })
    }
}

async fn read_use(
    connection: &mut Connection,
    keys: UsedKeys,
    window: UseWindow,
    now: Timestamp,
) -> Result<(api::UseCounts, Vec<api::UseOfSpan>), AppError> {
    let by_time = store::key_use::list_use_by_time(connection, keys, window, now).await?;
    let mut total = UseCounts::default();
    let spans = window.starts(now).map(|starts_at| {
        let counts = by_time.get(&starts_at).copied().unwrap_or_default();
        total += counts;
        api::UseOfSpan { starts_at, counts: to_wire(&counts) }
    });
    let spans = spans.collect();
    Ok((to_wire(&total), spans))
}

fn to_wire(counts: &UseCounts) -> api::UseCounts {
    let refusals = counts.refusals().map(|(reason, count)| api::RefusalCount { reason: reason.as_str().into(), count });
    api::UseCounts { accepted: counts.accepted, refused: counts.refused(), refusals: refusals.collect() }
}
