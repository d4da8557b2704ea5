//! Information about the caller.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Json},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(create_proof_challenge))
}

/// Gets the caller, their key and their workspaces.
#[utoipa::path(get, operation_id = "get_me", path = "/api/v1/me", tag = "me", responses((status = 200, body = api::Me)))]
async fn me(State(app): State<Arc<App>>, Authenticated(caller): Authenticated) -> Result<Json<api::Me>, AppError> {
    app.me(&caller).map(Json)
}

/// Creates a challenge, to prove that the caller holds a private key.
#[utoipa::path(post, path = "/api/v1/me/proof-challenges", tag = "me",
    responses((status = 201, body = api::ProofChallenge)))]
async fn create_proof_challenge(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
) -> Result<Confirmed<Created<api::ProofChallenge>>, ChangeError> {
    app.create_proof_challenge(&caller).await.map(|done| done.map(Created))
}
