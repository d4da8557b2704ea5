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

/// Which events to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// By whom: an email or address, `usr_…`, `sa_…`, `host` or `anonymous`.
    principal: Option<String>,
    /// With which key: `key_…` or its fingerprint, `SHA256:…`.
    key: Option<String>,
    /// Of which action, such as `api_key.create`.
    action: Option<String>,
    /// At or after.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// Before.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
    /// How many events, 1 to 200; 50 where nothing is said.
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Events of a workspace, the latest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/audit-events", tag = "audit",
    params(("ws" = String, Path), AuditQuery), responses((status = 200, body = api::Page<api::AuditEvent>)))]
async fn list_audit_events(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<api::Page<api::AuditEvent>>, AppError> {
    let AuditQuery { principal, key, action, from, to, limit, after } = query;
    let filter = AuditFilter { principal, key, action, from, to };
    app.list_audit_events(&caller, ws, &filter, &Paging { after, limit }).await.map(Json)
}

/// The head of the whole log as a signed note (C2SP tlog-checkpoint), for operators to keep elsewhere.
#[utoipa::path(get, path = "/api/v1/admin/audit-checkpoint", tag = "operators",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn sign_checkpoint(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
) -> Result<String, AppError> {
    app.sign_checkpoint(&caller).await
}
