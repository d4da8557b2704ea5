//! The audit log.

use std::sync::Arc;

use axum::extract::State;
use domain::{Timestamp, WorkspaceId};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{AuditFilter, Paging},
    http::extract::{Authenticated, Json, Path, Query},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_audit_events)).routes(routes!(sign_checkpoint))
}

/// Conditions for the events to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// The principal: an email address, a service account address, `usr_…`, `sa_…`, `host` or `anonymous`.
    #[param(value_type = Option<api::schema::ActorReference>)]
    principal: Option<String>,
    /// The key: `key_…` or its fingerprint, `SHA256:…`.
    #[param(value_type = Option<api::schema::KeyReference>)]
    key: Option<String>,
    /// The action, such as `api_key.create`.
    action: Option<String>,
    /// The id of the object that was changed, such as a key, a user or a project.
    target: Option<String>,
    /// Only events at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Only events before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// The maximum number of events, 1 to 200. The default is 50.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The `next` value of the previous page.
    after: Option<String>,
}

/// Lists the events of a workspace, the latest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/audit-events", tag = "audit",
    params(("ws" = String, Path), AuditQuery), responses((status = 200, body = api::Page<api::AuditEvent>)))]
async fn list_audit_events(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<api::Page<api::AuditEvent>>, AppError> {
    let AuditQuery { principal, key, action, target, from, to, limit, after } = query;
    let filter = AuditFilter { principal, key, action, target, from, to, kind: None };
    app.list_audit_events(&caller, ws, &filter, &Paging { after, limit }).await.map(Json)
}

/// Gets a checkpoint of the whole log as a signed note (C2SP tlog-checkpoint), for operators to keep elsewhere.
#[utoipa::path(get, operation_id = "get_audit_checkpoint", path = "/api/v1/admin/audit-checkpoint", tag = "operators",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn sign_checkpoint(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
) -> Result<String, AppError> {
    app.sign_checkpoint(&caller).await
}
