//! The pages for operators. Each has a file: workspaces with their quotas, users, the state of the system, and the keys
//! that a restore suspended.

mod suspended_key;
mod system;
mod user;
mod workspace;

use axum::response::Response;

use super::{extract::SignedInContext, page, routes::Pages};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/operator", enter)
        .get("/operator/workspaces", workspace::list)
        .post("/operator/workspaces", workspace::create)
        .get("/operator/workspaces/new", workspace::show_new)
        .get("/operator/workspaces/{ws}", workspace::show)
        .post("/operator/workspaces/{ws}/quotas", workspace::set_quotas)
        .post("/operator/workspaces/{ws}/first-admin", workspace::name_first_admin)
        .get("/operator/users", user::list)
        .post("/operator/users", user::create)
        .post("/operator/users/{usr}", user::update)
        .get("/operator/users/{usr}/operator", user::show_operator)
        .get("/operator/users/{usr}/disable", user::show_disable)
        .post("/operator/users/{usr}/disable", user::disable)
        .get("/operator/users/{usr}/password", user::show_password)
        .post("/operator/users/{usr}/password", user::set_password)
        .get("/operator/system", system::show)
        .get("/operator/system/checkpoint.txt", system::download_checkpoint)
        .get("/operator/suspended-keys", suspended_key::list)
        .post("/operator/suspended-keys", suspended_key::confirm)
}

/// Redirects the short URL of the operator's pages.
async fn enter(_: SignedInContext) -> Response {
    page::go_to("/operator/workspaces")
}
