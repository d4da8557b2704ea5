//! The user's own profile: name and email, the password, the sessions.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use domain::{
    SessionId,
    session::{DeviceKind, Session},
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    confirmation::ConfirmationPage,
    extract::{Form, SignedInContext},
    list::columns,
    notice::Notice,
    page::{self, FormErrors, PageError, Shell},
    routes::Pages,
    session::signed_out,
    theme::Theme,
};
use crate::{
    App, AppError,
    app::{Caller, ListedSession},
    http::Cookie,
};

pub(super) fn router() -> Pages {
    Pages::default()
        .get("/profile", show)
        .post("/profile/password", change_password)
        .get("/profile/sessions/{session}/end", show_end_session)
        .post("/profile/sessions/{session}/end", end_session)
        .get("/profile/sessions/end-others", show_end_other_sessions)
        .post("/profile/sessions/end-others", end_other_sessions)
        .post("/profile/theme", choose_theme)
}

columns! {
    /// The table of sessions.
    SessionColumn {
        Device: "Device",
        LastSeen: "Last seen",
        SignedIn: "Signed in",
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

/// Returns a session of the user.
async fn find_own(app: &App, caller: &Caller, id: &str) -> Result<ListedSession, AppError> {
    let id: SessionId = id.parse().map_err(|_| AppError::not_found())?;
    let sessions = app.list_sessions(caller).await?;
    sessions.into_iter().find(|listed| listed.session.id == id).ok_or(AppError::not_found())
}

/// Returns the device of a session with its network and the time of its last use.
fn describe(shell: &Shell, session: &Session) -> String {
    let network = session.network().map_or_else(String::new, |network| format!(", {network}"));
    format!("{}{network}, last seen {}.", session.device(), shell.when(&session.last_seen_at).relative)
}

async fn show_end_session(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
    Path(session): Path<String>,
) -> Result<Response, PageError> {
    let listed = find_own(&app, &signed_in.caller, &session).await?;
    let title = format!("End the session of {}?", listed.session.device());
    let shell = Shell::new(Some(&signed_in.context), title, "profile");
    let first = describe(&shell, &listed.session);
    let second = if listed.is_current {
        "This is the session of this device. You are signed out here."
    } else {
        "This device is signed out. Your API keys keep working."
    };
    let page = ConfirmationPage {
        action: format!("/profile/sessions/{session}/end"),
        button: "End session",
        ..ConfirmationPage::new(shell, "/profile".to_owned(), vec![first, second.to_owned()])
    };
    Ok(page::render(StatusCode::OK, &page))
}

async fn end_session(
    State(app): State<Arc<App>>,
    SignedInContext { caller, .. }: SignedInContext,
    Path(session): Path<String>,
) -> Result<Response, PageError> {
    let listed = find_own(&app, &caller, &session).await?;
    let done = app.end_session(&caller, Some(listed.session.id)).await?;
    if listed.is_current {
        return Ok(signed_out(&app));
    }
    let notice = Notice::say("The session of ").name(&listed.session.device().to_string()).text(" has ended.");
    Ok(page::redirect_after(&done, "/profile", notice))
}

async fn show_end_other_sessions(
    State(app): State<Arc<App>>,
    signed_in: SignedInContext,
) -> Result<Response, PageError> {
    let shell = Shell::new(Some(&signed_in.context), "End all other sessions?", "profile");
    let sessions = app.list_sessions(&signed_in.caller).await?;
    let others = sessions.iter().filter(|listed| !listed.is_current);
    let mut lines: Vec<String> = others.map(|listed| describe(&shell, &listed.session)).collect();
    lines.push(match lines.len() {
        0 => "There are no other sessions.".to_owned(),
        _ => "These devices are signed out. Your API keys keep working.".to_owned(),
    });
    let page = ConfirmationPage {
        action: "/profile/sessions/end-others".to_owned(),
        button: "End all other sessions",
        ..ConfirmationPage::new(shell, "/profile".to_owned(), lines)
    };
    Ok(page::render(StatusCode::OK, &page))
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
