//! The arguments of handlers: the caller, JSON bodies, ids in paths, queries. Invalid ones result in a problem.

use axum::{
    extract::{FromRequest, FromRequestParts, Request, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{
    ProjectId,
    list::{Choice, MAX_SEARCH, Order, Search},
};
use http::{StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use verifier::AuthenticationError;

use super::{
    authenticate::Authentication,
    client_address::ClientAddress,
    input_error::{invalid_path, parse_json, parse_query},
};
use crate::{
    AppError,
    app::{Caller, Paging},
    system::SystemClock,
};

/// An authenticated caller.
pub(super) struct Authenticated(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        match parts.extensions.get::<Authentication>() {
            Some(Authentication::Authenticated(caller)) => Ok(Self(Caller::clone(caller))),
            Some(Authentication::NotRequested) => {
                use domain::Clock as _;
                // Only holders of a key may see the time, and there is no key here.
                Err(AppError::Unauthenticated(AuthenticationError::Missing, SystemClock.now()))
            }
            None => Err(AppError::Internal("a route without authentication middleware".to_owned())),
        }
    }
}

/// A caller, if the request is authenticated, and the IP address of the client.
pub(super) struct MaybeAuthenticated(pub(super) Option<Caller>, pub(super) ClientAddress);

impl<S: Sync> FromRequestParts<S> for MaybeAuthenticated {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        let ip_address = parts.extensions.get::<ClientAddress>().copied().unwrap_or_default();
        match parts.extensions.get::<Authentication>() {
            Some(Authentication::Authenticated(caller)) => Ok(Self(Some(Caller::clone(caller)), ip_address)),
            Some(Authentication::NotRequested) => Ok(Self(None, ip_address)),
            None => Err(AppError::Internal("a route without authentication middleware".to_owned())),
        }
    }
}

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = AppError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AppError> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(AppError::UnsupportedMediaType);
        }
        let body = read(request, state).await?;
        parse_json(&body).map(Self)
    }
}

/// A JSON body that may be missing or null.
pub(super) struct OptionalJson<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = AppError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AppError> {
        let body = read(request, state).await?;
        if body.is_empty() || body.trim_ascii() == b"null" {
            Ok(Self(T::default()))
        } else {
            parse_json(&body).map(Self)
        }
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, AppError> {
    Bytes::from_request(request, state).await.map_err(|e| AppError::BadRequest(e.to_string()))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => AppError::Internal(format!("an answer: {error}")).into_response(),
        }
    }
}

/// A 201 response with the created object.
pub(super) struct Created<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

/// A 204 response.
pub(super) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Ids in the path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(invalid_path(error.kind())),
            Err(error) => Err(AppError::Internal(format!("a path without its parameters: {error}"))),
        }
    }
}

/// The query of the URL.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The position and the length of a page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// The number of items: 1 to 200. The default is 50.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The value of `next` of the previous page.
    after: Option<String>,
}

impl From<PageQuery> for Paging {
    fn from(query: PageQuery) -> Self {
        Self { after: query.after, limit: query.limit }
    }
}

/// What to look for in a list, and the position and the length of a page of it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchQuery {
    /// A part of a name, a title or an email address, ignoring case. Without it, all items match.
    #[param(max_length = 100)]
    q: Option<String>,
    /// The order. With a `-` before it, the order is reversed.
    sort: Option<String>,
    /// Which items to list. The default is `all`.
    filter: Option<String>,
    /// The number of items: 1 to 200. The default is 50.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The value of `next` of the previous page, with the same `sort`.
    after: Option<String>,
}

impl SearchQuery {
    /// Returns the search and the page.
    ///
    /// # Errors
    /// The list has no such order or filter, or the text is too long.
    pub(super) fn parse<O: Order, F: Choice>(self) -> Result<(Search<O, F>, Paging), AppError> {
        let text = self.q.unwrap_or_default();
        if text.chars().count() > MAX_SEARCH {
            return Err(AppError::field("q", "out_of_range", format!("enter at most {MAX_SEARCH} characters")));
        }
        if text.contains('\0') {
            return Err(AppError::field("q", "malformed", "remove the NUL character"));
        }
        let unknown =
            |field, names: &[&str]| AppError::field(field, "malformed", format!("choose one of {}", names.join(", ")));
        let filter = match &self.filter {
            None => F::default(),
            Some(name) => F::find(name).ok_or_else(|| unknown("filter", F::NAMES))?,
        };
        let search = Search { text, filter, order: O::default(), descending: false };
        let search = match &self.sort {
            None => search,
            Some(name) => search.sorted_by(name).ok_or_else(|| unknown("sort", O::NAMES))?,
        };
        Ok((search, Paging { after: self.after, limit: self.limit }))
    }
}

/// A project in a path: `prj_…`, or its UUID.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProjectRef(pub(super) ProjectId);

impl<'de> Deserialize<'de> for ProjectRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let malformed = || serde::de::Error::custom("a project id is `prj_…` or the UUID in it");
        domain::route::parse_project(&text).map(Self).ok_or_else(malformed)
    }
}
