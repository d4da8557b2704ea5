//! Invitations on the wire.

use std::fmt;

use domain::{InvitationId, Timestamp, UserId, WorkspaceId, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An invitation into a workspace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// Its id.
    #[schema(value_type = String)]
    pub id: InvitationId,
    /// Whom it is for.
    pub email: String,
    /// The role it gives.
    #[schema(value_type = String)]
    pub role: Role,
    /// Where it stands.
    pub state: InvitationState,
    /// Who invited.
    pub created_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Where an invitation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvitationState {
    /// It can be accepted.
    Pending,
    /// It was.
    Accepted,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
}

/// An invitation that was written. Where it was mailed, only its address has the link; else its token is told this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedInvitation {
    /// The invitation.
    #[serde(flatten)]
    pub invitation: Invitation,
    /// What accepts it; good once. Absent where the link was mailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The page that accepts it. Absent where the link was mailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether it went out by mail.
    #[serde(default)]
    pub mail: MailState,
}

/// Without the token, also where it is in the link.
impl fmt::Debug for IssuedInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedInvitation")
            .field("invitation", &self.invitation)
            .field("mail", &self.mail)
            .finish_non_exhaustive()
    }
}

/// Whether something went out by mail. What it tells holds either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// No mail server is set: pass the link on.
    #[default]
    NotConfigured,
    /// The mail server took it: whoever has the address has the link.
    Sent,
    /// The mail server did not take it: pass the link on, or send it again.
    Failed,
    /// This is the answer to the same request again, which does not know: if it does not arrive, send it again.
    Unknown,
}

/// People to invite, all with one role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitations {
    /// 1 to 100 addresses.
    pub emails: Vec<String>,
    /// `admin` or `member`.
    #[schema(value_type = String)]
    pub role: Role,
}

/// What was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct IssuedInvitations {
    /// One an address.
    pub items: Vec<IssuedInvitation>,
}

/// How to accept an invitation. A caller who is authenticated joins as who they are; anybody else becomes a user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// The token of the invitation.
    pub token: String,
    /// A name, for a new user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A password of 12 characters or more, for a new user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Without the token and the password.
impl fmt::Debug for AcceptInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptInvitation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where the invitation led.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AcceptedInvitation {
    /// Who joined.
    #[schema(value_type = String)]
    pub user: UserId,
    /// What they joined.
    #[schema(value_type = String)]
    pub workspace: WorkspaceId,
    /// With which role.
    #[schema(value_type = String)]
    pub role: Role,
}
