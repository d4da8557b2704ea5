//! Requests and responses about invitations.

use std::fmt;

use domain::{InvitationId, Timestamp, UserId, WorkspaceId, role::Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// An invitation into a workspace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// Its id.
    #[schema(value_type = schema::InvitationId)]
    pub id: InvitationId,
    /// The invited email address.
    pub email: String,
    /// The role it gives.
    #[schema(value_type = schema::Role)]
    pub role: Role,
    /// Its state.
    pub state: InvitationState,
    /// The inviter.
    #[schema(value_type = schema::Actor)]
    pub created_by: String,
    /// When it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it expires.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// The state of an invitation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvitationState {
    /// It can be accepted.
    Pending,
    /// It was accepted.
    Accepted,
    /// It was revoked.
    Revoked,
    /// Its expiry has passed.
    Expired,
}

/// An invitation that was created. If it was mailed, only the mail contains the link. Otherwise, only this response
/// contains it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedInvitation {
    /// The invitation.
    #[serde(flatten)]
    pub invitation: Invitation,
    /// The token that accepts it once. Absent if the link was mailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The page that accepts it. Absent if the link was mailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether it was sent by mail.
    #[serde(default)]
    pub mail: MailState,
}

/// Omits the token, also in the link.
impl fmt::Debug for IssuedInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedInvitation")
            .field("invitation", &self.invitation)
            .field("mail", &self.mail)
            .finish_non_exhaustive()
    }
}

/// Whether a mail was sent. The change is made in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// There is no mail server in the settings. Send the link yourself.
    #[default]
    NotConfigured,
    /// The mail server accepted it. The email address receives the link.
    Sent,
    /// The mail server did not accept it. Send the link yourself, or resend the invitation.
    Failed,
    /// Unknown, because this is the stored response to a replay. If the mail does not arrive, resend the invitation.
    Unknown,
}

/// The people to invite, all with the same role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitations {
    /// 1 to 100 email addresses.
    #[schema(value_type = Vec<schema::Email>, min_items = 1, max_items = 100)]
    pub emails: Vec<String>,
    /// `admin` or `member`.
    #[schema(value_type = schema::Role)]
    pub role: Role,
}

/// The invitations that were created.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct IssuedInvitations {
    /// One for each email address that was invited.
    pub items: Vec<IssuedInvitation>,
    /// The email addresses of people who are already members. They were not invited.
    #[serde(default)]
    #[schema(value_type = Vec<schema::Email>)]
    pub skipped: Vec<String>,
}

/// How to accept an invitation. An authenticated caller joins as that user. For any other caller, a user is created.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// The token of the invitation.
    pub token: String,
    /// A name, for a new user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Title>)]
    pub name: Option<String>,
    /// A password of 12 characters or more, for a new user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::NewPassword>)]
    pub password: Option<String>,
}

/// Omits the token and the password.
impl fmt::Debug for AcceptInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptInvitation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The result of accepting an invitation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AcceptedInvitation {
    /// The user who joined.
    #[schema(value_type = schema::UserId)]
    pub user: UserId,
    /// The workspace.
    #[schema(value_type = schema::WorkspaceId)]
    pub workspace: WorkspaceId,
    /// The role in the workspace.
    #[schema(value_type = schema::Role)]
    pub role: Role,
}
