//! The theme of the pages: light, dark, or the browser's. The choice is a cookie of the browser.

use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use crate::{App, http::Cookie};

/// How many seconds a browser keeps the choice: 400 days, the maximum in browsers.
const LIFETIME_SECONDS: i64 = 400 * 86_400;

/// A theme.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Theme {
    /// The browser's.
    #[default]
    System,
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

impl Theme {
    pub(super) const ALL: &[Self] = &[Self::System, Self::Light, Self::Dark];

    /// Returns the name in forms, cookies and the style sheet.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    /// Returns the theme in the headers of a request, unless it is the browser's.
    pub(super) fn find(app: &App, headers: &HeaderMap) -> Option<Self> {
        let chosen = Cookie::Theme.find(app, headers)?;
        [Self::Light, Self::Dark].into_iter().find(|theme| theme.as_str() == chosen)
    }

    /// Keeps the choice in the browser.
    pub(super) fn keep(self, app: &App, response: &mut Response) {
        match self {
            Self::System => Cookie::Theme.remove(app, response),
            Self::Light | Self::Dark => Cookie::Theme.set(app, response, self.as_str(), Some(LIFETIME_SECONDS)),
        }
    }
}
