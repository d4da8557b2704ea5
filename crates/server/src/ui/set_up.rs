//! The first start: the page of the link that creates the first operator.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    extract::Form,
    page::{self, FormErrors, PageError, Shell},
    page_context::PageContext,
    receive::welcome,
    routes::Pages,
};
use crate::{App, app::SetUp};

pub(super) fn router() -> Pages {
    Pages::default().get("/set-up/{token}", show).post("/set-up/{token}", set_up)
}

#[derive(Template)]
#[template(path = "set_up.html")]
struct SetUpPage {
    shell: Shell,
    errors: FormErrors,
    is_open: bool,
    token: String,
    typed: SetUpForm,
}

/// Returns the page of the link, with an empty form.
async fn set_up_page(app: &App, context: &PageContext, token: String) -> Result<SetUpPage, PageError> {
    let is_open = app.is_set_up_link(&token).await?;
    let shell = Shell::new(Some(context), "Set up Keyward", "");
    Ok(SetUpPage { shell, errors: FormErrors::default(), is_open, token, typed: SetUpForm::default() })
}

async fn show(
    State(app): State<Arc<App>>,
    context: PageContext,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    let page = set_up_page(&app, &context, token).await?;
    let status = if page.is_open { StatusCode::OK } else { StatusCode::GONE };
    Ok(page::render(status, &page))
}

#[derive(Default, Deserialize)]
struct SetUpForm {
    email: String,
    name: String,
    password: String,
}

async fn set_up(
    State(app): State<Arc<App>>,
    context: PageContext,
    Path(token): Path<String>,
    Form(mut form): Form<SetUpForm>,
) -> Result<Response, PageError> {
    // A password is not sent back.
    let password = std::mem::take(&mut form.password);
    let browser = context.browser.clone();
    let set_up = SetUp { token: token.clone(), email: form.email.clone(), name: form.name.clone(), password, browser };
    match app.set_up(set_up).await {
        Ok(signed_in) => Ok(welcome(&app, &context, &signed_in, "/operator/workspaces/new").await?),
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let page = set_up_page(&app, &context, token).await?;
            Ok(page::again(errors, |errors| SetUpPage { errors, typed: form, ..page }))
        }
    }
}
