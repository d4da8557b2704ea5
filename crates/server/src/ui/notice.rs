//! What a page says was done just now. It is shown once, on the page that the form leads to, in the session that sent the form:
//! no link that somebody else made can bring one along. A handler names it in the address that it leads to (`?done=saved`),
//! which the browser never sees: here it becomes a cookie that this installation signed.

use axum::response::Response;
use domain::Timestamp;
use http::{HeaderValue, header};
use subtle::ConstantTimeEq as _;

use crate::{App, AppError, cluster::Confirmation};

/// For how many seconds a notice waits for its page.
pub(super) const LIFETIME_SECONDS: i64 = 60;

macro_rules! notices {
    ($($notice:ident: $code:literal => $sentence:literal,)*) => {
        /// One of our sentences.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Notice { $($notice,)* }

        impl Notice {
            fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$notice),)* _ => None }
            }

            const fn code(self) -> &'static str {
                match self { $(Self::$notice => $code,)* }
            }

            const fn sentence(self) -> &'static str {
                match self { $(Self::$notice => $sentence,)* }
            }
        }
    };
}

notices! {
    Created: "created" => "Created.",
    Saved: "saved" => "Saved.",
    Deleted: "deleted" => "Deleted.",
    Removed: "removed" => "Removed.",
    Left: "left" => "You have left.",
    Role: "role" => "The role is applied.",
    Disabled: "disabled" => "Disabled. Everything that it signs is refused from now on.",
    Enabled: "enabled" => "Enabled.",
    Revoked: "revoked" => "Revoked. Everything that it signs is refused from now on.",
    Joined: "joined" => "Welcome. You have joined the workspace.",
    Password: "password" => "Your password is changed. All your other sessions have ended.",
    PasswordSet: "password-set" => "The password is set, and all their sessions have ended. Tell it to them.",
    Ended: "ended" => "The session has ended.",
    EndedOthers: "ended-others" => "All your other sessions have ended.",
    SessionEnded: "session-ended" => "Your session has ended, and nothing was changed. Sign in to go on.",
    SignedOut: "signed-out" => "You are signed out.",
    Quotas: "quotas" => "The quotas are set.",
    Confirmed: "confirmed" => "The keys work again. What was signed before now stays refused.",
}

/// What is signed of a notice: for which session and which page, when, and what it says.
struct Content<'a> {
    /// The token of the session; empty where there is none.
    session: &'a str,
    path: &'a str,
    /// Seconds since 1970.
    at: i64,
    notice: Notice,
    nodes: u64,
    expired: u64,
}

impl Content<'_> {
    fn sign(&self, app: &App) -> Result<String, AppError> {
        let (at, nodes, expired) = (self.at.to_string(), self.nodes.to_string(), self.expired.to_string());
        app.sign_notice(&[self.session, self.path, &at, self.notice.code(), &nodes, &expired])
    }

    fn sentence(&self) -> String {
        let done = self.notice.sentence();
        match (self.nodes, self.expired) {
            // A single node has nobody to tell.
            (0 | 1, 0) => done.to_owned(),
            (nodes, 0) => format!("{done} All {nodes} nodes have confirmed it."),
            (nodes, gone) => format!(
                "{done} Nodes that have confirmed it: {nodes}. Nodes that did not answer: {gone}; their leases are over, so that \
                 they accept nothing."
            ),
        }
    }
}

/// Takes the notice out of the address that a response leads to, and gives the value of the cookie that shows it there, in the
/// session of that token.
pub(super) fn take(
    app: &App,
    response: &mut Response,
    session: &str,
    confirmation: Option<Confirmation>,
    now: Timestamp,
) -> Result<Option<String>, AppError> {
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let Some((path, query)) = location.and_then(|location| location.split_once('?')) else { return Ok(None) };
    let Some(notice) = query.split('&').find_map(|pair| Notice::parse(pair.strip_prefix("done=")?)) else {
        return Ok(None);
    };
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("done=")).collect();
    let path = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let (nodes, expired) = confirmation.map_or((0, 0), |confirmation| (confirmation.nodes, confirmation.expired));
    let content = Content { session, path: &path, at: now.as_second(), notice, nodes, expired };
    let value = format!("{}.{}.{}.{}.{}", content.at, notice.code(), nodes, expired, content.sign(app)?);
    let location = HeaderValue::from_str(&path).map_err(|error| AppError::Internal(format!("a location: {error}")))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(Some(value))
}

/// What the cookie says, where it is for this page and this session.
pub(super) fn read(app: &App, cookie: &str, session: &str, path: &str, now: Timestamp) -> Option<String> {
    let mut parts = cookie.splitn(5, '.');
    let at: i64 = parts.next()?.parse().ok()?;
    let notice = Notice::parse(parts.next()?)?;
    let (nodes, expired) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let content = Content { session, path, at, notice, nodes, expired };
    let is_fresh = (0..=LIFETIME_SECONDS).contains(&(now.as_second() - at));
    let is_ours: bool = parts.next()?.as_bytes().ct_eq(content.sign(app).ok()?.as_bytes()).into();
    (is_fresh && is_ours).then(|| content.sentence())
}
