//! The layout of every page, and the conversion of refusals to pages.

use std::sync::{Arc, Mutex};

use api::Problem;
use askama::Template;
use axum::{
    body::Body,
    response::{Html, IntoResponse, Redirect, Response},
};
use domain::{Timestamp, WorkspaceId, principal::Denied, role::Role, text::percent_encode};
use http::{HeaderValue, StatusCode, header};
use verifier::AuthenticationError;

use super::{
    form::Fields,
    notice::{self, Notice},
    page_context::{PageContext, safe_next, set_page_headers},
    theme::Theme,
};
use crate::{
    App, AppError,
    app::{ChangeError, Confirmed},
};

/// Where a change is effective. Nodes are only named if there are several.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    /// There is one node.
    Here,
    /// There are several.
    EveryNode,
}

impl Reach {
    pub(super) fn of(app: &App) -> Self {
        if app.has_several_nodes() { Self::EveryNode } else { Self::Here }
    }

    /// Returns the end of a sentence about what will be refused.
    pub(super) const fn at_once(self) -> &'static str {
        match self {
            Self::Here => "at once",
            Self::EveryNode => "at once, on every node",
        }
    }

    /// Returns the end of a sentence about what is refused.
    pub(super) const fn now(self) -> &'static str {
        match self {
            Self::Here => "now",
            Self::EveryNode => "by every node now",
        }
    }
}

/// A workspace in the switcher.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) id: WorkspaceId,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) role: Role,
}

impl Place {
    pub(super) fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Returns the letter of its icon.
    pub(super) fn initial(&self) -> String {
        initial(&self.name)
    }

    /// Returns the prefix of the paths of its pages.
    pub(super) fn path(&self) -> String {
        format!("/w/{}", self.slug)
    }
}

/// The user who is signed in.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) email: String,
    pub(super) email_verified: bool,
    pub(super) operator: bool,
}

impl Account {
    /// Returns the letter on the user icon.
    pub(super) fn initial(&self) -> String {
        initial(&self.name)
    }
}

fn initial(name: &str) -> String {
    name.chars().next().unwrap_or('?').to_uppercase().collect()
}

/// The layout around the content of a page.
pub(super) struct Shell {
    pub(super) title: String,
    /// The active entry of the navigation.
    pub(super) section: &'static str,
    pub(super) account: Option<Account>,
    pub(super) places: Vec<Place>,
    pub(super) place: Option<Place>,
    pub(super) csrf: String,
    pub(super) notice: Option<notice::Shown>,
    /// The theme that the user chose, unless it is the browser's.
    pub(super) theme: Option<Theme>,
    now: Timestamp,
}

impl Shell {
    pub(super) fn new(context: Option<&PageContext>, title: impl Into<String>, section: &'static str) -> Self {
        let session = context.and_then(|context| context.session.as_ref());
        let identity = session.and_then(|session| session.caller.principal().identity());
        let memberships = identity.map_or(&[][..], |identity| &identity.memberships);
        Self {
            title: title.into(),
            section,
            account: identity.map(|identity| Account {
                name: identity.name.clone(),
                email: identity.email.clone(),
                email_verified: identity.email_verified,
                operator: identity.operator,
            }),
            places: memberships
                .iter()
                .map(|m| Place { id: m.workspace, slug: m.slug.to_string(), name: m.name.to_string(), role: m.role })
                .collect(),
            place: None,
            csrf: session.map_or(String::new(), |session| session.csrf.clone()),
            notice: context.and_then(|context| context.notice.clone()),
            theme: context.and_then(|context| context.theme),
            now: context.map_or(Timestamp::UNIX_EPOCH, |context| context.now),
        }
    }

    /// Returns whether the layout has the navigation beside the content.
    pub(super) fn has_navigation(&self) -> bool {
        self.account.is_some() && !self.section.is_empty()
    }

