//! What every request to a page passes: limits, the session behind its cookie, the proof that a form is one of ours,
//! and the headers that keep other sites and strange scripts out. A page cannot forget any of it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams, Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use domain::secret::is_private_key;
use http::{StatusCode, header, request::Parts};
use http_signature::is_safe_method;
use subtle::ConstantTimeEq as _;

use super::{
    form::{self, Fields},
    notice,
    page::{self, PageError, Place, Shell},
    visitor::{Visitor, set_page_headers},
};
use crate::{
    App, AppError,
    app::{Browser, Caller, SignedIn},
    cluster::Confirmation,
    http::{
        Cookie, LoggedPrincipal, MAX_UNAUTHENTICATED_BODY, client_address, discard, find_own_referer, held_slot,
        is_same_origin, read_body,
    },
};

/// For how long a browser keeps the cookie that names it: 400 days, the most that browsers allow.
const DEVICE_SECONDS: i64 = 400 * 86_400;
/// Bytes of a form that are searched for private keys, which takes less than a millisecond: several of the largest keys.
const MAX_SEARCHED: usize = 32 * 1024;
/// The field of a public key, whose page says itself what is wrong with a private one.
const PUBLIC_KEY: &str = "public_key";

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| AppError::Internal("a page that nobody guards".to_owned()).into())
    }
}

/// Somebody who is signed in; anybody else is sent to sign in.
pub(super) struct SignedInVisitor {
    pub(super) caller: Caller,
    pub(super) visitor: Visitor,
}

impl<S: Sync> FromRequestParts<S> for SignedInVisitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let visitor = Visitor::from_request_parts(parts, state).await?;
        match &visitor.visit {
            Some(visit) => Ok(Self { caller: visit.caller.clone(), visitor }),
            None => Err(PageError::SignInFirst),
        }
    }
}

/// A member of the workspace whose slug is in the path; for anybody else there is no such page.
pub(super) struct InWorkspace {
    pub(super) caller: Caller,
    pub(super) visitor: Visitor,
    pub(super) place: Place,
}

impl InWorkspace {
    pub(super) fn shell(&self, title: impl Into<String>, section: &'static str) -> Shell {
        Shell::new(Some(&self.visitor), title, section).in_place(&self.place)
    }

    /// A page of this workspace.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.place.path())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InWorkspace {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let SignedInVisitor { caller, visitor } = SignedInVisitor::from_request_parts(parts, state).await?;
        let slug = Ids::from_request_parts(parts, state).await?.text("slug").to_owned();
        let mut places = Shell::new(Some(&visitor), "", "").places;
        let place = places.iter().position(|place| place.slug == slug).map(|at| places.swap_remove(at));
        Ok(Self { caller, visitor, place: place.ok_or(AppError::not_found())? })
    }
}

/// The ids in a path. One that cannot be leads to no page.
pub(super) struct Ids(Vec<(String, String)>);

impl Ids {
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    pub(super) fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<T, PageError> {
        self.text(name).parse().map_err(|_| AppError::not_found().into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|error| AppError::BadRequest(error.to_string()))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

/// The fields of a form, checked to come from a page of ours before the handler runs.
pub(super) struct Form<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned, S: Sync> axum::extract::FromRequestParts<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        form::deserialize(sent(parts)?).map(Self).map_err(PageError::from)
    }
}

/// All fields of a form, where one may stand many times.
pub(super) struct AllFields(pub(super) Arc<Fields>);

impl<S: Sync> FromRequestParts<S> for AllFields {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        sent(parts).map(|fields| Self(Arc::clone(fields)))
    }
}

fn sent(parts: &Parts) -> Result<&Arc<Fields>, PageError> {
    let sent = parts.extensions.get::<Arc<Fields>>();
    sent.ok_or_else(|| AppError::Internal("a form that nobody received".to_owned()).into())
}

