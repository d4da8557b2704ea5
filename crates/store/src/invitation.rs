//! Invitations. The token is kept as its SHA-256 only.

use domain::{InvitationId, Timestamp, WorkspaceId, invitation::Invitation, user::Email};

use crate::{Change, Connection, Row, StoreError, params};

fn invitation(row: &Row) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        id: row.parse("id")?,
        workspace: row.parse("workspace_id")?,
        email: row.parse("email")?,
        role: row.parse("role")?,
        accepted_at: row.opt_timestamp("accepted_at")?,
        revoked_at: row.opt_timestamp("revoked_at")?,
        expires_at: row.timestamp("expires_at")?,
        created_by: row.text("created_by")?,
        created_at: row.timestamp("created_at")?,
    })
}

/// Adds an invitation.
pub async fn insert_invitation(
    change: &mut Change,
    invitation: &Invitation,
    token_hash: &[u8],
) -> Result<(), StoreError> {
    change
        .execute(
            "INSERT INTO invitations (id, workspace_id, email, role, token_hash, created_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            params![
                invitation.id,
                invitation.workspace,
                invitation.email.as_str(),
                invitation.role.as_str(),
                token_hash,
                &invitation.created_by,
                invitation.created_at,
                invitation.expires_at
            ],
        )
        .await?;
    Ok(())
}

/// Gives an invitation another token and another end; the token before is dead.
pub async fn renew_invitation(
    change: &mut Change,
    id: InvitationId,
    token_hash: &[u8],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    change
        .execute(
            "UPDATE invitations SET token_hash = $2, expires_at = $3 WHERE id = $1",
            params![id, token_hash, expires_at],
        )
        .await?;
    Ok(())
}

/// Marks an invitation as accepted.
pub async fn accept_invitation(change: &mut Change, id: InvitationId, now: Timestamp) -> Result<(), StoreError> {
    change.execute("UPDATE invitations SET accepted_at = $2 WHERE id = $1", params![id, now]).await?;
    Ok(())
}

/// Takes an invitation back.
pub async fn revoke_invitation(change: &mut Change, id: InvitationId, now: Timestamp) -> Result<(), StoreError> {
    change.execute("UPDATE invitations SET revoked_at = $2 WHERE id = $1", params![id, now]).await?;
    Ok(())
}

/// Takes back every open invitation of a workspace, of one address or of all.
pub async fn revoke_open_invitations(
    change: &mut Change,
    workspace: WorkspaceId,
    email: Option<&Email>,
    now: Timestamp,
) -> Result<(), StoreError> {
    match email {
        Some(email) => {
            let sql = "UPDATE invitations SET revoked_at = $3
                       WHERE workspace_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
            change.execute(sql, params![workspace, email.as_str(), now]).await?;
        }
        None => {
            let sql = "UPDATE invitations SET revoked_at = $2
                       WHERE workspace_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL";
            change.execute(sql, params![workspace, now]).await?;
        }
    }
    Ok(())
}

/// An invitation of a workspace.
pub async fn find_invitation(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let sql = "SELECT id, workspace_id, email, role, created_by, created_at, expires_at, accepted_at, revoked_at
               FROM invitations WHERE workspace_id = $1 AND id = $2";
    connection.fetch_optional(sql, params![workspace, id]).await?.as_ref().map(invitation).transpose()
}

/// The invitation that a token opens.
pub async fn find_invitation_by_token(
    connection: &mut Connection,
    token_hash: &[u8],
) -> Result<Option<Invitation>, StoreError> {
    let sql = "SELECT id, workspace_id, email, role, created_by, created_at, expires_at, accepted_at, revoked_at
               FROM invitations WHERE token_hash = $1";
    connection.fetch_optional(sql, params![token_hash]).await?.as_ref().map(invitation).transpose()
}

/// Invitations of a workspace in the order of their ids, after `after`.
pub async fn list_invitations(
    connection: &mut Connection,
    workspace: WorkspaceId,
    after: Option<InvitationId>,
    limit: i64,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = "SELECT id, workspace_id, email, role, created_by, created_at, expires_at, accepted_at, revoked_at
               FROM invitations WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![workspace, after, limit]).await?.iter().map(invitation).collect()
}
