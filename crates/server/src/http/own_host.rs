//! Keyward's own API and pages accept requests only for the hosts of the installation. This is checked before
//! authentication: a credential for another host must not work here.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use verifier::Origin;

use super::{body::discard, hygiene};
use crate::{App, AppError};

/// The origin of this installation that a request was sent to.
#[derive(Clone, Debug)]
pub(super) struct OwnOrigin(pub(super) Arc<Origin>);

/// Refuses a request for another host, or without a valid host.
pub(crate) async fn require(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let origin = hygiene::check(&request).and_then(|authority| {
        let found = app.hosts().find_own(authority).map(Arc::clone);
        found.ok_or_else(|| AppError::HostNotOurs(authority.to_owned()))
    });
    match origin {
        Ok(origin) => {
            request.extensions_mut().insert(OwnOrigin(origin));
            next.run(request).await
        }
        Err(error) => {
            let (parts, body) = request.into_parts();
            discard(&parts, body).await;
            error.into_response()
        }
    }
}
