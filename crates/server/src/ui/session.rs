//! Signing in and out, and the first page.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    extract::{Form, SignedInContext},
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    page_context::{PageContext, safe_next},
    receive::welcome,
    routes::Pages,
};
use crate::{App, AppError, app::SignIn, http::Cookie};

pub(super) fn router() -> Pages {
    Pages::default().get("/", start).get("/sign-in", show_sign_in).post("/sign-in", sign_in).post("/sign-out", sign_out)
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    errors: FormErrors,
    typed: SignInForm,
}

/// Redirects to the user's only workspace, or to the list of workspaces.
async fn start(SignedInContext { context, .. }: SignedInContext) -> Response {
    let shell = Shell::new(Some(&context), "", "");
    match (shell.places.as_slice(), shell.account) {
        ([only], _) => page::go_to(&only.path()),
        ([], Some(account)) if account.operator => page::go_to("/operator/workspaces"),
        _ => page::go_to("/workspaces"),
    }
}

/// The page to open after signing in.
#[derive(Deserialize)]
struct NextQuery {
    #[serde(default)]
    next: String,
}

async fn show_sign_in(context: PageContext, Query(query): Query<NextQuery>) -> Response {
    let next = safe_next(&query.next).to_owned();
    if context.session.is_some() {
        return page::go_to(&next);
    }
    let shell = Shell::new(Some(&context), "Sign in", "");
    let typed = SignInForm { next, ..SignInForm::default() };
    page::render(StatusCode::OK, &SignInPage { shell, errors: FormErrors::default(), typed })
}

#[derive(Default, Deserialize)]
struct SignInForm {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn sign_in(
    State(app): State<Arc<App>>,
    context: PageContext,
    Form(mut form): Form<SignInForm>,
) -> Result<Response, PageError> {
    // A password is not sent back, and neither is a URL of another site.
    let password = std::mem::take(&mut form.password);
    form.next = safe_next(&form.next).to_owned();
    let browser = context.browser.clone();
    let sign_in = SignIn { email: form.email.clone(), password, device: context.device.clone(), browser };
    match app.sign_in(sign_in).await {
        Ok(signed_in) => Ok(welcome(&app, &context, &signed_in, &form.next).await?),
        Err(error) => {
            let is_limited = matches!(error.error, AppError::RateLimited(_));
            let mut errors = FormErrors::of(error)?;
            if let (true, Some(general)) = (is_limited, &mut errors.general) {
                general.push_str(" A browser in which you signed in before may still be accepted.");
            }
            let shell = Shell::new(Some(&context), "Sign in", "");
            Ok(page::again(errors, |errors| SignInPage { shell, errors, typed: form }))
        }
    }
}

async fn sign_out(State(app): State<Arc<App>>, context: PageContext) -> Result<Response, PageError> {
    if let Some(session) = &context.session {
        app.end_session(&session.caller, None).await?;
    }
    Ok(signed_out(&app))
}

/// Returns the response to a user whose session has ended.
pub(super) fn signed_out(app: &App) -> Response {
    let mut response = Notice::say("You are signed out.").show_after(page::go_to("/sign-in"));
    Cookie::Session.remove(app, &mut response);
    response
}
