//! API keys: their owners, and how to read them. Each change has its own file.

mod activity;
mod bulk;
mod details;
mod installation;
mod leaked_key;
mod limits;
mod notice;
mod proof;
mod registration;
mod review;
mod revocation;
mod rotated_key;
mod rotation;
mod statement;
mod update;
mod workspace_keys;

use domain::{
    ApiKeyId, PrincipalId, ServiceAccountId, Timestamp, UserId, WorkspaceId,
    api_key::{ApiKey, KeyState},
    principal::{Denied, Principal, WorkspaceAccess, WorkspacePermission},
    quota::{QuotaSubject, Quotas, require_room},
    rotation::{Overlap, count_towards_quota},
};
use store::Connection;

pub(crate) use self::limits::to_wire as limits_to_wire;
use self::rotated_key::Rotations;
pub use self::{
    activity::KeyActivity,
    bulk::{BulkEdit, KeySet},
    details::{FoundKeys, KeyDetails, KeyOwnerDetails, KeySearch},
    installation::OwnedKey,
    limits::{LimitChange, LimitPlaces, LimitProject, LimitWorkspace},
    rotated_key::KeyRotations,
    rotation::RotationPreview,
    workspace_keys::{AccountKey, FoundAccountKeys, KeyAccount},
};
pub(super) use self::{notice::RevokedKey, revocation::workspaces_of_owners};
use super::{App, Audited, Caller, Paging, Scope, page, service_account};
use crate::error::{AppError, Conflict};

/// The owner of the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOwner {
    /// The caller.
    Own,
    /// A service account.
    ServiceAccount(WorkspaceId, ServiceAccountId),
    /// Any user. Only the host may use it.
    User(UserId),
}

/// An owner whose keys the caller may view or manage.
struct AuthorizedOwner {
    id: PrincipalId,
    /// Whether it is the caller, who exists.
    is_caller: bool,
    workspace: Option<WorkspaceAccess>,
}

impl AuthorizedOwner {
    /// Returns the workspace of a service account.
    fn workspace(&self) -> Option<WorkspaceId> {
        self.workspace.map(WorkspaceAccess::workspace)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    View,
    Manage,
}

fn authorize(principal: &Principal, owner: KeyOwner, access: Access) -> Result<AuthorizedOwner, AppError> {
    match owner {
        KeyOwner::Own => {
            let id = match access {
                Access::View => principal.authorize_own()?.owner(),
                Access::Manage => principal.authorize_own_keys()?.into(),
            };
            Ok(AuthorizedOwner { id, is_caller: true, workspace: None })
        }
        KeyOwner::ServiceAccount(workspace, account) => {
            let permission = match access {
                Access::View => WorkspacePermission::ViewServiceAccounts,
                Access::Manage => WorkspacePermission::ManageServiceAccountKeys,
            };
            let workspace = principal.authorize(permission, workspace)?;
            if access == Access::Manage {
                principal.require_another(account.into())?;
            }
            Ok(AuthorizedOwner { id: account.into(), is_caller: false, workspace: Some(workspace) })
        }
        KeyOwner::User(user) if principal.identity().is_none() => {
            Ok(AuthorizedOwner { id: user.into(), is_caller: false, workspace: None })
        }
        KeyOwner::User(_) => Err(Denied::NotFound.into()),
    }
}

impl Audited for ApiKey {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self {
            id: _,
            owner,
            title,
            public_key,
            disabled,
            suspended: _,
            expires_at,
            revoked_at: _,
            verified_at: _,
            proven_at: _,
            displaced_at: _,
            created_by: _,
            created_with: _,
            created_at: _,
            last_used_at: _,
            last_used_ip: _,
            limits,
        } = self;
        vec![
            ("owner", owner.to_string()),
            ("title", title.clone()),
            ("fingerprint", public_key.fingerprint().to_string()),
            ("disabled", disabled.to_string()),
            ("expires_at", expires_at.map_or("never".to_owned(), |end| end.to_string())),
            ("limits", limits.get().map_or_else(String::new, ToString::to_string)),
        ]
    }
}

const fn state_to_wire(state: KeyState) -> api::KeyState {
    match state {
        KeyState::Active => api::KeyState::Active,
        KeyState::Disabled => api::KeyState::Disabled,
        KeyState::Suspended => api::KeyState::Suspended,
        KeyState::Expired => api::KeyState::Expired,
        KeyState::Revoked => api::KeyState::Revoked,
    }
}

/// Returns a key for the API without the other keys of its rotations, which [`rotated_key::to_wire`] adds.
pub(super) fn to_wire(key: &ApiKey, now: Timestamp) -> api::ApiKey {
    api::ApiKey {
        id: key.id,
        title: key.title.clone(),
        algorithm: key.public_key.algorithm().to_string(),
        fingerprint: key.public_key.fingerprint().to_string(),
        public_key: key.public_key.to_openssh(),
        state: state_to_wire(key.state(now)),
        created_at: key.created_at,
        created_by: key.created_by.clone(),
        created_with: key.created_with,
        expires_at: key.expires_at,
        last_used_at: key.last_used_at,
        last_used_ip: key.last_used_ip.clone(),
        proven_at: key.proven_at,
        displaced_at: key.displaced_at,
        limits: limits::to_wire(&key.limits),
        predecessor: None,
        successor: None,
    }
}

fn parse_end(end: Timestamp, now: Timestamp) -> Result<Timestamp, AppError> {
    if end > now { Ok(end) } else { Err(AppError::field("expires_at", "in_the_past", "choose a time in the future")) }
}

