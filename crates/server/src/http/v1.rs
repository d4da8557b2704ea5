//! `/api/v1`: the routes, each with its operation in `App`, and the OpenAPI document that is generated from them.

mod admin;
mod api_key;
mod audit;
mod invitation;
mod key_path;
mod key_use;
mod leaked_key;
mod me;
mod member;
mod openapi;
mod policy;
mod project;
mod rotation;
mod service_account;
mod workspace;

use std::sync::Arc;

use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

pub(super) use self::openapi::complete;
use crate::App;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Keyward",
    description = "API keys for people and programs. Requests are signed (RFC 9421) or carry a bearer token.",
))]
struct Document;

/// Returns the routes with their descriptions.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(me::router())
        .merge(api_key::router())
        .merge(workspace::router())
        .merge(member::router())
        .merge(invitation::router())
        .merge(service_account::router())
        .merge(project::router())
        .merge(key_use::router())
        .merge(leaked_key::router())
        .merge(policy::router())
        .merge(audit::router())
        .merge(admin::router())
}