    /// Returns the attribute of the active entry of the navigation.
    pub(super) fn current(&self, section: &str) -> &'static str {
        if self.section == section { " aria-current=\"page\"" } else { "" }
    }

    /// Returns whether the page is one of this workspace.
    pub(super) fn is_place(&self, place: &Place) -> bool {
        self.place.as_ref().is_some_and(|own| own.id == place.id)
    }

    /// Returns the email address of the user who is signed in.
    pub(super) fn email(&self) -> &str {
        self.account.as_ref().map_or("", |account| &account.email)
    }

    /// Returns the time of the request.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns a time relative to now.
    pub(super) fn when(&self, time: &Timestamp) -> When {
        When::new(*time, self.now)
    }

    /// Returns the same layout for a workspace.
    pub(super) fn in_place(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }
}

/// Describes the contact for a higher quota.
pub(super) fn support_contact(app: &App) -> String {
    app.settings().support_contact.clone().unwrap_or_else(|| "the operator of this installation".to_owned())
}

/// The errors of a form.
#[derive(Default)]
pub(super) struct FormErrors {
    pub(super) fields: Vec<(String, String)>,
    pub(super) general: Option<String>,
    status: u16,
    /// The seconds to wait.
    wait: Option<u64>,
}

impl FormErrors {
    /// Returns the errors that a user can correct in the form, or the error itself.
    pub(super) fn of(error: impl Into<AppError>) -> Result<Self, PageError> {
        let error = error.into();
        let status = error.to_problem().status;
        let mut wait = None;
        let general = match &error {
            AppError::Invalid(errors) => {
                let fields = errors.iter().map(|e| (e.field.clone(), sentence(&e.detail))).collect();
                return Ok(Self { fields, general: None, status, wait });
            }
            AppError::Unauthenticated(AuthenticationError::WrongPassword, _) => {
                "The email address or password is wrong. Check both and try again.".to_owned()
            }
            AppError::Unauthenticated(error @ AuthenticationError::SignInSuspended, _) => sentence(&error.to_string()),
            AppError::Conflict(_) | AppError::QuotaExceeded(..) => error.to_problem().detail,
            AppError::RateLimited(seconds) => {
                wait = Some(*seconds);
                format!("Too many attempts. Wait {seconds} seconds, then try again.")
            }
            _ => return Err(error.into()),
        };
        Ok(Self { fields: Vec::new(), general: Some(general), status, wait })
    }

    /// Moves the error of the operation's field `from` to the form's field `to`.
    pub(super) fn at_field(mut self, from: &str, to: &str) -> Self {
        for (field, _) in self.fields.iter_mut().filter(|(field, _)| field == from) {
            to.clone_into(field);
        }
        self
    }

    /// Moves the general error to a field.
    pub(super) fn all_at_field(mut self, field: &str) -> Self {
        self.fields.extend(self.general.take().map(|detail| (field.to_owned(), detail)));
        self
    }

    /// Creates the error for one field.
    pub(super) fn at(field: &str, sentence: &str) -> Self {
        Self { fields: vec![(field.to_owned(), sentence.to_owned())], general: None, status: 400, wait: None }
    }

    /// Creates a general error.
    pub(super) fn say(status: u16, sentence: &str) -> Self {
        Self { fields: Vec::new(), general: Some(sentence.to_owned()), status, wait: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.general.is_none()
    }

    /// Returns the error of this field.
    pub(super) fn of_field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, detail)| detail.as_str())
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.next().map_or_else(String::new, |first| first.to_uppercase().collect());
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{start}{}{end}", chars.as_str())
}

/// Why a page is not shown.
pub(super) enum PageError {
    /// The user is not signed in.
    SignInFirst,
    /// The password for the confirmation is wrong.
    WrongConfirmation(AppError),
    /// The page does not exist.
    NoSuchPage,
    /// The workspace does not exist, or the user is not a member of it.
    NoSuchWorkspace,
    /// The form is from this server, and was opened before the user signed in again. Nothing was changed.
    StaleForm(Fields),
    /// The operation was refused.
    App(AppError),
}

