//! The cookies that Keyward sets: their names, and how they are read and set.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use crate::App;

/// A cookie that Keyward sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cookie {
    /// The token of a session.
    Session,
    /// Identifies a browser in which a user has signed in.
    Device,
    /// A message about the last change, for the next page.
    Notice,
    /// The theme of the pages.
    Theme,
}

impl Cookie {
    /// Returns the name. With the `__Host-` prefix, browsers refuse the cookie from any other host. Browsers refuse the
    /// prefix and `Secure` over plain HTTP, which Keyward allows on loopback only.
    fn name(self, app: &App) -> &'static str {
        match (self, is_https(app)) {
            (Self::Session, true) => "__Host-keyward",
            (Self::Session, false) => "keyward",
            (Self::Device, true) => "__Host-keyward-device",
            (Self::Device, false) => "keyward-device",
            (Self::Notice, true) => "__Host-keyward-notice",
            (Self::Notice, false) => "keyward-notice",
            (Self::Theme, true) => "__Host-keyward-theme",
            (Self::Theme, false) => "keyward-theme",
        }
    }

    /// Returns the SameSite attribute. It is `Lax` for a session, because an invitation is opened from mail, and
    /// browsers do not send a `Strict` cookie with such a link. Changes are forms with a CSRF token, so they do not
    /// depend on this attribute.
    const fn same_site(self) -> &'static str {
        match self {
            Self::Session | Self::Theme => "Lax",
            Self::Device | Self::Notice => "Strict",
        }
    }

    /// Returns the value in the headers of a request, or `None` if the name occurs twice, because another host may have
    /// set one of them.
    pub(crate) fn find(self, app: &App, headers: &HeaderMap) -> Option<String> {
        find_value(headers, self.name(app))
    }

    /// Sets the cookie until the browser is closed, or for `max_age` seconds.
    pub(crate) fn set(self, app: &App, response: &mut Response, value: &str, max_age: Option<i64>) {
        let (name, same_site) = (self.name(app), self.same_site());
        let secure = if is_https(app) { "; Secure" } else { "" };
        let max_age = max_age.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}{max_age}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }

    /// Removes the cookie from the browser.
    pub(crate) fn remove(self, app: &App, response: &mut Response) {
        self.set(app, response, "", Some(0));
    }

    /// Returns the value that a response sets last. It is empty if the response removes the cookie.
    pub(crate) fn find_new(self, app: &App, response: &Response) -> Option<String> {
        let cookies = response.headers().get_all(header::SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let pairs = cookies.filter_map(|cookie| cookie.split(';').next()?.split_once('='));
        pairs.filter(|(name, _)| *name == self.name(app)).last().map(|(_, value)| value.to_owned())
    }
}

fn is_https(app: &App) -> bool {
    app.settings().public_url.starts_with("https://")
}

fn find_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned());
    match (found.next(), found.next()) {
        (Some(value), None) if !value.is_empty() => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_occurs_twice_has_no_value() {
        let headers = |value: &'static str| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))]);
        assert_eq!(find_value(&headers("a=1; keyward=x; b=2"), "keyward").as_deref(), Some("x"));
        assert_eq!(find_value(&headers("keyward=x; keyward=y"), "keyward"), None);
        assert_eq!(find_value(&headers("xkeyward=x; keyward="), "keyward"), None);
    }
}
