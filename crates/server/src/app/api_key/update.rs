//! Updating, disabling and enabling a key.

use std::sync::Arc;

use domain::{
    ApiKeyId, AuditAction, Timestamp,
    api_key::{ApiKey, KeyState},
    limits::KeywardScope,
    text::parse_title,
};

use super::{Access, AuthorizedOwner, KeyOwner, authorize, find_unrevoked, parse_end, rotated_key};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Detail, Operation, Scope, Transaction, policy::PolicyOfOwner},
    error::{AppError, Conflict},
};

impl App {
    /// Updates a key's title, expiry or limits.
    ///
    /// # Errors
    /// The caller may not do this, the key is revoked, or an expired key would exceed the quota again.
    pub async fn update_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        update: &api::UpdateApiKey,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, EditApiKey { owner, id, edit: KeyEdit::Update(update.clone()) }).await
    }

    /// Disables a key.
    ///
    /// # Errors
    /// The caller may not do this, or the key is revoked.
    pub async fn disable_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, EditApiKey { owner, id, edit: KeyEdit::Disable }).await
    }

    /// Enables a disabled key. An expired key needs a new expiry.
    ///
    /// # Errors
    /// The caller may not do this, the key is revoked, it has expired and there is no new expiry, or the quota is
    /// reached.
    pub async fn enable_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        enable: &api::EnableApiKey,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, EditApiKey { owner, id, edit: KeyEdit::Enable(enable.clone()) }).await
    }
}

/// A key that the caller may change, because the caller is its owner or an admin.
pub(super) struct KeyChange {
    owner: AuthorizedOwner,
    before: ApiKey,
    after: ApiKey,
}

impl KeyChange {
    /// Finds the key, if the caller may manage it and it is not revoked.
    pub(super) async fn find(scope: &mut Scope<'_>, owner: KeyOwner, id: ApiKeyId) -> Result<Self, AppError> {
        let owner = authorize(scope.principal, owner, Access::Manage)?;
        let before = find_unrevoked(scope.connection, &owner, id).await?;
        Ok(Self { owner, after: before.clone(), before })
    }

    /// Returns the owner of the key.
    pub(super) const fn owner(&self) -> &AuthorizedOwner {
        &self.owner
    }

    /// Returns the key as it is after the change.
    pub(super) const fn key_mut(&mut self) -> &mut ApiKey {
        &mut self.after
    }

    /// Sets the new expiry. A key that had expired counts towards the quota again.
    async fn set_expiry(
        &mut self,
        app: &App,
        scope: &mut Scope<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<(), AppError> {
        let expires_at = expires_at.map(|end| parse_end(end, scope.now)).transpose()?;
        if is_later(expires_at, self.before.expires_at) {
            self.require_within_limits(scope)?;
        }
        rotated_key::require_end(scope.connection, self.before.id, expires_at).await?;
        if self.before.state(scope.now) == KeyState::Expired {
            app.require_room_for_key(scope, &self.owner).await?;
        }
        self.after.expires_at = expires_at;
        Ok(())
    }

    /// Refuses a caller whose key would let a key with more permissions be used again, or for longer.
    fn require_within_limits(&self, scope: &Scope<'_>) -> Result<(), AppError> {
        Ok(scope.principal.require_within_limits(&self.after.limits, self.owner.id)?)
    }

    /// Writes the key, with its event.
    pub(super) async fn apply(
        self,
        app: &App,
        transaction: &mut Transaction,
        action: AuditAction,
    ) -> Result<api::ApiKey, AppError> {
        let Self { owner, before, after } = self;
        store::api_key::update_api_key(&mut transaction.change, &before, &after).await?;
        if before.disabled && !after.disabled {
            store::key_review::note_enabled(&mut transaction.change, after.id).await?;
        }
        transaction.note(app, action, owner.workspace(), after.id, Detail::of_change(&before, &after));
        rotated_key::to_wire(&mut transaction.change, &after, transaction.now).await
    }
}

/// Returns whether an expiry is later than another one. A key without an expiry never expires.
pub(super) fn is_later(after: Option<Timestamp>, before: Option<Timestamp>) -> bool {
    before.is_some_and(|before| after.is_none_or(|after| after > before))
}

/// A change of a key.
enum KeyEdit {
    Update(api::UpdateApiKey),
    Disable,
    Enable(api::EnableApiKey),
}

impl KeyEdit {
    const fn action(&self) -> AuditAction {
        match self {
            Self::Update(_) => AuditAction::ApiKeyUpdate,
            Self::Disable => AuditAction::ApiKeyDisable,
            Self::Enable(_) => AuditAction::ApiKeyEnable,
        }
    }
}

struct EditApiKey {
    owner: KeyOwner,
    id: ApiKeyId,
    edit: KeyEdit,
}

impl Operation for EditApiKey {
    type Checked = KeyChange;
    type Response = api::ApiKey;
    const STATUS: u16 = 200;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<KeyChange, AppError> {
        let mut change = KeyChange::find(scope, self.owner, self.id).await?;
        match &self.edit {
            KeyEdit::Update(update) => {
                if let Some(limits) = &update.limits {
                    let before = change.before.limits.clone();
                    change.after.limits = app.grant_limits(scope, &change.owner, limits.as_ref(), &before).await?;
                }
                if let Some(title) = &update.title {
                    change.after.title = parse_title(title).map_err(|e| AppError::field("title", "malformed", e))?;
                }
                if let Some(expires_at) = update.expires_at {
                    change.set_expiry(app, scope, expires_at).await?;
                }
            }
            KeyEdit::Disable => change.after.disabled = true,
            KeyEdit::Enable(enable) => {
                if enable.expires_at.is_none() && change.before.state(scope.now) == KeyState::Expired {
                    return Err(Conflict::KeyExpired.into());
                }
                change.require_within_limits(scope)?;
                if let Some(expires_at) = enable.expires_at {
                    change.set_expiry(app, scope, expires_at).await?;
                }
                change.after.disabled = false;
            }
        }
        let policy = PolicyOfOwner::find(scope.connection, change.owner.workspace()).await?;
        policy.check_change(&change.before, &change.after, scope.now)?;
        Ok(change)
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        change: KeyChange,
    ) -> Result<api::ApiKey, AppError> {
        change.apply(app, transaction, self.edit.action()).await
    }
}
