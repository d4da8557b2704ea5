//! Rotation of a key: a successor is registered, and the key expires after the overlap.

use std::sync::Arc;

use domain::{
    ApiKeyId, AuditAction, PrincipalId, Timestamp, WorkspaceId,
    api_key::{ApiKey, KeyState},
    key_use::UseSpan,
    limits::KeywardScope,
    principal::{Credential, Denied, Principal},
    rotation::{KeyRotation, Overlap, expiry_of_successor},
};
use store::{Connection, node::Feature};

use super::{
    Access, AuthorizedOwner, KeyDetails, KeyOwner, authorize, find_of_owner, find_unrevoked,
    registration::{NewApiKey, Origin, Registration},
    rotated_key::{can_be_undone, end_of, is_self_rotated, read_rotation},
};
use crate::{
    app::{
        App, Caller, ChangeError, Confirmed, Detail, Operation, PREDECESSOR, RevocationCause, SUCCESSOR, Scope,
        Transaction, UnsentMail, node::require_known,
    },
    error::{AppError, Conflict, RotationConflict},
};

impl App {
    /// Registers a successor of a key, with the same title and limits. The key is accepted until the end of the overlap.
    /// Without an overlap, no node accepts it after this has returned.
    ///
    /// # Errors
    /// The caller may not do this. The key is not active, or has a successor until the end of the overlap. The successor
    /// cannot be registered. A key that rotates itself has sent no proof, or the operator turned it off. A node of an
    /// earlier release is running.
    pub async fn rotate_api_key(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
        rotate: &api::RotateApiKey,
    ) -> Result<Confirmed<api::Rotation>, ChangeError> {
        self.change(caller, RotateApiKey { owner, id, rotate: rotate.clone() }).await
    }

