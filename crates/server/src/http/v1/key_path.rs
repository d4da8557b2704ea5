//! The paths of keys: those of the caller under `/me/keys`, and those of a service account.

use axum::extract::FromRequestParts;
use domain::{ApiKeyId, ServiceAccountId, WorkspaceId};
use http::request::Parts;
use serde::Deserialize;

use crate::{AppError, app::KeyOwner, http::extract::Path};

/// The ids in a path of either kind.
#[derive(Deserialize)]
struct KeyPath {
    ws: Option<WorkspaceId>,
    sa: Option<ServiceAccountId>,
    key: Option<ApiKeyId>,
}

/// The owner of the keys in a path.
pub(super) struct Owner(pub(super) KeyOwner);

/// The key in a path, and its owner.
pub(super) struct OwnedKey(pub(super) KeyOwner, pub(super) ApiKeyId);

impl KeyPath {
    fn owner(&self) -> KeyOwner {
        match (self.ws, self.sa) {
            (Some(workspace), Some(account)) => KeyOwner::ServiceAccount(workspace, account),
            _ => KeyOwner::Own,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Owner {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        Path::<KeyPath>::from_request_parts(parts, state).await.map(|Path(path)| Self(path.owner()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OwnedKey {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let Path(path) = Path::<KeyPath>::from_request_parts(parts, state).await?;
        let key = path.key.ok_or_else(|| AppError::Internal("a route without a key".to_owned()))?;
        Ok(Self(path.owner(), key))
    }
}
