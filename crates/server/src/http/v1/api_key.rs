//! API keys: one's own under `/me/keys`, and those of service accounts. The operations are the same; only whose keys
//! are meant differs, and that is the path.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use domain::{ApiKeyId, ServiceAccountId, WorkspaceId};
use http::request::Parts;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed, KeyOwner},
    http::extract::{Authenticated, Created, Done, Json, OptionalJson, PageQuery, Path, Query},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_own, create_own))
        .routes(routes!(find_own, update_own, revoke_own))
        .routes(routes!(list_cascade_of_own))
        .routes(routes!(disable_own))
        .routes(routes!(enable_own))
        .routes(routes!(prove_own))
        .routes(routes!(list_of_service_account, create_of_service_account))
        .routes(routes!(find_of_service_account, update_of_service_account, revoke_of_service_account))
        .routes(routes!(list_cascade_of_service_account))
        .routes(routes!(disable_of_service_account))
        .routes(routes!(enable_of_service_account))
        .routes(routes!(prove_of_service_account))
}

/// How to revoke a key.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RevokeQuery {
    /// Whether to revoke the keys that this key registered, too, and those that these registered, as `GET …/cascade` lists
    /// them.
    #[serde(default)]
    cascade: bool,
}

/// The ids that a path of either kind can have.
#[derive(Deserialize)]
struct KeyPath {
    ws: Option<WorkspaceId>,
    sa: Option<ServiceAccountId>,
    key: Option<ApiKeyId>,
}

/// Whose keys a path means.
struct Owner(KeyOwner);

/// Which key, and whose.
struct OwnedKey(KeyOwner, ApiKeyId);

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

/// One's own: keys, dead ones too.
#[utoipa::path(get, path = "/api/v1/me/keys", tag = "me",
    params(PageQuery), responses((status = 200, body = api::Page<api::ApiKey>)))]
async fn list_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Owner(owner): Owner,
    Query(page): Query<PageQuery>,
) -> Result<Json<api::Page<api::ApiKey>>, AppError> {
    app.list_api_keys(&caller, owner, &page.into()).await.map(Json)
}

/// One's own: registers a public key.
#[utoipa::path(post, path = "/api/v1/me/keys", tag = "me",
    request_body = api::CreateApiKey, responses((status = 201, body = api::ApiKey)))]
async fn create_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Owner(owner): Owner,
    Json(create): Json<api::CreateApiKey>,
) -> Result<Confirmed<Created<api::ApiKey>>, ChangeError> {
    app.create_api_key(&caller, owner, &create).await.map(|done| done.map(Created))
}

/// One's own: a key.
#[utoipa::path(get, path = "/api/v1/me/keys/{key}", tag = "me",
    params(("key" = String, Path)), responses((status = 200, body = api::ApiKey)))]
async fn find_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Json<api::ApiKey>, AppError> {
    app.find_api_key(&caller, owner, key).await.map(Json)
}

/// One's own: changes a key's title or end.
#[utoipa::path(patch, path = "/api/v1/me/keys/{key}", tag = "me",
    params(("key" = String, Path)), request_body = api::UpdateApiKey,
    responses((status = 200, body = api::ApiKey)))]
async fn update_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Json(update): Json<api::UpdateApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.update_api_key(&caller, owner, key, &update).await.map(|done| done.map(Json))
}

/// One's own: revokes a key, for good.
#[utoipa::path(delete, path = "/api/v1/me/keys/{key}", tag = "me",
    params(("key" = String, Path), RevokeQuery), responses((status = 204)))]
async fn revoke_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Query(query): Query<RevokeQuery>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.revoke_api_key(&caller, owner, key, query.cascade).await.map(|done| done.map(|()| Done))
}

/// One's own: lists what a revocation with `cascade=true` revokes besides the key itself.
#[utoipa::path(get, path = "/api/v1/me/keys/{key}/cascade", tag = "me",
    params(("key" = String, Path)), responses((status = 200, body = api::Cascade)))]
async fn list_cascade_of_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Json<api::Cascade>, AppError> {
    app.list_cascade(&caller, owner, key).await.map(Json)
}

