//! Projects of a workspace, and their members.

use std::sync::Arc;

use axum::extract::State;
use domain::{PrincipalId, WorkspaceId};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::member::SuccessorQuery;
use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Done, Json, PageQuery, Path, ProjectRef, Query, SearchQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_projects, create_project))
        .routes(routes!(find_project, update_project, delete_project))
        .routes(routes!(list_project_members))
        .routes(routes!(set_project_member, delete_project_member))
}

/// Lists projects: all of them for admins of the workspace, otherwise those that the caller is a member of.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/projects", tag = "projects",
    params(("ws" = String, Path), SearchQuery), responses((status = 200, body = api::Page<api::Project>)))]
async fn list_projects(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<api::Page<api::Project>>, AppError> {
    let (search, paging) = query.parse()?;
    app.list_projects(&caller, ws, &search, &paging).await.map(Json)
}

/// Creates a project. The caller becomes its admin.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/projects", tag = "projects",
    params(("ws" = String, Path)), request_body = api::CreateProject, responses((status = 201, body = api::Project)))]
async fn create_project(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Json(create): Json<api::CreateProject>,
) -> Result<Confirmed<Created<api::Project>>, ChangeError> {
    app.create_project(&caller, ws, &create).await.map(|done| done.map(Created))
}

/// Gets a project.
#[utoipa::path(get, operation_id = "get_project", path = "/api/v1/workspaces/{ws}/projects/{prj}", tag = "projects",
    params(("ws" = String, Path), ("prj" = String, Path)), responses((status = 200, body = api::Project)))]
async fn find_project(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, project)): Path<(WorkspaceId, ProjectRef)>,
) -> Result<Json<api::Project>, AppError> {
    app.find_project(&caller, ws, project.0).await.map(Json)
}

/// Changes the title or description of a project.
#[utoipa::path(patch, path = "/api/v1/workspaces/{ws}/projects/{prj}", tag = "projects",
    params(("ws" = String, Path), ("prj" = String, Path)), request_body = api::UpdateProject,
    responses((status = 200, body = api::Project)))]
async fn update_project(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, project)): Path<(WorkspaceId, ProjectRef)>,
    Json(update): Json<api::UpdateProject>,
) -> Result<Confirmed<Json<api::Project>>, ChangeError> {
    app.update_project(&caller, ws, project.0, &update).await.map(|done| done.map(Json))
}

/// Deletes a project.
#[utoipa::path(delete, path = "/api/v1/workspaces/{ws}/projects/{prj}", tag = "projects",
    params(("ws" = String, Path), ("prj" = String, Path)), responses((status = 204)))]
async fn delete_project(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, project)): Path<(WorkspaceId, ProjectRef)>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.delete_project(&caller, ws, project.0).await.map(|done| done.map(|()| Done))
}

/// Lists the members of a project.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/projects/{prj}/members", tag = "projects",
    params(("ws" = String, Path), ("prj" = String, Path), PageQuery), responses((status = 200, body = api::Page<api::ProjectMember>)))]
async fn list_project_members(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, project)): Path<(WorkspaceId, ProjectRef)>,
    Query(page): Query<PageQuery>,
) -> Result<Json<api::Page<api::ProjectMember>>, AppError> {
    app.list_project_members(&caller, ws, project.0, &page.into()).await.map(Json)
}

/// Sets the role of a principal of the workspace in a project.
#[utoipa::path(put, path = "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}", tag = "projects",
    params(("ws" = String, Path), ("prj" = String, Path), ("principal" = String, Path), SuccessorQuery), request_body = api::SetProjectMember,
    responses((status = 200, body = api::ProjectMember)))]
async fn set_project_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, project, member)): Path<(WorkspaceId, ProjectRef, PrincipalId)>,
    Query(query): Query<SuccessorQuery>,
    Json(set): Json<api::SetProjectMember>,
) -> Result<Confirmed<Json<api::ProjectMember>>, ChangeError> {
    app.set_project_member(&caller, ws, project.0, member, &set, query.successor).await.map(|done| done.map(Json))
}

/// Removes a member from a project. Members may remove themselves.
#[utoipa::path(delete, operation_id = "remove_project_member", path = "/api/v1/workspaces/{ws}/projects/{prj}/members/{principal}", tag = "projects",
    params(("ws" = String, Path), ("prj" = String, Path), ("principal" = String, Path), SuccessorQuery), responses((status = 204)))]
async fn delete_project_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, project, member)): Path<(WorkspaceId, ProjectRef, PrincipalId)>,
    Query(query): Query<SuccessorQuery>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.delete_project_member(&caller, ws, project.0, member, query.successor).await.map(|done| done.map(|()| Done))
}
