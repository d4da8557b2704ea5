//! Invitations into a workspace.

use std::sync::Arc;

use axum::extract::State;
use domain::{InvitationId, WorkspaceId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
    http::extract::{Authenticated, Created, Done, Json, MaybeAuthenticated, Path, Query, SearchQuery},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_invitations, create_invitations))
        .routes(routes!(revoke_invitation))
        .routes(routes!(resend_invitation))
        .routes(routes!(accept_invitation))
}

/// Lists invitations, open and closed.
#[utoipa::path(get, path = "/api/v1/workspaces/{ws}/invitations", tag = "invitations",
    params(("ws" = String, Path), SearchQuery), responses((status = 200, body = api::Page<api::Invitation>)))]
async fn list_invitations(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<api::Page<api::Invitation>>, AppError> {
    let (search, paging) = query.parse()?;
    app.list_invitations(&caller, ws, &search, &paging).await.map(Json)
}

/// Invites people with one role. People who are already members are skipped, and listed in `skipped`.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/invitations", tag = "invitations",
    params(("ws" = String, Path)), request_body = api::CreateInvitations,
    responses((status = 201, body = api::IssuedInvitations)))]
async fn create_invitations(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path(ws): Path<WorkspaceId>,
    Json(create): Json<api::CreateInvitations>,
) -> Result<Confirmed<Created<api::IssuedInvitations>>, ChangeError> {
    app.create_invitations(&caller, ws, &create).await.map(|done| done.map(Created))
}

/// Revokes an invitation.
#[utoipa::path(delete, path = "/api/v1/workspaces/{ws}/invitations/{inv}", tag = "invitations",
    params(("ws" = String, Path), ("inv" = String, Path)), responses((status = 204)))]
async fn revoke_invitation(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, invitation)): Path<(WorkspaceId, InvitationId)>,
) -> Result<Confirmed<Done>, ChangeError> {
    app.revoke_invitation(&caller, ws, invitation).await.map(|done| done.map(|()| Done))
}

/// Gives an invitation a new token and a new expiry date.
#[utoipa::path(post, path = "/api/v1/workspaces/{ws}/invitations/{inv}/resend", tag = "invitations",
    params(("ws" = String, Path), ("inv" = String, Path)), responses((status = 200, body = api::IssuedInvitation)))]
async fn resend_invitation(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Path((ws, invitation)): Path<(WorkspaceId, InvitationId)>,
) -> Result<Confirmed<Json<api::IssuedInvitation>>, ChangeError> {
    app.resend_invitation(&caller, ws, invitation).await.map(|done| done.map(Json))
}

/// Accepts an invitation. The token works once and is the credential. An authenticated caller joins as that user.
#[utoipa::path(post, path = "/api/v1/invitations/accept", tag = "invitations",
    request_body = api::AcceptInvitation, responses((status = 200, body = api::AcceptedInvitation)))]
async fn accept_invitation(
    State(app): State<Arc<App>>,
    MaybeAuthenticated(caller, address): MaybeAuthenticated,
    Json(accept): Json<api::AcceptInvitation>,
) -> Result<Confirmed<Json<api::AcceptedInvitation>>, ChangeError> {
    app.accept_invitation(caller.as_ref(), address.nearest, accept).await.map(|done| done.map(Json))
}
