//! The refusals of an overloaded server. `queue_delay.rs` decides when it is overloaded.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http_body::Body as _;
use http_signature::is_safe_method;

use super::{
    ForwardAuthEndpoint, HealthCheck, authenticate::OnConnection, body::discard, client_address::client_address,
    connections::Connections, is_of_api, queue_delay::Exemption,
};
use crate::{App, AppError};

/// Returns the refusal of a request, if it is refused because the server is overloaded.
pub(crate) fn find_overload(app: &App, connections: &Connections, request: &Request) -> Option<AppError> {
    let seconds = connections.queue_delay().refuse(|| {
        let path = request.uri().path();
        if HealthCheck::of(path).is_some() {
            return Exemption::HealthCheck;
        }
        let is_usual =
            ForwardAuthEndpoint::of(path).is_some() || (is_of_api(path) && is_safe_method(request.method().as_str()));
        client_address(app.settings(), request)
            .nearest
            .filter(|_| !is_usual)
            .map_or(Exemption::None, Exemption::Essential)
    })?;
    Some(AppError::Overloaded(seconds))
}

/// Refuses a request, of which nothing is verified.
pub(crate) async fn refuse_unread(connections: &Arc<Connections>, mut request: Request, refusal: AppError) -> Response {
    let connection = request.extensions().get::<OnConnection>().map(|on| Arc::clone(&on.0));
    if let Some(connection) = &connection {
        connection.note_request();
    }
    let endpoint = ForwardAuthEndpoint::of(request.uri().path());
    if !request.body().is_end_stream()
        && let Some(slot) = connections.begin_request(connection)
    {
        request.extensions_mut().insert(Arc::new(slot));
        let (parts, body) = request.into_parts();
        discard(&parts, body).await;
    }
    match endpoint {
        Some(endpoint) => endpoint.refuse(refusal),
        None => refusal.into_response(),
    }
}
