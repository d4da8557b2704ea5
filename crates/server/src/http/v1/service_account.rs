//! Service accounts of a workspace.

use std::sync::Arc;

use axum::extract::State;
use domain::{ServiceAccountId, WorkspaceId};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::member::SuccessorQuery;
use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Done, Json, Path, Query, SearchQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_service_accounts, create_service_account)).routes(routes!(
        find_service_account,
        update_service_account,
        delete_service_account
    ))
}

/// Lists the service accounts of a workspace.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/service-accounts", tag = "service accounts",
    params(("ws" = String, Path), SearchQuery), responses((status = 200, body = api::Page<api::ServiceAccount>)))]
async fn list_service_accounts(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<api::Page<api::ServiceAccount>>, AppError> {
    let (search, paging) = query.parse()?;
    app.list_service_accounts(&caller, ws, &search, &paging).await.map(Json)
}

/// Creates a service account. Its role is member unless another one is given.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/service-accounts", tag = "service accounts",
    params(("ws" = String, Path)), request_body = api::CreateServiceAccount,
    responses((status = 201, body = api::ServiceAccount)))]
async fn create_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Json(create): Json<api::CreateServiceAccount>,
) -> Result<Confirmed<Created<api::ServiceAccount>>, ChangeError> {
    app.create_service_account(&caller, ws, &create).await.map(|done| done.map(Created))
}

/// Gets a service account.
#[utoipa::path(get, operation_id = "get_service_account", path = "/api/v1/workspaces/{ws}/service-accounts/{sa}", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path)), responses((status = 200, body = api::ServiceAccount)))]
async fn find_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, account)): Path<(WorkspaceId, ServiceAccountId)>,
) -> Result<Json<api::ServiceAccount>, AppError> {
    app.find_service_account(&caller, ws, account).await.map(Json)
}

/// Changes the name, description or role of a service account, or disables it.
#[utoipa::path(patch, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path)), request_body = api::UpdateServiceAccount,
    responses((status = 200, body = api::ServiceAccount)))]
async fn update_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, account)): Path<(WorkspaceId, ServiceAccountId)>,
    Json(update): Json<api::UpdateServiceAccount>,
) -> Result<Confirmed<Json<api::ServiceAccount>>, ChangeError> {
    app.update_service_account(&caller, ws, account, &update).await.map(|done| done.map(Json))
}

/// Deletes a service account and revokes its keys.
#[utoipa::path(delete, path = "/api/v1/workspaces/{ws}/service-accounts/{sa}", tag = "service accounts",
    params(("ws" = String, Path), ("sa" = String, Path), SuccessorQuery), responses((status = 204)))]
async fn delete_service_account(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, account)): Path<(WorkspaceId, ServiceAccountId)>,
    Query(query): Query<SuccessorQuery>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.delete_service_account(&caller, ws, account, query.successor).await.map(|done| done.map(|()| Done))
}
