//! Invitations: the only way into a workspace.

use std::time::Duration;

use jiff::Timestamp;

use crate::{InvitationId, WorkspaceId, role::Role, user::Email};

/// How long an invitation can be accepted.
pub const INVITATION_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// An invitation of one address with one role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Where it leads.
    pub workspace: WorkspaceId,
    /// Whom it is for.
    pub email: Email,
    /// The role it gives.
    pub role: Role,
    /// Whether it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// Whether it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// Who invited, or sent it again last: `usr_…`, `sa_…` or `host`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When its link was mailed to the address. None where whoever invited was shown the link: it proves no address then.
    pub mailed_at: Option<Timestamp>,
}

/// Where an invitation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

impl Invitation {
    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> InvitationState {
        if self.accepted_at.is_some() {
            InvitationState::Accepted
        } else if self.revoked_at.is_some() {
            InvitationState::Revoked
        } else if now >= self.expires_at {
            InvitationState::Expired
        } else {
            InvitationState::Pending
        }
    }

    /// Whether it is neither accepted nor taken back: it can be accepted, or sent again.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none()
    }
}
