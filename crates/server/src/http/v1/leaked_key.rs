//! Statements of the finder of a private key.

use std::sync::Arc;

use axum::{Extension, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::{
        extract::{Json, MaybeAuthenticated},
        own_host::OwnOrigin,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(revoke_leaked_key)).routes(routes!(find_leaked_key))
}

/// Revokes the key that signed the statement, which is the only credential. After the answer, no server accepts the key.
///
/// The same statement again changes nothing and gets the same answer. A key that was never registered has no
/// registration in the answer.
#[utoipa::path(post, path = "/api/v1/leaked-keys/revoke", tag = "leaked keys",
    request_body = api::RevokeLeakedKey, responses((status = 200, body = api::LeakedKey)))]
async fn revoke_leaked_key(
    State(app): State<Arc<App>>,
    MaybeAuthenticated(_, address): MaybeAuthenticated,
    Extension(OwnOrigin(origin)): Extension<OwnOrigin>,
    Json(revoke): Json<api::RevokeLeakedKey>,
) -> Result<Confirmed<Json<api::LeakedKey>>, ChangeError> {
    let revoked = app.revoke_leaked_key(address.nearest, origin.as_str(), &revoke).await?;
    Ok(revoked.map(Json))
}

/// Gets the registration of the key that signed the statement, which is the only credential.
#[utoipa::path(post, path = "/api/v1/leaked-keys/find", tag = "leaked keys",
    request_body = api::FindLeakedKey, responses((status = 200, body = api::LeakedKey)))]
async fn find_leaked_key(
    State(app): State<Arc<App>>,
    MaybeAuthenticated(_, address): MaybeAuthenticated,
    Extension(OwnOrigin(origin)): Extension<OwnOrigin>,
    Json(find): Json<api::FindLeakedKey>,
) -> Result<Json<api::LeakedKey>, AppError> {
    app.find_leaked_key(address.nearest, origin.as_str(), &find).await.map(Json)
}
