//! API keys: the caller's own under `/me/keys`, and those of service accounts. The operations are the same and only
//! defined once. Only the owner differs, which depends on the path.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::openapi::{
    ObjectBuilder, RefOr, Required, Type,
    path::{Parameter, ParameterBuilder, ParameterIn, PathItem},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    key_path::{OwnedKey, Owner},
    key_use::UseQuery,
    openapi::operations,
    rotation,
};
use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Done, Json, OptionalJson, PageQuery, Query},
};

/// The paths of the operations, and their names in the OpenAPI document.
struct Mount {
    path: &'static str,
    tag: &'static str,
    /// Replaces `{owner}` in the ids of operations.
    owner_in_id: &'static str,
    /// The prefix of each summary.
    whose: &'static str,
    /// The ids in the path that identify the owner.
    owner: &'static [&'static str],
}

const MOUNTS: [Mount; 2] = [
    Mount { path: "/api/v1/me/keys", tag: "me", owner_in_id: "my", whose: "The caller's own keys", owner: &[] },
    Mount {
        path: "/api/v1/workspaces/{ws}/service-accounts/{sa}/keys",
        tag: "service accounts",
        owner_in_id: "service_account",
        whose: "Keys of a service account",
        owner: &["ws", "sa"],
    },
];

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    MOUNTS.iter().fold(OpenApiRouter::new(), |router, mount| {
        let mut keys = OpenApiRouter::new()
            .routes(routes!(list, create))
            .routes(routes!(find, update, revoke))
            .routes(routes!(list_cascade))
            .routes(routes!(find_use))
            .routes(routes!(disable))
            .routes(routes!(enable))
            .routes(routes!(prove))
            .merge(rotation::router());
        for item in keys.get_openapi_mut().paths.paths.values_mut() {
            mount.describe(item);
        }
        router.nest(mount.path, keys)
    })
}

impl Mount {
    fn describe(&self, item: &mut PathItem) {
        for (_, operation) in operations(item) {
            operation.tags = Some(vec![self.tag.to_owned()]);
            operation.operation_id = operation.operation_id.take().map(|id| id.replace("{owner}", self.owner_in_id));
            operation.summary = operation.summary.take().map(|summary| {
                let mut chars = summary.chars();
                let first = chars.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
                format!("{}: {first}{}", self.whose, chars.as_str())
            });
            let owner = self.owner.iter().copied().map(id_in_path);
            let parameters = operation.parameters.get_or_insert_default();
            parameters.splice(0..0, owner);
        }
    }
}

fn id_in_path(name: &str) -> RefOr<Parameter> {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build();
    RefOr::T(parameter)
}

/// How to revoke a key.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RevokeQuery {
    /// Whether to also revoke the keys that this key registered, and the keys that those registered. `GET …/cascade` lists them.
    #[serde(default)]
    cascade: bool,
}

/// Lists keys, including expired and revoked keys.
#[utoipa::path(get, operation_id = "list_{owner}_keys", path = "/",
    params(PageQuery), responses((status = 200, body = api::Page<api::ApiKey>)))]
async fn list(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Owner(owner): Owner,
    Query(page): Query<PageQuery>,
) -> Result<Json<api::Page<api::ApiKey>>, AppError> {
    app.list_api_keys(&caller, owner, &page.into()).await.map(Json)
}

/// Registers a public key.
#[utoipa::path(post, operation_id = "create_{owner}_key", path = "/",
    request_body = api::CreateApiKey, responses((status = 201, body = api::ApiKey)))]
async fn create(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Owner(owner): Owner,
    Json(create): Json<api::CreateApiKey>,
) -> Result<Confirmed<Created<api::ApiKey>>, ChangeError> {
    app.create_api_key(&caller, owner, &create).await.map(|done| done.map(Created))
}

/// Gets a key.
#[utoipa::path(get, operation_id = "get_{owner}_key", path = "/{key}",
    params(("key" = String, Path)), responses((status = 200, body = api::ApiKey)))]
async fn find(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Json<api::ApiKey>, AppError> {
    app.find_api_key(&caller, owner, key).await.map(Json)
}

/// Changes a key's title or expiry date.
#[utoipa::path(patch, operation_id = "update_{owner}_key", path = "/{key}",
    params(("key" = String, Path)), request_body = api::UpdateApiKey,
    responses((status = 200, body = api::ApiKey)))]
async fn update(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Json(update): Json<api::UpdateApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.update_api_key(&caller, owner, key, &update).await.map(|done| done.map(Json))
}

/// Revokes a key permanently.
#[utoipa::path(delete, operation_id = "revoke_{owner}_key", path = "/{key}",
    params(("key" = String, Path), RevokeQuery), responses((status = 204)))]
async fn revoke(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Query(query): Query<RevokeQuery>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.revoke_api_key(&caller, owner, key, query.cascade).await.map(|done| done.map(|()| Done))
}

/// Lists the keys that a revocation with `cascade=true` revokes in addition to the key itself.
#[utoipa::path(get, operation_id = "list_{owner}_key_cascade", path = "/{key}/cascade",
    params(("key" = String, Path)), responses((status = 200, body = api::Cascade)))]
async fn list_cascade(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Json<api::Cascade>, AppError> {
    app.list_cascade(&caller, owner, key).await.map(Json)
}

/// Gets the use of a key over time.
#[utoipa::path(get, operation_id = "get_{owner}_key_use", path = "/{key}/use",
    params(("key" = String, Path), UseQuery), responses((status = 200, body = api::KeyUse)))]
async fn find_use(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Query(query): Query<UseQuery>,
) -> Result<Json<api::KeyUse>, AppError> {
    app.find_key_use(&caller, owner, key, query.window()).await.map(Json)
}

/// Disables a key.
#[utoipa::path(post, operation_id = "disable_{owner}_key", path = "/{key}/disable",
    params(("key" = String, Path)), responses((status = 200, body = api::ApiKey)))]
async fn disable(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.disable_api_key(&caller, owner, key).await.map(|done| done.map(Json))
}

/// Enables a disabled or expired key.
#[utoipa::path(post, operation_id = "enable_{owner}_key", path = "/{key}/enable",
    params(("key" = String, Path)),
    request_body(content = Option<api::EnableApiKey>), responses((status = 200, body = api::ApiKey)))]
async fn enable(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    OptionalJson(enable): OptionalJson<api::EnableApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.enable_api_key(&caller, owner, key, &enable).await.map(|done| done.map(Json))
}

/// Adds a proof that the owner holds the private key.
#[utoipa::path(post, operation_id = "prove_{owner}_key", path = "/{key}/proof",
    params(("key" = String, Path)), request_body = api::ProveApiKey, responses((status = 200, body = api::ApiKey)))]
async fn prove(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OwnedKey(owner, key): OwnedKey,
    Json(prove): Json<api::ProveApiKey>,
) -> Result<Confirmed<Json<api::ApiKey>>, ChangeError> {
    app.prove_api_key(&caller, owner, key, &prove).await.map(|done| done.map(Json))
}
