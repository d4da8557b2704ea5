//! Invitations. Only the SHA-256 of a token is stored.

use domain::{
    InvitationId, PrincipalId, Timestamp, WorkspaceId,
    invitation::Invitation,
    list::{InvitationFilter, InvitationOrder},
    principal::WorkspaceAccess,
    user::Email,
};

use crate::{
    Change, Connection, Row, StoreError,
    connection::FromRow,
    list::{List, push},
    params,
    table::{
        Column,
        ColumnType::{Bytes, I64, Text},
        Table,
    },
    value::{Statement, Value},
};

pub(crate) static INVITATIONS: Table<Invitation> = Table {
    name: "invitations",
    columns: &[
        Column::key("id", Text, |invitation| invitation.id.into()),
        Column::fixed("workspace_id", Text, |invitation| invitation.workspace.into()),
        Column::fixed("email", Text, |invitation| invitation.email.as_str().into()),
        Column::fixed("role", Text, |invitation| invitation.role.as_str().into()),
        Column::separate("token_hash", Bytes),
        Column::mutable("created_by", Text, |invitation| (&invitation.created_by).into()),
        Column::fixed("created_at", I64, |invitation| invitation.created_at.into()),
        Column::mutable("expires_at", I64, |invitation| invitation.expires_at.into()),
        Column::fixed("accepted_at", I64, |invitation| invitation.accepted_at.into()),
        Column::fixed("revoked_at", I64, |invitation| invitation.revoked_at.into()),
        Column::mutable("mailed_at", I64, |invitation| invitation.mailed_at.into()),
    ],
};

impl FromRow for Invitation {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
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
}

/// Adds an invitation.
pub async fn insert_invitation(
    change: &mut Change,
    invitation: &Invitation,
    token_hash: &[u8],
) -> Result<(), StoreError> {
    INVITATIONS.insert(invitation).value("token_hash", token_hash).run(change).await?;
    Ok(())
}

/// Gives an invitation another token and updates the other columns when it is sent again. The previous token becomes
/// invalid.
pub async fn renew_invitation(
    change: &mut Change,
    invitation: &Invitation,
    token_hash: &[u8],
) -> Result<(), StoreError> {
    INVITATIONS.update(change, invitation).await?;
    change.execute("UPDATE invitations SET token_hash = $2 WHERE id = $1", params![invitation.id, token_hash]).await?;
    Ok(())
}

/// Records that the link was not mailed, so that the inviter sends it. Returns whether the invitation still has this
/// token.
pub async fn unmark_mailed(change: &mut Change, id: InvitationId, token_hash: &[u8]) -> Result<bool, StoreError> {
    let sql = "UPDATE invitations SET mailed_at = $3 WHERE id = $1 AND token_hash = $2";
    Ok(change.execute(sql, params![id, token_hash, None::<Timestamp>]).await? == 1)
}

/// Marks an invitation as accepted.
pub async fn accept_invitation(change: &mut Change, id: InvitationId, now: Timestamp) -> Result<(), StoreError> {
    change.execute("UPDATE invitations SET accepted_at = $2 WHERE id = $1", params![id, now]).await?;
    Ok(())
}

/// Revokes an invitation.
pub async fn revoke_invitation(change: &mut Change, id: InvitationId, now: Timestamp) -> Result<(), StoreError> {
    change.execute("UPDATE invitations SET revoked_at = $2 WHERE id = $1", params![id, now]).await?;
    Ok(())
}

/// Returns every open invitation of a workspace, including expired ones, for one email or for all.
pub async fn list_open_invitations(
    connection: &mut Connection,
    workspace: WorkspaceId,
    email: Option<&Email>,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = INVITATIONS.select(
        "WHERE workspace_id = $1 AND ($2 IS NULL OR email = $2) AND accepted_at IS NULL AND revoked_at IS NULL
         ORDER BY id",
    );
    connection.list(sql, params![workspace, email.map(Email::as_str)]).await
}

/// Returns every open invitation that a principal created, including expired ones, in any workspace.
pub async fn list_open_invitations_of(
    connection: &mut Connection,
    writer: PrincipalId,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = INVITATIONS.select("WHERE created_by = $1 AND accepted_at IS NULL AND revoked_at IS NULL ORDER BY id");
    connection.list(sql, params![writer]).await
}

/// Returns an invitation of a workspace.
pub async fn find_invitation(
    connection: &mut Connection,
    workspace: WorkspaceId,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let sql = INVITATIONS.select("WHERE workspace_id = $1 AND id = $2");
    connection.find(sql, params![workspace, id]).await
}

/// Returns the invitation with a token.
pub async fn find_invitation_by_token(
    connection: &mut Connection,
    token_hash: &[u8],
) -> Result<Option<Invitation>, StoreError> {
    let sql = INVITATIONS.select("WHERE token_hash = $1");
    connection.find(sql, params![token_hash]).await
}

/// The list of the invitations of a workspace, open and closed, at this time.
#[derive(Clone, Copy, Debug)]
pub struct Invitations(pub WorkspaceAccess, pub Timestamp);

impl List for Invitations {
    type Order = InvitationOrder;
    type Filter = InvitationFilter;
    type Id = InvitationId;
    type Row = Invitation;

    const ID: &'static str = "invitations.id";
    const SEARCHED: &'static [&'static str] = &["invitations.email"];

    fn select(&self) -> Statement {
        INVITATIONS.select_columns("")
    }

    fn from<'a>(&'a self, values: &mut Vec<Value<'a>>) -> Statement {
        let workspace = push(values, self.0.workspace());
        Statement::built(format!("FROM invitations WHERE invitations.workspace_id = {workspace}"))
    }

    // The conditions agree with `Invitation::state`.
    fn filter<'a>(&'a self, filter: InvitationFilter, values: &mut Vec<Value<'a>>) -> Statement {
        let open = "accepted_at IS NULL AND revoked_at IS NULL AND expires_at";
        match filter {
            InvitationFilter::All => "1 = 1".into(),
            InvitationFilter::Pending => Statement::built(format!("{open} > {}", push(values, self.1))),
            InvitationFilter::Expired => Statement::built(format!("{open} <= {}", push(values, self.1))),
            InvitationFilter::Accepted => "accepted_at IS NOT NULL".into(),
            InvitationFilter::Revoked => "accepted_at IS NULL AND revoked_at IS NOT NULL".into(),
        }
    }

    fn order(order: InvitationOrder) -> &'static str {
        match order {
            InvitationOrder::Created => "invitations.id",
            InvitationOrder::Email => "invitations.email",
            InvitationOrder::Expires => "invitations.expires_at",
        }
    }

    fn decode(row: &Row) -> Result<Invitation, StoreError> {
        Invitation::from_row(row)
    }
}
