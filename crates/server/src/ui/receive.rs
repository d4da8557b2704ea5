//! The middleware of every page: limits, the session of the cookie, the check that a form comes from a page of this
//! installation, and the headers against other sites and foreign scripts. No page can omit it.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
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
    page::{self, PageError},
    page_context::{PageContext, set_page_headers},
    theme::Theme,
};
use crate::{
    App, AppError,
    app::{Browser, SignedIn},
    http::{
        Cookie, LoggedPrincipal, LoggedRoute, MAX_UNAUTHENTICATED_BODY, client_address, discard, find_own_referer,
        held_slot, is_same_origin, read_body,
    },
    request_log::RequestId,
};

/// How long a browser keeps the cookie that identifies it: 400 days, the maximum in browsers.
const DEVICE_SECONDS: i64 = 400 * 86_400;
/// How many bytes of a form are searched for private keys: several of the largest keys. The search takes less than a
/// millisecond.
const MAX_SEARCHED: usize = 32 * 1024;
/// The field of a public key. Its page reports a private key itself.
const PUBLIC_KEY: &str = "public_key";

/// Receives a request to a page, and sends the page.
pub(super) async fn receive(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = LoggedRoute::of(&request);
    let session = Cookie::Session.find(&app, request.headers()).unwrap_or_default();
    let (mut response, who, is_shown) = match admit(&app, request).await {
        Ok(admitted) => {
            let (who, is_shown) = (admitted.context.principal(), admitted.context.notice.is_some());
            (Box::pin(answer(&app, admitted, next)).await, who, is_shown)
        }
        Err((error, context)) => {
            (page::failure(&app, error, &context, None), context.principal(), context.notice.is_some())
        }
    };
    if is_shown {
        Cookie::Notice.remove(&app, &mut response);
    }
    let session = Cookie::Session.find_new(&app, &response).unwrap_or(session);
    match notice::take(&app, &mut response, &session, app.now()) {
        Ok(Some(value)) => Cookie::Notice.set(&app, &mut response, &value, Some(notice::LIFETIME_SECONDS)),
        Ok(None) => {}
        Err(error) => response = error.into_response(),
    }
    if let Some(who) = who {
        response.extensions_mut().insert(LoggedPrincipal(who));
    }
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    set_page_headers(&mut response);
    response
}

struct Admitted {
    request: Request,
    context: PageContext,
    fields: Option<Arc<Fields>>,
}

/// Returns the context of a request from its headers and URL.
fn read_context(app: &App, parts: &Parts, ip_address: Option<IpAddr>) -> PageContext {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    PageContext {
        session: None,
        browser: Browser { ip_address, user_agent: text(header::USER_AGENT).to_owned() },
        device: Cookie::Device.find(app, &parts.headers),
        notice: Cookie::Notice.find(app, &parts.headers).and_then(|shown| {
            let session = Cookie::Session.find(app, &parts.headers).unwrap_or_default();
            notice::read(app, &shown, &session, target, app.now())
        }),
        theme: Theme::find(app, &parts.headers),
        target: target.to_owned(),
        came_from: find_own_referer(app, &parts.headers),
        wants_json: text(header::ACCEPT).starts_with("application/json"),
        request_id: parts.extensions.get::<RequestId>().map(ToString::to_string),
        now: app.now(),
    }
}

