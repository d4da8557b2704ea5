//! Revoking keys, with the keys that they registered.

use std::sync::Arc;

use domain::{ApiKeyId, PrincipalId, WorkspaceId, api_key::ApiKey, principal::Principal};
use store::{Connection, api_key::Revocation};

use super::{Access, KeyOwner, authorize, find_of_owner, state_to_wire, workspace_of};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Operation, Scope, Transaction},
    error::AppError,
};

impl App {
    /// The keys that a revocation with `cascade` revokes besides the key itself, at this moment: what the API, the pages and
    /// the command line show before.
    ///
    /// # Errors
    /// The caller may not revoke the key.
    pub async fn list_cascade(&self, caller: &Caller, owner: KeyOwner, id: ApiKeyId) -> Result<api::Cascade, AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let root = find_of_owner(&mut connection, &owner, id).await?;
        let mut keys = Vec::new();
        for (key, _) in list_keys_to_revoke(&mut connection, &caller.principal, vec![root], true).await? {
            if key.id != id {
                keys.push(api::CascadedKey {
                    id: key.id,
                    title: key.title.clone(),
                    fingerprint: key.public_key.fingerprint().to_string(),
                    state: state_to_wire(key.state(now)),
                    owner: key.owner.to_string(),
                    owner_email: store::identity::find_email(&mut connection, key.owner).await?,
                    created_with: key.created_with,
                });
            }
        }
        keys.sort_by_key(|key| key.id);
        Ok(api::Cascade { keys })
    }

    /// Revokes a key, and with `cascade` the keys that it made, as far as the caller manages them. Once this has
    /// returned, no node accepts them. Revoking a revoked key changes nothing.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn revoke_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        cascade: bool,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, RevokeApiKey { owner, id, cascade }).await
    }

    /// Revokes keys within a change that was authorized, each with its own event in its owner's workspace; with `cascade` also
    /// the keys that they registered, as far as the caller manages those. What is revoked already stays as it is. Tells how
    /// many were revoked.
    pub(in crate::app) async fn revoke_keys(
        &self,
        transaction: &mut Transaction,
        keys: Vec<ApiKey>,
        cascade: bool,
    ) -> Result<usize, AppError> {
        let principal = transaction.principal.clone();
        let taken = list_keys_to_revoke(&mut transaction.change, &principal, keys, cascade).await?;
        let count = taken.len();
        self.revoke_listed_keys(transaction, taken).await?;
        Ok(count)
    }

    async fn revoke_listed_keys(
        &self,
        transaction: &mut Transaction,
        keys: Vec<(ApiKey, Option<WorkspaceId>)>,
    ) -> Result<(), AppError> {
        for (key, place) in keys {
            store::api_key::revoke_api_key(&mut transaction.change, &key, Revocation::Ordinary).await?;
            let (owner, fingerprint) = (key.owner.to_string(), key.public_key.fingerprint().to_string());
            let detail = [("owner", owner.as_str()), ("title", &key.title), ("fingerprint", &fingerprint)];
            transaction.note(self, "api_key.revoke", place, key.id, &detail);
        }
        Ok(())
    }

    /// Revokes all keys of an owner who is about to be deleted, as [`revoke_keys`](Self::revoke_keys) does.
    pub(in crate::app) async fn revoke_keys_of(
        &self,
        transaction: &mut Transaction,
        owner: PrincipalId,
    ) -> Result<usize, AppError> {
        let keys = store::api_key::list_api_keys(&mut transaction.change, owner, None, i64::MAX).await?;
        self.revoke_keys(transaction, keys, false).await
    }
}

struct RevokeApiKey {
    owner: KeyOwner,
    id: ApiKeyId,
    cascade: bool,
}

impl Operation for RevokeApiKey {
    /// The keys to revoke, each with its workspace.
    type Checked = Vec<(ApiKey, Option<WorkspaceId>)>;
    type Response = ();
    const STATUS: u16 = 204;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let owner = authorize(scope.principal, self.owner, Access::Manage)?;
        let root = find_of_owner(scope.connection, &owner, self.id).await?;
        list_keys_to_revoke(scope.connection, scope.principal, vec![root], self.cascade).await
    }

    fn unchanged(&self, keys: &Self::Checked) -> Option<()> {
        keys.is_empty().then_some(())
    }

    /// Whether the keys were ever used is read with their revocation, so what this node knows of that is written first.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        app.write_uses().await
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, keys: Self::Checked) -> Result<(), AppError> {
        app.revoke_listed_keys(transaction, keys).await
    }
}

/// The keys that a revocation of `roots` takes along, each with its workspace: themselves, and with `cascade` those that they
/// registered, as far as the caller manages them.
async fn list_keys_to_revoke(
    connection: &mut Connection,
    principal: &Principal,
    roots: Vec<ApiKey>,
    cascade: bool,
) -> Result<Vec<(ApiKey, Option<WorkspaceId>)>, AppError> {
    let owners: Vec<PrincipalId> = roots.iter().map(|key| key.owner).collect();
    let mut seen: Vec<ApiKeyId> = roots.iter().map(|key| key.id).collect();
    let mut waiting = roots;
    let mut taken = Vec::new();
    while let Some(key) = waiting.pop() {
        if cascade {
            // Also through keys that are revoked already or another's: what they registered is not safer for it.
            for made in store::api_key::list_api_keys_made_with(connection, key.id).await? {
                if !seen.contains(&made.id) {
                    seen.push(made.id);
                    waiting.push(made);
                }
            }
        }
        let place = workspace_of(connection, key.owner).await?;
        if key.revoked_at.is_none() && (owners.contains(&key.owner) || manages(principal, key.owner, place)) {
            taken.push((key, place));
        }
    }
    Ok(taken)
}

/// Whether the keys of `whose`, in `place`, are the caller's to revoke.
fn manages(principal: &Principal, whose: PrincipalId, place: Option<WorkspaceId>) -> bool {
    let keys = match (whose, place) {
        (PrincipalId::ServiceAccount(account), Some(workspace)) => KeyOwner::ServiceAccount(workspace, account),
        _ if principal.id() == Some(whose) => KeyOwner::Own,
        _ => return false,
    };
    authorize(principal, keys, Access::Manage).is_ok()
}
