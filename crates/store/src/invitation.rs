//! Invitations. The token is kept as its SHA-256 only.

use domain::{InvitationId, PrincipalId, Timestamp, WorkspaceId, invitation::Invitation, user::Email};

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
        mailed_at: row.opt_timestamp("mailed_at")?,
    })
}

/// A query for whole invitations.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, workspace_id, email, role, created_by, created_at, expires_at, accepted_at, revoked_at, mailed_at
             FROM invitations ",
            $rest
        )
    };
}

/// Adds an invitation.
pub async fn insert_invitation(
    change: &mut Change,
    invitation: &Invitation,
    token_hash: &[u8],
) -> Result<(), StoreError> {
    change
        .execute(
            "INSERT INTO invitations (id, workspace_id, email, role, token_hash, created_by, created_at, expires_at,
                                      mailed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            params![
                invitation.id,
                invitation.workspace,
                invitation.email.as_str(),
                invitation.role.as_str(),
                token_hash,
                &invitation.created_by,
                invitation.created_at,
                invitation.expires_at,
                invitation.mailed_at
            ],
        )
        .await?;
    Ok(())
}

/// Gives an invitation another token and what else changes when it is sent again; the token before opens nothing.
pub async fn renew_invitation(
    change: &mut Change,
    invitation: &Invitation,
    token_hash: &[u8],
) -> Result<(), StoreError> {
    change
        .execute(
            "UPDATE invitations SET token_hash = $2, expires_at = $3, created_by = $4, mailed_at = $5 WHERE id = $1",
            params![invitation.id, token_hash, invitation.expires_at, &invitation.created_by, invitation.mailed_at],
        )
        .await?;
    Ok(())
}

/// Notes that the link was not mailed: whoever invited passes it on. Tells whether the token is still the invitation's.
pub async fn unmark_mailed(change: &mut Change, id: InvitationId, token_hash: &[u8]) -> Result<bool, StoreError> {
    let sql = "UPDATE invitations SET mailed_at = $3 WHERE id = $1 AND token_hash = $2";
    Ok(change.execute(sql, params![id, token_hash, None::<Timestamp>]).await? == 1)
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

/// Every open invitation of a workspace, expired ones too, of one address or of all.
pub async fn list_open_invitations(
    connection: &mut Connection,
    workspace: WorkspaceId,
    email: Option<&Email>,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = select!(
        "WHERE workspace_id = $1 AND ($2 IS NULL OR email = $2) AND accepted_at IS NULL AND revoked_at IS NULL
         ORDER BY id"
    );
    let rows = connection.fetch_all(sql, params![workspace, email.map(Email::as_str)]).await?;
    rows.iter().map(invitation).collect()
}

/// Every open invitation that a principal wrote, expired ones too, in whatever workspace.
pub async fn list_open_invitations_of(
    connection: &mut Connection,
    writer: PrincipalId,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = select!("WHERE created_by = $1 AND accepted_at IS NULL AND revoked_at IS NULL ORDER BY id");
    connection.fetch_all(sql, params![writer]).await?.iter().map(invitation).collect()
}

/// An invitation of a workspace.
pub async fn find_invitation(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let sql = select!("WHERE workspace_id = $1 AND id = $2");
    connection.fetch_optional(sql, params![workspace, id]).await?.as_ref().map(invitation).transpose()
}

/// The invitation that a token opens.
pub async fn find_invitation_by_token(
    connection: &mut Connection,
    token_hash: &[u8],
) -> Result<Option<Invitation>, StoreError> {
    let sql = select!("WHERE token_hash = $1");
    connection.fetch_optional(sql, params![token_hash]).await?.as_ref().map(invitation).transpose()
}

/// Invitations of a workspace in the order of their ids, after `after`.
pub async fn list_invitations(
    connection: &mut Connection,
    workspace: WorkspaceId,
    after: Option<InvitationId>,
    limit: i64,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = select!("WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    let after = after.map_or(String::new(), |id| id.to_string());
    connection.fetch_all(sql, params![workspace, after, limit]).await?.iter().map(invitation).collect()
}
