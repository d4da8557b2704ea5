//! Identities for request verification: a principal and its memberships in workspaces that are not deleted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    ApiKeyId, PrincipalId, ServiceAccountId, Timestamp, UserId, WorkspaceId,
    api_key::{KeyState, key_state},
    limits::{KeyLimits, Limits},
    policy::{KeyFacts, KeyPolicies, PolicyPlace},
    principal::{Identity, Membership},
    public_key::CompactKey,
};

use crate::{
    Connection, ReplayKey, Row, StoreError, StoredResponse,
    connection::{FromRow as _, find_page_end, page_end, page_start},
    key_blob::without_mark,
    params,
    policy_row::{installation_place, policy_of},
    replay::{self, Earlier},
    value::Value,
};

/// Selects users without their memberships.
macro_rules! select_users {
    () => {
        "SELECT id, email, email_verified_at IS NOT NULL AS email_verified, name, operator, disabled,
                sign_in_suspended AS suspended
         FROM users"
    };
}

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

/// The membership in a row, unless its columns are empty.
fn opt_membership(row: &Row) -> Result<Option<Membership>, StoreError> {
    row.opt_text("workspace_id")?.map(|_| membership(row)).transpose()
}

/// Who sends a request, and whether it was sent before, read at the same time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sender {
    /// The principal, or `None` if it does not exist or was deleted.
    pub identity: Option<Identity>,
    /// The key, or `None` if it does not exist.
    pub key: Option<KeyStanding>,
    /// What an earlier request stored that had the same signature, or the same key and nonce.
    pub earlier: Option<Earlier>,
    /// The policies of the installation and of the principal's workspaces.
    pub policies: KeyPolicies,
}

/// What decides whether a key is accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyStanding {
    /// Its owner.
    pub owner: PrincipalId,
    /// Its limits.
    pub limits: KeyLimits,
    /// What policies are about.
    pub facts: KeyFacts,
    disabled: bool,
    suspended: bool,
    expires_at: Option<Timestamp>,
    revoked: bool,
}

impl KeyStanding {
    /// Returns its state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        key_state(self.disabled, self.suspended, self.expires_at, self.revoked, now)
    }

    fn of(row: &Row) -> Result<Option<Self>, StoreError> {
        let Some(owner) = row.opt_parse("key_owner")? else { return Ok(None) };
        let limits = row.opt_parse("key_limits")?.map_or_else(KeyLimits::none, |limits: Limits| limits.into());
        let expires_at = row.opt_timestamp("key_expires_at")?;
        let blob = row.bytes("key_public_key")?;
        let public_key = CompactKey::from_stored_blob(without_mark(&blob))
            .map_err(|error| StoreError::corrupt(format!("api_keys.public_key: {error}")))?;
        Ok(Some(Self {
            owner,
            facts: KeyFacts::of(row.parse("own_key_id")?, public_key.algorithm(), expires_at, &limits),
            limits,
            disabled: row.bool("key_disabled")?,
            suspended: row.bool("key_suspended")?,
            expires_at,
            revoked: row.opt_i64("key_revoked_at")?.is_some(),
        }))
    }
}

/// A statement that returns a row for each membership of a principal and each earlier request, or one row if there are
/// none. Each row also has the key.
macro_rules! select_sender {
    ($columns:literal, $tables:literal) => {
        concat!(
            "SELECT k.id AS own_key_id, k.public_key AS key_public_key, k.owner_id AS key_owner, k.disabled AS key_disabled,
                    k.suspended AS key_suspended,
                    k.expires_at AS key_expires_at, k.revoked_at AS key_revoked_at, k.limits AS key_limits,
                    r.replay_key, r.key_id, r.nonce, r.expires_at, r.status, r.body, r.sealed_body,
                    w.id AS workspace_id, w.slug AS workspace_slug, w.name AS workspace_name,
                    pi.rules AS all_rules, pi.rules_before AS all_before, pi.set_at AS all_set, pi.enforced_from AS all_from,
                    pw.rules AS own_rules, pw.rules_before AS own_before, pw.set_at AS own_set, pw.enforced_from AS own_from,
                    ",
            $columns,
            " FROM (SELECT 1 AS one) AS always LEFT JOIN api_keys k ON k.id = $2
              LEFT JOIN replays r ON r.replay_key = $3 OR (r.key_id = $4 AND r.nonce = $5) LEFT JOIN ",
            $tables,
            " LEFT JOIN key_policies pw ON pw.place = w.id LEFT JOIN key_policies pi ON pi.place = '",
            installation_place!(),
            "' ORDER BY w.id"
        )
    };
}

