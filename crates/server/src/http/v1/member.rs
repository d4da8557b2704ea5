//! Members of a workspace.

use std::sync::Arc;

use axum::extract::State;
use domain::{PrincipalId, UserId, WorkspaceId};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Done, Json, Path, Query, SearchQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_members))
        .routes(routes!(update_member, delete_member))
        .routes(routes!(preview_removal))
}

/// The successor for projects that would be left without an admin.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SuccessorQuery {
    /// `usr_…` or `sa_…`.
    #[param(value_type = Option<api::schema::PrincipalId>)]
    pub(super) successor: Option<PrincipalId>,
}

/// Options of a removal.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RemovalQuery {
    /// The successor for projects that would be left without an admin: `usr_…` or `sa_…`.
    #[param(value_type = Option<api::schema::PrincipalId>)]
    successor: Option<PrincipalId>,
    /// Whether to revoke the keys that they registered for service accounts.
    #[serde(default)]
    revoke_keys: bool,
}

/// Lists the members of a workspace.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/members", tag = "members",
    params(("ws" = String, Path), SearchQuery), responses((status = 200, body = api::Page<api::Member>)))]
async fn list_members(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<api::Page<api::Member>>, AppError> {
    let (search, paging) = query.parse()?;
    app.list_members(&caller, ws, &search, &paging).await.map(Json)
}

/// Changes the role of a member. If they are no longer an admin, their open invitations are revoked.
#[utoipa::path(patch, path = "/api/v1/workspaces/{ws}/members/{usr}", tag = "members",
    params(("ws" = String, Path), ("usr" = String, Path)), request_body = api::UpdateMember,
    responses((status = 200, body = api::Member)))]
async fn update_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, user)): Path<(WorkspaceId, UserId)>,
    Json(update): Json<api::UpdateMember>,
) -> Result<Confirmed<Json<api::Member>>, ChangeError> {
    app.update_member(&caller, ws, user, &update).await.map(|done| done.map(Json))
}

/// Removes a member. Members may remove themselves. Their open invitations are revoked.
#[utoipa::path(delete, operation_id = "remove_member", path = "/api/v1/workspaces/{ws}/members/{usr}", tag = "members",
    params(("ws" = String, Path), ("usr" = String, Path), RemovalQuery), responses((status = 204)))]
async fn delete_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, user)): Path<(WorkspaceId, UserId)>,
    Query(query): Query<RemovalQuery>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.delete_member(&caller, ws, user, query.successor, query.revoke_keys).await.map(|done| done.map(|()| Done))
}

/// Previews the objects that removing or demoting a member revokes, and those that it revokes only on request.
#[utoipa::path(get, operation_id = "preview_member_removal", path = "/api/v1/workspaces/{ws}/members/{usr}/removal", tag = "members",
    params(("ws" = String, Path), ("usr" = String, Path)), responses((status = 200, body = api::MemberRemoval)))]
async fn preview_removal(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, user)): Path<(WorkspaceId, UserId)>,
) -> Result<Json<api::MemberRemoval>, AppError> {
    app.preview_removal(&caller, ws, user).await.map(|preview| Json(preview.removal))
}
