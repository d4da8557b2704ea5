//! The explanation of a refused request, if the client asks for it with `Keyward-Explain: 1`: the signature base as
//! computed here. It only depends on the request and reveals nothing about keys. Unknown, revoked and wrong keys have
//! the same explanation.

use std::net::{IpAddr, Ipv6Addr};

use domain::secret::redact;
use http::{HeaderMap, HeaderName};
use http_signature::explain_signature_base;

use crate::{
    error::VerificationError,
    rate_limit::{Rate, RetryAfter},
    request::{OriginalRequest, Refusal, ShownCredential, read_credential},
    verifier::Verifier,
};

/// The header that requests an explanation.
pub const EXPLAIN_HEADER: HeaderName = HeaderName::from_static("keyward-explain");
/// The rate of explanations for one IP address. A burst may contain those of ten seconds.
pub const EXPLANATIONS_PER_SECOND: u32 = 1;
/// The counter of requests from unknown IP addresses.
const UNKNOWN_ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// How the signature of a refused request was processed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Explanation {
    /// The signature base, with length and hash instead of the values of fields that no profile requires. `None` if
    /// there is no signature of a profile.
    pub signature_base: Option<String>,
    /// What is wrong with the form of the request, if anything.
    pub detail: Option<String>,
}

/// Returns whether a client requests an explanation.
#[must_use]
pub fn asks_for_explanation(headers: &HeaderMap) -> bool {
    headers.get_all(EXPLAIN_HEADER).iter().any(|value| value.as_bytes().trim_ascii() == b"1")
}

impl Verifier {
    /// Explains a refused request. Explanations have their own rate limit for each IP address.
    ///
    /// # Errors
    /// The rate is exceeded.
    pub fn explain(&self, request: &OriginalRequest<'_>) -> Result<Explanation, RetryAfter> {
        if let Some(rate) = Rate::per_second(EXPLANATIONS_PER_SECOND) {
            let ip_address = request.ip_address.unwrap_or(UNKNOWN_ADDRESS);
            self.explanation_allowances.take(ip_address, rate, self.clock.since_boot())?;
        }
        let detail = match read_credential(request) {
            Ok(Some(ShownCredential::Signature(_))) => None,
            Ok(Some(ShownCredential::Authorization(_))) => {
                Some("an Authorization header arrived, and no signature".to_owned())
            }
            Ok(None) => Some("no signature arrived: neither Signature-Input nor Signature".to_owned()),
            Err(Refusal::Credential(_, error)) => Some(error.to_string()),
            Err(Refusal::Route { error, .. }) => Some(error.to_string()),
            Err(Refusal::RateLimited(_, wait)) => Some(VerificationError::RateLimited(wait).to_string()),
            Err(Refusal::Other(error)) => Some(error.to_string()),
        };
        Ok(Explanation {
            signature_base: explain_signature_base(&request.view()),
            detail: detail.map(|detail| redact(&detail).into_owned()),
        })
    }
}
