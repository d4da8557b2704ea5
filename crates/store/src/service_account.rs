//! Service accounts and the addresses they ever had.

use domain::{ServiceAccountId, Timestamp, WorkspaceId, service_account::ServiceAccount, workspace::Slug};

use crate::{Change, Connection, Row, StoreError, Subject, params};

fn service_account(row: &Row) -> Result<ServiceAccount, StoreError> {
    Ok(ServiceAccount {
        id: row.parse("id")?,
        workspace: row.parse("workspace_id")?,
        name: row.parse("name")?,
        description: row.text("description")?,
        address: row.text("address")?,
        role: row.parse("role")?,
        disabled: row.bool("disabled")?,
        created_at: row.timestamp("created_at")?,
    })
}

/// Adds a service account and takes its address for good.
pub async fn insert_service_account(change: &mut Change, account: &ServiceAccount) -> Result<(), StoreError> {
    change
        .execute(
            "INSERT INTO service_accounts (id, workspace_id, name, description, address, role, disabled, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            params![
                account.id,
                account.workspace,
                account.name.as_str(),
                &account.description,
                &account.address,
                account.role.as_str(),
                account.disabled,
                account.created_at
            ],
        )
        .await?;
    take_address(change, account).await?;
    change.touch(Subject::ServiceAccount(account.id));
    Ok(())
}

async fn take_address(change: &mut Change, account: &ServiceAccount) -> Result<(), StoreError> {
    change
        .execute(
            "INSERT INTO service_account_addresses (address, service_account_id) VALUES ($1, $2)
             ON CONFLICT (address) DO NOTHING",
            params![&account.address, account.id],
        )
        .await?;
    Ok(())
}

/// Writes what can change of a service account.
pub async fn update_service_account(change: &mut Change, account: &ServiceAccount) -> Result<(), StoreError> {
    change
        .execute(
            "UPDATE service_accounts SET name = $2, description = $3, address = $4, role = $5, disabled = $6
             WHERE id = $1",
            params![
                account.id,
                account.name.as_str(),
                &account.description,
                &account.address,
                account.role.as_str(),
                account.disabled
            ],
        )
        .await?;
    take_address(change, account).await?;
    change.touch(Subject::ServiceAccount(account.id));
    Ok(())
}

/// Marks a service account as deleted. Its row stays, so that its addresses are never used again.
pub async fn delete_service_account(
    change: &mut Change,
    id: ServiceAccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    change.execute("UPDATE service_accounts SET deleted_at = $2 WHERE id = $1", params![id, now]).await?;
    change.touch(Subject::ServiceAccount(id));
    Ok(())
}

/// Whether another service account has or had that address.
pub async fn address_is_taken(
    connection: &mut Connection,
    address: &str,
    by_other_than: Option<ServiceAccountId>,
) -> Result<bool, StoreError> {
    let sql = "SELECT service_account_id FROM service_account_addresses WHERE address = $1";
    let Some(row) = connection.fetch_optional(sql, params![address]).await? else { return Ok(false) };
    Ok(by_other_than != Some(row.parse("service_account_id")?))
}

/// A service account of a workspace, unless it is deleted.
pub async fn find_service_account(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: ServiceAccountId,
) -> Result<Option<ServiceAccount>, StoreError> {
    let sql = "SELECT id, workspace_id, name, description, address, role, disabled, created_at
               FROM service_accounts WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL";
    connection.fetch_optional(sql, params![workspace, id]).await?.as_ref().map(service_account).transpose()
}

/// The service account of that address, unless it is deleted.
pub async fn find_service_account_by_address(
    connection: &mut Connection,
    address: &str,
) -> Result<Option<ServiceAccount>, StoreError> {
    let sql = "SELECT id, workspace_id, name, description, address, role, disabled, created_at
               FROM service_accounts WHERE address = $1 AND deleted_at IS NULL";
    connection.fetch_optional(sql, params![address]).await?.as_ref().map(service_account).transpose()
}

/// The service account of that name in a workspace, unless it is deleted.
pub async fn find_service_account_by_name(
    connection: &mut Connection,
    workspace: WorkspaceId,
    name: &Slug,
) -> Result<Option<ServiceAccount>, StoreError> {
    let sql = "SELECT id, workspace_id, name, description, address, role, disabled, created_at
               FROM service_accounts WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NULL";
    connection.fetch_optional(sql, params![workspace, name.as_str()]).await?.as_ref().map(service_account).transpose()
}

/// Service accounts of a workspace in the order of their ids, after `after`.
pub async fn list_service_accounts(
    connection: &mut Connection,
    workspace: WorkspaceId,
    after: Option<ServiceAccountId>,
    limit: i64,
) -> Result<Vec<ServiceAccount>, StoreError> {
    let sql = "SELECT id, workspace_id, name, description, address, role, disabled, created_at
               FROM service_accounts WHERE workspace_id = $1 AND id > $2 AND deleted_at IS NULL
               ORDER BY id LIMIT $3";
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![workspace, after, limit]).await?.iter().map(service_account).collect()
}

/// How many service accounts a workspace has.
pub async fn count_service_accounts(connection: &mut Connection, workspace: WorkspaceId) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS accounts FROM service_accounts WHERE workspace_id = $1 AND deleted_at IS NULL";
    connection.fetch_one(sql, params![workspace]).await?.i64("accounts")
}

/// The workspace that a service account belongs or belonged to.
pub async fn find_workspace_of(
    connection: &mut Connection,
    id: ServiceAccountId,
) -> Result<Option<WorkspaceId>, StoreError> {
    let sql = "SELECT workspace_id FROM service_accounts WHERE id = $1";
    let row = connection.fetch_optional(sql, params![id]).await?;
    row.map(|row| row.parse("workspace_id")).transpose()
}
