//! `Keyward-Explain: 1`: a 401 response then contains the signature base as computed here, for its sender to compare.

use api::{Explanation, ReceivedBody};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use http_signature::content_digest;
use verifier::{AuthenticationError, OriginalRequest, explanation::asks_for_explanation, rate_limit::RetryAfter};

use super::answer::with_explanation;
use crate::{App, AppError};

/// Adds an explanation to a 401 response if its client requests it. If `request` is given, the explanation describes
/// its body, which is not the signed one.
pub(super) fn explain(app: &App, response: Response, request: &OriginalRequest<'_>) -> Response {
    if response.status() != StatusCode::UNAUTHORIZED || !asks_for_explanation(request.headers) {
        return response;
    }
    match app.verifier().explain(request) {
        Ok(explained) => {
            let body = request.body.map(|body| ReceivedBody {
                length: u64::try_from(body.len()).unwrap_or(u64::MAX),
                content_digest: content_digest(body),
            });
            let explanation = Explanation {
                signature_base: explained.signature_base,
                detail: explained.detail,
                body,
                ..Explanation::default()
            };
            with_explanation(response, explanation)
        }
        Err(RetryAfter(seconds)) => {
            let explanation = Explanation {
                detail: Some(format!("this IP address asked for too many explanations; ask again in {seconds} s")),
                retry_after: Some(seconds),
                ..Explanation::default()
            };
            let mut response = with_explanation(response, explanation);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}

/// Returns the response for a refusal, with an explanation if its client requests it.
pub(super) fn refuse(app: &App, error: AppError, request: &OriginalRequest<'_>) -> Response {
    let body = request.body.filter(|_| is_digest_mismatch(&error));
    explain(app, error.into_response(), &OriginalRequest { body, ..*request })
}

/// Returns whether the signature was verified and the body is not the signed one.
pub(super) fn is_digest_mismatch(error: &AppError) -> bool {
    matches!(error, AppError::Unauthenticated(AuthenticationError::DigestMismatch, _))
}
