//! The rotation of a key: the caller's own keys, and those of service accounts.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::key_path::OwnedKey;
use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Done, Json},
};

/// Returns the routes, under the path of the keys of one owner.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(find, rotate, undo))
}

/// Gets the rotation of a key: its predecessor and successor, and the use of the predecessor since the rotation.
#[utoipa::path(get, operation_id = "get_{owner}_key_rotation", path = "/{key}/rotate",
    params(("key" = String, Path)), responses((status = 200, body = api::Rotation)))]
async fn find(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Json<api::Rotation>, AppError> {
    app.find_rotation(&caller, owner, key).await.map(Json)
}

/// Rotates a key: registers a successor with the same title and limits. Both are accepted until the end of the overlap.
#[utoipa::path(post, operation_id = "rotate_{owner}_key", path = "/{key}/rotate",
    params(("key" = String, Path)), request_body = api::RotateApiKey,
    responses((status = 201, body = api::Rotation)))]
async fn rotate(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Json(rotate): Json<api::RotateApiKey>,
) -> Result<Confirmed<Created<api::Rotation>>, ChangeError> {
    app.rotate_api_key(&caller, owner, key, &rotate).await.map(|done| done.map(Created))
}

/// Undoes the rotation of a key while the overlap lasts: revokes the successor, and restores the key's expiry.
#[utoipa::path(delete, operation_id = "undo_{owner}_key_rotation", path = "/{key}/rotate",
    params(("key" = String, Path)), responses((status = 204)))]
async fn undo(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Confirmed<Done>, ChangeError> {
    app.undo_rotation(&caller, owner, key).await.map(|done| done.map(|()| Done))
}