impl From<ChangeError> for PageError {
    fn from(error: ChangeError) -> Self {
        Self::App(error.error)
    }
}

impl From<AppError> for PageError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// An error for [`failure`], which knows the request. Extensions of responses must implement `Clone`.
#[derive(Clone)]
pub(super) struct Failed(Arc<Mutex<Option<PageError>>>);

impl Failed {
    pub(super) fn take(self) -> Option<PageError> {
        self.0.lock().ok().and_then(|mut error| error.take())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::App(error) => error.to_problem().status,
            Self::NoSuchPage | Self::NoSuchWorkspace => 404,
            Self::SignInFirst | Self::WrongConfirmation(_) | Self::StaleForm(_) => 500,
        };
        let mut response = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(Failed(Arc::new(Mutex::new(Some(self)))));
        response
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Failure {
    shell: Shell,
    status: u16,
    detail: String,
    /// The request id for the operator, if the server failed.
    request_id: Option<String>,
}

impl Failure {
    fn new(shell: Shell, status: u16, detail: String, request_id: Option<&str>) -> Self {
        let request_id = request_id.filter(|_| status >= 500).map(str::to_owned);
        Self { shell, status, detail, request_id }
    }
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm {
    shell: Shell,
    errors: FormErrors,
    action: String,
    back: String,
    fields: Fields,
    /// The names of the fields that must be entered again, because they are not sent back.
    secrets: Vec<String>,
}

/// Returns whether the value of a field is never sent back to the browser.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "token", "code"].iter().any(|word| name.contains(word))
}

#[derive(Template)]
#[template(path = "stale_form.html")]
struct StaleForm {
    shell: Shell,
    action: String,
    back: String,
    fields: Fields,
}

/// Returns a form that was opened before the user signed in again, to be submitted again. Passwords are not sent back.
fn stale_form(context: &PageContext, target: &str, fields: Fields) -> Response {
    let mut fields: Fields = fields.into_iter().filter(|(name, _)| name != "csrf").collect();
    // Without its secret fields, the form would have another meaning.
    if fields.iter().any(|(name, _)| is_secret(name)) {
        fields.clear();
    }
    let back = came_from(context).unwrap_or("/").to_owned();
    let shell = failure_shell(context, "Submit the form again".to_owned());
    render(StatusCode::FORBIDDEN, &StaleForm { shell, action: target.to_owned(), back, fields })
}

/// Returns the page of the submitted form, if it is a page of this server according to the browser.
pub(super) fn came_from(context: &PageContext) -> Option<&str> {
    context.came_from.as_deref().map(safe_next)
}

/// Returns the layout of an error page. It keeps the workspace of the request.
fn failure_shell(context: &PageContext, title: String) -> Shell {
    let shell = Shell::new(Some(context), title, "");
    let slug = context.target.strip_prefix("/w/").and_then(|path| path.split(['/', '?']).next());
    match shell.places.iter().find(|place| Some(place.slug.as_str()) == slug).cloned() {
        Some(place) => Shell { section: "failure", place: Some(place), ..shell },
        None => shell,
    }
}

/// Returns the page or, for a script, the response for an error.
pub(super) fn failure(app: &App, error: PageError, context: &PageContext, fields: Option<Fields>) -> Response {
    let wants_json = context.wants_json;
    let target = context.target.as_str();
    let (error, needs_password) = match error {
        PageError::NoSuchPage => {
            let detail = "This page does not exist. Check the URL, or go to the start page.".to_owned();
            let shell = failure_shell(context, AppError::not_found().to_problem().title);
            return render(StatusCode::NOT_FOUND, &Failure::new(shell, 404, detail, None));
        }
        // The page says the same in both cases, so that it does not reveal whether the workspace exists.
        PageError::NoSuchWorkspace if !wants_json => {
            let detail = "You are not a member of a workspace with this address. If you were, an admin has removed you \
                          or the workspace was deleted. To join it again, ask one of its admins for an invitation.";
            let shell = failure_shell(context, "You are not a member of this workspace".to_owned());
            let id = context.request_id.as_deref();
            return render(StatusCode::NOT_FOUND, &Failure::new(shell, 404, detail.to_owned(), id));
        }
        PageError::NoSuchWorkspace => (AppError::not_found(), false),
        PageError::StaleForm(fields) if !wants_json => return stale_form(context, target, fields),
        PageError::StaleForm(_) => (AppError::CrossSite, false),
        PageError::SignInFirst if wants_json => {
            (AppError::Unauthenticated(AuthenticationError::SessionEnded, app.now()), false)
        }
        PageError::SignInFirst => return sign_in_first(context, fields.is_some()),
        PageError::WrongConfirmation(error) => (error, true),
        PageError::App(AppError::Unauthenticated(AuthenticationError::SessionEnded, _)) if !wants_json => {
            return sign_in_first(context, fields.is_some());
        }
        PageError::App(error) => {
            let needed = matches!(error, AppError::Denied(Denied::PasswordNeeded));
            (error, needed)
        }
    };
    if wants_json {
        return error.into_response();
    }
    if let (true, Some(fields)) = (needs_password, fields) {
        let shell = Shell::new(Some(context), "Confirm your password", "");
        let is_first = matches!(error, AppError::Denied(_));
        let status = if is_first { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let errors = if is_first { FormErrors::default() } else { FormErrors::of(error).unwrap_or_default() };
        let fields = fields.into_iter().filter(|(name, _)| name != "csrf" && name != "confirm_password");
        let (secrets, fields): (Fields, Fields) = fields.partition(|(name, _)| is_secret(name));
        let secrets = secrets.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect();
        let back = came_from(context).unwrap_or("/").to_owned();
        return render(status, &Confirm { shell, errors, action: target.to_owned(), back, fields, secrets });
    }
    let problem = error.to_problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let detail = match &error {
        AppError::Denied(Denied::Role(role)) => {
            format!("You must be {} to do this. Ask one for help.", role.with_article())
        }
        _ => problem.detail,
    };
    let bare = error.into_response();
    let shell = failure_shell(context, problem.title);
    let page = Failure::new(shell, problem.status, detail, context.request_id.as_deref());
    let mut response = render(status, &page);
    if let Some(wait) = bare.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, wait.clone());
    }
    response
}

