//! Notices: messages about the change that was just made. A notice is shown once, on the page after a form, in the
//! session that sent the form. A handler attaches it to its response, and the middleware of pages sends it as a cookie
//! that is signed by this installation, so that a link cannot contain one.

use axum::response::Response;
use domain::Timestamp;
use http::header;
use subtle::ConstantTimeEq as _;

use crate::{App, AppError, cluster::Confirmation};

/// How many seconds a notice is valid.
pub(super) const LIFETIME_SECONDS: i64 = 60;

macro_rules! notices {
    ($($notice:ident: $code:literal => $sentence:literal,)*) => {
        /// A notice.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Notice { $($notice,)* }

        impl Notice {
            /// Returns the notice with a code from a cookie.
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
    Disabled: "disabled" => "Disabled. Requests that it signs are refused from now on.",
    Enabled: "enabled" => "Enabled.",
    Revoked: "revoked" => "Revoked. Requests that it signs are refused from now on.",
    Joined: "joined" => "Welcome. You have joined the workspace.",
    Password: "password" => "Your password is changed. All your other sessions have ended.",
    PasswordSet: "password-set" => "The password is set, and all sessions of the user have ended. Give the password \
                                    to the user.",
    Ended: "ended" => "The session has ended.",
    EndedOthers: "ended-others" => "All your other sessions have ended.",
    SessionEnded: "session-ended" => "Your session has ended, and nothing was changed. Sign in to continue.",
    SignedOut: "signed-out" => "You are signed out.",
    Quotas: "quotas" => "The quotas are set.",
    Confirmed: "confirmed" => "The keys work again. Requests that were signed before now are still refused.",
}

impl Notice {
    /// Attaches this notice to the response, for the page that it redirects to.
    pub(super) fn show_after(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// The signed parts of a notice: its session, its page, its time, and its text.
struct Content<'a> {
    /// The token of the session, or empty if there is none.
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
            // With a single node, there is nothing to confirm.
            (0 | 1, 0) => done.to_owned(),
            (nodes, 0) => format!("{done} All {nodes} nodes have confirmed it."),
            (nodes, gone) => format!(
                "{done} Nodes that have confirmed it: {nodes}. Nodes that did not respond: {gone}. Their leases have \
                 expired, so they accept no requests."
            ),
        }
    }
}

/// Takes the notice from a response that redirects to another page, and returns the value of the cookie that shows it
/// there, in the session with that token.
pub(super) fn take(
    app: &App,
    response: &mut Response,
    session: &str,
    now: Timestamp,
) -> Result<Option<String>, AppError> {
    let confirmation = response.extensions_mut().remove::<Confirmation>();
    let Some(notice) = response.extensions_mut().remove::<Notice>() else { return Ok(None) };
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let path = location.ok_or_else(|| AppError::Internal("a notice without a page to show it".to_owned()))?;
    let (nodes, expired) = confirmation.map_or((0, 0), |confirmation| (confirmation.nodes, confirmation.expired));
    let content = Content { session, path, at: now.as_second(), notice, nodes, expired };
    Ok(Some(format!("{}.{}.{}.{}.{}", content.at, notice.code(), nodes, expired, content.sign(app)?)))
}

/// Returns the text of the cookie's notice, if it is for this page and this session.
pub(super) fn read(app: &App, cookie: &str, session: &str, path: &str, now: Timestamp) -> Option<String> {
    let mut parts = cookie.splitn(5, '.');
    let at: i64 = parts.next()?.parse().ok()?;
    let notice = Notice::parse(parts.next()?)?;
    let (nodes, expired) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let content = Content { session, path, at, notice, nodes, expired };
    let is_fresh = (0..=LIFETIME_SECONDS).contains(&(now.as_second() - at));
    let is_authentic: bool = parts.next()?.as_bytes().ct_eq(content.sign(app).ok()?.as_bytes()).into();
    (is_fresh && is_authentic).then(|| content.sentence())
}
