//! Revocation of keys, and of the keys that they registered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    ApiKeyId, AuditAction, PrincipalId, ServiceAccountId, Timestamp, WorkspaceId, api_key::ApiKey,
    limits::KeywardScope, principal::Principal,
};
use store::{
    Connection,
    api_key::{Descendants, Revocation},
};

use super::{Access, KeyOwner, authorize, find_of_owner, state_to_wire};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Detail, Operation, RevocationCause, Scope, Transaction},
    error::AppError,
};

impl App {
    /// Returns the keys that a revocation with `cascade` would revoke now in addition to the key itself. The API, the
    /// pages and the command line show them before the revocation.
    ///
    /// # Errors
    /// The caller may not revoke the key.
    pub async fn list_cascade(&self, caller: &Caller, owner: KeyOwner, id: ApiKeyId) -> Result<api::Cascade, AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        let mut connection = self.store.read().await?;
        let root = find_of_owner(&mut connection, &owner, id).await?;
        read_cascade(&mut connection, &caller.principal, root, self.clock.now()).await
    }

    /// Revokes a key, the successors that it registered for itself and, with `cascade`, all keys that it registered, if the
    /// caller manages them. After this has
    /// returned, no node accepts them. Revoking a revoked key changes nothing.
    ///
    /// # Errors
    /// The caller may not do this.
    pub async fn revoke_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        cascade: bool,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, RevokeApiKey { owner, id, cascade }).await
    }

    /// Revokes keys, and their self-rotated successors, within an authorized change, each with its own event in its
    /// owner's workspace. Keys that are already revoked stay unchanged.
    pub(in crate::app) async fn revoke_keys(
        &self,
        transaction: &mut Transaction,
        keys: Vec<ApiKey>,
        cause: &RevocationCause,
    ) -> Result<(), AppError> {
        let principal = transaction.principal.clone();
        for (key, place) in
            list_keys_to_revoke(&mut transaction.change, &principal, keys, Descendants::SelfRotated).await?
        {
            self.revoke_key(transaction, &key, place, Some(cause)).await?;
        }
        Ok(())
    }

    /// Revokes a key within an authorized change, with its event. `cause` is `None` for a key that the caller named.
    pub(super) async fn revoke_key(
        &self,
        transaction: &mut Transaction,
        key: &ApiKey,
        place: Option<WorkspaceId>,
        cause: Option<&RevocationCause>,
    ) -> Result<(), AppError> {
        store::api_key::revoke_api_key(&mut transaction.change, key, Revocation::Ordinary).await?;
        let detail = cause.map_or_else(|| Detail::of(key), |cause| cause.add_to(Detail::of(key)));
        transaction.note(self, AuditAction::ApiKeyRevoke, place, key.id, detail);
        Ok(())
    }

    /// Revokes the successors that a revoked key, which is not the caller's, registered for itself, and their successors.
    pub(super) async fn revoke_self_rotated(
        &self,
        transaction: &mut Transaction,
        key: ApiKey,
        cause: &RevocationCause,
    ) -> Result<(), AppError> {
        let id = key.id;
        let which = Descendants::SelfRotated;
        let mut keys = store::api_key::list_with_descendants(&mut transaction.change, vec![key], which).await?;
        keys.retain(|key| key.id != id && key.revoked_at.is_none());
        let workspaces = workspaces_of_owners(&mut transaction.change, &keys).await?;
        for key in &keys {
            store::api_key::revoke_api_key(&mut transaction.change, key, Revocation::Ordinary).await?;
            let place = workspaces.get(&key.owner).copied();
            transaction.note_by_server(self, AuditAction::ApiKeyRevoke, place, key.id, cause.add_to(Detail::of(key)));
        }
        Ok(())
    }

    /// Revokes all keys of an owner that is about to be deleted, as [`revoke_keys`](Self::revoke_keys) does.
    pub(in crate::app) async fn revoke_keys_of(
        &self,
        transaction: &mut Transaction,
        owner: PrincipalId,
        cause: &RevocationCause,
    ) -> Result<(), AppError> {
        let keys = store::api_key::list_api_keys(&mut transaction.change, owner, None, i64::MAX).await?;
        self.revoke_keys(transaction, keys, cause).await
    }
}