    /// Undoes the rotation of a key while the overlap lasts: revokes the successor, and restores the expiry of the key.
    /// After this has returned, no node accepts the successor.
    ///
    /// # Errors
    /// The caller may not do this. The key was not rotated, the overlap has ended, or the successor was rotated, too.
    pub async fn undo_rotation(
        self: &Arc<Self>,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<Confirmed<()>, ChangeError> {
        self.change(caller, UndoRotation { owner, id }).await
    }

    /// Returns a key that the caller may rotate now, with what a rotation would do.
    ///
    /// # Errors
    /// The caller may not rotate the key, it is not active, or it has a successor that is not revoked.
    pub async fn preview_rotation(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<RotationPreview, AppError> {
        let owner = authorize(&caller.principal, owner, Access::Manage)?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        let Rotatable { predecessor, expires_before, .. } = find_rotatable(&mut connection, &owner, id, now).await?;
        let (details, _) = self.read_key(&mut connection, &owner, id).await?;
        let expires_at = expiry_of_successor(predecessor.created_at, expires_before, now);
        Ok(RotationPreview { details, expires_at, expires_before, now })
    }

    /// Returns the rotation of a key, or else the one that registered it, with the use of the predecessor since then.
    ///
    /// # Errors
    /// The caller may not view the key, or it is in no rotation.
    pub async fn find_rotation(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        id: ApiKeyId,
    ) -> Result<api::Rotation, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let mut connection = self.store.read().await?;
        find_of_owner(&mut connection, &owner, id).await?;
        let found = store::rotation::list_rotations(&mut connection, &[id]).await?;
        let rotation = found.iter().find(|rotation| rotation.predecessor == id).or(found.first());
        let rotation = rotation.ok_or(AppError::not_found())?;
        read_rotation(&mut connection, rotation, self.clock.now()).await
    }
}

/// A key that can be rotated now.
#[derive(Clone, Debug)]
pub struct RotationPreview {
    /// The key.
    pub details: KeyDetails,
    /// The expiry of its successor.
    pub expires_at: Option<Timestamp>,
    expires_before: Option<Timestamp>,
    now: Timestamp,
}

impl RotationPreview {
    /// Returns when the key expires if it is rotated now with this overlap.
    #[must_use]
    pub fn end(&self, overlap: Overlap) -> Timestamp {
        overlap.end(self.expires_before, self.now)
    }
}

/// Returns the owner of a key that the caller rotates, and whether the key rotates itself.
fn authorize_rotation(
    app: &App,
    principal: &Principal,
    owner: KeyOwner,
    id: ApiKeyId,
) -> Result<(AuthorizedOwner, bool), AppError> {
    if *principal.credential() == Credential::Signature(id)
        && let Some(own) = authorize_itself(app, principal, owner, id)?
    {
        return Ok((own, true));
    }
    Ok((authorize(principal, owner, Access::Manage)?, false))
}

/// Returns the owner of the key that signed the request, or `None` if `owner` is another principal.
fn authorize_itself(
    app: &App,
    principal: &Principal,
    owner: KeyOwner,
    id: ApiKeyId,
) -> Result<Option<AuthorizedOwner>, AppError> {
    let own = principal.authorize_self_rotation(id)?;
    let own = AuthorizedOwner { id: own.owner(), is_caller: true, workspace: own.workspace() };
    let is_own = match owner {
        KeyOwner::Own => true,
        KeyOwner::ServiceAccount(workspace, account) => {
            own.id == PrincipalId::from(account) && own.workspace() == Some(workspace)
        }
        KeyOwner::User(_) => false,
    };
    if is_own && !app.settings.self_rotation {
        return Err(Denied::SelfRotation.into());
    }
    Ok(is_own.then_some(own))
}

struct RotateApiKey {
    owner: KeyOwner,
    id: ApiKeyId,
    rotate: api::RotateApiKey,
}

/// A key that can be rotated.
struct Rotatable {
    /// The key as it is.
    predecessor: ApiKey,
    /// Its expiry without an earlier rotation whose successor was revoked.
    expires_before: Option<Timestamp>,
    /// That earlier rotation.
    replaced: Option<KeyRotation>,
}

/// Finds a key that is active, and has no successor that is not revoked.
async fn find_rotatable(
    connection: &mut Connection,
    owner: &AuthorizedOwner,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<Rotatable, AppError> {
    let predecessor = find_unrevoked(connection, owner, id).await?;
    match predecessor.state(now) {
        KeyState::Active => {}
        KeyState::Disabled => return Err(RotationConflict::KeyDisabled.into()),
        KeyState::Suspended => return Err(RotationConflict::KeySuspended.into()),
        KeyState::Expired => return Err(Conflict::KeyExpired.into()),
        KeyState::Revoked => return Err(Conflict::KeyRevoked.into()),
    }
    let replaced = store::rotation::find_rotation_of(connection, id).await?;
    if let Some(rotation) = &replaced
        && is_unrevoked(connection, rotation.successor).await?
    {
        let ends_at = end_of(rotation, &predecessor);
        return Err(RotationConflict::Pending { successor: rotation.successor, ends_at }.into());
    }
    let expires_before = match &replaced {
        Some(rotation) => rotation.expiry_after_undo(predecessor.expires_at),
        None => predecessor.expires_at,
    };
    Ok(Rotatable { predecessor, expires_before, replaced })
}

/// A rotation that is possible.
struct NewRotation {
    workspace: Option<WorkspaceId>,
    key: Rotatable,
    overlap: Overlap,
    is_self: bool,
    successor: NewApiKey,
}

impl Operation for RotateApiKey {
    type Checked = NewRotation;
    type Response = api::Rotation;
    const STATUS: u16 = 201;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<NewRotation, AppError> {
        let (rotate, now) = (&self.rotate, scope.now);
        let (owner, is_self) = authorize_rotation(app, scope.principal, self.owner, self.id)?;
        let workspace = owner.workspace();
        let overlap = Overlap::from_seconds(rotate.overlap_seconds)
            .map_err(|error| AppError::field("overlap_seconds", "out_of_range", error))?;
        let key = find_rotatable(scope.connection, &owner, self.id, now).await?;
        if is_self && rotate.proof.is_none() {
            let detail = "a key that rotates itself proves that the caller holds the new private key; request a \
                          challenge with POST /api/v1/me/proof-challenges, and sign it with the new key";
            return Err(AppError::field("proof", "missing", detail));
        }
        let registration = Registration {
            owner,
            title: key.predecessor.title.clone(),
            public_key: &rotate.public_key,
            expires_at: expiry_of_successor(key.predecessor.created_at, key.expires_before, now),
            proof: rotate.proof.as_deref(),
            origin: Origin::Rotation(&key.predecessor, overlap),
        };
        let successor = registration.check(app, scope).await?;
        require_known(scope.connection, Feature::KeyRotations).await?;
        Ok(NewRotation { workspace, key, overlap, is_self, successor })
    }

    /// Writes this node's recorded uses, because the transaction reads whether keys were ever used, and how often.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        app.write_uses().await
    }

    async fn apply(
        &self,
        app: &App,
        transaction: &mut Transaction,
        new: NewRotation,
    ) -> Result<api::Rotation, AppError> {
        let NewRotation { workspace, key, overlap, is_self, successor } = new;
        let Rotatable { predecessor, expires_before, replaced } = key;
        let now = transaction.now;
        if let Some(rotation) = replaced {
            let undone = KeyRotation { undone_at: Some(now), ..rotation };
            store::rotation::update_rotation(&mut transaction.change, &undone).await?;
        }
        let fingerprint = predecessor.public_key.fingerprint().to_string();
        let describe = |detail: Detail| {
            detail.with(PREDECESSOR, predecessor.id.to_string()).with("predecessor_fingerprint", fingerprint)
        };
        let successor = successor.insert(app, transaction, describe).await?;
        let rotation = KeyRotation {
            predecessor: predecessor.id,
            successor: successor.id,
            rotated_at: now,
            ends_at: overlap.end(expires_before, now),
            expires_before,
            accepted_before: count_accepted_before(app, transaction, predecessor.id).await?,
            undone_at: None,
        };
        store::rotation::insert_rotation(&mut transaction.change, &rotation).await?;
        // Without an overlap, it is revoked, and its expiry is as it was.
        let expires_at = if overlap.is_none() { predecessor.expires_at } else { Some(rotation.ends_at) };
        let after = ApiKey { expires_at, ..predecessor.clone() };
        let detail = describe_successor(Detail::of_change(&predecessor, &after), &successor)
            .with("self_rotated", is_self.to_string());
        transaction.note(app, AuditAction::ApiKeyRotate, workspace, predecessor.id, detail);
        if overlap.is_none() {
            let cause = RevocationCause::new(AuditAction::ApiKeyRotate, successor.id);
            app.revoke_key(transaction, &predecessor, workspace, Some(&cause)).await?;
        } else {
            store::api_key::update_api_key(&mut transaction.change, &predecessor, &after).await?;
        }
        read_rotation(&mut transaction.change, &rotation, now).await
    }

    async fn finish(&self, app: &Arc<App>, _: &Caller, response: api::Rotation, mail: UnsentMail) -> api::Rotation {
        app.mail_revoked_keys(mail.revoked_keys).await;
        response
    }
}

/// Returns the number of accepted requests with a key on this day. It contains those that this node has not written yet.
async fn count_accepted_before(app: &App, transaction: &mut Transaction, key: ApiKeyId) -> Result<u64, AppError> {
    let now = transaction.now;
    let written = store::rotation::count_accepted(&mut transaction.change, key, now).await?;
    let unwritten = app.verifier.uses().count_untaken(key, UseSpan::Day.start(now, 0), now);
    Ok(written.saturating_add(unwritten))
}

/// Adds the successor to the details of an event of its predecessor.
fn describe_successor(detail: Detail, successor: &ApiKey) -> Detail {
    let fingerprint = successor.public_key.fingerprint().to_string();
    detail.with(SUCCESSOR, successor.id.to_string()).with("successor_fingerprint", fingerprint)
}

async fn is_unrevoked(connection: &mut Connection, id: ApiKeyId) -> Result<bool, AppError> {
    let key = store::api_key::find_api_key_anywhere(connection, id).await?;
    Ok(key.is_some_and(|key| key.revoked_at.is_none()))
}

struct UndoRotation {
    owner: KeyOwner,
    id: ApiKeyId,
}

/// A rotation that can be undone.
struct UndoneRotation {
    workspace: Option<WorkspaceId>,
    rotation: KeyRotation,
    predecessor: ApiKey,
    successor: ApiKey,
}

impl UndoRotation {
    /// Returns the owner of the key. A service account undoes only the rotation of its own key by itself, with the
    /// successor: so a copy of the old private key cannot keep itself alive.
    async fn authorize(
        &self,
        app: &App,
        scope: &mut Scope<'_>,
        rotation: Option<&KeyRotation>,
    ) -> Result<AuthorizedOwner, AppError> {
        if let (Some(rotation), Some(PrincipalId::ServiceAccount(_))) = (rotation, scope.principal.id())
            && *scope.principal.credential() == Credential::Signature(rotation.successor)
            && let Some(own) = authorize_itself(app, scope.principal, self.owner, rotation.successor)?
        {
            let successor = store::api_key::find_api_key(scope.connection, own.id, rotation.successor).await?;
            let is_self = successor.is_some_and(|successor| is_self_rotated(rotation, &successor));
            return if is_self { Ok(own) } else { Err(Denied::ServiceAccount.into()) };
        }
        authorize(scope.principal, self.owner, Access::Manage)
    }
}

impl Operation for UndoRotation {
    type Checked = UndoneRotation;
    type Response = ();
    const STATUS: u16 = 204;
    const SCOPE: KeywardScope = KeywardScope::Manage;

