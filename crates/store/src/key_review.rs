//! The keys that policies are about.

use domain::{
    ApiKeyId, Timestamp, WorkspaceId,
    api_key::ApiKey,
    policy::{KeyPolicy, PolicyPlace, Unused, UnusedAction},
    principal::{OperatorAccess, WorkspaceAccess},
};

use crate::{
    Change, Connection, Row, StoreError,
    api_key::{API_KEYS, live_key},
    connection::{FromRow, page_start},
    params,
    value::{Statement, Value},
};

/// A live key, with its owner, for a review.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewedKey {
    /// The key.
    pub key: ApiKey,
    /// The owner's email or address.
    pub owner_email: String,
    /// The owner's name.
    pub owner_name: String,
    /// The workspace, if the owner is a service account.
    pub workspace: Option<WorkspaceId>,
}

impl FromRow for ReviewedKey {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: ApiKey::from_row(row)?,
            owner_email: row.text("owner_email")?,
            owner_name: row.text("owner_name")?,
            workspace: row.opt_parse("account_workspace")?,
        })
    }
}

const WITH_OWNER: &str = "COALESCE(users.email, service_accounts.address) AS owner_email,
    COALESCE(users.name, service_accounts.display_name, service_accounts.name) AS owner_name,
    service_accounts.workspace_id AS account_workspace";

/// Returns the live keys of the service accounts and of the members of a workspace, in the order of their ids, after
/// `after`. The keys of members may be limited to other workspaces.
pub async fn list_keys_in(
    connection: &mut Connection,
    access: WorkspaceAccess,
    now: Timestamp,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ReviewedKey>, StoreError> {
    let sql = API_KEYS.select_with(
        WITH_OWNER,
        concat!(
            "LEFT JOIN users ON users.id = api_keys.owner_id
             LEFT JOIN service_accounts ON service_accounts.id = api_keys.owner_id
             WHERE api_keys.owner_id IN (
                 SELECT id FROM service_accounts WHERE workspace_id = $1 AND deleted_at IS NULL
                 UNION ALL SELECT user_id FROM members WHERE workspace_id = $1)
             AND api_keys.id > $2 AND ",
            live_key!("$3"),
            " ORDER BY api_keys.id LIMIT $4"
        ),
    );
    connection.list(sql, params![access.workspace(), page_start(after), now, limit]).await
}

/// Returns the live keys of all owners, in the order of their ids, after `after`.
pub async fn list_keys_everywhere(
    connection: &mut Connection,
    _: OperatorAccess,
    now: Timestamp,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ReviewedKey>, StoreError> {
    let sql = API_KEYS.select_with(
        WITH_OWNER,
        concat!(
            "LEFT JOIN users ON users.id = api_keys.owner_id
             LEFT JOIN service_accounts ON service_accounts.id = api_keys.owner_id
             WHERE api_keys.id > $1 AND ",
            live_key!("$2"),
            " ORDER BY api_keys.id LIMIT $3"
        ),
    );
    connection.list(sql, params![page_start(after), now, limit]).await
}

/// Records that a key was enabled, so that it is counted as unused again.
pub async fn note_enabled(change: &mut Change, id: ApiKeyId) -> Result<(), StoreError> {
    let now = change.now();
    change.execute("UPDATE api_keys SET enabled_at = $2 WHERE id = $1", params![id, now]).await?;
    Ok(())
}

/// Returns the active keys that a policy disables because they are not used: those of the workspace's service accounts, or
/// those of all owners. At most `limit`, in the order of their ids.
pub async fn list_keys_to_disable(
    connection: &mut Connection,
    (place, policy): (PolicyPlace, &KeyPolicy),
    now: Timestamp,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    // A key is unused if it was last used, registered and enabled before this time. A rule that disables nothing has the
    // earliest time.
    let cut = |unused: Option<Unused>| {
        let days = unused.filter(|unused| unused.action == UnusedAction::Disable).map(|unused| unused.days);
        days.and_then(|days| now.checked_sub(days.duration()).ok()).unwrap_or(Timestamp::MIN)
    };
    let existing = if now >= policy.enforced_from() { policy.rules() } else { policy.before() };
    let (new_since, existing_since) = (cut(policy.rules().unused), cut(existing.unused));
    let mut values: Vec<Value<'_>> =
        vec![now.into(), policy.set_at().into(), new_since.into(), existing_since.into(), limit.into()];
    let owners = match place {
        PolicyPlace::Installation => "1 = 1",
        PolicyPlace::Workspace(workspace) => {
            values.push(workspace.into());
            "api_keys.owner_id IN (SELECT id FROM service_accounts WHERE workspace_id = $6 AND deleted_at IS NULL)"
        }
    };
    let sql = Statement::built(format!(
        "{} FROM api_keys WHERE {owners} AND NOT api_keys.disabled AND NOT api_keys.suspended AND {}
         AND CASE WHEN api_keys.created_at > $2 THEN $3 ELSE $4 END > api_keys.created_at
         AND CASE WHEN api_keys.created_at > $2 THEN $3 ELSE $4 END > COALESCE(api_keys.last_used_at, api_keys.created_at)
         AND CASE WHEN api_keys.created_at > $2 THEN $3 ELSE $4 END > COALESCE(api_keys.enabled_at, api_keys.created_at)
         ORDER BY api_keys.id LIMIT $5",
        API_KEYS.select_columns("").as_str(),
        live_key!("$1")
    ));
    connection.list(sql, &values).await
}
