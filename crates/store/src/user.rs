//! Users.

use domain::{
    UserId, WorkspaceId,
    list::{UserFilter, UserOrder},
    principal::OperatorAccess,
    user::{Email, User},
};

use crate::{
    Change, Connection, Row, StoreError, Subject,
    connection::FromRow,
    list::List,
    params,
    table::{
        Column,
        ColumnType::{Bool, I64, Text},
        Table,
    },
    value::{Statement, Value},
};

pub(crate) static USERS: Table<User> = Table {
    name: "users",
    columns: &[
        Column::key("id", Text, |user| user.id.into()),
        Column::mutable("email", Text, |user| user.email.as_str().into()),
        Column::mutable("name", Text, |user| (&user.name).into()),
        Column::separate("password_hash", Text),
        Column::mutable("operator", Bool, |user| user.operator.into()),
        Column::mutable("disabled", Bool, |user| user.disabled.into()),
        Column::fixed("created_at", I64, |user| user.created_at.into()),
        // An update writes all columns of `User` except this one. Only a restore and its confirmation write it.
        Column::fixed("sign_in_suspended", Bool, |user| user.suspended.into()),
        Column::mutable("email_verified_at", I64, |user| user.email_verified_at.into()),
    ],
};

impl FromRow for User {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parse("id")?,
            email: row.parse("email")?,
            email_verified_at: row.opt_timestamp("email_verified_at")?,
            name: row.text("name")?,
            operator: row.bool("operator")?,
            disabled: row.bool("disabled")?,
            suspended: row.bool("sign_in_suspended")?,
            created_at: row.timestamp("created_at")?,
        })
    }
}

/// Adds a user.
pub async fn insert_user(change: &mut Change, user: &User, password_hash: Option<&str>) -> Result<(), StoreError> {
    USERS.insert(user).value("password_hash", password_hash).run(change).await?;
    change.touch(Subject::User(user.id));
    Ok(())
}

/// Updates the mutable columns of a user.
pub async fn update_user(change: &mut Change, user: &User) -> Result<(), StoreError> {
    USERS.update(change, user).await?;
    change.touch(Subject::User(user.id));
    Ok(())
}

/// Returns the user with that id.
pub async fn find_user(connection: &mut Connection, id: UserId) -> Result<Option<User>, StoreError> {
    connection.find(USERS.select("WHERE id = $1"), params![id]).await
}

/// Returns the user with that email.
pub async fn find_user_by_email(connection: &mut Connection, email: &Email) -> Result<Option<User>, StoreError> {
    connection.find(USERS.select("WHERE email = $1"), params![email.as_str()]).await
}

/// Returns the user with that email, and the hash of their password if they have one.
pub async fn find_user_with_password(
    connection: &mut Connection,
    email: &Email,
) -> Result<Option<(User, Option<String>)>, StoreError> {
    let sql = USERS.select_with("users.password_hash", "WHERE email = $1");
    let row = connection.fetch_optional(sql, params![email.as_str()]).await?;
    row.map(|row| Ok((User::from_row(&row)?, row.opt_text("password_hash")?))).transpose()
}

/// Changes the password of a user.
pub async fn update_password(change: &mut Change, id: UserId, password_hash: &str) -> Result<(), StoreError> {
    change.execute("UPDATE users SET password_hash = $2 WHERE id = $1", params![id, password_hash]).await?;
    Ok(())
}

/// The list of the users of the installation.
#[derive(Clone, Copy, Debug)]
pub struct Users(pub OperatorAccess);

impl List for Users {
    type Order = UserOrder;
    type Filter = UserFilter;
    type Id = UserId;
    type Row = User;

    const ID: &'static str = "users.id";
    const SEARCHED: &'static [&'static str] = &["users.name", "users.email"];

    fn select(&self) -> Statement {
        USERS.select_columns("")
    }

    fn from<'a>(&'a self, _: &mut Vec<Value<'a>>) -> Statement {
        "FROM users WHERE 1 = 1".into()
    }

    fn filter<'a>(&'a self, filter: UserFilter, _: &mut Vec<Value<'a>>) -> Statement {
        match filter {
            UserFilter::All => "1 = 1",
            UserFilter::Active => "users.disabled = FALSE AND users.sign_in_suspended = FALSE",
            UserFilter::Operator => "users.operator = TRUE",
            UserFilter::Disabled => "users.disabled = TRUE",
            UserFilter::Suspended => "users.sign_in_suspended = TRUE",
            UserFilter::Unverified => "users.email_verified_at IS NULL",
        }
        .into()
    }

    fn order(order: UserOrder) -> &'static str {
        match order {
            UserOrder::Created => "users.id",
            UserOrder::Name => "LOWER(users.name)",
            UserOrder::Email => "users.email",
        }
    }

    fn decode(row: &Row) -> Result<User, StoreError> {
        User::from_row(row)
    }
}

/// Returns the number of operators that are not disabled, including those that a restore suspended.
pub async fn count_operators(connection: &mut Connection) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS operators FROM users WHERE operator = $1 AND disabled = $2";
    connection.fetch_one(sql, params![true, false]).await?.i64("operators")
}

/// Returns the number of operators that are neither disabled nor suspended since a restore.
pub async fn count_confirmed_operators(connection: &mut Connection) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS operators FROM users
               WHERE operator = $1 AND disabled = $2 AND sign_in_suspended = $2";
    connection.fetch_one(sql, params![true, false]).await?.i64("operators")
}

/// Returns the largest key quota of the user's workspaces, or `None` if the user has no workspace.
pub async fn find_user_key_quota(connection: &mut Connection, user: UserId) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT MAX(w.user_key_quota) AS quota FROM members m JOIN workspaces w ON w.id = m.workspace_id
               WHERE m.user_id = $1 AND w.deleted_at IS NULL";
    connection.fetch_one(sql, params![user]).await?.opt_i64("quota")
}

/// Returns the workspaces of a user.
pub async fn list_workspaces_of_user(
    connection: &mut Connection,
    user: UserId,
) -> Result<Vec<WorkspaceId>, StoreError> {
    let sql = "SELECT workspace_id FROM members WHERE user_id = $1 ORDER BY workspace_id";
    connection.fetch_all(sql, params![user]).await?.iter().map(|row| row.parse("workspace_id")).collect()
}
