//! Help: the few things that people ask first.

use std::sync::Arc;

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};
use http::StatusCode;

use super::{
    page::{self, Shell},
    visit::Visitor,
};
use crate::App;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/help", get(show))
}

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    shell: Shell,
    public_url: String,
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    let shell = Shell::new(Some(&visitor), "Help", "");
    page::render(StatusCode::OK, &Help { shell, public_url: app.settings().public_url.clone() })
}
