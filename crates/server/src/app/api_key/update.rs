//! Changing, disabling and enabling a key.

use std::sync::Arc;

use domain::{
    ApiKeyId, AuditAction, Timestamp,
    api_key::{ApiKey, KeyState},
};

use super::{Access, AuthorizedOwner, KeyOwner, authorize, find_unrevoked, parse_end, to_wire};
use crate::{
    app::{App, Caller, ChangeError, Confirmed, Operation, Scope, Transaction},
    error::{AppError, Conflict},
};

impl App {
    /// Changes a key's title or expiry.
    ///
    /// # Errors
    /// The caller may not; the key is revoked; an expired key would come back over the quota.
    pub async fn update_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        update: &api::UpdateApiKey,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, UpdateApiKey { owner, id, update: update.clone() }).await
    }

    /// Disables a key.
    ///
    /// # Errors
    /// The caller may not; the key is revoked.
    pub async fn disable_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, DisableApiKey { owner, id }).await
    }

    /// Lets a disabled key work again; one that has expired gets a new expiry with it.
    ///
    /// # Errors
    /// The caller may not; the key is revoked, or has expired and gets no new expiry; the quota is reached.
    pub async fn enable_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        enable: &api::EnableApiKey,
    ) -> Result<Confirmed<api::ApiKey>, ChangeError> {
        self.change(caller, EnableApiKey { owner, id, enable: enable.clone() }).await
    }

    /// When a key expires from now on. One that has expired counts against the quota again.
    async fn check_expiry(
        &self,
        scope: &mut Scope<'_>,
        owner: &AuthorizedOwner,
        key: &ApiKey,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, AppError> {
        let expires_at = expires_at.map(|end| parse_end(end, scope.now)).transpose()?;
        if key.state(scope.now) == KeyState::Expired {
            self.require_room_for_key(scope, owner).await?;
        }
        Ok(expires_at)
    }
}

struct UpdateApiKey {
    owner: KeyOwner,
    id: ApiKeyId,
    update: api::UpdateApiKey,
}

impl Operation for UpdateApiKey {
    /// The owner, the key as it becomes, and when it expires without the change.
    type Checked = (AuthorizedOwner, ApiKey, Option<Timestamp>);
    type Response = api::ApiKey;
    const STATUS: u16 = 200;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let owner = authorize(scope.principal, self.owner, Access::Manage)?;
        let mut key = find_unrevoked(scope.connection, &owner, self.id).await?;
        let expires_at_before = key.expires_at;
        if let Some(title) = &self.update.title {
            key.title = domain::text::parse_title(title).map_err(|e| AppError::field("title", "malformed", e))?;
        }
        if let Some(expires_at) = self.update.expires_at {
            key.expires_at = app.check_expiry(scope, &owner, &key, expires_at).await?;
        }
        Ok((owner, key, expires_at_before))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (owner, key, before): Self::Checked,
    ) -> Result<api::ApiKey, AppError> {
        store::api_key::update_api_key(&mut transaction.change, &key).await?;
        let end = key.expires_at.map_or("never".to_owned(), |end| end.to_string());
        let before = before.filter(|end| Some(*end) != key.expires_at).map(|end| end.to_string());
        let mut detail = vec![("title", key.title.as_str()), ("expires_at", end.as_str())];
        detail.extend(before.as_deref().map(|end| ("expires_at_before", end)));
        transaction.note(app, AuditAction::ApiKeyUpdate, owner.workspace(), self.id, &detail);
        Ok(to_wire(&key, transaction.now))
    }
}

struct DisableApiKey {
    owner: KeyOwner,
    id: ApiKeyId,
}

impl Operation for DisableApiKey {
    type Checked = (AuthorizedOwner, ApiKey);
    type Response = api::ApiKey;
    const STATUS: u16 = 200;

    async fn check(&self, _: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let owner = authorize(scope.principal, self.owner, Access::Manage)?;
        let key = find_unrevoked(scope.connection, &owner, self.id).await?;
        Ok((owner, key))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (owner, mut key): Self::Checked,
    ) -> Result<api::ApiKey, AppError> {
        key.disabled = true;
        app.update_key_state(transaction, &owner, &key, AuditAction::ApiKeyDisable).await
    }
}

struct EnableApiKey {
    owner: KeyOwner,
    id: ApiKeyId,
    enable: api::EnableApiKey,
}

impl Operation for EnableApiKey {
    type Checked = (AuthorizedOwner, ApiKey);
    type Response = api::ApiKey;
    const STATUS: u16 = 200;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<Self::Checked, AppError> {
        let owner = authorize(scope.principal, self.owner, Access::Manage)?;
        let mut key = find_unrevoked(scope.connection, &owner, self.id).await?;
        match self.enable.expires_at {
            Some(expires_at) => key.expires_at = app.check_expiry(scope, &owner, &key, expires_at).await?,
            None if key.state(scope.now) == KeyState::Expired => {
                return Err(Conflict::KeyExpired.into());
            }
            None => {}
        }
        Ok((owner, key))
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        (owner, mut key): Self::Checked,
    ) -> Result<api::ApiKey, AppError> {
        key.disabled = false;
        app.update_key_state(transaction, &owner, &key, AuditAction::ApiKeyEnable).await
    }
}

impl App {
    /// Writes a key whose state changed, with its event.
    pub(super) async fn update_key_state(
        &self,
        transaction: &mut Transaction,
        owner: &AuthorizedOwner,
        key: &ApiKey,
        action: AuditAction,
    ) -> Result<api::ApiKey, AppError> {
        store::api_key::update_api_key(&mut transaction.change, key).await?;
        let fingerprint = key.public_key.fingerprint().to_string();
        transaction.note(self, action, owner.workspace(), key.id, &[("fingerprint", &fingerprint)]);
        Ok(to_wire(key, transaction.now))
    }
}
