//! The keys of all service accounts of a workspace, for people who review them.

use std::collections::BTreeMap;

use domain::{
    PrincipalId, ServiceAccountId, Timestamp, WorkspaceId, api_key::KeyTimes, principal::WorkspacePermission,
};
use store::{
    Connection,
    api_key::{WorkspaceKey, WorkspaceKeys},
};

use super::{KeySearch, rotated_key::Rotations, to_wire};
use crate::{
    app::{
        App, Caller, Found, Paging,
        list::{list_page, look_through},
    },
    error::AppError,
};

/// A key, and the service account that owns it.
#[derive(Clone, Debug)]
pub struct AccountKey {
    /// The key.
    pub key: api::ApiKey,
    /// The service account.
    pub account: KeyAccount,
}

/// The service account that owns a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyAccount {
    /// Its id.
    pub id: ServiceAccountId,
    /// Its display name.
    pub name: String,
    /// Its address.
    pub email: String,
    /// Whether it is disabled, so that all its keys are refused.
    pub disabled: bool,
}

/// One page of the keys of a workspace.
#[derive(Clone, Debug)]
pub struct FoundAccountKeys {
    /// The page.
    pub page: Found<AccountKey>,
    /// The emails and addresses of the principals that created these keys, by their ids.
    pub creators: BTreeMap<String, String>,
}

impl App {
    /// Returns the keys of a workspace's service accounts that match a search, one page with numbers.
    ///
    /// # Errors
    /// The caller may not view the service accounts.
    pub async fn look_through_workspace_keys(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &KeySearch,
    ) -> Result<FoundAccountKeys, AppError> {
        let (keys, now) = self.workspace_keys(caller, workspace)?;
        let mut connection = self.store.read().await?;
        let map = |row| to_account_key(row, now);
        let mut page = look_through(&mut connection, &keys, &search.search, &search.place, map).await?;
        page.items = add_rotations(&mut connection, page.items, now).await?;
        let creators = find_creators(&mut connection, &page.items).await?;
        Ok(FoundAccountKeys { page, creators })
    }

    /// Returns one page of the keys of a workspace's service accounts that match a search, without numbers, with the
    /// emails and addresses of their creators.
    ///
    /// # Errors
    /// The caller may not view the service accounts.
    pub async fn list_workspace_keys(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        search: &KeySearch,
        paging: &Paging,
    ) -> Result<(api::Page<AccountKey>, BTreeMap<String, String>), AppError> {
        let (keys, now) = self.workspace_keys(caller, workspace)?;
        let mut connection = self.store.read().await?;
        let map = |row| to_account_key(row, now);
        let mut page = list_page(&mut connection, &keys, &search.search, paging, map).await?;
        page.items = add_rotations(&mut connection, page.items, now).await?;
        let creators = find_creators(&mut connection, &page.items).await?;
        Ok((page, creators))
    }

    fn workspace_keys(&self, caller: &Caller, workspace: WorkspaceId) -> Result<(WorkspaceKeys, Timestamp), AppError> {
        let access = caller.principal.authorize(WorkspacePermission::ViewServiceAccounts, workspace)?;
        let now = self.clock.now();
        Ok((WorkspaceKeys { access, now, times: KeyTimes::at(now) }, now))
    }
}

fn to_account_key(row: WorkspaceKey, now: Timestamp) -> AccountKey {
    let account = KeyAccount {
        id: row.account,
        name: row.account_name,
        email: row.account_email,
        disabled: row.account_disabled,
    };
    AccountKey { key: to_wire(&row.key, now), account }
}

/// Adds the other keys of their rotations to keys.
async fn add_rotations(
    connection: &mut Connection,
    keys: Vec<AccountKey>,
    now: Timestamp,
) -> Result<Vec<AccountKey>, AppError> {
    let ids: Vec<_> = keys.iter().map(|listed| listed.key.id).collect();
    let rotations = Rotations::read_of(connection, &ids).await?;
    let complete = |listed: AccountKey| AccountKey { key: rotations.complete(listed.key, now), ..listed };
    Ok(keys.into_iter().map(complete).collect())
}

async fn find_creators(connection: &mut Connection, keys: &[AccountKey]) -> Result<BTreeMap<String, String>, AppError> {
    let creators: Vec<PrincipalId> = keys.iter().filter_map(|listed| listed.key.created_by.parse().ok()).collect();
    let emails = store::identity::find_emails(connection, &creators).await?;
    Ok(emails.into_iter().map(|(id, email)| (id.to_string(), email)).collect())
}
