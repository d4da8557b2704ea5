//! `keyward explain`: sends a signed request, and shows which parts of it were changed before they arrived.

mod cause;

use client::{Response, mask_signature_base};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{LOCATION, RETRY_AFTER},
};

use crate::{
    failure::{Failure, Kind, Outcome},
    output,
    request_arguments::{Prepared, SentRequest},
};

/// Requests the signature base that the server computed.
const EXPLAIN: HeaderName = HeaderName::from_static("keyward-explain");
/// The header that a proxy passes on if it replaces the body.
const REASON: &str = "keyward-reason";

/// Told of a refused HEAD request.
const WITHOUT_BODY: &str = "the request is refused with 401, and the answer to HEAD has no body that could explain it\n\
                            next: run the command with GET and the same URL";

/// Send a signed request, and find out why its signature is refused
///
/// Compares what was signed with what arrived at the server, line by line, and names the usual cause of each difference. Use
/// it with the arguments of a `keyward request` that is answered with 401. The request is carried out if it is accepted.
///
/// The exit status is 0 if the request is accepted, and 3 if its signature is refused.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "keyward explain [OPTIONS] [METHOD] <URL>",
    after_help = "\
Examples:
  keyward explain GET https://api.example.com/v2/things --key id_ed25519
  keyward explain GET /api/v1/me --url https://keys.example.com
  keyward explain POST https://api.example.com/v2/things -d '{\"a\": 1}' -H 'X-Tenant: 7'
  keyward explain GET /v2/public/projects --profile encord        as the Encord SDK signs"
)]
pub(crate) struct Explain {
    #[command(flatten)]
    sent: SentRequest,
}

/// The signed data.
struct Signed {
    /// The signature base, in the same form as the server's.
    base: String,
    /// The length of the body.
    length: usize,
}

impl Explain {
    pub(crate) async fn run(self) -> Outcome {
        let Prepared { client, url, mut request } = self.sent.prepare()?;
        request.headers_mut().insert(EXPLAIN, HeaderValue::from_static("1"));
        let (request, signature) = client.sign(&url, request)?;
        let signed = Signed { base: mask_signature_base(&signature.base), length: request.body().len() };
        let response = client.send_as_is(&request).await?;
        if response.status.is_success() {
            return output::result(format!("accepted: {} {} ({})", request.method(), request.uri(), response.status));
        }
        if response.status == StatusCode::UNAUTHORIZED && request.method() == Method::HEAD {
            return Err(Failure::of_kind(Kind::NotAuthenticated, WITHOUT_BODY));
        }
        if response.status == StatusCode::UNAUTHORIZED {
            return Err(explain_refusal(&signed, &response)?);
        }
        Err(explain_other(&response))
    }
}

/// Prints the comparison, and returns its result.
fn explain_refusal(signed: &Signed, response: &Response) -> Outcome<Failure> {
    let refused = |told: String| Failure::of_kind(Kind::NotAuthenticated, told);
    let Some(problem) = response.problem() else { return Ok(refused(unexplained(response, None))) };
    let Some(explanation) = &problem.explanation else {
        return Ok(refused(unexplained(response, Some(&problem.detail))));
    };
    let Some(arrived) = &explanation.signature_base else {
        return Ok(refused(cause::without_base(explanation)));
    };
    let comparison = cause::compare(&signed.base, arrived);
    // The text comes from the server, and is printed to a terminal.
    output::bytes(comparison.text.replace(|c: char| c.is_control() && c != '\n', " ").as_bytes())?;
    if comparison.causes.is_empty() {
        return Ok(refused(cause::without_difference(signed, &problem, explanation)));
    }
    let (what, next): (Vec<_>, Vec<_>) = comparison.causes.into_iter().map(|cause| (cause.what, cause.next)).unzip();
    Ok(refused(format!("the signature is refused: {}\nnext: {}", what.join("; "), next.join("; "))))
}

/// Returns why there is nothing to compare.
fn unexplained(response: &Response, detail: Option<&str>) -> String {
    let reason = response.headers.get(REASON).and_then(|reason| reason.to_str().ok());
    let from_keyward = reason.is_some() || response.headers.contains_key("accept-signature");
    let told = match (detail, reason) {
        (Some(detail), _) => format!(": {detail}"),
        (None, Some(reason)) => format!(" (Keyward-Reason: {reason})"),
        (None, None) => String::new(),
    };
    let next = if from_keyward {
        "have the proxy pass `Keyward-Explain` to Keyward and the answer to clients (docs/proxies.md has the configuration), \
         or update the server: earlier releases explain nothing"
    } else {
        "check that this URL is answered by Keyward, or is behind it: the answer has none of its headers"
    };
    format!("the request is refused with 401, and the server does not explain it{told}\nnext: {next}")
}

/// Returns what a status other than 401 means for the signature.
fn explain_other(response: &Response) -> Failure {
    let status = response.status;
    let kind = Kind::of(status.as_u16());
    if let Some(location) = response.headers.get(LOCATION).filter(|_| status.is_redirection()) {
        let location = String::from_utf8_lossy(location.as_bytes());
        return Failure::of_kind(
            kind,
            format!(
                "the server answered {status} with the address {location}, and did not verify the signature\nnext: sign a \
                 request for that address: a signature is valid for one URL"
            ),
        );
    }
    let Some(problem) = response.problem() else {
        return Failure::of_kind(
            kind,
            format!(
                "the server answered {status}, which says nothing about the signature: a signature that Keyward refuses is \
                 answered with 401\nnext: read its answer: run `keyward request -i` with the same arguments"
            ),
        );
    };
    let told = match problem.code.as_str() {
        api::codes::HOST_NOT_LISTED => format!(
            "the request was not verified, because its host is not one that this server answers for: {}",
            problem.detail
        ),
        api::codes::INVALID_REQUEST
        | api::codes::TOO_LARGE
        | api::codes::HEADERS_TOO_LARGE
        | api::codes::TIMEOUT
        | api::codes::INTERNAL => {
            format!("the server answered {status}, and not because of the signature: {}", problem.detail)
        }
        api::codes::RATE_LIMITED | api::codes::UNAVAILABLE => {
            let wait = response.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()).unwrap_or("1");
            format!("the signature was not verified: {}\nnext: try again in {wait} s", problem.detail)
        }
        _ => format!("the signature is accepted, but the server answered {status}: {}", problem.detail),
    };
    Failure::of_kind(kind, told)
}
