//! Identities for request verification: a principal and its memberships in workspaces that are not deleted.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    PrincipalId, ServiceAccountId, UserId,
    principal::{Identity, Membership},
};

use crate::{Connection, Row, StoreError, params};

fn membership(row: &Row) -> Result<Membership, StoreError> {
    Ok(Membership {
        workspace: row.parse("workspace_id")?,
        slug: Arc::from(row.text("workspace_slug")?),
        name: Arc::from(row.text("workspace_name")?),
        role: row.parse("role")?,
    })
}

fn identity(row: &Row, id: PrincipalId) -> Result<Identity, StoreError> {
    Ok(Identity {
        id,
        email: row.text("email")?,
        email_verified: row.bool("email_verified")?,
        name: row.text("name")?,
        operator: row.bool("operator")?,
        disabled: row.bool("disabled")?,
        suspended: row.bool("suspended")?,
        memberships: Vec::new(),
    })
}

/// Returns a principal, or `None` if it does not exist or was deleted.
pub async fn find_identity(connection: &mut Connection, id: PrincipalId) -> Result<Option<Identity>, StoreError> {
    match id {
        PrincipalId::User(user) => find_user_identity(connection, user).await,
        PrincipalId::ServiceAccount(account) => find_service_account_identity(connection, account).await,
    }
}

async fn find_user_identity(connection: &mut Connection, id: UserId) -> Result<Option<Identity>, StoreError> {
    let sql = "SELECT email, email_verified_at IS NOT NULL AS email_verified, name, operator, disabled,
                      sign_in_suspended AS suspended
               FROM users WHERE id = $1";
    let Some(row) = connection.fetch_optional(sql, params![id]).await? else { return Ok(None) };
    let mut found = identity(&row, id.into())?;
    let sql = "SELECT m.workspace_id, w.slug AS workspace_slug, w.name AS workspace_name, m.role
               FROM members m JOIN workspaces w ON w.id = m.workspace_id
               WHERE m.user_id = $1 AND w.deleted_at IS NULL ORDER BY m.workspace_id";
    for row in &connection.fetch_all(sql, params![id]).await? {
        found.memberships.push(membership(row)?);
    }
    Ok(Some(found))
}

async fn find_service_account_identity(
    connection: &mut Connection,
    id: ServiceAccountId,
) -> Result<Option<Identity>, StoreError> {
    let sql = "SELECT s.address AS email, COALESCE(s.display_name, s.name) AS name, s.disabled, s.role, s.workspace_id, w.slug AS workspace_slug,
                      w.name AS workspace_name, $2 AS operator, $2 AS email_verified, $2 AS suspended
               FROM service_accounts s JOIN workspaces w ON w.id = s.workspace_id
               WHERE s.id = $1 AND s.deleted_at IS NULL AND w.deleted_at IS NULL";
    let Some(row) = connection.fetch_optional(sql, params![id, false]).await? else { return Ok(None) };
    let mut found = identity(&row, id.into())?;
    found.memberships.push(membership(&row)?);
    Ok(Some(found))
}

/// Returns all principals, for the first load of a directory.
pub async fn list_identities(connection: &mut Connection) -> Result<Vec<Identity>, StoreError> {
    let mut users = BTreeMap::new();
    let sql = "SELECT id, email, email_verified_at IS NOT NULL AS email_verified, name, operator, disabled,
                      sign_in_suspended AS suspended
               FROM users";
    for row in &connection.fetch_all(sql, params![]).await? {
        let id: UserId = row.parse("id")?;
        users.insert(id, identity(row, id.into())?);
    }
    let sql = "SELECT m.user_id, m.workspace_id, w.slug AS workspace_slug, w.name AS workspace_name, m.role
               FROM members m JOIN workspaces w ON w.id = m.workspace_id WHERE w.deleted_at IS NULL
               ORDER BY m.user_id, m.workspace_id";
    for row in &connection.fetch_all(sql, params![]).await? {
        if let Some(user) = users.get_mut(&row.parse::<UserId>("user_id")?) {
            user.memberships.push(membership(row)?);
        }
    }
    let mut all: Vec<Identity> = users.into_values().collect();
    let sql = "SELECT s.id, s.address AS email, COALESCE(s.display_name, s.name) AS name, s.disabled, s.role, s.workspace_id,
                      w.slug AS workspace_slug, w.name AS workspace_name, $1 AS operator, $1 AS email_verified, $1 AS suspended
               FROM service_accounts s JOIN workspaces w ON w.id = s.workspace_id
               WHERE s.deleted_at IS NULL AND w.deleted_at IS NULL";
    for row in &connection.fetch_all(sql, params![false]).await? {
        let id: ServiceAccountId = row.parse("id")?;
        let mut account = identity(row, id.into())?;
        account.memberships.push(membership(row)?);
        all.push(account);
    }
    Ok(all)
}

/// Returns the user with an email, or the service account that has or had an address, including deleted ones.
pub async fn find_principal_by_email(
    connection: &mut Connection,
    email: &str,
) -> Result<Option<PrincipalId>, StoreError> {
    let sql = "SELECT id FROM users WHERE email = $1
               UNION ALL SELECT service_account_id FROM service_account_addresses WHERE address = $1";
    connection.fetch_optional(sql, params![email]).await?.map(|row| row.parse("id")).transpose()
}

/// Returns the emails of users and the addresses of service accounts, including deleted ones.
pub async fn find_emails(
    connection: &mut Connection,
    ids: &[PrincipalId],
) -> Result<BTreeMap<PrincipalId, String>, StoreError> {
    let (mut users, mut accounts) = (Vec::new(), Vec::new());
    for &id in ids {
        match id {
            PrincipalId::User(user) => users.push(user),
            PrincipalId::ServiceAccount(account) => accounts.push(account),
        }
    }
    let mut rows = connection.fetch_in("SELECT id, email FROM users WHERE id", &users, "").await?;
    let sql = "SELECT id, address AS email FROM service_accounts WHERE id";
    rows.extend(connection.fetch_in(sql, &accounts, "").await?);
    rows.iter().map(|row| Ok((row.parse("id")?, row.text("email")?))).collect()
}

/// Returns the memberships of users in workspaces that are not deleted, in the order of the workspaces' ids.
pub async fn list_memberships(
    connection: &mut Connection,
    users: &[UserId],
) -> Result<BTreeMap<UserId, Vec<Membership>>, StoreError> {
    let sql = "SELECT m.user_id, m.workspace_id, w.slug AS workspace_slug, w.name AS workspace_name, m.role
               FROM members m JOIN workspaces w ON w.id = m.workspace_id
               WHERE w.deleted_at IS NULL AND m.user_id";
    let mut memberships: BTreeMap<UserId, Vec<Membership>> = BTreeMap::new();
    for row in &connection.fetch_in(sql, users, "ORDER BY m.workspace_id").await? {
        memberships.entry(row.parse("user_id")?).or_default().push(membership(row)?);
    }
    Ok(memberships)
}

/// Returns the email of a user or the address of a service account, including deleted ones.
pub async fn find_email(connection: &mut Connection, id: PrincipalId) -> Result<Option<String>, StoreError> {
    let sql = "SELECT email FROM users WHERE id = $1 UNION ALL SELECT address FROM service_accounts WHERE id = $1";
    connection.fetch_optional(sql, params![id]).await?.map(|row| row.text("email")).transpose()
}
