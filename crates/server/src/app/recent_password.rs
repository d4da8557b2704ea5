//! The changes that need a session in which the password was entered recently: those that grant access or add
//! credentials. Another person at an open browser cannot make them. The rule is defined only here, by the events that a
//! change commits. A new action must be added here, or this does not compile.

use domain::{
    AuditAction as Action, AuditEvent, Timestamp,
    limits::{KeyLimits, Limits},
};

/// Returns whether a change with this event needs a session in which the password was entered recently.
pub(super) fn wants_recent_password(action: Action, event: &AuditEvent) -> bool {
    let is = |name: &str, value: &str| event.detail.get(name).is_some_and(|found| found == value);
    let was = |name: &str, value: &str| is(&format!("{name}_before"), value);
    match action {
        // These make a principal an admin or an operator, or enable a principal.
        Action::InvitationCreate | Action::InvitationResend | Action::MemberUpdate | Action::ServiceAccountCreate => {
            is("role", "admin")
        }
        Action::UserUpdate => was("operator", "false") || was("disabled", "true"),
        Action::ServiceAccountUpdate => was("role", "member") || was("disabled", "true"),
        Action::ApiKeyUpdate => is_extended(event) || has_wider_limits(event),
        Action::ApiKeyConfirm
        | Action::ApiKeyCreate
        | Action::ApiKeyDisplace
        | Action::ApiKeyEnable
        | Action::ApiKeyProve
        | Action::ApiKeyRotate
        | Action::ApiKeyUndoRotation
        | Action::InstallationReplaceKey
        | Action::InstallationRestore
        | Action::MemberAdd
        | Action::MemberLoseEmail
        | Action::PolicyUpdate
        | Action::ProjectMemberSet
        | Action::QuotaUpdate
        | Action::RequestRefuse
        | Action::SetUpLinkCreate
        | Action::UserConfirm
        | Action::UserCreate
        | Action::UserLoseEmail
        | Action::UserSetPassword
        | Action::WorkspaceDelete => true,

        // These remove access, so they must not be delayed.
        Action::ApiKeyDisable
        | Action::ApiKeyLeak
        | Action::ApiKeyRevoke
        | Action::InvitationRevoke
        | Action::MemberDisable
        | Action::MemberRemove
        | Action::ProjectMemberRemove
        | Action::ServiceAccountDelete
        // These give no principal more access.
        | Action::InvitationAccept
        | Action::InvitationMailFailed
        | Action::MemberEnable
        | Action::ProjectCreate
        | Action::ProjectDelete
        | Action::ProjectUpdate
        | Action::ProofChallengeCreate
        | Action::UserVerifyEmail
        | Action::WorkspaceCreate
        | Action::WorkspaceUpdate
        // These only affect the session, or ask for the current password themselves.
        | Action::SessionConfirm
        | Action::SessionCreate
        | Action::SessionEnd
        | Action::SessionEndOthers
        | Action::UserChangePassword => false,
    }
}

/// Returns whether an event removes or widens a limit of a key.
fn has_wider_limits(event: &AuditEvent) -> bool {
    let limits = |name| event.detail.get(name).and_then(|text: &String| text.parse::<Limits>().ok());
    let Some(before) = limits("limits_before") else { return false };
    let before = KeyLimits::from(before);
    before.is_narrower_than(&limits("limits").unwrap_or_default().into())
}

/// Returns whether an event extends the lifetime of a key.
fn is_extended(event: &AuditEvent) -> bool {
    let end = |name| event.detail.get(name).and_then(|end: &String| end.parse::<Timestamp>().ok());
    match (end("expires_at_before"), end("expires_at")) {
        (None, _) => false,
        (Some(before), after) => after.is_none_or(|after| after > before),
    }
}
