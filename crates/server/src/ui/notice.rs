//! Notices: what the last change did. A notice names the object and links to it, and may offer to undo the change. It is
//! shown once, on the page after a form, in the session that sent the form. A handler attaches it to its response, and
//! the middleware of pages sends it as a cookie that is signed by this installation, so that a link cannot contain one.

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Timestamp;
use http::header;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::{App, AppError, cluster::Confirmation};

/// How many seconds a notice is valid.
pub(super) const LIFETIME_SECONDS: i64 = 60;

/// How many characters of a name a notice shows. Browsers limit a cookie to 4,096 bytes.
const MAX_NAME: usize = 60;

/// A sentence about a change, in parts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Notice {
    parts: Vec<Part>,
    undo: Option<Undo>,
    /// Whether the change was refused in part.
    caution: bool,
}

/// A part of the sentence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Part {
    /// Words.
    Text(String),
    /// The name of an object that has no page.
    Name(String),
    /// The name of an object, and the path of its page.
    Link(String, String),
}

/// The form that undoes the change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Undo {
    pub(super) action: String,
    pub(super) fields: Vec<(String, String)>,
}

impl Notice {
    /// Creates a notice that begins with these words.
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())], ..Self::default() }
    }

    /// Adds words.
    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    /// Adds the name of an object that has no page.
    pub(super) fn name(mut self, name: &str) -> Self {
        self.parts.push(Part::Name(shorten(name)));
        self
    }

    /// Adds the name of an object, as a link to its page.
    pub(super) fn link(mut self, name: &str, path: impl Into<String>) -> Self {
        self.parts.push(Part::Link(shorten(name), path.into()));
        self
    }

    /// Offers to undo the change with a form.
    pub(super) fn undo<const N: usize>(self, action: impl Into<String>, fields: [(&str, &str); N]) -> Self {
        self.undo_with(action, fields.map(|(name, value)| (name, value.to_owned())))
    }

    /// As [`undo`](Self::undo), with any number of fields. Browsers limit a cookie to 4,096 bytes.
    pub(super) fn undo_with<'a>(
        mut self,
        action: impl Into<String>,
        fields: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.undo = Some(Undo { action: action.into(), fields });
        self
    }

    /// Marks the notice as one that needs attention.
    pub(super) fn caution(mut self) -> Self {
        self.caution = true;
        self
    }

    /// Attaches this notice to the response, for the page that it redirects to.
    pub(super) fn show_after(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

fn shorten(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}\u{2026}", &name[..end]),
        None => name.to_owned(),
    }
}

/// A notice on its page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) parts: Vec<Part>,
    pub(super) undo: Option<Undo>,
    pub(super) caution: bool,
    /// How many nodes have confirmed the change, if there are several.
    pub(super) confirmation: Option<String>,
}

/// A notice in its cookie.
#[derive(Serialize, Deserialize)]
struct Content {
    notice: Notice,
    nodes: u64,
    expired: u64,
}

impl Content {
    fn show(self) -> Shown {
        let confirmation = match (self.nodes, self.expired) {
            // With a single node, there is nothing to confirm.
            (0 | 1, 0) => None,
            (nodes, 0) => Some(format!("All {nodes} nodes have confirmed it.")),
            (nodes, gone) => Some(format!(
                "Nodes that have confirmed it: {nodes}. Nodes that did not respond: {gone}. Their leases have expired, \
                 so they accept no requests."
            )),
        };
        let Notice { parts, undo, caution } = self.notice;
        Shown { parts, undo, caution, confirmation }
    }
}

fn sign(app: &App, session: &str, path: &str, at: i64, content: &str) -> Result<String, AppError> {
    app.sign_notice(&[session, path, &at.to_string(), content])
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
    let content = serde_json::to_vec(&Content { notice, nodes, expired })
        .map_err(|error| AppError::Internal(format!("a notice: {error}")))?;
    let (at, content) = (now.as_second(), URL_SAFE_NO_PAD.encode(content));
    Ok(Some(format!("{at}.{content}.{}", sign(app, session, path, at, &content)?)))
}

/// Returns the cookie's notice, if it is for this page and this session.
pub(super) fn read(app: &App, cookie: &str, session: &str, path: &str, now: Timestamp) -> Option<Shown> {
    let (at, rest) = cookie.split_once('.')?;
    let (content, signature) = rest.split_once('.')?;
    let at: i64 = at.parse().ok()?;
    let is_fresh = (0..=LIFETIME_SECONDS).contains(&(now.as_second() - at));
    let is_authentic: bool = signature.as_bytes().ct_eq(sign(app, session, path, at, content).ok()?.as_bytes()).into();
    if !(is_fresh && is_authentic) {
        return None;
    }
    let content: Content = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).ok()?).ok()?;
    Some(content.show())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_shows_the_start_of_a_long_name() {
        let long = "\u{e4}".repeat(100);
        assert_eq!(shorten(&long), format!("{}\u{2026}", "\u{e4}".repeat(60)));
        assert_eq!(shorten("short"), "short");
    }
}