/// Receives a request to a page, and sends the page.
pub(super) async fn receive(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let session = Cookie::Session.find(&app, request.headers()).unwrap_or_default();
    let (mut response, who, is_shown) = match admit(&app, request).await {
        Ok(admitted) => {
            let (who, is_shown) = (admitted.visitor.principal(), admitted.visitor.notice.is_some());
            (Box::pin(answer(&app, admitted, next)).await, who, is_shown)
        }
        Err((error, visitor)) => {
            let who = visitor.as_ref().and_then(Visitor::principal);
            (page::failure(&app, error, visitor.as_ref(), None), who, false)
        }
    };
    if is_shown {
        Cookie::Notice.remove(&app, &mut response);
    }
    let session = Cookie::Session.find_new(&app, &response).unwrap_or(session);
    let confirmation = response.extensions_mut().remove::<Confirmation>();
    match notice::take(&app, &mut response, &session, confirmation, app.now()) {
        Ok(Some(value)) => Cookie::Notice.set(&app, &mut response, &value, Some(notice::LIFETIME_SECONDS)),
        Ok(None) => {}
        Err(error) => response = error.into_response(),
    }
    if let Some(who) = who {
        response.extensions_mut().insert(LoggedPrincipal(who));
    }
    set_page_headers(&mut response);
    response
}

struct Admitted {
    request: Request,
    visitor: Visitor,
    fields: Option<Arc<Fields>>,
}

async fn admit(app: &App, request: Request) -> Result<Admitted, (PageError, Option<Visitor>)> {
    let alone = |error: AppError| (PageError::from(error), None);
    let address = client_address(app.settings(), &request);
    // Pages show again what was looked for, and where to go on after signing in.
    if let Ok(axum::extract::Query(mut asked)) = axum::extract::Query::<Fields>::try_from_uri(request.uri())
        && let Some(field) = take_private_keys(&mut asked)
    {
        return Err(alone(private_key_in(&field)));
    }
    app.verifier().limit_address(address).map_err(|error| alone(error.into()))?;
    let is_form = !is_safe_method(request.method().as_str());
    let (mut parts, body) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut visitor = Visitor {
        visit: None,
        browser: Browser { address, user_agent: text(header::USER_AGENT).to_owned() },
        device: Cookie::Device.find(app, &parts.headers),
        notice: Cookie::Notice.find(app, &parts.headers).and_then(|shown| {
            let session = Cookie::Session.find(app, &parts.headers).unwrap_or_default();
            notice::read(app, &shown, &session, target, app.now())
        }),
        target: target.to_owned(),
        came_from: find_own_referer(app, &parts.headers),
        wants_json: text(header::ACCEPT).starts_with("application/json"),
        now: app.now(),
    };
    // A form from another site is refused before its body is kept and before anything is looked up.
    if is_form && !is_same_origin(app, &parts.headers, true) {
        discard(&parts, body).await;
        return Err((AppError::CrossSite.into(), Some(visitor)));
    }
    let mut fields = None;
    let mut misplaced = None;
    if is_form {
        let sent = read_body(&parts, body, MAX_UNAUTHENTICATED_BODY).await;
        match sent.and_then(|sent| form::parse(&parts.headers, &sent)) {
            Ok(mut sent) => {
                // What a page may show again holds no private key; the handler sees what was sent.
                parts.extensions.insert(Arc::new(sent.clone()));
                misplaced = take_private_keys(&mut sent);
                fields = Some(Arc::new(sent));
            }
            Err(error) => return Err((error.into(), Some(visitor))),
        }
    }
    if let Some(token) = Cookie::Session.find(app, &parts.headers) {
        visitor.visit = app.verify_session(&token, address).await.map_err(alone)?;
        // A change whose client hangs up keeps its slot to the end.
        if let (Some(visit), Some(slot)) = (&mut visitor.visit, held_slot(&parts.extensions)) {
            visit.caller = visit.caller.clone().holding(slot);
        }
    }
    // Whoever signs in shows a password, and was on a page of ours: a session they have besides is another matter.
    if let (Some(fields), Some(visit)) = (&fields, visitor.visit.as_ref().filter(|_| parts.uri.path() != "/sign-in")) {
        let shown = fields.iter().find(|(name, _)| name == "csrf").map_or("", |(_, value)| value);
        if !bool::from(shown.as_bytes().ct_eq(visit.csrf.as_bytes())) {
            return Err((PageError::StaleForm(Fields::clone(fields)), Some(visitor)));
        }
    }
    if let Some(field) = misplaced {
        return Err((private_key_in(&field).into(), Some(visitor)));
    }
    parts.extensions.insert(visitor.clone());
    Ok(Admitted { request: Request::from_parts(parts, Body::empty()), visitor, fields })
}

