//! The roles in a workspace, as the pages name and explain them.

use domain::role::Role;

/// The roles, in the order of a form.
pub(super) const ROLES: &[Role] = &[Role::Member, Role::Admin];

/// Returns the name of a role.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(super) const fn label(role: &Role) -> &'static str {
    match role {
        Role::Member => "Member",
        Role::Admin => "Admin",
    }
}

/// Returns what a service account with this role can do, without a full stop.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(super) const fn meaning(role: &Role) -> &'static str {
    match role {
        Role::Member => "No administration; sees the projects it created or was invited to",
        Role::Admin => "Manages the workspace: adds and removes people, sees every project",
    }
}
