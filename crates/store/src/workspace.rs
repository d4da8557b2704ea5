//! Workspaces and their quotas.

use std::collections::BTreeMap;

use domain::{
    PrincipalId, Timestamp, WorkspaceId,
    list::{WorkspaceFilter, WorkspaceOrder},
    principal::{OperatorAccess, OwnWorkspacesAccess, WorkspaceAccess},
    quota::Quotas,
    workspace::{Slug, Workspace},
};

use crate::{
    Change, Connection, Row, StoreError, Subject,
    api_key::live_key,
    connection::{FromRow, LIST_MAX, push_list},
    list::{List, push},
    params,
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
    value::{Statement, Value},
};

pub(crate) static WORKSPACES: Table<Workspace> = Table {
    name: "workspaces",
    columns: &[
        Column::key("id", Text, |workspace| workspace.id.into()),
        Column::fixed("slug", Text, |workspace| workspace.slug.as_str().into()),
        Column::mutable("name", Text, |workspace| (&workspace.name).into()),
        Column::mutable("service_account_quota", I64, |w| i64::from(w.quotas.service_accounts).into()),
        Column::mutable("service_account_key_quota", I64, |w| i64::from(w.quotas.keys_per_service_account).into()),
        Column::mutable("user_key_quota", I64, |workspace| i64::from(workspace.quotas.keys_per_user).into()),
        Column::fixed("created_at", I64, |workspace| workspace.created_at.into()),
        Column::separate("deleted_at", I64),
    ],
};

impl FromRow for Workspace {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let quota = |column| {
            u32::try_from(row.i64(column)?).map_err(|_| {
                StoreError::corrupt(format!(
                    "workspaces.{column} is not a \
                                                                                     quota"
                ))
            })
        };
        Ok(Self {
            id: row.parse("id")?,
            slug: row.parse("slug")?,
            name: row.text("name")?,
            quotas: Quotas {
                service_accounts: quota("service_account_quota")?,
                keys_per_service_account: quota("service_account_key_quota")?,
                keys_per_user: quota("user_key_quota")?,
            },
            created_at: row.timestamp("created_at")?,
        })
    }
}

/// Adds a workspace.
pub async fn insert_workspace(change: &mut Change, workspace: &Workspace) -> Result<(), StoreError> {
    WORKSPACES.insert(workspace).run(change).await?;
    change.touch(Subject::Workspace(workspace.id));
    Ok(())
}

/// Updates the mutable columns of a workspace.
pub async fn update_workspace(change: &mut Change, workspace: &Workspace) -> Result<(), StoreError> {
    WORKSPACES.update(change, workspace).await?;
    change.touch(Subject::Workspace(workspace.id));
    Ok(())
}

/// Marks a workspace as deleted. Its row is kept, so that its slug is never used again.
pub async fn delete_workspace(change: &mut Change, id: WorkspaceId, now: Timestamp) -> Result<(), StoreError> {
    change.execute("UPDATE workspaces SET deleted_at = $2 WHERE id = $1", params![id, now]).await?;
    change.touch(Subject::Workspace(id));
    Ok(())
}

/// Returns the workspace with that id, unless it is deleted.
pub async fn find_workspace(connection: &mut Connection, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
    connection.find(WORKSPACES.select("WHERE id = $1 AND deleted_at IS NULL"), params![id]).await
}

/// Returns the workspace with that slug, unless it is deleted.
pub async fn find_workspace_by_slug(connection: &mut Connection, slug: &Slug) -> Result<Option<Workspace>, StoreError> {
    connection.find(WORKSPACES.select("WHERE slug = $1 AND deleted_at IS NULL"), params![slug.as_str()]).await
}

/// The numbers of objects in a workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkspaceCounts {
    /// Members.
    pub members: u64,
    /// Projects.
    pub projects: u64,
    /// Service accounts.
    pub service_accounts: u64,
    /// Their live keys.
    pub service_account_keys: u64,
}

