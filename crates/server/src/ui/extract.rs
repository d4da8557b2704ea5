//! The arguments of a page's handler: its context, the session, the workspace, ids in the path, the fields of a form.
//! They are checked before the handler runs.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::{
    form::{self, Fields},
    page::{PageError, Place, Shell},
    page_context::PageContext,
};
use crate::{AppError, app::Caller};

impl<S: Sync> FromRequestParts<S> for PageContext {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        let context = parts.extensions.get::<Self>().cloned();
        context.ok_or_else(|| AppError::Internal("a page without its middleware".to_owned()).into())
    }
}

/// The context of a signed-in user. Other users are redirected to the sign-in page.
pub(super) struct SignedInContext {
    pub(super) caller: Caller,
    pub(super) context: PageContext,
}

impl<S: Sync> FromRequestParts<S> for SignedInContext {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let context = PageContext::from_request_parts(parts, state).await?;
        match &context.session {
            Some(session) => Ok(Self { caller: session.caller.clone(), context }),
            None => Err(PageError::SignInFirst),
        }
    }
}

/// A member of the workspace with the slug in the path. For other users, the page does not exist.
pub(super) struct InWorkspace {
    pub(super) caller: Caller,
    pub(super) context: PageContext,
    pub(super) place: Place,
}

impl InWorkspace {
    pub(super) fn shell(&self, title: impl Into<String>, section: &'static str) -> Shell {
        Shell::new(Some(&self.context), title, section).in_place(&self.place)
    }

    /// Returns the path of a page of this workspace.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.place.path())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InWorkspace {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let SignedInContext { caller, context } = SignedInContext::from_request_parts(parts, state).await?;
        let slug = Ids::from_request_parts(parts, state).await?.text("slug").to_owned();
        let mut places = Shell::new(Some(&context), "", "").places;
        let place = places.iter().position(|place| place.slug == slug).map(|at| places.swap_remove(at));
        Ok(Self { caller, context, place: place.ok_or(PageError::NoSuchWorkspace)? })
    }
}

/// The ids in a path. A malformed id is 404.
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

/// The fields of a form, checked to come from a page of this installation before the handler runs.
pub(super) struct Form<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned, S: Sync> FromRequestParts<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        form::deserialize(sent(parts)?).map(Self).map_err(PageError::from)
    }
}

/// All fields of a form, including repeated ones.
pub(super) struct AllFields(pub(super) Arc<Fields>);

impl<S: Sync> FromRequestParts<S> for AllFields {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        sent(parts).map(|fields| Self(Arc::clone(fields)))
    }
}

fn sent(parts: &Parts) -> Result<&Arc<Fields>, PageError> {
    let sent = parts.extensions.get::<Arc<Fields>>();
    sent.ok_or_else(|| AppError::Internal("a form whose body was not read".to_owned()).into())
}
