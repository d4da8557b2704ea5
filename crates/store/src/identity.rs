//! Identities for request verification: a principal and its memberships in workspaces that are not deleted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    PrincipalId, ServiceAccountId, UserId, WorkspaceId,
    principal::{Identity, Membership},
};

use crate::{
    Connection, Row, StoreError,
    connection::{find_page_end, page_end, page_start},
    params,
    value::Value,
};

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

/// The slugs and names of the workspaces that are not deleted. All memberships share them.
#[derive(Clone, Debug)]
pub struct WorkspaceNames(Arc<HashMap<WorkspaceId, SlugAndName>>);

type SlugAndName = (Arc<str>, Arc<str>);

impl WorkspaceNames {
    /// Returns the membership in a row, unless its workspace is deleted.
    fn membership(&self, row: &Row) -> Result<Option<Membership>, StoreError> {
        let workspace = row.parse("workspace_id")?;
        let Some((slug, name)) = self.0.get(&workspace) else { return Ok(None) };
        Ok(Some(Membership { workspace, slug: Arc::clone(slug), name: Arc::clone(name), role: row.parse("role")? }))
    }
}

/// Returns the names of all workspaces that are not deleted.
///
/// # Errors
/// The database does not answer.
pub async fn list_workspace_names(connection: &mut Connection) -> Result<WorkspaceNames, StoreError> {
    let rows =
        connection.fetch_all("SELECT id, slug, name FROM workspaces WHERE deleted_at IS NULL", params![]).await?;
    let names = rows.iter().map(|row| Ok((row.parse("id")?, (row.text("slug")?.into(), row.text("name")?.into()))));
    names.collect::<Result<_, StoreError>>().map(Arc::new).map(WorkspaceNames)
}

/// Returns the last id of a page with `size` users after `after`. Returns `None` if there are fewer.
///
/// # Errors
/// The database does not answer.
pub async fn find_end_of_users(
    connection: &mut Connection,
    after: Option<UserId>,
    size: u16,
) -> Result<Option<UserId>, StoreError> {
    find_page_end(connection, "users WHERE", after, size).await
}

/// Returns the users after `after` and up to `up_to`. A membership in a workspace without a name is left out.
///
/// # Errors
/// The database does not answer.
pub async fn list_user_identities(
    connection: &mut Connection,
    names: &WorkspaceNames,
    after: Option<UserId>,
    up_to: Option<UserId>,
) -> Result<Vec<Identity>, StoreError> {
    let range = [Value::from(page_start(after)), Value::from(page_end(up_to))];
    let mut users = BTreeMap::new();
    let sql = "SELECT id, email, email_verified_at IS NOT NULL AS email_verified, name, operator, disabled,
                      sign_in_suspended AS suspended
               FROM users WHERE id > $1 AND id <= $2";
    for row in &connection.fetch_all(sql, &range).await? {
        let id: UserId = row.parse("id")?;
        users.insert(id, identity(row, id.into())?);
    }
    let sql = "SELECT user_id, workspace_id, role FROM members WHERE user_id > $1 AND user_id <= $2
               ORDER BY user_id, workspace_id";
    for row in &connection.fetch_all(sql, &range).await? {
        if let Some(user) = users.get_mut(&row.parse::<UserId>("user_id")?) {
            user.memberships.extend(names.membership(row)?);
        }
    }
    Ok(users.into_values().collect())
}

/// Returns the last id of a page with `size` service accounts after `after`. Returns `None` if there are fewer.
///
/// # Errors
/// The database does not answer.
pub async fn find_end_of_service_accounts(
    connection: &mut Connection,
    after: Option<ServiceAccountId>,
    size: u16,
) -> Result<Option<ServiceAccountId>, StoreError> {
    find_page_end(connection, "service_accounts WHERE", after, size).await
}

/// Returns the service accounts after `after` and up to `up_to` that are not deleted. One of a workspace without a name is
/// left out.
///
/// # Errors
/// The database does not answer.
pub async fn list_service_account_identities(
    connection: &mut Connection,
    names: &WorkspaceNames,
    after: Option<ServiceAccountId>,
    up_to: Option<ServiceAccountId>,
) -> Result<Vec<Identity>, StoreError> {
    let sql = "SELECT id, address AS email, COALESCE(display_name, name) AS name, disabled, role, workspace_id,
                      $3 AS operator, $3 AS email_verified, $3 AS suspended
               FROM service_accounts WHERE deleted_at IS NULL AND id > $1 AND id <= $2";
    let mut accounts = Vec::new();
    for row in &connection.fetch_all(sql, params![page_start(after), page_end(up_to), false]).await? {
        let Some(membership) = names.membership(row)? else { continue };
        let id: ServiceAccountId = row.parse("id")?;
        accounts.push(Identity { memberships: vec![membership], ..identity(row, id.into())? });
    }
    Ok(accounts)
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
