//! `/api/v1`: the routes, each with its operation in `App`, and the OpenAPI document that is made from them.

mod admin;
mod api_key;
mod audit;
mod invitation;
mod me;
mod member;
mod project;
mod service_account;
mod workspace;

use std::sync::Arc;

use utoipa::{
    OpenApi as _, PartialSchema as _, ToSchema as _,
    openapi::{
        ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::App;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Keyward",
    description = "Access keys for people and programs. Requests are signed (RFC 9421) or carry a bearer token.",
))]
struct Document;

/// The routes with their descriptions.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(me::router())
        .merge(api_key::router())
        .merge(workspace::router())
        .merge(member::router())
        .merge(invitation::router())
        .merge(service_account::router())
        .merge(project::router())
        .merge(audit::router())
        .merge(admin::router())
}

/// Adds what every operation has: the problem that refuses it, and the credentials that it takes.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".to_owned(), api::Problem::schema());
    components.schemas.insert("FieldError".to_owned(), api::FieldError::schema());
    components
        .security_schemes
        .insert("bearer".to_owned(), SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)).into());
    let problem = ResponseBuilder::new()
        .description("Refused; `code` says why")
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name(api::Problem::name()))).build(),
        )
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
            operation.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}
