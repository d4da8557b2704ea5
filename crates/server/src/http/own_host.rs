//! Keyward's own API and pages accept requests only for the hosts of the installation. This is checked before
//! authentication: a credential for another host must not work here.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use verifier::Origin;

use super::{body::discard, hygiene};
use crate::{App, AppError};

/// The origin of this installation that a request was sent to.
#[derive(Clone, Debug)]
pub(super) struct OwnOrigin(pub(super) Arc<Origin>);

/// Returns a request for a host of this installation, or the response to another one.
pub(crate) async fn require(app: &App, mut request: Request) -> Result<Request, Response> {
    let origin = hygiene::check(&request).and_then(|authority| {
        let found = app.hosts().find_own(authority).map(Arc::clone);
        found.ok_or_else(|| AppError::HostNotOurs(authority.to_owned()))
    });
    match origin {
        Ok(origin) => {
            request.extensions_mut().insert(OwnOrigin(origin));
            Ok(request)
        }
        Err(error) => {
            let (parts, body) = request.into_parts();
            discard(&parts, body).await;
            Err(error.into_response())
        }
    }
}
