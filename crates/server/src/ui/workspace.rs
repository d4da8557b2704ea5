//! The workspaces that one is in.

use std::sync::Arc;

use askama::Template;
use axum::{Router, response::Response, routing::get};
use http::StatusCode;

use super::{
    page::{self, Shell},
    visit::SignedInVisitor,
};
use crate::App;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/workspaces", get(list))
}

#[derive(Template)]
#[template(path = "workspaces.html")]
struct Workspaces {
    shell: Shell,
}

async fn list(SignedInVisitor { visitor, .. }: SignedInVisitor) -> Response {
    page::render(StatusCode::OK, &Workspaces { shell: Shell::new(Some(&visitor), "Workspaces", "") })
}
