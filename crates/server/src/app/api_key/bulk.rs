//! Changes of several keys of an owner at once: they are made together or not at all, and each key has its own event.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    ApiKeyId, AuditAction, Timestamp, WorkspaceId,
    api_key::{ApiKey, KeyState},
};

use super::{Access, KeyOwner, authorize, find_of_owner, parse_end, revocation::list_keys_to_revoke, to_wire};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction},
    error::AppError,
};

/// The most keys of one change.
pub const MAX_KEYS: usize = 100;

/// A change of several keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BulkEdit {
    /// Revokes those that are not revoked.
    Revoke,
    /// Disables those that are neither disabled nor revoked.
    Disable,
    /// Sets the expiry of those that are neither expired nor revoked.
    SetExpiry(Option<Timestamp>),
}

impl App {
    /// Returns keys of an owner, for the confirmation of a change.
    ///
    /// # Errors
    /// The caller may not change them, a key is not the owner's, or there are more than [`MAX_KEYS`].
    pub async fn preview_edit(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        ids: &BTreeSet<ApiKeyId>,
    ) -> Result<Vec<api::ApiKey>, AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        require_few(ids)?;
        let (mut connection, now) = (self.store.read().await?, self.clock.now());
        let mut keys = Vec::with_capacity(ids.len());
        for id in ids {
            keys.push(to_wire(&find_of_owner(&mut connection, &owner, *id).await?, now));
        }
        Ok(keys)
    }

    /// Changes keys of an owner. Keys for which there is nothing to change stay as they are. Returns the number of keys
    /// that were changed. After this has returned, no node accepts a key that was revoked or disabled.
    ///
    /// # Errors
    /// The caller may not do this, a key is not the owner's, there are more than [`MAX_KEYS`], or the expiry has passed.
    pub async fn edit_api_keys(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        ids: BTreeSet<ApiKeyId>,
        edit: BulkEdit,
    ) -> Result<Confirmed<usize>, ChangeError> {
        self.change(caller, EditApiKeys { owner, ids, edit }).await
    }
}

fn require_few(ids: &BTreeSet<ApiKeyId>) -> Result<(), AppError> {
    if ids.len() > MAX_KEYS {
        return Err(AppError::field("key", "too_many", format!("choose at most {MAX_KEYS} keys")));
    }
    Ok(())
}

struct EditApiKeys {
    owner: KeyOwner,
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

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let owner = authorize(scope.principal, self.owner, Access::Manage)?;
        require_few(&self.ids)?;
        let mut keys = Vec::with_capacity(self.ids.len());
        for id in &self.ids {
            keys.push(find_of_owner(scope.connection, &owner, *id).await?);
        }
        let expires_at = match self.edit {
            BulkEdit::SetExpiry(end) => end.map(|end| parse_end(end, scope.now)).transpose()?,
            BulkEdit::Revoke | BulkEdit::Disable => None,
        };
        let now = scope.now;
        let keys = list_keys_to_revoke(scope.connection, scope.principal, keys, false).await?;
        let edited = keys.into_iter().map(|(before, workspace)| {
            let mut after = before.clone();
            match self.edit {
                BulkEdit::Revoke => {}
                BulkEdit::Disable => after.disabled = true,
                BulkEdit::SetExpiry(_) => after.expires_at = expires_at,
            }
            Edited { before, after, workspace }
        });
        Ok(edited
            .filter(|edited| match self.edit {
                BulkEdit::Revoke => true,
                BulkEdit::Disable => edited.before != edited.after,
                BulkEdit::SetExpiry(_) => {
                    edited.before != edited.after && edited.before.state(now) != KeyState::Expired
                }
            })
            .collect())
    }

    fn unchanged(&self, keys: &Self::Checked) -> Option<usize> {
        keys.is_empty().then_some(0)
    }

    /// Writes this node's recorded uses first, because a revocation reads whether the keys were ever used.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        match self.edit {
            BulkEdit::Revoke => app.write_uses().await,
            BulkEdit::Disable | BulkEdit::SetExpiry(_) => Ok(()),
        }
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, keys: Self::Checked) -> Result<usize, AppError> {
        let count = keys.len();
        if self.edit == BulkEdit::Revoke {
            let keys = keys.into_iter().map(|edited| (edited.before, edited.workspace)).collect();
            app.revoke_listed_keys(transaction, keys).await?;
            return Ok(count);
        }
        let action =
            if self.edit == BulkEdit::Disable { AuditAction::ApiKeyDisable } else { AuditAction::ApiKeyUpdate };
        for Edited { before, after, workspace } in keys {
            store::api_key::update_api_key(&mut transaction.change, &after).await?;
            transaction.note(app, action, workspace, after.id, Detail::of_change(&before, &after));
        }
        Ok(count)
    }
}
