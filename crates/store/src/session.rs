//! Sessions of people at the web pages. The token is kept as its SHA-256 only; a session that ended has no row.

use domain::{
    SessionId, Timestamp, UserId,
    session::{SESSION_IDLE_LIFETIME, SESSION_LIFETIME, Session},
};

use crate::{Change, Connection, Row, StoreError, Upkeep, params};

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.parse("id")?,
        user: row.parse("user_id")?,
        created_at: row.timestamp("created_at")?,
        authenticated_at: row.timestamp("authenticated_at")?,
        last_seen_at: row.timestamp("last_seen_at")?,
        address: row.opt_text("address")?,
        user_agent: row.text("user_agent")?,
    })
}

/// Adds a session.
pub async fn insert_session(change: &mut Change, session: &Session, token_hash: &[u8]) -> Result<(), StoreError> {
    change
        .execute(
            "INSERT INTO sessions (id, token_hash, user_id, created_at, authenticated_at, last_seen_at, address,
                                   user_agent)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            params![
                session.id,
                token_hash,
                session.user,
                session.created_at,
                session.authenticated_at,
                session.last_seen_at,
                session.address.as_ref(),
                &session.user_agent
            ],
        )
        .await?;
    Ok(())
}

/// The session that a token opens.
pub async fn find_session_by_token(
    connection: &mut Connection,
    token_hash: &[u8],
) -> Result<Option<Session>, StoreError> {
    let sql = "SELECT id, user_id, created_at, authenticated_at, last_seen_at, address, user_agent
               FROM sessions WHERE token_hash = $1";
    connection.fetch_optional(sql, params![token_hash]).await?.as_ref().map(session).transpose()
}

/// The session of that id.
pub async fn find_session(connection: &mut Connection, id: SessionId) -> Result<Option<Session>, StoreError> {
    let sql = "SELECT id, user_id, created_at, authenticated_at, last_seen_at, address, user_agent
               FROM sessions WHERE id = $1";
    connection.fetch_optional(sql, params![id]).await?.as_ref().map(session).transpose()
}

/// The sessions of a user, the latest first.
pub async fn list_sessions(connection: &mut Connection, user: UserId) -> Result<Vec<Session>, StoreError> {
    let sql = "SELECT id, user_id, created_at, authenticated_at, last_seen_at, address, user_agent
               FROM sessions WHERE user_id = $1 ORDER BY id DESC";
    connection.fetch_all(sql, params![user]).await?.iter().map(session).collect()
}

/// Notes that a session is in use.
pub async fn record_session_use(upkeep: &mut Upkeep, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
    upkeep
        .execute("UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2", params![id, now])
        .await?;
    Ok(())
}

/// Notes that the password was given again, and gives the session another token; the one before is dead.
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

/// Ends the sessions of a user, all or all but one, and tells how many there were.
pub async fn delete_sessions_of(
    change: &mut Change,
    user: UserId,
    except: Option<SessionId>,
) -> Result<u64, StoreError> {
    let except = except.map_or(String::new(), |id| id.to_string());
    change.execute("DELETE FROM sessions WHERE user_id = $1 AND id <> $2", params![user, except]).await
}

/// Forgets the sessions whose time is over.
pub async fn delete_expired_sessions(upkeep: &mut Upkeep, now: Timestamp) -> Result<u64, StoreError> {
    let (Ok(oldest), Ok(idle)) = (now.checked_sub(SESSION_LIFETIME), now.checked_sub(SESSION_IDLE_LIFETIME)) else {
        return Ok(0);
    };
    upkeep.execute("DELETE FROM sessions WHERE created_at <= $1 OR last_seen_at <= $2", params![oldest, idle]).await
}
