//! Service accounts and all their current and previous addresses.

use std::collections::BTreeMap;

use domain::{
    ServiceAccountId, Timestamp, WorkspaceId,
    list::{ServiceAccountFilter, ServiceAccountOrder},
    principal::WorkspaceAccess,
    service_account::ServiceAccount,
};

use crate::{
    Change, Connection, Row, StoreError, Subject,
    api_key::LastUse,
    api_key::live_key,
    connection::{FromRow, page_start},
    key_use,
    list::{List, push},
    params,
    table::{
        Column,
        ColumnType::{Bool, I64, Text},
        Table,
    },
    value::{Statement, Value},
};

pub(crate) static SERVICE_ACCOUNTS: Table<ServiceAccount> = Table {
    name: "service_accounts",
    columns: &[
        Column::key("id", Text, |account| account.id.into()),
        Column::fixed("workspace_id", Text, |account| account.workspace.into()),
        Column::mutable("display_name", Text, |account| (&account.display_name).into()),
        Column::mutable("name", Text, |account| account.name.as_str().into()),
        Column::mutable("description", Text, |account| (&account.description).into()),
        Column::mutable("address", Text, |account| (&account.address).into()),
        Column::mutable("role", Text, |account| account.role.as_str().into()),
        Column::mutable("disabled", Bool, |account| account.disabled.into()),
        Column::fixed("created_at", I64, |account| account.created_at.into()),
        Column::separate("deleted_at", I64),
    ],
};

impl FromRow for ServiceAccount {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parse("id")?,
            workspace: row.parse("workspace_id")?,
            // A node of the previous release creates accounts without a display name.
            display_name: row.opt_text("display_name")?.map_or_else(|| row.text("name"), Ok)?,
            name: row.parse("name")?,
            description: row.text("description")?,
            address: row.text("address")?,
            role: row.parse("role")?,
            disabled: row.bool("disabled")?,
            created_at: row.timestamp("created_at")?,
        })
    }
}

pub(crate) static SERVICE_ACCOUNT_ADDRESSES: Table<ServiceAccount> = Table {
    name: "service_account_addresses",
    columns: &[
        Column::key("address", Text, |account| (&account.address).into()),
        Column::fixed("service_account_id", Text, |account| account.id.into()),
    ],
};

/// Adds a service account and permanently reserves its address.
pub async fn insert_service_account(change: &mut Change, account: &ServiceAccount) -> Result<(), StoreError> {
    SERVICE_ACCOUNTS.insert(account).run(change).await?;
    reserve_address(change, account).await
}

/// Updates the mutable columns of a service account.
pub async fn update_service_account(change: &mut Change, account: &ServiceAccount) -> Result<(), StoreError> {
    SERVICE_ACCOUNTS.update(change, account).await?;
    reserve_address(change, account).await
}

async fn reserve_address(change: &mut Change, account: &ServiceAccount) -> Result<(), StoreError> {
    SERVICE_ACCOUNT_ADDRESSES.insert(account).or_ignore().run(change).await?;
    change.touch(Subject::ServiceAccount(account.id));
    Ok(())
}

/// Marks a service account as deleted, and deletes the counters of its keys. Its row is kept, so that its addresses are
/// never used again.
pub async fn delete_service_account(
    change: &mut Change,
    id: ServiceAccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    change.execute("UPDATE service_accounts SET deleted_at = $2 WHERE id = $1", params![id, now]).await?;
    key_use::delete_use_counters_of(change, id).await?;
    change.touch(Subject::ServiceAccount(id));
    Ok(())
}

/// Returns whether another service account has or had that address.
pub async fn address_is_taken(
    connection: &mut Connection,
    address: &str,
    by_other_than: Option<ServiceAccountId>,
) -> Result<bool, StoreError> {
    let sql = "SELECT service_account_id FROM service_account_addresses WHERE address = $1";
    let Some(row) = connection.fetch_optional(sql, params![address]).await? else { return Ok(false) };
    Ok(by_other_than != Some(row.parse("service_account_id")?))
}

/// Returns a service account of a workspace, unless it is deleted.
pub async fn find_service_account(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: ServiceAccountId,
) -> Result<Option<ServiceAccount>, StoreError> {
    let sql = SERVICE_ACCOUNTS.select("WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL");
    connection.find(sql, params![workspace, id]).await
}

/// Returns the service account with that address, unless it is deleted.
pub async fn find_service_account_by_address(
    connection: &mut Connection,
    address: &str,
) -> Result<Option<ServiceAccount>, StoreError> {
    let sql = SERVICE_ACCOUNTS.select("WHERE address = $1 AND deleted_at IS NULL");
    connection.find(sql, params![address]).await
}

/// A service account in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceAccountRow {
    /// The account.
    pub account: ServiceAccount,
    /// The number of its live keys.
    pub live_keys: u64,
}

impl FromRow for ServiceAccountRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { account: ServiceAccount::from_row(row)?, live_keys: row.count("live_keys")? })
    }
}

