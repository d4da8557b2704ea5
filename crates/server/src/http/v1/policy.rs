//! Policies for keys, and the review of keys.

use std::sync::Arc;

use axum::extract::State;
use domain::{WorkspaceId, policy::PolicyPlace};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed, Paging},
    http::extract::{Authenticated, Json, Path, Query},
};

/// Which keys a review contains.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ReviewQuery {
    /// Whether it contains only the keys that violate a rule.
    outside: Option<bool>,
    /// The `next` value of the previous page.
    after: Option<String>,
    /// The number of items, 1 to 200.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
}

impl ReviewQuery {
    fn parse(self) -> (bool, Paging) {
        (self.outside.unwrap_or(false), Paging { after: self.after, limit: self.limit })
    }
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(find_workspace_policy, set_workspace_policy))
        .routes(routes!(review_workspace_keys))
        .routes(routes!(find_installation_policy, set_installation_policy))
        .routes(routes!(review_all_keys))
}

/// Gets the policy for keys of a workspace, and the rules that follow from it and from that of the installation.
#[utoipa::path(get, operation_id = "get_workspace_policy", path = "/api/v1/workspaces/{ws}/policy", tag = "workspaces",
    params(("ws" = String, Path)), responses((status = 200, body = api::KeyPolicy)))]
async fn find_workspace_policy(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
) -> Result<Json<api::KeyPolicy>, AppError> {
    app.find_workspace_policy(&caller, ws).await.map(Json)
}

/// Sets the policy for keys of a workspace. Existing keys outside it are refused from a date on.
#[utoipa::path(put, path = "/api/v1/workspaces/{ws}/policy", tag = "workspaces",
    params(("ws" = String, Path)), request_body = api::SetKeyPolicy,
    responses((status = 200, body = api::KeyPolicy)))]
async fn set_workspace_policy(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Json(set): Json<api::SetKeyPolicy>,
) -> Result<Confirmed<Json<api::KeyPolicy>>, ChangeError> {
    app.set_policy(&caller, PolicyPlace::Workspace(ws), set).await.map(|done| done.map(Json))
}

/// Lists the live keys that reach a workspace, each with the rules that it violates.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/policy/keys", tag = "workspaces",
    params(("ws" = String, Path), ReviewQuery), responses((status = 200, body = api::Page<api::ReviewedKey>)))]
async fn review_workspace_keys(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<ReviewQuery>,
) -> Result<Json<api::Page<api::ReviewedKey>>, AppError> {
    let (only_outside, paging) = query.parse();
    app.review_workspace_keys(&caller, ws, only_outside, &paging).await.map(Json)
}

/// Gets the policy for keys of the installation.
#[utoipa::path(get, operation_id = "get_installation_policy", path = "/api/v1/admin/policy", tag = "operators",
    responses((status = 200, body = api::KeyPolicy)))]
async fn find_installation_policy(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
) -> Result<Json<api::KeyPolicy>, AppError> {
    app.find_installation_policy(&caller).await.map(Json)
}

/// Sets the policy for keys of the installation. Existing keys outside it are refused from a date on.
#[utoipa::path(put, path = "/api/v1/admin/policy", tag = "operators",
    request_body = api::SetKeyPolicy, responses((status = 200, body = api::KeyPolicy)))]
async fn set_installation_policy(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Json(set): Json<api::SetKeyPolicy>,
) -> Result<Confirmed<Json<api::KeyPolicy>>, ChangeError> {
    app.set_policy(&caller, PolicyPlace::Installation, set).await.map(|done| done.map(Json))
}

/// Lists the live keys of the installation, each with the rules of its policy that it violates.
#[utoipa::path(get, path = "/api/v1/admin/policy/keys", tag = "operators",
    params(ReviewQuery), responses((status = 200, body = api::Page<api::ReviewedKey>)))]
async fn review_all_keys(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ReviewQuery>,
) -> Result<Json<api::Page<api::ReviewedKey>>, AppError> {
    let (only_outside, paging) = query.parse();
    app.review_all_keys(&caller, only_outside, &paging).await.map(Json)
}
