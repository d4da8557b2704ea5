//! The members of a workspace.

use domain::{
    Timestamp, UserId, WorkspaceId,
    list::{MemberFilter, MemberOrder},
    principal::WorkspaceAccess,
    role::Role,
    user::Email,
};

use crate::{
    Change, Connection, Row, StoreError, Subject,
    connection::{FromRow, page_start},
    list::{List, push},
    params,
    table::{
        Column,
        ColumnType::{I64, Text},
        Table,
    },
    value::{Statement, Value},
};

/// A row of `members`.
pub(crate) struct Membership {
    workspace: WorkspaceId,
    user: UserId,
    role: Role,
    joined_at: Timestamp,
}

pub(crate) static MEMBERS: Table<Membership> = Table {
    name: "members",
    columns: &[
        Column::key("workspace_id", Text, |membership| membership.workspace.into()),
        Column::key("user_id", Text, |membership| membership.user.into()),
        Column::mutable("role", Text, |membership| membership.role.as_str().into()),
        Column::fixed("joined_at", I64, |membership| membership.joined_at.into()),
    ],
};

/// A user in a workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRow {
    /// The user.
    pub user: UserId,
    /// Their email.
    pub email: Email,
    /// Whether they have shown that mail to it reaches them.
    pub email_verified: bool,
    /// Their name.
    pub name: String,
    /// Their role in the workspace.
    pub role: Role,
    /// Whether the user is disabled, and so refused everywhere.
    pub disabled: bool,
    /// The time at which they joined.
    pub joined_at: Timestamp,
}

/// Selects the columns of a [`MemberRow`].
const MEMBER_COLUMNS: &str =
    "SELECT u.id, u.email, u.email_verified_at IS NOT NULL AS email_verified, u.name, u.disabled, m.role,
        m.joined_at";

/// The tables of a [`MemberRow`]. The conditions follow.
const MEMBER_TABLES: &str = "FROM members m JOIN users u ON u.id = m.user_id";

impl FromRow for MemberRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            user: row.parse("id")?,
            email: row.parse("email")?,
            email_verified: row.bool("email_verified")?,
            name: row.text("name")?,
            role: row.parse("role")?,
            disabled: row.bool("disabled")?,
            joined_at: row.timestamp("joined_at")?,
        })
    }
}

/// Adds a user to a workspace.
pub async fn insert_member(
    change: &mut Change,
    workspace: WorkspaceId,
    user: UserId,
    role: Role,
    now: Timestamp,
) -> Result<(), StoreError> {
    MEMBERS.insert(&Membership { workspace, user, role, joined_at: now }).run(change).await?;
    change.touch(Subject::User(user));
    Ok(())
}

/// Gives a member another role.
pub async fn update_member(
    change: &mut Change,
    workspace: WorkspaceId,
    user: UserId,
    role: Role,
) -> Result<(), StoreError> {
    change
        .execute(
            "UPDATE members SET role = $3 WHERE workspace_id = $1 AND user_id = $2",
            params![workspace, user, role.as_str()],
        )
        .await?;
    change.touch(Subject::User(user));
    Ok(())
}

/// Removes a user from a workspace.
pub async fn delete_member(change: &mut Change, workspace: WorkspaceId, user: UserId) -> Result<(), StoreError> {
    change.execute("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2", params![workspace, user]).await?;
    change.touch(Subject::User(user));
    Ok(())
}

/// Returns a member of a workspace.
pub async fn find_member(
    connection: &mut Connection,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Option<MemberRow>, StoreError> {
    let sql = Statement::concat(&[MEMBER_COLUMNS, MEMBER_TABLES, "WHERE m.workspace_id = $1 AND m.user_id = $2"]);
    connection.find(sql, params![workspace, user]).await
}

/// Returns members in the order of their ids, after `after`.
pub async fn list_members(
    connection: &mut Connection,
    access: WorkspaceAccess,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<MemberRow>, StoreError> {
    let conditions = "WHERE m.workspace_id = $1 AND u.id > $2 ORDER BY u.id LIMIT $3";
    let sql = Statement::concat(&[MEMBER_COLUMNS, MEMBER_TABLES, conditions]);
    connection.list(sql, params![access.workspace(), page_start(after), limit]).await
}

/// The list of the members of a workspace.
#[derive(Clone, Copy, Debug)]
pub struct Members(pub WorkspaceAccess);

impl List for Members {
    type Order = MemberOrder;
    type Filter = MemberFilter;
    type Id = UserId;
    type Row = MemberRow;

    const ID: &'static str = "u.id";
    const SEARCHED: &'static [&'static str] = &["u.name", "u.email"];

    fn select(&self) -> Statement {
        MEMBER_COLUMNS.into()
    }

    fn from<'a>(&'a self, values: &mut Vec<Value<'a>>) -> Statement {
        let workspace = push(values, self.0.workspace());
        Statement::built(format!("{MEMBER_TABLES} WHERE m.workspace_id = {workspace}"))
    }

    fn filter<'a>(&'a self, filter: MemberFilter, _: &mut Vec<Value<'a>>) -> Statement {
        match filter {
            MemberFilter::All => "1 = 1",
            MemberFilter::Admin => "m.role = 'admin'",
            MemberFilter::Member => "m.role = 'member'",
            MemberFilter::Disabled => "u.disabled = TRUE",
            MemberFilter::Unverified => "u.email_verified_at IS NULL",
        }
        .into()
    }

    fn order(order: MemberOrder) -> &'static str {
        match order {
            MemberOrder::Id => "u.id",
            MemberOrder::Name => "LOWER(u.name)",
            MemberOrder::Email => "u.email",
            MemberOrder::Joined => "m.joined_at",
        }
    }

    fn decode(row: &Row) -> Result<MemberRow, StoreError> {
        MemberRow::from_row(row)
    }
}

/// Returns whether a workspace has an admin other than these users that is not disabled.
pub async fn has_enabled_admin_beside(
    connection: &mut Connection,
    workspace: WorkspaceId,
    users: &[UserId],
) -> Result<bool, StoreError> {
    // One more admin than these users are: if there are so many, another one is among them.
    let sql = "SELECT m.user_id FROM members m JOIN users u ON u.id = m.user_id
               WHERE m.workspace_id = $1 AND m.role = $2 AND u.disabled = $3 ORDER BY m.user_id LIMIT $4";
    let limit = i64::try_from(users.len() + 1).unwrap_or(i64::MAX);
    let rows = connection.fetch_all(sql, params![workspace, Role::Admin.as_str(), false, limit]).await?;
    for row in &rows {
        if !users.contains(&row.parse("user_id")?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the emails of the admins of a workspace that are not disabled.
pub async fn list_admin_emails(connection: &mut Connection, workspace: WorkspaceId) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT users.email FROM members JOIN users ON users.id = members.user_id
               WHERE members.workspace_id = $1 AND members.role = $2 AND users.disabled = FALSE ORDER BY users.email";
    let rows = connection.fetch_all(sql, params![workspace, Role::Admin.as_str()]).await?;
    rows.iter().map(|row| row.text("email")).collect()
}
