//! nginx: `auth_request` sends the headers in its configuration and never the body. It only accepts 2xx, 401 and 403.

use std::net::IpAddr;

use api::{Explanation, Problem};
use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{ForwardedRequest, one};
use crate::{
    AppError,
    http::{
        answer::{REASON, RefusedWith, reason_of},
        client_address::{ClientAddress, parse_address},
    },
};

pub(super) const PATH: &str = "/auth/nginx";
const STATUS: HeaderName = HeaderName::from_static("keyward-status");
/// The problem as JSON in ASCII, because nginx discards the body of the response.
const PROBLEM: HeaderName = HeaderName::from_static("keyward-problem");
/// The maximum length of a problem in a header, in bytes. nginx reads the headers of a response into one page of
/// memory.
const MAX_PROBLEM: usize = 2048;
/// Replaces a signature base that is too long.
const LONG_EXPLANATION: &str = "the signature base is too long for a header of nginx; try a shorter URL";
/// The maximum number of characters of the detail of a truncated problem.
const SHORT_DETAIL: usize = 200;

pub(super) fn read(headers: &HeaderMap, peer: IpAddr) -> Result<ForwardedRequest<'_>, AppError> {
    let address = match headers.get("x-original-address") {
        None => None,
        // Behind a Unix socket, nginx has no IP address.
        Some(_) => parse_address(one(headers, "x-original-address")?),
    };
    Ok(ForwardedRequest {
        method: one(headers, "x-original-method")?,
        scheme: one(headers, "x-original-scheme")?,
        host: one(headers, "x-original-host")?,
        target: one(headers, "x-original-uri")?,
        address: address.map_or(ClientAddress::of_proxy(peer), ClientAddress::of_client),
    })
}

/// Returns a problem as a header value. If it is too long, the signature base of its explanation is removed, then its
/// members and most of its detail.
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

/// Returns JSON in printable ASCII.
fn ascii_json(problem: &Problem) -> Option<String> {
    let text = serde_json::to_string(problem).ok()?;
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            // Other characters only occur in JSON strings.
            ascii.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    Some(ascii)
}

/// Converts every other refusal to a 403, because nginx would convert it to a 500. The actual status is in a header.
pub(crate) async fn answer_nginx<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let is_ours = request.uri().path() == PATH;
    let mut response = next(request).await;
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