/// Replaces a response with a problem in JSON by a page. Its headers are kept.
pub(super) fn replace_by_page(response: Response, problem: &Problem, request_id: Option<&str>) -> Response {
    let shell = Shell::new(None, problem.title.clone(), "");
    let page = Failure::new(shell, problem.status, problem.detail.clone(), request_id);
    let Ok(html) = page.render() else { return response };
    let mut response = response.map(|_| Body::from(html));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    set_page_headers(&mut response);
    response
}

fn sign_in_first(context: &PageContext, was_form: bool) -> Response {
    // The change of a form is not made after signing in. The user returns to the form and submits it again.
    let (next, notice) = if was_form {
        (
            came_from(context).unwrap_or("/"),
            Some(Notice::say("Your session has ended, and nothing was changed. Sign in to continue.").caution()),
        )
    } else {
        (context.target.as_str(), None)
    };
    let next = if next == "/" { "" } else { next };
    let response = go_to(&format!("/sign-in{}", query(&[("next", next)])));
    match notice {
        Some(notice) => notice.show_after(response),
        None => response,
    }
}

/// Renders a page.
pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => AppError::Internal(format!("a page: {error}")).into_response(),
    }
}

/// Answers a form: redirects to the page in `next`, which shows `notice`, or shows the form again with its errors,
/// which `again` renders.
pub(super) async fn answer<T, P: Template>(
    done: Result<Confirmed<T>, ChangeError>,
    next: impl FnOnce(&T) -> String,
    notice: impl FnOnce(&T) -> Notice,
    again: impl AsyncFnOnce(FormErrors) -> Result<P, PageError>,
) -> Result<Response, PageError> {
    match done {
        Ok(done) => Ok(redirect_after(&done, &next(&done), notice(&done))),
        Err(error) => {
            let errors = FormErrors::of(error)?;
            let (status, wait) = (errors.status, errors.wait);
            Ok(come_back(status, wait, &again(errors).await?))
        }
    }
}