/// Empties the fields that hold private keys, and names the first one other than [`PUBLIC_KEY`]. What is too long to be
/// searched is emptied, too.
fn take_private_keys(fields: &mut Fields) -> Option<String> {
    let mut misplaced = None;
    let mut searched = 0;
    for (name, value) in fields {
        searched += name.len() + value.len();
        if searched > MAX_SEARCHED {
            value.clear();
        } else if is_private_key(name) {
            name.clear();
            misplaced.get_or_insert_with(|| "form".to_owned());
        } else if is_private_key(value) {
            value.clear();
            if name != PUBLIC_KEY {
                misplaced.get_or_insert_with(|| name.clone());
            }
        }
    }
    misplaced
}

fn private_key_in(field: &str) -> AppError {
    let detail = "this is a private key, which belongs to nobody but you and was not stored; if this page was seen by others, \
                  make a new key";
    AppError::field(field, "private_key_pasted", detail)
}

async fn answer(app: &Arc<App>, admitted: Admitted, next: Next) -> Response {
    let Admitted { mut request, mut visitor, fields } = admitted;
    // A form that needed the password comes again with it.
    let password = fields
        .iter()
        .flat_map(|fields| fields.iter())
        .find(|(name, value)| name == "confirm_password" && !value.is_empty());
    let mut renewed = None;
    if let (Some((_, password)), Some(visit)) = (password, &visitor.visit) {
        let confirmed = app.confirm_password(&visit.caller, password.clone()).await;
        let again = match confirmed.map_err(AppError::from) {
            Ok(token) => {
                let again = app.verify_session(&token, visitor.browser.address).await;
                renewed = Some(token.into_inner());
                again
            }
            Err(error @ (AppError::Invalid(_) | AppError::RateLimited(_))) => {
                return page::failure(
                    app,
                    PageError::WrongConfirmation(error),
                    Some(&visitor),
                    fields.as_deref().cloned(),
                );
            }
            Err(error) => return page::failure(app, error.into(), Some(&visitor), None),
        };
        match again {
            Ok(visit) => visitor.visit = visit,
            Err(error) => return page::failure(app, error.into(), Some(&visitor), None),
        }
        request.extensions_mut().insert(visitor.clone());
    }
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<page::Failed>().and_then(page::Failed::take) {
        response = page::failure(app, error, Some(&visitor), fields.as_deref().cloned());
    }
    if let Some(token) = renewed {
        Cookie::Session.set(app, &mut response, &token, None);
    }
    response
}

/// Sends somebody who has just signed in on their way. The session they came with, if any, ends: a cookie that was
/// there before is not one to go on with.
pub(super) async fn welcome(
    app: &Arc<App>,
    visitor: &Visitor,
    signed_in: &SignedIn,
    next: &str,
) -> Result<Response, AppError> {
    if let Some(before) = &visitor.visit {
        app.end_session(&before.caller, None).await?;
    }
    let mut response = Redirect::to(next).into_response();
    *response.status_mut() = StatusCode::SEE_OTHER;
    Cookie::Session.set(app, &mut response, &signed_in.token, None);
    Cookie::Device.set(app, &mut response, &signed_in.device, Some(DEVICE_SECONDS));
    Ok(response)
}
