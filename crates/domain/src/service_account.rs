//! Service accounts: principals that are not users, each in one workspace.

use jiff::Timestamp;

use crate::{ServiceAccountId, WorkspaceId, role::Role, workspace::Slug};

/// A principal that is not a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceAccount {
    /// Its id.
    pub id: ServiceAccountId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its name for people.
    pub display_name: String,
    /// Its name in the address, unique in the workspace.
    pub name: Slug,
    /// Its description.
    pub description: String,
    /// Its email-like address, never used by another account.
    pub address: String,
    /// Its role in the workspace.
    pub role: Role,
    /// Whether all its credentials are refused.
    pub disabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Returns `NAME@WORKSPACE_SLUG.SERVICE_ACCOUNT_DOMAIN`.
#[must_use]
pub fn service_account_address(name: &Slug, workspace: &Slug, domain: &str) -> String {
    format!("{name}@{workspace}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_names_account_workspace_and_domain() {
        let address =
            service_account_address(&"ci-runner".parse().unwrap(), &"acme".parse().unwrap(), "sa.keyward.local");
        assert_eq!(address, "ci-runner@acme.sa.keyward.local");
    }
}