/// Shows a form again with its errors, which `page` renders.
pub(super) fn again<P: Template>(errors: FormErrors, page: impl FnOnce(FormErrors) -> P) -> Response {
    let (status, wait) = (errors.status, errors.wait);
    come_back(status, wait, &page(errors))
}

fn come_back(status: u16, wait: Option<u64>, page: &impl Template) -> Response {
    let mut response = render(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), page);
    if let Some(wait) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, wait.into());
    }
    response
}

/// Returns a query with the fields that are not empty, to append to a path.
pub(super) fn query(fields: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        query.push_str(&percent_encode(value, b"/"));
    }
    query
}

/// Redirects to another page.
pub(super) fn go_to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// Redirects to a page that shows what was changed, and how many nodes have confirmed it.
pub(super) fn redirect_after<T>(done: &Confirmed<T>, path: &str, notice: Notice) -> Response {
    let mut response = notice.show_after(go_to(path));
    response.extensions_mut().insert(done.confirmation());
    response
}

/// A time on a page: a relative text, and the exact time as a tooltip.
pub(super) struct When {
    /// RFC 3339, for machines.
    pub(super) machine: String,
    /// To the minute, in UTC.
    pub(super) exact: String,
    /// Such as `3 days ago`.
    pub(super) relative: String,
    /// Relative up to a week, then the day.
    pub(super) short: String,
}

impl When {
    pub(super) fn new(time: Timestamp, now: Timestamp) -> Self {
        let seconds = time.as_second() - now.as_second();
        let distance = seconds.unsigned_abs();
        // Seven days from now are still shown as seven a second later.
        let whole = |unit: u64| if seconds < 0 { distance / unit } else { (distance + unit / 2) / unit };
        let (count, unit) = match distance {
            0..60 => (0, ""),
            60..3600 => (whole(60), "minute"),
            3600..86400 => (whole(3600), "hour"),
            86400..5_184_000 => (whole(86400), "day"),
            5_184_000..63_072_000 => (whole(2_592_000), "month"),
            _ => (whole(31_536_000), "year"),
        };
        let plural = if count == 1 { "" } else { "s" };
        let relative = match (count, seconds < 0) {
            (0, true) => "just now".to_owned(),
            (0, false) => if seconds == 0 { "just now" } else { "in a moment" }.to_owned(),
            (_, true) => format!("{count} {unit}{plural} ago"),
            (_, false) => format!("in {count} {unit}{plural}"),
        };
        let short = if distance > 7 * 86_400 { time.strftime("%-d %b %Y").to_string() } else { relative.clone() };
        Self {
            machine: format!("{time:.0}"),
            exact: time.strftime("%-d %b %Y, %H:%M UTC").to_string(),
            relative,
            short,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_relative_text() {
        let now = Timestamp::from_second(1_767_323_045).unwrap();
        let told = |seconds: i64| When::new(Timestamp::from_second(1_767_323_045 + seconds).unwrap(), now).relative;
        for (seconds, words) in [
            (0, "just now"),
            (-59, "just now"),
            (-60, "1 minute ago"),
            (-7199, "1 hour ago"),
            (-86_400 * 3, "3 days ago"),
            (86_400 * 90, "in 3 months"),
            (86_400 * 7 - 1, "in 7 days"),
            (3_599, "in 60 minutes"),
            (-86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(told(seconds), words);
        }
        let day = |days: i64| When::new(Timestamp::from_second(now.as_second() - days * 86_400).unwrap(), now).short;
        assert_eq!([day(7), day(8)], ["7 days ago", "25 Dec 2025"]);
        assert_eq!(When::new(now, now).exact, "2 Jan 2026, 03:04 UTC");
    }
}