/// Returns service accounts of a workspace in the order of their ids, after `after`, each with the number of its live
/// keys at `now`.
pub async fn list_service_accounts(
    connection: &mut Connection,
    access: WorkspaceAccess,
    after: Option<ServiceAccountId>,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<ServiceAccountRow>, StoreError> {
    let sql = SERVICE_ACCOUNTS.select_with(
        concat!(
            "(SELECT COUNT(*) FROM api_keys WHERE owner_id = service_accounts.id AND ",
            live_key!("$4"),
            ") AS live_keys"
        ),
        "WHERE workspace_id = $1 AND id > $2 AND deleted_at IS NULL ORDER BY id LIMIT $3",
    );
    connection.list(sql, params![access.workspace(), page_start(after), limit, now]).await
}

/// A service account in a list that people look through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedServiceAccount {
    /// The account, with the number of its live keys.
    pub row: ServiceAccountRow,
    /// The last use of any of its keys.
    pub last_use: Option<LastUse>,
}

/// The list of the service accounts of a workspace, with the live keys of each at this time.
#[derive(Clone, Copy, Debug)]
pub struct ServiceAccounts(pub WorkspaceAccess, pub Timestamp);

impl List for ServiceAccounts {
    type Order = ServiceAccountOrder;
    type Filter = ServiceAccountFilter;
    type Id = ServiceAccountId;
    type Row = ListedServiceAccount;

    const ID: &'static str = "service_accounts.id";
    const SEARCHED: &'static [&'static str] =
        &["COALESCE(service_accounts.display_name, service_accounts.name)", "service_accounts.address"];

    fn select(&self) -> Statement {
        SERVICE_ACCOUNTS.select_columns(
            "COALESCE(keys.live, 0) AS live_keys, keys.used AS last_used_at,
             (SELECT last_used_ip FROM api_keys
              WHERE owner_id = service_accounts.id AND last_used_at = keys.used ORDER BY id LIMIT 1) AS last_used_ip",
        )
    }

    fn from<'a>(&'a self, values: &mut Vec<Value<'a>>) -> Statement {
        let (workspace, now) = (push(values, self.0.workspace()), push(values, self.1));
        let counted = format!(live_key!("{}"), now);
        Statement::built(format!(
            "FROM service_accounts LEFT JOIN (
                 SELECT owner_id, MAX(last_used_at) AS used, COUNT(CASE WHEN {counted} THEN 1 END) AS live
                 FROM api_keys WHERE owner_id IN (SELECT id FROM service_accounts WHERE workspace_id = {workspace})
                 GROUP BY owner_id
             ) AS keys ON keys.owner_id = service_accounts.id
             WHERE service_accounts.workspace_id = {workspace} AND service_accounts.deleted_at IS NULL"
        ))
    }

    fn filter<'a>(&'a self, filter: ServiceAccountFilter, _: &mut Vec<Value<'a>>) -> Statement {
        match filter {
            ServiceAccountFilter::All => "1 = 1",
            ServiceAccountFilter::Active => "service_accounts.disabled = FALSE AND keys.live > 0",
            ServiceAccountFilter::WithoutKeys => "service_accounts.disabled = FALSE AND COALESCE(keys.live, 0) = 0",
            ServiceAccountFilter::Disabled => "service_accounts.disabled = TRUE",
        }
        .into()
    }

    fn order(order: ServiceAccountOrder) -> &'static str {
        match order {
            ServiceAccountOrder::Created => "service_accounts.id",
            ServiceAccountOrder::Name => "LOWER(COALESCE(service_accounts.display_name, service_accounts.name))",
            ServiceAccountOrder::LastUsed => "COALESCE(keys.used, 0)",
            ServiceAccountOrder::Keys => "COALESCE(keys.live, 0)",
        }
    }

    fn decode(row: &Row) -> Result<ListedServiceAccount, StoreError> {
        let last_use = match row.opt_i64("last_used_at")? {
            Some(_) => Some(LastUse { at: row.timestamp("last_used_at")?, ip_address: row.opt_text("last_used_ip")? }),
            None => None,
        };
        Ok(ListedServiceAccount { row: ServiceAccountRow::from_row(row)?, last_use })
    }
}

/// Returns how many service accounts a workspace has.
pub async fn count_service_accounts(connection: &mut Connection, access: WorkspaceAccess) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS accounts FROM service_accounts WHERE workspace_id = $1 AND deleted_at IS NULL";
    connection.fetch_one(sql, params![access.workspace()]).await?.count("accounts")
}

/// Returns the workspaces of service accounts, including deleted ones.
pub async fn find_workspaces_of(
    connection: &mut Connection,
    ids: &[ServiceAccountId],
) -> Result<BTreeMap<ServiceAccountId, WorkspaceId>, StoreError> {
    let rows = connection.fetch_in("SELECT id, workspace_id FROM service_accounts WHERE id", ids, "").await?;
    rows.iter().map(|row| Ok((row.parse("id")?, row.parse("workspace_id")?))).collect()
}

/// Returns the workspace of a service account, including deleted ones.
pub async fn find_workspace_of(
    connection: &mut Connection,
    id: ServiceAccountId,
) -> Result<Option<WorkspaceId>, StoreError> {
    let sql = "SELECT workspace_id FROM service_accounts WHERE id = $1";
    let row = connection.fetch_optional(sql, params![id]).await?;
    row.map(|row| row.parse("workspace_id")).transpose()
}
