//! Changes of several keys at once, of one owner or of a workspace's service accounts: they are made together or not at
//! all, and each key has its own event.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    ApiKeyId, AuditAction, PrincipalId, Timestamp, WorkspaceId,
    api_key::{ApiKey, KeyState},
    limits::KeywardScope,
    principal::{Principal, WorkspacePermission},
    service_account::ServiceAccount,
};
use store::{Connection, api_key::Descendants};

use super::{
    Access, KeyAccount, KeyOwner, authorize, find_of_owner, parse_end,
    revocation::{list_keys_to_revoke, with_workspaces},
    rotated_key, to_wire,
    update::is_later,
};
use crate::{
    app::{
        App, Caller, ChangeError, Confirmed, Detail, Operation, RevocationCause, Scope, Transaction,
        chosen::require_few, policy::PolicyOfOwner,
    },
    error::AppError,
};

/// The keys that are listed together, and changed together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySet {
    /// Those of an owner.
    Owner(KeyOwner),
    /// Those of all service accounts of a workspace.
    Workspace(WorkspaceId),
}

impl KeySet {
    /// Returns the workspace of the service accounts that own the keys.
    const fn workspace(self) -> Option<WorkspaceId> {
        match self {
            Self::Workspace(workspace) | Self::Owner(KeyOwner::ServiceAccount(workspace, _)) => Some(workspace),
            Self::Owner(KeyOwner::Own | KeyOwner::User(_)) => None,
        }
    }
}

/// A change of several keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BulkEdit {
    /// Revokes those that are not revoked.
    Revoke,
    /// Disables those that are neither disabled nor revoked.
    Disable,
    /// Enables those that are disabled, and neither expired nor revoked.
    Enable,
    /// Sets the expiry of those that are neither expired nor revoked.
    SetExpiry(Option<Timestamp>),
}

impl App {
    /// Returns keys for the confirmation of a change, each with its service account if it has one.
    ///
    /// # Errors
    /// The caller may not change them, a key is not in the set, or there are more than [`MAX_CHOSEN`](crate::app::MAX_CHOSEN).
    pub async fn preview_edit(
        &self,
        caller: &Caller,
        set: KeySet,
        ids: &BTreeSet<ApiKeyId>,
    ) -> Result<Vec<(api::ApiKey, Option<KeyAccount>)>, AppError> {
        let (mut connection, now) = (self.store.read().await?, self.clock.now());
        let keys = find_keys(&mut connection, &caller.principal, set, ids).await?;
        let owners: BTreeSet<PrincipalId> = keys.iter().map(|key| key.owner).collect();
        let mut accounts = BTreeMap::new();
        for owner in owners {
            if let (PrincipalId::ServiceAccount(id), Some(workspace)) = (owner, set.workspace())
                && let Some(account) =
                    store::service_account::find_service_account(&mut connection, workspace, id).await?
            {
                let ServiceAccount { display_name: name, address: email, disabled, .. } = account;
                accounts.insert(owner, KeyAccount { id, name, email, disabled });
            }
        }
        Ok(keys.iter().map(|key| (to_wire(key, now), accounts.get(&key.owner).cloned())).collect())
    }

    /// Changes keys. Keys for which there is nothing to change stay as they are. Returns the number of keys
    /// that were changed. After this has returned, no node accepts a key that was revoked or disabled.
    ///
    /// # Errors
    /// The caller may not do this, a key is not in the set, there are more than [`MAX_CHOSEN`](crate::app::MAX_CHOSEN), or the expiry has passed.
    pub async fn edit_api_keys(
        self: &Arc<Self>,
        caller: &Caller,
        set: KeySet,
        ids: BTreeSet<ApiKeyId>,
        edit: BulkEdit,
    ) -> Result<Confirmed<usize>, ChangeError> {
        self.change(caller, EditApiKeys { set, ids, edit }).await
    }
}

/// Returns the keys of a set with these ids, if the caller may manage all of them.
async fn find_keys(
    connection: &mut Connection,
    principal: &Principal,
    set: KeySet,
    ids: &BTreeSet<ApiKeyId>,
) -> Result<Vec<ApiKey>, AppError> {
    match set {
        KeySet::Owner(owner) => _ = authorize(principal, owner, Access::Manage)?,
        KeySet::Workspace(workspace) => {
            _ = principal.authorize(WorkspacePermission::ManageServiceAccountKeys, workspace)?;
        }
    }
    require_few(ids.len(), "key", "keys")?;
    let mut keys = Vec::with_capacity(ids.len());
    for id in ids {
        let owner = match set {
            KeySet::Owner(owner) => owner,
            KeySet::Workspace(workspace) => {
                let key = store::api_key::find_api_key_anywhere(connection, *id).await?;
                match key.map(|key| key.owner) {
                    Some(PrincipalId::ServiceAccount(account)) => KeyOwner::ServiceAccount(workspace, account),
                    Some(PrincipalId::User(_)) | None => return Err(AppError::not_found()),
                }
            }
        };
        // It also fails if the service account is in another workspace.
        let owner = authorize(principal, owner, Access::Manage)?;
        keys.push(find_of_owner(connection, &owner, *id).await?);
    }
    Ok(keys)
}

