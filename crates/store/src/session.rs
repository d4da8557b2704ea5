//! Sessions of users on the web pages. Only the SHA-256 of a token is stored. A session that ended has no row.

use domain::{
    SessionId, Timestamp, UserId,
    session::{SESSION_IDLE_LIFETIME, SESSION_LIFETIME, Session},
};

use crate::{
    Change, Connection, Maintenance, Row, StoreError,
    connection::FromRow,
    params,
    table::{
        Column,
        ColumnType::{Bytes, I64, Text},
        Table,
    },
};

pub(crate) static SESSIONS: Table<Session> = Table {
    name: "sessions",
    columns: &[
        Column::key("id", Text, |session| session.id.into()),
        Column::separate("token_hash", Bytes),
        Column::fixed("user_id", Text, |session| session.user.into()),
        Column::fixed("created_at", I64, |session| session.created_at.into()),
        Column::fixed("authenticated_at", I64, |session| session.authenticated_at.into()),
        Column::fixed("last_seen_at", I64, |session| session.last_seen_at.into()),
        Column::fixed("address", Text, |session| session.ip_address.as_ref().into()),
        Column::fixed("user_agent", Text, |session| (&session.user_agent).into()),
    ],
};

impl FromRow for Session {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parse("id")?,
            user: row.parse("user_id")?,
            created_at: row.timestamp("created_at")?,
            authenticated_at: row.timestamp("authenticated_at")?,
            last_seen_at: row.timestamp("last_seen_at")?,
            ip_address: row.opt_text("address")?,
            user_agent: row.text("user_agent")?,
        })
    }
}

/// Adds a session.
pub async fn insert_session(change: &mut Change, session: &Session, token_hash: &[u8]) -> Result<(), StoreError> {
    SESSIONS.insert(session).value("token_hash", token_hash).run(change).await?;
    Ok(())
}

/// Returns the session with a token.
pub async fn find_session_by_token(
    connection: &mut Connection,
    token_hash: &[u8],
) -> Result<Option<Session>, StoreError> {
    connection.find(SESSIONS.select("WHERE token_hash = $1"), params![token_hash]).await
}

/// Returns the session with that id.
pub async fn find_session(connection: &mut Connection, id: SessionId) -> Result<Option<Session>, StoreError> {
    connection.find(SESSIONS.select("WHERE id = $1"), params![id]).await
}

/// Returns the sessions of a user, the latest first.
pub async fn list_sessions(connection: &mut Connection, user: UserId) -> Result<Vec<Session>, StoreError> {
    connection.list(SESSIONS.select("WHERE user_id = $1 ORDER BY id DESC"), params![user]).await
}

/// Records that a session is in use.
pub async fn record_session_use(
    maintenance: &mut Maintenance,
    id: SessionId,
    now: Timestamp,
) -> Result<(), StoreError> {
    maintenance
        .execute("UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2", params![id, now])
        .await?;
    Ok(())
}

/// Records that the user entered the password again, and gives the session another token. The previous token becomes
/// invalid.
pub async fn renew_session(
    change: &mut Change,
    id: SessionId,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    change
        .execute(
            "UPDATE sessions SET token_hash = $2, authenticated_at = $3, last_seen_at = $3 WHERE id = $1",
            params![id, token_hash, now],
        )
        .await?;
    Ok(())
}

/// Ends a session.
pub async fn delete_session(change: &mut Change, id: SessionId) -> Result<(), StoreError> {
    change.execute("DELETE FROM sessions WHERE id = $1", params![id]).await?;
    Ok(())
}

/// Ends all sessions of a user, or all except one, and returns their number.
pub async fn delete_sessions_of(
    change: &mut Change,
    user: UserId,
    except: Option<SessionId>,
) -> Result<u64, StoreError> {
    let except = except.map_or(String::new(), |id| id.to_string());
    change.execute("DELETE FROM sessions WHERE user_id = $1 AND id <> $2", params![user, except]).await
}

/// Deletes expired sessions.
pub async fn delete_expired_sessions(maintenance: &mut Maintenance, now: Timestamp) -> Result<u64, StoreError> {
    let (Ok(oldest), Ok(idle)) = (now.checked_sub(SESSION_LIFETIME), now.checked_sub(SESSION_IDLE_LIFETIME)) else {
        return Ok(0);
    };
    maintenance
        .execute("DELETE FROM sessions WHERE created_at <= $1 OR last_seen_at <= $2", params![oldest, idle])
        .await
}