fn revoked() -> AppError {
    Conflict::KeyRevoked.into()
}

impl App {
    /// Returns keys of an owner, including inactive ones.
    ///
    /// # Errors
    /// The caller may not view them.
    pub async fn list_api_keys(
        &self,
        caller: &Caller,
        owner: KeyOwner,
        paging: &Paging,
    ) -> Result<api::Page<api::ApiKey>, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let limit = paging.limit()?;
        let now = self.clock.now();
        let mut connection = self.store.read().await?;
        require_owner(&mut connection, &owner).await?;
        let keys = store::api_key::list_api_keys(&mut connection, owner.id, paging.after()?, limit + 1).await?;
        let rotations = Rotations::read(&mut connection, &keys).await?;
        Ok(page(keys, limit, |key| key.id.to_string(), |key| rotations.to_wire(&key, now)))
    }

    /// Returns a key of an owner.
    ///
    /// # Errors
    /// The caller may not view it.
    pub async fn find_api_key(&self, caller: &Caller, owner: KeyOwner, id: ApiKeyId) -> Result<api::ApiKey, AppError> {
        let owner = authorize(&caller.principal, owner, Access::View)?;
        let mut connection = self.store.read().await?;
        require_owner(&mut connection, &owner).await?;
        let key = find(&mut connection, &owner, id).await?;
        rotated_key::to_wire(&mut connection, &key, self.clock.now()).await
    }

    async fn require_room_for_key(&self, scope: &mut Scope<'_>, owner: &AuthorizedOwner) -> Result<(), AppError> {
        let live = store::rotation::list_live_keys(scope.connection, owner.id, scope.now).await?;
        self.require_room(scope, owner, count_towards_quota(&live)).await
    }

    /// As [`require_room_for_key`](Self::require_room_for_key), for a successor, which is outside the quota during the
    /// overlap.
    async fn require_room_for_successor(
        &self,
        scope: &mut Scope<'_>,
        owner: &AuthorizedOwner,
        (predecessor, successor): (ApiKeyId, ApiKeyId),
        overlap: Overlap,
    ) -> Result<(), AppError> {
        let mut live = store::rotation::list_live_keys(scope.connection, owner.id, scope.now).await?;
        let present = count_towards_quota(&live);
        if overlap.is_none() {
            live.remove(&predecessor);
        }
        live.insert(successor, Some(predecessor));
        if count_towards_quota(&live) <= present { Ok(()) } else { self.require_room(scope, owner, present).await }
    }

    async fn require_room(&self, scope: &mut Scope<'_>, owner: &AuthorizedOwner, present: u64) -> Result<(), AppError> {
        let (what, limit) = find_limit(scope.connection, owner).await?;
        require_room(what, present, limit)
            .map_err(|e| AppError::QuotaExceeded(e, self.settings.support_contact.clone()))
    }
}

/// Returns the maximum number of live keys of an owner, and the quota that sets it.
async fn find_limit(connection: &mut Connection, owner: &AuthorizedOwner) -> Result<(QuotaSubject, u32), AppError> {
    match (owner.id, owner.workspace) {
        (PrincipalId::ServiceAccount(_), Some(workspace)) => {
            let found = store::workspace::find_workspace(connection, workspace.workspace()).await?;
            let quotas = found.ok_or(AppError::not_found())?.quotas;
            Ok((QuotaSubject::ServiceAccountKeys, quotas.keys_per_service_account))
        }
        (PrincipalId::User(user), _) => {
            let largest = store::user::find_user_key_quota(connection, user).await?;
            let limit = largest.and_then(|quota| u32::try_from(quota).ok());
            Ok((QuotaSubject::UserKeys, limit.unwrap_or(Quotas::default().keys_per_user)))
        }
        (PrincipalId::ServiceAccount(_), None) => {
            Err(AppError::Internal("a service account without a workspace".to_owned()))
        }
    }
}

async fn require_owner(connection: &mut Connection, owner: &AuthorizedOwner) -> Result<(), AppError> {
    if owner.is_caller {
        return Ok(());
    }
    match (owner.id, owner.workspace) {
        (PrincipalId::ServiceAccount(account), Some(workspace)) => {
            service_account::find(connection, workspace, account).await.map(|_| ())
        }
        (PrincipalId::User(user), _) => {
            let found = store::user::find_user(connection, user).await?;
            found.map(|_| ()).ok_or(AppError::not_found())
        }
        (PrincipalId::ServiceAccount(_), None) => Ok(()),
    }
}

async fn find(connection: &mut Connection, owner: &AuthorizedOwner, id: ApiKeyId) -> Result<ApiKey, AppError> {
    store::api_key::find_api_key(connection, owner.id, id).await?.ok_or(AppError::not_found())
}

async fn find_of_owner(connection: &mut Connection, owner: &AuthorizedOwner, id: ApiKeyId) -> Result<ApiKey, AppError> {
    require_owner(connection, owner).await?;
    find(connection, owner, id).await
}

async fn find_unrevoked(
    connection: &mut Connection,
    owner: &AuthorizedOwner,
    id: ApiKeyId,
) -> Result<ApiKey, AppError> {
    let key = find_of_owner(connection, owner, id).await?;
    if key.revoked_at.is_some() { Err(revoked()) } else { Ok(key) }
}

async fn workspace_of(connection: &mut Connection, owner: PrincipalId) -> Result<Option<WorkspaceId>, AppError> {
    match owner {
        PrincipalId::User(_) => Ok(None),
        PrincipalId::ServiceAccount(account) => {
            Ok(store::service_account::find_workspace_of(connection, account).await?)
        }
    }
}
