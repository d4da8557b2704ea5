//! Information about the caller.

use std::collections::{BTreeMap, BTreeSet};

use domain::PrincipalId;

use super::{App, Caller};
use crate::error::AppError;

pub(super) fn kind(id: PrincipalId) -> api::PrincipalKind {
    match id {
        PrincipalId::User(_) => api::PrincipalKind::User,
        PrincipalId::ServiceAccount(_) => api::PrincipalKind::ServiceAccount,
    }
}

impl App {
    /// Returns the caller, their key and their memberships.
    ///
    /// # Errors
    /// The caller is the host, which is not a principal.
    pub fn me(&self, caller: &Caller) -> Result<api::Me, AppError> {
        caller.principal.authorize_own()?;
        let identity = caller.principal.identity().ok_or(AppError::not_found())?;
        let key = caller.principal.credential().key().and_then(|id| {
            let directory = self.verifier.directory().load();
            let fingerprint = directory.key(id)?.fingerprint().to_string();
            Some(api::CredentialKey { id, fingerprint })
        });
        Ok(api::Me {
            principal: api::Principal {
                id: identity.id.to_string(),
                kind: kind(identity.id),
                email: identity.email.clone(),
                email_verified: identity.email_verified,
                name: identity.name.clone(),
            },
            key,
            operator: identity.operator,
            workspaces: identity
                .memberships
                .iter()
                .map(|m| api::MyWorkspace {
                    id: m.workspace,
                    slug: m.slug.to_string(),
                    name: m.name.to_string(),
                    role: m.role,
                })
                .collect(),
        })
    }

    /// Returns the emails and addresses of the ids in records, including those of deleted principals. Other texts, such
    /// as `host`, have none.
    ///
    /// # Errors
    /// The caller is not a principal, or the database does not respond.
    pub async fn find_emails(&self, caller: &Caller, ids: &[&str]) -> Result<BTreeMap<String, String>, AppError> {
        caller.principal.authorize_own()?;
        let ids: BTreeSet<PrincipalId> = ids.iter().filter_map(|text| text.parse().ok()).collect();
        let ids: Vec<PrincipalId> = ids.into_iter().collect();
        let emails = store::identity::find_emails(&mut *self.store.read().await?, &ids).await?;
        Ok(emails.into_iter().map(|(id, email)| (id.to_string(), email)).collect())
    }
}
