//! nginx: `auth_request` passes what its configuration sets, never the body, and understands 2xx, 401 and 403 only.

use std::net::IpAddr;

use api::{Explanation, Problem};
use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{ForwardedRequest, one};
use crate::{
    AppError,
    http::{
        answer::{REASON, RefusedWith, reason_of},
        client_address::parse_address,
    },
};

pub(super) const PATH: &str = "/auth/nginx";
const STATUS: HeaderName = HeaderName::from_static("keyward-status");
/// The problem as JSON in ASCII: nginx drops the body of the answer.
const PROBLEM: HeaderName = HeaderName::from_static("keyward-problem");
/// Bytes of a problem in a header. nginx reads the headers of an answer into one page of memory.
const MAX_PROBLEM: usize = 2048;
/// Told in place of a signature base that does not fit.
const LONG_EXPLANATION: &str = "the signature base is too long for a header of nginx; try a shorter URL";
/// Characters of the detail of a problem that is longer.
const SHORT_DETAIL: usize = 200;

pub(super) fn read(headers: &HeaderMap, peer: IpAddr) -> Result<ForwardedRequest<'_>, AppError> {
    let ip_address = match headers.get("x-original-address") {
        None => peer,
        // Behind a Unix socket, nginx knows no address.
        Some(_) => parse_address(one(headers, "x-original-address")?).unwrap_or(peer),
    };
    Ok(ForwardedRequest {
        method: one(headers, "x-original-method")?,
        scheme: one(headers, "x-original-scheme")?,
        host: one(headers, "x-original-host")?,
        target: one(headers, "x-original-uri")?,
        ip_address,
    })
}

/// A problem as a value of a header. A long one loses the signature base of its explanation, then its members and most of its
/// detail.
fn problem_header(problem: &Problem) -> Option<HeaderValue> {
    let fitting = |problem: &Problem| ascii_json(problem).filter(|text| text.len() <= MAX_PROBLEM);
    let text = fitting(problem).or_else(|| {
        let explanation = problem.explanation.clone()?;
        let explanation =
            Explanation { signature_base: None, detail: Some(LONG_EXPLANATION.to_owned()), ..explanation };
        fitting(&Problem { explanation: Some(explanation), ..problem.clone() })
    });
    let text = text.or_else(|| {
        let detail: String = problem.detail.chars().take(SHORT_DETAIL).collect();
        ascii_json(&Problem::new(problem.status, &problem.code, &problem.title, format!("{detail}…")))
    })?;
    HeaderValue::try_from(text).ok()
}

/// JSON in printable ASCII.
fn ascii_json(problem: &Problem) -> Option<String> {
    let text = serde_json::to_string(problem).ok()?;
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            // Only in strings of JSON is there any other.
            ascii.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    Some(ascii)
}

/// Turns every other refusal into a 403, which nginx would turn into a 500, and tells the true status beside.
pub(crate) async fn answer_nginx(request: Request, next: Next) -> Response {
    let is_ours = request.uri().path() == PATH;
    let mut response = next.run(request).await;
    let status = response.status();
    if is_ours && !status.is_success() {
        if let Some(RefusedWith(problem)) = response.extensions().get::<RefusedWith>().cloned() {
            let headers = response.headers_mut();
            headers.extend(problem_header(&problem).map(|problem| (PROBLEM, problem)));
            headers.extend(reason_of(&problem).map(|reason| (REASON, reason)));
        }
        response.headers_mut().insert(STATUS, HeaderValue::from(status.as_u16()));
        if status != StatusCode::UNAUTHORIZED {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_fits_into_a_header_as_ascii() {
        let problem = Problem::new(400, "invalid_request", "Invalid", "a \"ä\u{7f}\u{1f511}\" b\n").with("reason", "x");
        let value = problem_header(&problem).unwrap();
        let text = value.to_str().unwrap();
        assert!(text.is_ascii() && text.contains(r"\u00e4\u007f\ud83d\udd11"), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(text).unwrap(), problem);

        let long = Problem::new(400, "invalid_request", "Invalid", "ä".repeat(20_000)).with("reason", "x");
        let value = problem_header(&long).unwrap();
        assert!(value.len() <= MAX_PROBLEM);
        let short: Problem = serde_json::from_str(value.to_str().unwrap()).unwrap();
        assert!(short.detail.ends_with("ä…") && short.members.is_empty());
    }
}
