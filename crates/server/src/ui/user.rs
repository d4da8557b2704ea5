//! The user's own profile: name and email, the password, the sessions.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use domain::{SessionId, principal::Credential};
use http::StatusCode;
use serde::Deserialize;

use super::{
    extract::{Form, SignedInContext},
    list::columns,
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    routes::Pages,
    session::signed_out,
    theme::Theme,
};
use crate::{App, AppError, app::ListedSession, http::Cookie};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/profile", show)
        .post("/profile/password", change_password)
        .post("/profile/sessions/{session}/end", end_session)
        .post("/profile/sessions/end-others", end_other_sessions)
        .post("/theme", choose_theme)
}

columns! {
    /// The table of sessions.
    SessionColumn {
        Browser: "Browser",
        Address: "Address",
        SignedIn: "Signed in",
        LastSeen: "Last seen",
        Actions: hidden "Actions",
    }
}

#[derive(Template)]
#[template(path = "profile.html")]
struct Profile {
    shell: Shell,
    errors: FormErrors,
    sessions: Vec<ListedSession>,
}

async fn profile(app: &App, signed_in: &SignedInContext) -> Result<Profile, PageError> {
    let shell = Shell::new(Some(&signed_in.context), "Profile settings", "profile");
    let sessions = app.list_sessions(&signed_in.caller).await?;
    Ok(Profile { shell, errors: FormErrors::default(), sessions })
}

async fn show(State(app): State<Arc<App>>, signed_in: SignedInContext) -> Result<Response, PageError> {
    Ok(page::render(StatusCode::OK, &profile(&app, &signed_in).await?))
}

#[derive(Deserialize)]
struct PasswordForm {
    current_password: String,
    password: String,
}

async fn change_password(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Form(form): Form<PasswordForm>,
) -> Result<Response, PageError> {
    match app.change_password(&signed_in.caller, form.current_password, form.password).await {
        Ok(token) => {
            let mut response = page::redirect_after(
                &token,
                "/profile",
                Notice::say("Your password is changed. All your other sessions have ended."),
            );
            Cookie::Session.set(&app, &mut response, &token, None);
            Ok(response)
        }
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let page = profile(&app, &signed_in).await?;
            Ok(page::again(errors, |errors| Profile { errors, ..page }))
        }
    }
}

async fn end_session(
    State(app): State<Arc<App>>,
    SignedInContext { caller, .. }: SignedInContext,
    Path(session): Path<String>,
) -> Result<Response, PageError> {
    let session: SessionId = session.parse().map_err(|_| AppError::not_found())?;
    let is_own = matches!(caller.principal().credential(), Credential::Session(own, _) if *own == session);
    let done = app.end_session(&caller, Some(session)).await?;
    if is_own {
        return Ok(signed_out(&app));
    }
    Ok(page::redirect_after(&done, "/profile", Notice::say("The session has ended.")))
}

async fn end_other_sessions(
    State(app): State<Arc<App>>,
    SignedInContext { caller, .. }: SignedInContext,
) -> Result<Response, PageError> {
    let done = app.end_other_sessions(&caller).await?;
    Ok(page::redirect_after(&done, "/profile", Notice::say("All your other sessions have ended.")))
}

#[derive(Deserialize)]
struct ThemeForm {
    theme: Theme,
}

async fn choose_theme(
    State(app): State<Arc<App>>,
    SignedInContext { context, .. }: SignedInContext,
    Form(form): Form<ThemeForm>,
) -> Response {
    let mut response = page::go_to(page::came_from(&context).unwrap_or("/"));
    form.theme.keep(&app, &mut response);
    response
}