/// Counts the objects in a workspace at `now`.
pub async fn count_in_workspace(
    connection: &mut Connection,
    access: WorkspaceAccess,
    now: Timestamp,
) -> Result<WorkspaceCounts, StoreError> {
    let sql = concat!(
        "SELECT
            (SELECT COUNT(*) FROM members WHERE workspace_id = $1) AS members,
            (SELECT COUNT(*) FROM projects WHERE workspace_id = $1) AS projects,
            (SELECT COUNT(*) FROM service_accounts WHERE workspace_id = $1 AND deleted_at IS NULL) AS accounts,
            (SELECT COUNT(*) FROM api_keys JOIN service_accounts ON service_accounts.id = api_keys.owner_id
             WHERE service_accounts.workspace_id = $1 AND ",
        live_key!("$2"),
        ") AS account_keys"
    );
    let row = connection.fetch_one(sql, params![access.workspace(), now]).await?;
    Ok(WorkspaceCounts {
        members: row.count("members")?,
        projects: row.count("projects")?,
        service_accounts: row.count("accounts")?,
        service_account_keys: row.count("account_keys")?,
    })
}

/// The condition of the workspaces without an admin that is not disabled.
const WITHOUT_ADMIN: &str = "NOT EXISTS
    (SELECT 1 FROM members m JOIN users ON users.id = m.user_id
     WHERE m.workspace_id = workspaces.id AND m.role = 'admin' AND users.disabled = FALSE)";

/// What a workspace uses of its quotas, and when it was last active.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WorkspaceUse {
    /// Members.
    pub members: u64,
    /// Service accounts.
    pub service_accounts: u64,
    /// Live keys of service accounts: those that are neither revoked nor expired.
    pub service_account_keys: u64,
    /// The most of these keys that one service account has.
    pub most_keys_of_service_account: u64,
    /// The most live keys that one member has.
    pub most_keys_of_user: u64,
    /// The time of the last event in its log.
    pub last_activity_at: Option<Timestamp>,
}

/// Returns what workspaces use.
///
/// # Errors
/// The database does not answer.
pub async fn list_uses(
    connection: &mut Connection,
    _: OperatorAccess,
    ids: &[WorkspaceId],
    now: Timestamp,
) -> Result<BTreeMap<WorkspaceId, WorkspaceUse>, StoreError> {
    let sql = concat!(
        "SELECT id,
            (SELECT COUNT(*) FROM members WHERE workspace_id = workspaces.id) AS members,
            (SELECT COUNT(*) FROM service_accounts
             WHERE workspace_id = workspaces.id AND deleted_at IS NULL) AS accounts,
            (SELECT COUNT(*) FROM api_keys JOIN service_accounts ON service_accounts.id = api_keys.owner_id
             WHERE service_accounts.workspace_id = workspaces.id AND ",
        live_key!("$1"),
        ") AS account_keys,
            (SELECT COUNT(*) FROM api_keys JOIN service_accounts ON service_accounts.id = api_keys.owner_id
             WHERE service_accounts.workspace_id = workspaces.id AND ",
        live_key!("$1"),
        "
             GROUP BY owner_id ORDER BY COUNT(*) DESC LIMIT 1) AS most_account_keys,
            (SELECT COUNT(*) FROM api_keys JOIN members ON members.user_id = api_keys.owner_id
             WHERE members.workspace_id = workspaces.id AND ",
        live_key!("$1"),
        "
             GROUP BY owner_id ORDER BY COUNT(*) DESC LIMIT 1) AS most_user_keys,
            (SELECT at FROM audit_events WHERE workspace_id = workspaces.id ORDER BY seq DESC LIMIT 1) AS last_at
         FROM workspaces WHERE id"
    );
    let most = |row: &Row, column| {
        let count = row.opt_i64(column)?.unwrap_or_default();
        u64::try_from(count).map_err(|_| StoreError::corrupt(format!("{column} is negative")))
    };
    let mut rows = Vec::new();
    for ids in ids.chunks(LIST_MAX) {
        let mut values = vec![Value::from(now)];
        let list = push_list(&mut values, ids);
        rows.extend(connection.fetch_all(Statement::built(format!("{sql} IN ({list})")), &values).await?);
    }
    let uses = rows.iter().map(|row| {
        let used = WorkspaceUse {
            members: row.count("members")?,
            service_accounts: row.count("accounts")?,
            service_account_keys: row.count("account_keys")?,
            most_keys_of_service_account: most(row, "most_account_keys")?,
            most_keys_of_user: most(row, "most_user_keys")?,
            last_activity_at: row.opt_timestamp("last_at")?,
        };
        Ok((row.parse("id")?, used))
    });
    uses.collect()
}

/// Returns the workspaces without an admin that is not disabled.
pub async fn list_workspaces_without_admin(connection: &mut Connection) -> Result<Vec<WorkspaceId>, StoreError> {
    let sql = Statement::concat(&["SELECT id FROM workspaces WHERE deleted_at IS NULL AND", WITHOUT_ADMIN]);
    connection.fetch_all(sql, params![]).await?.iter().map(|row| row.parse("id")).collect()
}

/// Returns whether a slug is or was in use.
pub async fn slug_is_taken(connection: &mut Connection, slug: &Slug) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM workspaces WHERE slug = $1";
    Ok(connection.fetch_optional(sql, params![slug.as_str()]).await?.is_some())
}