/// Returns the keys that a revocation of `root` with `cascade` revokes in addition to it.
pub(super) async fn read_cascade(
    connection: &mut Connection,
    principal: &Principal,
    root: ApiKey,
    now: Timestamp,
) -> Result<api::Cascade, AppError> {
    let id = root.id;
    let own = list_keys_to_revoke(connection, principal, vec![root.clone()], Descendants::SelfRotated).await?;
    let self_rotated: BTreeSet<ApiKeyId> = own.iter().map(|(key, _)| key.id).collect();
    let mut keys = list_keys_to_revoke(connection, principal, vec![root], Descendants::All).await?;
    keys.retain(|(key, _)| key.id != id);
    let owners: Vec<PrincipalId> = keys.iter().map(|(key, _)| key.owner).collect();
    let emails = store::identity::find_emails(connection, &owners).await?;
    let to_wire = |(key, _): &(ApiKey, _)| api::CascadedKey {
        id: key.id,
        title: key.title.clone(),
        fingerprint: key.public_key.fingerprint().to_string(),
        state: state_to_wire(key.state(now)),
        owner: key.owner.to_string(),
        owner_email: emails.get(&key.owner).cloned(),
        created_with: key.created_with,
        self_rotated: self_rotated.contains(&key.id),
    };
    let mut keys: Vec<_> = keys.iter().map(to_wire).collect();
    keys.sort_by_key(|key| key.id);
    Ok(api::Cascade { keys })
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
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let owner = authorize(scope.principal, self.owner, Access::Manage)?;
        let root = find_of_owner(scope.connection, &owner, self.id).await?;
        let which = if self.cascade { Descendants::All } else { Descendants::SelfRotated };
        list_keys_to_revoke(scope.connection, scope.principal, vec![root], which).await
    }

    fn unchanged(&self, keys: &Self::Checked) -> Option<()> {
        keys.is_empty().then_some(())
    }

    /// Writes this node's recorded uses first, because the revocation reads whether the keys were ever used.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        app.write_uses().await
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, keys: Self::Checked) -> Result<(), AppError> {
        let cause = RevocationCause::new(AuditAction::ApiKeyRevoke, self.id);
        for (key, place) in keys {
            app.revoke_key(transaction, &key, place, (key.id != self.id).then_some(&cause)).await?;
        }
        Ok(())
    }
}

/// Returns the keys that a revocation of `roots` revokes, each with its workspace: the keys themselves and these
/// descendants, if the caller manages them. A self-rotated successor has the owner of its predecessor.
pub(super) async fn list_keys_to_revoke(
    connection: &mut Connection,
    principal: &Principal,
    roots: Vec<ApiKey>,
    descendants: Descendants,
) -> Result<Vec<(ApiKey, Option<WorkspaceId>)>, AppError> {
    let owners: Vec<PrincipalId> = roots.iter().map(|key| key.owner).collect();
    let keys = store::api_key::list_with_descendants(connection, roots, descendants).await?;
    let mut keys = with_workspaces(connection, keys).await?;
    keys.retain(|(key, workspace)| owners.contains(&key.owner) || manages(principal, key.owner, *workspace));
    Ok(keys)
}

/// Returns those of the keys that are not revoked, each with its workspace.
pub(super) async fn with_workspaces(
    connection: &mut Connection,
    keys: Vec<ApiKey>,
) -> Result<Vec<(ApiKey, Option<WorkspaceId>)>, AppError> {
    let workspaces = workspaces_of_owners(connection, &keys).await?;
    let with_workspace = |key: ApiKey| {
        let workspace = workspaces.get(&key.owner).copied();
        (key, workspace)
    };
    Ok(keys.into_iter().filter(|key| key.revoked_at.is_none()).map(with_workspace).collect())
}

/// Returns the workspaces of the service accounts that own these keys.
pub(in crate::app) async fn workspaces_of_owners(
    connection: &mut Connection,
    keys: &[ApiKey],
) -> Result<BTreeMap<PrincipalId, WorkspaceId>, AppError> {
    let accounts = keys.iter().filter_map(|key| match key.owner {
        PrincipalId::ServiceAccount(account) => Some(account),
        PrincipalId::User(_) => None,
    });
    let accounts: BTreeSet<ServiceAccountId> = accounts.collect();
    let accounts: Vec<ServiceAccountId> = accounts.into_iter().collect();
    let workspaces = store::service_account::find_workspaces_of(connection, &accounts).await?;
    Ok(workspaces.into_iter().map(|(account, workspace)| (account.into(), workspace)).collect())
}

/// Returns whether the caller may revoke the keys of `whose`, in `place`.
fn manages(principal: &Principal, whose: PrincipalId, place: Option<WorkspaceId>) -> bool {
    let keys = match (whose, place) {
        (PrincipalId::ServiceAccount(account), Some(workspace)) => KeyOwner::ServiceAccount(workspace, account),
        _ if principal.id() == Some(whose) => KeyOwner::Own,
        _ => return false,
    };
    authorize(principal, keys, Access::Manage).is_ok()
}