/// One's own: pauses a key.
#[utoipa::path(post, path = "/api/v1/me/keys/{key}/disable", tag = "me",
    params(("key" = String, Path)), responses((status = 200, body = api::ApiKey)))]
async fn disable_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.disable_api_key(&caller, owner, key).await.map(|done| done.map(Json))
}

/// One's own: lets a paused key work again.
#[utoipa::path(post, path = "/api/v1/me/keys/{key}/enable", tag = "me",
    params(("key" = String, Path)),
    request_body(content = Option<api::EnableApiKey>), responses((status = 200, body = api::ApiKey)))]
async fn enable_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    OptionalJson(enable): OptionalJson<api::EnableApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.enable_api_key(&caller, owner, key, &enable).await.map(|done| done.map(Json))
}

/// One's own: shows by a proof that the private key is at hand.
#[utoipa::path(post, path = "/api/v1/me/keys/{key}/proof", tag = "me",
    params(("key" = String, Path)), request_body = api::ProveApiKey, responses((status = 200, body = api::ApiKey)))]
async fn prove_own(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Json(prove): Json<api::ProveApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.prove_api_key(&caller, owner, key, &prove).await.map(|done| done.map(Json))
}

/// Of a service account: keys, dead ones too.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), PageQuery), responses((status = 200, body = api::Page<api::ApiKey>)))]
async fn list_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Owner(owner): Owner,
    Query(page): Query<PageQuery>,
) -> Result<Json<api::Page<api::ApiKey>>, AppError> {
    app.list_api_keys(&caller, owner, &page.into()).await.map(Json)
}

/// Of a service account: registers a public key.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path)), request_body = api::CreateApiKey, responses((status = 201, body = api::ApiKey)))]
async fn create_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Owner(owner): Owner,
    Json(create): Json<api::CreateApiKey>,
) -> Result<Confirmed<Created<api::ApiKey>>, ChangeError> {
    app.create_api_key(&caller, owner, &create).await.map(|done| done.map(Created))
}

/// Of a service account: a key.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), ("key" = String, Path)), responses((status = 200, body = api::ApiKey)))]
async fn find_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Json<api::ApiKey>, AppError> {
    app.find_api_key(&caller, owner, key).await.map(Json)
}

/// Of a service account: changes a key's title or end.
#[utoipa::path(patch, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), ("key" = String, Path)), request_body = api::UpdateApiKey,
    responses((status = 200, body = api::ApiKey)))]
async fn update_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Json(update): Json<api::UpdateApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.update_api_key(&caller, owner, key, &update).await.map(|done| done.map(Json))
}

/// Of a service account: revokes a key, for good.
#[utoipa::path(delete, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), ("key" = String, Path), RevokeQuery), responses((status = 204)))]
async fn revoke_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Query(query): Query<RevokeQuery>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.revoke_api_key(&caller, owner, key, query.cascade).await.map(|done| done.map(|()| Done))
}

/// Of a service account: lists what a revocation with `cascade=true` revokes besides the key itself.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/cascade", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), ("key" = String, Path)), responses((status = 200, body = api::Cascade)))]
async fn list_cascade_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Json<api::Cascade>, AppError> {
    app.list_cascade(&caller, owner, key).await.map(Json)
}

/// Of a service account: pauses a key.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/disable", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), ("key" = String, Path)), responses((status = 200, body = api::ApiKey)))]
async fn disable_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.disable_api_key(&caller, owner, key).await.map(|done| done.map(Json))
}

/// Of a service account: lets a paused key work again.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/enable", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), ("key" = String, Path)),
    request_body(content = Option<api::EnableApiKey>), responses((status = 200, body = api::ApiKey)))]
async fn enable_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    OptionalJson(enable): OptionalJson<api::EnableApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.enable_api_key(&caller, owner, key, &enable).await.map(|done| done.map(Json))
}

/// Of a service account: shows by a proof that the private key is at hand.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys/{key}/proof", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), ("key" = String, Path)), request_body = api::ProveApiKey,
    responses((status = 200, body = api::ApiKey)))]
async fn prove_of_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Json(prove): Json<api::ProveApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.prove_api_key(&caller, owner, key, &prove).await.map(|done| done.map(Json))
}
