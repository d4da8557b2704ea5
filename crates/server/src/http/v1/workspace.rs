//! Workspaces.

use std::sync::Arc;

use axum::extract::State;
use domain::WorkspaceId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Done, Json, Path, Query, SearchQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_workspaces, create_workspace)).routes(routes!(
        find_workspace,
        update_workspace,
        delete_workspace
    ))
}

/// Lists the workspaces of the caller.
#[utoipa::path(get, path = "/api/v1/workspaces", tag = "workspaces",
    params(SearchQuery), responses((status = 200, body = api::Page<api::Workspace>)))]
async fn list_workspaces(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<SearchQuery>,
) -> Result<Json<api::Page<api::Workspace>>, AppError> {
    let (search, paging) = query.parse()?;
    app.list_workspaces(&caller, &search, &paging).await.map(Json)
}

/// Creates a workspace.
#[utoipa::path(post, path = "/api/v1/workspaces", tag = "workspaces",
    request_body = api::CreateWorkspace, responses((status = 201, body = api::WorkspaceCreated)))]
async fn create_workspace(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Json(create): Json<api::CreateWorkspace>,
) -> Result<Confirmed<Created<api::WorkspaceCreated>>, ChangeError> {
    app.create_workspace(&caller, create).await.map(|done| done.map(Created))
}

/// Gets a workspace.
#[utoipa::path(get, operation_id = "get_workspace", path = "/api/v1/workspaces/{ws}", tag = "workspaces",
    params(("ws" = String, Path)), responses((status = 200, body = api::Workspace)))]
async fn find_workspace(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
) -> Result<Json<api::Workspace>, AppError> {
    app.find_workspace(&caller, ws).await.map(Json)
}

/// Renames a workspace.
#[utoipa::path(patch, path = "/api/v1/workspaces/{ws}", tag = "workspaces",
    params(("ws" = String, Path)), request_body = api::UpdateWorkspace,
    responses((status = 200, body = api::Workspace)))]
async fn update_workspace(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Json(update): Json<api::UpdateWorkspace>,
) -> Result<Confirmed<Json<api::Workspace>>, ChangeError> {
    app.update_workspace(&caller, ws, update).await.map(|done| done.map(Json))
}

/// Deletes a workspace and its content.
#[utoipa::path(delete, path = "/api/v1/workspaces/{ws}", tag = "workspaces",
    params(("ws" = String, Path)), responses((status = 204)))]
async fn delete_workspace(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.delete_workspace(&caller, ws).await.map(|done| done.map(|()| Done))
}
