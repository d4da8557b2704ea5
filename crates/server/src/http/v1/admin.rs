//! The operations of operators: quotas, users, and the list of workspaces.

use std::sync::Arc;

use axum::extract::State;
use domain::{UserId, WorkspaceId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Json, Path, Query, SearchQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(quotas, update_quotas))
        .routes(routes!(list_all_workspaces))
        .routes(routes!(list_users, create_user))
        .routes(routes!(update_user))
        .routes(routes!(preview_disabling))
        .routes(routes!(list_nodes))
}

/// Gets the quotas of a workspace.
#[utoipa::path(get, operation_id = "get_quotas", path = "/api/v1/admin/workspaces/{ws}/quotas", tag = "operators",
    params(("ws" = String, Path)), responses((status = 200, body = api::Quotas)))]
async fn quotas(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
) -> Result<Json<api::Quotas>, AppError> {
    app.quotas(&caller, ws).await.map(Json)
}

/// Sets the quotas of a workspace.
#[utoipa::path(patch, path = "/api/v1/admin/workspaces/{ws}/quotas", tag = "operators",
    params(("ws" = String, Path)), request_body = api::UpdateQuotas,
    responses((status = 200, body = api::Quotas)))]
async fn update_quotas(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Json(update): Json<api::UpdateQuotas>,
) -> Result<Confirmed<Json<api::Quotas>>, ChangeError> {
    app.update_quotas(&caller, ws, update).await.map(|done| done.map(Json))
}

/// Lists all workspaces with their names and quotas, without their content.
#[utoipa::path(get, path = "/api/v1/admin/workspaces", tag = "operators",
    params(SearchQuery), responses((status = 200, body = api::Page<api::Workspace>)))]
async fn list_all_workspaces(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<SearchQuery>,
) -> Result<Json<api::Page<api::Workspace>>, AppError> {
    let (search, paging) = query.parse()?;
    app.list_all_workspaces(&caller, &search, &paging).await.map(Json)
}

/// Lists all users.
#[utoipa::path(get, path = "/api/v1/admin/users", tag = "operators",
    params(SearchQuery), responses((status = 200, body = api::Page<api::User>)))]
async fn list_users(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<SearchQuery>,
) -> Result<Json<api::Page<api::User>>, AppError> {
    let (search, paging) = query.parse()?;
    app.list_users(&caller, &search, &paging).await.map(Json)
}

/// Creates a user without a workspace.
#[utoipa::path(post, path = "/api/v1/admin/users", tag = "operators",
    request_body = api::CreateUser, responses((status = 201, body = api::User)))]
async fn create_user(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Json(create): Json<api::CreateUser>,
) -> Result<Confirmed<Created<api::User>>, ChangeError> {
    app.create_user(&caller, create).await.map(|done| done.map(Created))
}

/// Changes the name of a user, makes them an operator, or disables them.
#[utoipa::path(patch, path = "/api/v1/admin/users/{usr}", tag = "operators",
    params(("usr" = String, Path)), request_body = api::UpdateUser,
    responses((status = 200, body = api::User)))]
async fn update_user(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(user): Path<UserId>,
    Json(update): Json<api::UpdateUser>,
) -> Result<Confirmed<Json<api::User>>, ChangeError> {
    app.update_user(&caller, user, update).await.map(|done| done.map(Json))
}

/// Previews the objects that disabling a user revokes, as counts, and those that it revokes only on request.
#[utoipa::path(get, operation_id = "preview_user_disabling", path = "/api/v1/admin/users/{usr}/removal", tag = "operators",
    params(("usr" = String, Path)), responses((status = 200, body = api::UserRemoval)))]
async fn preview_disabling(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(user): Path<UserId>,
) -> Result<Json<api::UserRemoval>, AppError> {
    app.preview_disabling(&caller, user).await.map(Json)
}

/// Lists the nodes of this installation, with the version that each has applied, and its lease.
#[utoipa::path(get, path = "/api/v1/admin/nodes", tag = "operators",
    responses((status = 200, body = api::Page<api::Node>)))]
async fn list_nodes(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
) -> Result<Json<api::Page<api::Node>>, AppError> {
    app.list_nodes(&caller).await.map(Json)
}