/// Returns a principal, a key and an earlier request with one statement, because a change reads them while other changes
/// wait. The key may have another owner.
///
/// # Errors
/// The database does not answer, or a row cannot be decoded.
pub async fn find_sender(
    connection: &mut Connection,
    id: PrincipalId,
    key: Option<ApiKeyId>,
    replay: Option<&ReplayKey>,
) -> Result<Sender, StoreError> {
    let (signature, signer) = (replay.map(|replay| replay.key.as_slice()), replay.map(|replay| replay.api_key));
    let nonce = replay.and_then(|replay| replay.nonce.as_deref());
    let rows = match id {
        PrincipalId::User(user) => {
            let sql = select_sender!(
                "u.email, u.email_verified_at IS NOT NULL AS email_verified, u.name, u.operator, u.disabled,
                 u.sign_in_suspended AS suspended, m.role",
                "users u ON u.id = $1
                 LEFT JOIN members m ON m.user_id = u.id
                 LEFT JOIN workspaces w ON w.id = m.workspace_id AND w.deleted_at IS NULL"
            );
            connection.fetch_all(sql, params![user, key, signature, signer, nonce]).await?
        }
        PrincipalId::ServiceAccount(account) => {
            let sql = select_sender!(
                "s.address AS email, COALESCE(s.display_name, s.name) AS name, s.disabled, s.role, $6 AS operator,
                 $6 AS email_verified, $6 AS suspended",
                "(service_accounts s JOIN workspaces w ON w.id = s.workspace_id AND w.deleted_at IS NULL)
                 ON s.id = $1 AND s.deleted_at IS NULL"
            );
            connection.fetch_all(sql, params![account, key, signature, signer, nonce, false]).await?
        }
    };
    let first = rows.first().ok_or_else(|| StoreError::corrupt("no row where there is always one, of a principal"))?;
    let mut found = match first.opt_text("email")? {
        Some(_) => Some(identity(first, id)?),
        None => None,
    };
    let mut stored = Vec::new();
    for row in &rows {
        // Two requests may have been stored: one with the signature, and another one with the nonce.
        if let Some(identity) = &mut found
            && let Some(membership) = opt_membership(row)?
            && identity.memberships.last().is_none_or(|last| last.workspace != membership.workspace)
        {
            identity.memberships.push(membership);
        }
        if row.opt_bytes("replay_key")?.is_some() {
            stored.push(StoredResponse::from_row(row)?);
        }
    }
    let mut policies = KeyPolicies::default();
    policies.set(PolicyPlace::Installation, policy_of(first, ["all_rules", "all_before", "all_set", "all_from"])?);
    for row in &rows {
        if let Some(policy) = policy_of(row, ["own_rules", "own_before", "own_set", "own_from"])? {
            policies.set(PolicyPlace::Workspace(row.parse("workspace_id")?), Some(policy));
        }
    }
    let earlier = replay.and_then(|replay| replay::find_earlier_of(&stored, replay));
    Ok(Sender { identity: found, key: KeyStanding::of(first)?, earlier, policies })
}

/// Returns a principal, or `None` if it does not exist or was deleted.
pub async fn find_identity(connection: &mut Connection, id: PrincipalId) -> Result<Option<Identity>, StoreError> {
    Ok(find_sender(connection, id, None, None).await?.identity)
}

/// Returns those of these principals that exist and were not deleted.
///
/// # Errors
/// The database does not answer, or a row cannot be decoded.
pub async fn find_identities(
    connection: &mut Connection,
    ids: &[PrincipalId],
) -> Result<HashMap<PrincipalId, Identity>, StoreError> {
    let (users, accounts) = split(ids);
    let mut found = HashMap::new();
    let mut memberships = list_memberships(connection, &users).await?;
    for row in &connection.fetch_in(concat!(select_users!(), " WHERE id"), &users, "").await? {
        let id: UserId = row.parse("id")?;
        let memberships = memberships.remove(&id).unwrap_or_default();
        found.insert(id.into(), Identity { memberships, ..identity(row, id.into())? });
    }
    let sql = "SELECT s.id, s.address AS email, COALESCE(s.display_name, s.name) AS name, s.disabled, s.role,
                      s.workspace_id, w.slug AS workspace_slug, w.name AS workspace_name,
                      FALSE AS operator, FALSE AS email_verified, FALSE AS suspended
               FROM service_accounts s JOIN workspaces w ON w.id = s.workspace_id
               WHERE s.deleted_at IS NULL AND w.deleted_at IS NULL AND s.id";
    for row in &connection.fetch_in(sql, &accounts, "").await? {
        let id: ServiceAccountId = row.parse("id")?;
        found.insert(id.into(), Identity { memberships: vec![membership(row)?], ..identity(row, id.into())? });
    }
    Ok(found)
}

/// Returns the users and the service accounts among principals.
fn split(ids: &[PrincipalId]) -> (Vec<UserId>, Vec<ServiceAccountId>) {
    let (mut users, mut accounts) = (Vec::new(), Vec::new());
    for &id in ids {
        match id {
            PrincipalId::User(user) => users.push(user),
            PrincipalId::ServiceAccount(account) => accounts.push(account),
        }
    }
    (users, accounts)
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
    let sql = concat!(select_users!(), " WHERE id > $1 AND id <= $2");
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
    let (users, accounts) = split(ids);
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
