//! The use of the caller's keys, and of the keys of a workspace. The use of one key is among the operations of the key.

use std::sync::Arc;

use axum::extract::State;
use domain::{WorkspaceId, key_use::UseWindow};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    http::extract::{Authenticated, Json, Path, Query},
};

/// The period whose use is returned.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UseQuery {
    /// `24h` by the hour, `7d` or `90d` by the day. The default is `7d`.
    #[param(value_type = Option<api::schema::UseWindow>)]
    window: Option<UseWindow>,
}

impl UseQuery {
    pub(super) fn window(&self) -> UseWindow {
        self.window.unwrap_or_default()
    }
}

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(find_own_use)).routes(routes!(find_workspace_use))
}

/// Gets the use of the caller's own keys over time, including revoked keys.
#[utoipa::path(get, operation_id = "get_my_use", path = "/api/v1/me/use", tag = "me",
    params(UseQuery), responses((status = 200, body = api::UseOfKeys)))]
async fn find_own_use(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Query(query): Query<UseQuery>,
) -> Result<Json<api::UseOfKeys>, AppError> {
    app.find_own_use(&caller, query.window()).await.map(Json)
}

/// Gets the use of the keys of a workspace's service accounts over time, including revoked keys.
#[utoipa::path(get, operation_id = "get_workspace_use", path = "/api/v1/workspaces/{ws}/use", tag = "workspaces",
    params(("ws" = String, Path), UseQuery), responses((status = 200, body = api::UseOfKeys)))]
async fn find_workspace_use(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<UseQuery>,
) -> Result<Json<api::UseOfKeys>, AppError> {
    app.find_workspace_use(&caller, ws, query.window()).await.map(Json)
}