/// A list of workspaces.
#[derive(Clone, Debug)]
pub enum Workspaces {
    /// All of the installation.
    All(OperatorAccess),
    /// Those of a user, or that of a service account.
    Own(OwnWorkspacesAccess),
}

impl List for Workspaces {
    type Order = WorkspaceOrder;
    type Filter = WorkspaceFilter;
    type Id = WorkspaceId;
    type Row = Workspace;

    const ID: &'static str = "workspaces.id";
    const SEARCHED: &'static [&'static str] = &["workspaces.name", "workspaces.slug"];

    fn select(&self) -> Statement {
        WORKSPACES.select_columns("")
    }

    fn from<'a>(&'a self, values: &mut Vec<Value<'a>>) -> Statement {
        match self {
            Self::All(_) => "FROM workspaces WHERE workspaces.deleted_at IS NULL".into(),
            Self::Own(access) => {
                let owner = push(values, access.owner());
                let only = match access.only().map(Iterator::collect::<Vec<_>>) {
                    None => "1 = 1".to_owned(),
                    Some(ids) => format!("workspaces.id IN ({})", push_list(values, &ids)),
                };
                Statement::built(match access.owner() {
                    PrincipalId::User(_) => format!(
                        "FROM workspaces JOIN members ON members.workspace_id = workspaces.id
                         WHERE members.user_id = {owner} AND workspaces.deleted_at IS NULL AND {only}"
                    ),
                    PrincipalId::ServiceAccount(_) => format!(
                        "FROM workspaces JOIN service_accounts ON service_accounts.workspace_id = workspaces.id
                         WHERE service_accounts.id = {owner} AND service_accounts.deleted_at IS NULL
                           AND workspaces.deleted_at IS NULL AND {only}"
                    ),
                })
            }
        }
    }

    fn filter<'a>(&'a self, filter: WorkspaceFilter, _: &mut Vec<Value<'a>>) -> Statement {
        match filter {
            WorkspaceFilter::All => "1 = 1",
            WorkspaceFilter::WithoutAdmin => WITHOUT_ADMIN,
        }
        .into()
    }

    fn order(order: WorkspaceOrder) -> &'static str {
        match order {
            WorkspaceOrder::Created => "workspaces.id",
            WorkspaceOrder::Name => "LOWER(workspaces.name)",
            WorkspaceOrder::Slug => "workspaces.slug",
        }
    }

    fn decode(row: &Row) -> Result<Workspace, StoreError> {
        Workspace::from_row(row)
    }
}

/// Returns the principals of a workspace: its members and its service accounts.
pub async fn list_principals(connection: &mut Connection, id: WorkspaceId) -> Result<Vec<PrincipalId>, StoreError> {
    let sql = "SELECT user_id AS id FROM members WHERE workspace_id = $1
               UNION ALL
               SELECT id FROM service_accounts WHERE workspace_id = $1 AND deleted_at IS NULL";
    connection.fetch_all(sql, params![id]).await?.iter().map(|row| row.parse("id")).collect()
}
