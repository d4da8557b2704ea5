//! What a client is told about a refused request if it asks with `Keyward-Explain: 1`: the signature base as it was computed
//! here. It is made of the request alone, so that it tells nothing of keys: unknown, revoked and wrong ones look alike.

use std::net::{IpAddr, Ipv6Addr};

use domain::secret::redact;
use http::{HeaderMap, HeaderName, header};
use http_signature::{RequestView, UnverifiedSignature, explain_signature_base};

use crate::{
    rate_limit::{Rate, RetryAfter},
    request::OriginalRequest,
    verifier::Verifier,
};

/// The header by which a client asks for an explanation.
pub const EXPLAIN_HEADER: HeaderName = HeaderName::from_static("keyward-explain");
/// Explanations a second for one IP address; ten seconds' worth may come at once.
pub const EXPLANATIONS_PER_SECOND: u32 = 1;
/// Under which requests are counted whose address is not known.
const UNKNOWN_ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// What was made of the signature of a refused request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Explanation {
    /// The signature base, with length and hash in place of the values of fields that no profile requires. None where no
    /// signature of a profile was found.
    pub signature_base: Option<String>,
    /// What is wrong with the form of the request, if anything.
    pub detail: Option<String>,
}

/// Whether a client asks for an explanation.
#[must_use]
pub fn asks_for_explanation(headers: &HeaderMap) -> bool {
    headers.get_all(EXPLAIN_HEADER).iter().any(|value| value.as_bytes().trim_ascii() == b"1")
}

impl Verifier {
    /// Explains a request that was refused. Explanations have a rate of their own for each IP address.
    ///
    /// # Errors
    /// The rate is exceeded.
    pub fn explain(&self, request: &OriginalRequest<'_>) -> Result<Explanation, RetryAfter> {
        if let Some(rate) = Rate::per_second(EXPLANATIONS_PER_SECOND) {
            let ip_address = request.ip_address.unwrap_or(UNKNOWN_ADDRESS);
            self.explanation_allowances.take(ip_address, rate, self.clock.since_boot())?;
        }
        let view = RequestView {
            method: request.method,
            scheme: request.scheme.as_str(),
            authority: request.authority,
            target: request.target,
            headers: request.headers,
        };
        let has_authorization = request.headers.contains_key(header::AUTHORIZATION);
        let detail = match (UnverifiedSignature::parse(&view), has_authorization) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(Some(_)), true) => {
                Some("a signature and an Authorization header arrived: send one credential".to_owned())
            }
            (Ok(None), true) => Some("an Authorization header arrived, and no signature".to_owned()),
            (Ok(None), false) => Some("no signature arrived: neither Signature-Input nor Signature".to_owned()),
            (Ok(Some(_)), false) => None,
        };
        Ok(Explanation {
            signature_base: explain_signature_base(&view),
            detail: detail.map(|detail| redact(&detail).into_owned()),
        })
    }
}
