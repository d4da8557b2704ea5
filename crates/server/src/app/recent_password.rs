//! Which changes want a session in which the password was given lately: those that give somebody rights, or the means to
//! use them. Whoever finds a browser open does none of these. The one place that says so, by the events that a change
//! commits; an event that nobody has thought of here wants the password.

use domain::{AuditEvent, Timestamp};

/// Whether a change that this event tells of wants a password that was given lately.
pub(super) fn wants_recent_password(event: &AuditEvent) -> bool {
    let is = |name: &str, value: &str| event.detail.get(name).is_some_and(|found| found == value);
    let was = |name: &str, value: &str| is(&format!("{name}_before"), value);
    match &*event.action {
        // Who becomes an admin or an operator, or is let in again.
        "invitation.create" | "invitation.resend" | "member.update" => is("role", "admin"),
        "user.update" => was("operator", "false") || was("disabled", "true"),
        "service_account.update" => was("role", "member") || was("disabled", "true"),
        "api_key.update" => is_extended(event),

        // What takes rights away, so that nothing delays it.
        "api_key.disable"
        | "api_key.revoke"
        | "invitation.revoke"
        | "member.disable"
        | "member.remove"
        | "project.member.remove"
        | "service_account.delete"
        // What gives nobody more than they have.
        | "invitation.accept"
        | "invitation.mail_failed"
        | "member.enable"
        | "project.create"
        | "project.delete"
        | "project.update"
        | "proof_challenge.create"
        | "service_account.create"
        | "user.verify_email"
        | "workspace.create"
        | "workspace.update"
        // What a session does with itself, and what asks for the current password by itself.
        | "session.confirm"
        | "session.create"
        | "session.end"
        | "session.end_others"
        | "user.change_password" => false,

        _ => true,
    }
}

/// Whether an event tells of a key that lives longer than it did before.
fn is_extended(event: &AuditEvent) -> bool {
    let end = |name| event.detail.get(name).and_then(|end: &String| end.parse::<Timestamp>().ok());
    match (end("expires_at_before"), end("expires_at")) {
        (None, _) => false,
        (Some(before), after) => after.is_none_or(|after| after > before),
    }
}
