//! Invitations to a workspace.

use std::time::Duration;

use jiff::Timestamp;

use crate::{InvitationId, WorkspaceId, role::Role, user::Email};

/// How long an invitation can be accepted.
pub const INVITATION_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// An invitation of an email address, with a role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The invited email.
    pub email: Email,
    /// The role it gives.
    pub role: Role,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The principal that created it or last sent it again: `usr_…`, `sa_…` or `host`.
    pub created_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its link was mailed to the email. `None` if the inviter was shown the link. In that case, accepting the
    /// invitation does not verify the email.
    pub mailed_at: Option<Timestamp>,
}

/// The state of an invitation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvitationState {
    /// It can be accepted.
    Pending,
    /// It was accepted.
    Accepted,
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
}

impl Invitation {
    /// Returns its state at `now`.
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

    /// Returns whether it is neither accepted nor revoked. It can then be accepted or sent again.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none()
    }
}