struct EditApiKeys {
    set: KeySet,
    ids: BTreeSet<ApiKeyId>,
    edit: BulkEdit,
}

/// A key that is changed: as it was, as it will be, and its workspace.
struct Edited {
    before: ApiKey,
    after: ApiKey,
    workspace: Option<WorkspaceId>,
}

impl Operation for EditApiKeys {
    type Checked = Vec<Edited>;
    type Response = usize;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let keys = find_keys(scope.connection, scope.principal, self.set, &self.ids).await?;
        let expires_at = match self.edit {
            BulkEdit::SetExpiry(end) => end.map(|end| parse_end(end, scope.now)).transpose()?,
            BulkEdit::Revoke | BulkEdit::Disable | BulkEdit::Enable => None,
        };
        let now = scope.now;
        let keys = match self.edit {
            BulkEdit::Revoke => {
                list_keys_to_revoke(scope.connection, scope.principal, keys, Descendants::SelfRotated).await?
            }
            BulkEdit::SetExpiry(_) => {
                let keys = with_workspaces(scope.connection, keys).await?;
                for (key, _) in keys.iter().filter(|(key, _)| key.state(now) != KeyState::Expired) {
                    rotated_key::require_end(scope.connection, key.id, expires_at).await?;
                }
                keys
            }
            BulkEdit::Disable | BulkEdit::Enable => with_workspaces(scope.connection, keys).await?,
        };
        let edited = keys.into_iter().map(|(before, workspace)| {
            let mut after = before.clone();
            match self.edit {
                BulkEdit::Revoke => {}
                BulkEdit::Disable => after.disabled = true,
                BulkEdit::Enable => after.disabled = false,
                BulkEdit::SetExpiry(_) => after.expires_at = expires_at,
            }
            Edited { before, after, workspace }
        });
        let edited: Vec<Edited> = edited
            .filter(|edited| match self.edit {
                BulkEdit::Revoke => true,
                BulkEdit::Disable => edited.before != edited.after,
                BulkEdit::Enable | BulkEdit::SetExpiry(_) => {
                    edited.before != edited.after && edited.before.state(now) != KeyState::Expired
                }
            })
            .collect();
        for Edited { before, after, .. } in &edited {
            // The caller's key does not let a key with more permissions be used again, or for longer.
            if before.disabled && !after.disabled || is_later(after.expires_at, before.expires_at) {
                scope.principal.require_within_limits(&after.limits, after.owner)?;
            }
        }
        if matches!(self.edit, BulkEdit::SetExpiry(_)) {
            // All keys of a set are of the same workspace, or of users.
            let policy = PolicyOfOwner::find(scope.connection, self.set.workspace()).await?;
            for Edited { before, after, .. } in &edited {
                policy.check_change(before, after, now)?;
            }
        }
        Ok(edited)
    }

    fn unchanged(&self, keys: &Self::Checked) -> Option<usize> {
        keys.is_empty().then_some(0)
    }

    /// Writes this node's recorded uses first, because a revocation reads whether the keys were ever used.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        match self.edit {
            BulkEdit::Revoke => app.write_uses().await,
            BulkEdit::Disable | BulkEdit::Enable | BulkEdit::SetExpiry(_) => Ok(()),
        }
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, keys: Self::Checked) -> Result<usize, AppError> {
        let count = keys.len();
        let action = match self.edit {
            BulkEdit::Revoke => {
                for Edited { before, workspace, .. } in keys {
                    let parent = before.created_with.filter(|_| !self.ids.contains(&before.id));
                    let cause = parent.map(|parent| RevocationCause::new(AuditAction::ApiKeyRevoke, parent));
                    app.revoke_key(transaction, &before, workspace, cause.as_ref()).await?;
                }
                return Ok(count);
            }
            BulkEdit::Disable => AuditAction::ApiKeyDisable,
            BulkEdit::Enable => AuditAction::ApiKeyEnable,
            BulkEdit::SetExpiry(_) => AuditAction::ApiKeyUpdate,
        };
        for Edited { before, after, workspace } in keys {
            store::api_key::update_api_key(&mut transaction.change, &before, &after).await?;
            if before.disabled && !after.disabled {
                store::key_review::note_enabled(&mut transaction.change, after.id).await?;
            }
            transaction.note(app, action, workspace, after.id, Detail::of_change(&before, &after));
        }
        Ok(count)
    }
}