    async fn check(&self, app: &App, scope: &mut Scope<'_>) -> Result<UndoneRotation, AppError> {
        let rotation = store::rotation::find_rotation_of(scope.connection, self.id).await?;
        let owner = self.authorize(app, scope, rotation.as_ref()).await?;
        let predecessor = find_of_owner(scope.connection, &owner, self.id).await?;
        let rotation = rotation.ok_or(AppError::not_found())?;
        if !can_be_undone(&rotation, &predecessor, scope.now) {
            return Err(RotationConflict::Ended.into());
        }
        scope.principal.require_within_limits(&predecessor.limits, owner.id)?;
        let successor = find_of_owner(scope.connection, &owner, rotation.successor).await?;
        if let Some(next) = store::rotation::find_rotation_of(scope.connection, successor.id).await?
            && is_unrevoked(scope.connection, next.successor).await?
        {
            return Err(RotationConflict::SuccessorRotated { successor: successor.id }.into());
        }
        Ok(UndoneRotation { workspace: owner.workspace(), rotation, predecessor, successor })
    }

    /// Writes this node's recorded uses, because the revocation reads whether the successor was ever used.
    async fn prepare(&self, app: &App) -> Result<(), AppError> {
        app.write_uses().await
    }

    async fn apply(&self, app: &App, transaction: &mut Transaction, undone: UndoneRotation) -> Result<(), AppError> {
        let UndoneRotation { workspace, rotation, predecessor, successor } = undone;
        let after = ApiKey { expires_at: rotation.expiry_after_undo(predecessor.expires_at), ..predecessor.clone() };
        store::api_key::update_api_key(&mut transaction.change, &predecessor, &after).await?;
        let undone = KeyRotation { undone_at: Some(transaction.now), ..rotation };
        store::rotation::update_rotation(&mut transaction.change, &undone).await?;
        let detail = describe_successor(Detail::of_change(&predecessor, &after), &successor);
        transaction.note(app, AuditAction::ApiKeyUndoRotation, workspace, predecessor.id, detail);
        let cause = RevocationCause::new(AuditAction::ApiKeyUndoRotation, predecessor.id);
        app.revoke_keys(transaction, vec![successor], &cause).await
    }
}