async fn admit(app: &App, request: Request) -> Result<Admitted, (PageError, PageContext)> {
    let ip_address = client_address(app.settings(), &request).nearest;
    let is_form = !is_safe_method(request.method().as_str());
    let (mut parts, body) = request.into_parts();
    let mut context = read_context(app, &parts, ip_address);
    // Pages show the search text and the target of the sign-in again.
    if let Ok(axum::extract::Query(mut asked)) = axum::extract::Query::<Fields>::try_from_uri(&parts.uri)
        && let Some(field) = take_private_keys(&mut asked)
    {
        parts.uri.path().clone_into(&mut context.target);
        return Err((private_key_in(&field).into(), context));
    }
    if let Err(error) = app.verifier().limit_ip_address(ip_address) {
        return Err((AppError::from(error).into(), context));
    }
    // A form from another site is refused before its body is received.
    if is_form && !is_same_origin(app, &parts.headers, true) {
        discard(&parts, body).await;
        return Err((AppError::CrossSite.into(), context));
    }
    let mut fields = None;
    let mut misplaced = None;
    if is_form {
        let sent = read_body(&parts, body, MAX_UNAUTHENTICATED_BODY).await;
        match sent.and_then(|sent| form::parse(&parts.headers, &sent)) {
            Ok(mut sent) => {
                // The copy for showing the form again contains no private key. The handler gets the submitted fields.
                parts.extensions.insert(Arc::new(sent.clone()));
                misplaced = take_private_keys(&mut sent);
                fields = Some(Arc::new(sent));
            }
            Err(error) => return Err((error.into(), context)),
        }
    }
    if let Some(token) = Cookie::Session.find(app, &parts.headers) {
        context.session = match app.verify_session(&token, ip_address).await {
            Ok(session) => session,
            Err(error) => return Err((error.into(), context)),
        };
        // A change keeps its slot until it ends, even if its client disconnects.
        if let (Some(session), Some(slot)) = (&mut context.session, held_slot(&parts.extensions)) {
            session.caller = session.caller.clone().holding(slot);
        }
    }
    // Signing in needs a password, and the origin of the form was checked, so no CSRF token of an earlier session is
    // needed.
    if let (Some(fields), Some(session)) =
        (&fields, context.session.as_ref().filter(|_| parts.uri.path() != "/sign-in"))
    {
        let shown = fields.iter().find(|(name, _)| name == "csrf").map_or("", |(_, value)| value);
        if !bool::from(shown.as_bytes().ct_eq(session.csrf.as_bytes())) {
            return Err((PageError::StaleForm(Fields::clone(fields)), context));
        }
    }
    if let Some(field) = misplaced {
        return Err((private_key_in(&field).into(), context));
    }
    parts.extensions.insert(context.clone());
    Ok(Admitted { request: Request::from_parts(parts, Body::empty()), context, fields })
}

/// Empties the fields with private keys, and returns the name of the first one other than [`PUBLIC_KEY`]. Fields that
/// are too long to be searched are emptied, too.
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
    let detail = "this is a private key and was not stored; never share it, and generate a new key if other people \
                  saw this page";
    AppError::field(field, "private_key_pasted", detail)
}

async fn answer(app: &Arc<App>, admitted: Admitted, next: Next) -> Response {
    let Admitted { mut request, mut context, fields } = admitted;
    // A form that needed the password is submitted again with it.
    let password = fields
        .iter()
        .flat_map(|fields| fields.iter())
        .find(|(name, value)| name == "confirm_password" && !value.is_empty());
    let mut renewed = None;
    if let (Some((_, password)), Some(session)) = (password, &context.session) {
        let confirmed = app.confirm_password(&session.caller, password.clone()).await;
        let again = match confirmed.map_err(AppError::from) {
            Ok(token) => {
                let again = app.verify_session(&token, context.browser.ip_address).await;
                renewed = Some(token.into_inner());
                again
            }
            Err(error @ (AppError::Invalid(_) | AppError::RateLimited(_))) => {
                return page::failure(app, PageError::WrongConfirmation(error), &context, fields.as_deref().cloned());
            }
            Err(error) => return page::failure(app, error.into(), &context, None),
        };
        match again {
            Ok(session) => context.session = session,
            Err(error) => return page::failure(app, error.into(), &context, None),
        }
        request.extensions_mut().insert(context.clone());
    }
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<page::Failed>().and_then(page::Failed::take) {
        response = page::failure(app, error, &context, fields.as_deref().cloned());
    }
    if let Some(token) = renewed {
        Cookie::Session.set(app, &mut response, &token, None);
    }
    response
}

/// Starts the session of a user who has just signed in, and redirects to `next`. A previous session of the browser
/// ends, because its cookie is replaced.
pub(super) async fn welcome(
    app: &Arc<App>,
    context: &PageContext,
    signed_in: &SignedIn,
    next: &str,
) -> Result<Response, AppError> {
    if let Some(before) = &context.session {
        app.end_session(&before.caller, None).await?;
    }
    let mut response = Redirect::to(next).into_response();
    *response.status_mut() = StatusCode::SEE_OTHER;
    Cookie::Session.set(app, &mut response, &signed_in.token, None);
    Cookie::Device.set(app, &mut response, &signed_in.device, Some(DEVICE_SECONDS));
    Ok(response)
}
