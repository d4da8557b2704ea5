//! Disabling the keys that a policy disables because they are not used.

use std::sync::Arc;

use domain::{
    AuditAction, PrincipalId, WorkspaceId,
    api_key::ApiKey,
    limits::KeywardScope,
    policy::{KeyPolicy, PolicyPlace, Unused, UnusedAction},
};

use super::find_policies;
use crate::{
    app::{App, Caller, Detail, Operation, Scope, Transaction},
    error::AppError,
};

/// The maximum number of keys that one change disables.
const AT_ONCE: i64 = 100;

impl App {
    /// Disables the keys that policies disable because they are not used, each with an event. A server does this once an
    /// hour. Returns the number of keys.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn disable_unused_keys(self: &Arc<Self>) -> Result<usize, AppError> {
        let places: Vec<PolicyPlace> = {
            let directory = self.verifier.directory().load();
            let disables = |unused: Option<Unused>| unused.is_some_and(|unused| unused.action == UnusedAction::Disable);
            let with = |policy: &KeyPolicy| disables(policy.rules().unused) || disables(policy.before().unused);
            directory.policies().places().filter(|(_, policy)| with(policy)).map(|(place, _)| place).collect()
        };
        let mut disabled = 0;
        for place in places {
            loop {
                let some = self.change(&Caller::host(), DisableUnusedKeys { place }).await?.into_inner();
                disabled += some;
                if some == 0 {
                    break;
                }
            }
        }
        Ok(disabled)
    }
}

struct DisableUnusedKeys {
    place: PolicyPlace,
}

impl Operation for DisableUnusedKeys {
    /// The keys, each with the workspace of its service account.
    type Checked = Vec<(ApiKey, Option<WorkspaceId>)>;
    type Response = usize;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        scope.principal.authorize_host()?;
        let policies = find_policies(scope.connection, self.place).await?;
        let Some(policy) = policies.find(self.place) else { return Ok(Vec::new()) };
        let placed = (self.place, policy);
        let found = store::key_review::list_keys_to_disable(scope.connection, placed, scope.now, AT_ONCE).await?;
        let mut keys = Vec::with_capacity(found.len());
        for key in found {
            let workspace = match key.owner {
                PrincipalId::User(_) => None,
                PrincipalId::ServiceAccount(account) => {
                    store::service_account::find_workspace_of(scope.connection, account).await?
                }
            };
            keys.push((key, workspace));
        }
        Ok(keys)
    }

    fn unchanged(&self, keys: &Self::Checked) -> Option<usize> {
        keys.is_empty().then_some(0)
    }

    /// Writes this node's recorded uses first. Other nodes write theirs every second.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        app.write_uses().await
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, keys: Self::Checked) -> Result<usize, AppError> {
        for (before, workspace) in &keys {
            let after = ApiKey { disabled: true, ..before.clone() };
            store::api_key::update_api_key(&mut transaction.change, before, &after).await?;
            let reason = format!("the policy of {} disables keys that are not used", self.place);
            let detail = Detail::of_change(before, &after).with("reason", reason);
            transaction.note_by_server(app, AuditAction::ApiKeyDisable, *workspace, before.id, detail);
        }
        Ok(keys.len())
    }
}
