//! Why an operation was not done, grouped by who must act, and the one map from there to a problem on the wire.

use std::{borrow::Cow, collections::BTreeMap};

use api::{FieldError, Problem, codes};
use domain::{Timestamp, principal::Denied, quota::QuotaExceeded, secret::redact};
use serde_json::Value;
use store::StoreError;
use verifier::{AuthenticationError, RouteError, VerificationError, rate_limit::RetryAfter};

/// Why an operation was not done. Nothing was changed, except for `Answered`.
#[derive(Debug)]
pub enum AppError {
    // The caller must act.
    /// Fields that cannot be taken.
    Invalid(Vec<FieldError>),
    /// The request as a whole cannot be read.
    BadRequest(String),
    /// The credential was not accepted. The time is the server's, for who may know.
    Unauthenticated(AuthenticationError, Timestamp),
    /// Known, but not allowed; or not to be known of.
    Denied(Denied),
    /// Known, but not allowed, for this reason.
    Refused(&'static str),
    /// The routes do not let a proxied request through.
    Route(RouteError),
    /// Too many requests; the seconds after which to come again.
    RateLimited(u64),
    /// It contradicts what is there.
    Conflict(Conflict),
    /// A quota is reached.
    QuotaExceeded(QuotaExceeded, Option<String>),
    /// It was sent to a host that is neither `public_url` nor in `hosts`; the authority it names.
    HostNotOurs(String),
    /// A proxy asks about a request to a host whose requests are not verified here; the authority it names.
    HostNotProxied(String),
    /// The request of a session was not made by our own pages.
    CrossSite,
    /// The body is over the limit, in bytes.
    TooLarge(usize),
    /// The body came too slowly.
    Timeout,
    /// Headers and target together are over the limit.
    HeadersTooLarge,
    /// The body is of another type than JSON.
    UnsupportedMediaType,
    /// The path is there, the method is not.
    MethodNotAllowed,

    /// The same signed request was done before; this was the answer.
    Answered(StoredAnswer),

    // The operator must act.
    /// The store does not answer, or there is no lease.
    Unavailable(String),
    /// It conflicted with another change, and nothing was changed; another attempt helps.
    Contended(String),

    // We must act.
    /// A fault of ours. The text goes to the log, not to the caller.
    Internal(String),
}

/// What a signed request was answered the first time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body: JSON, or nothing.
    pub body: Vec<u8>,
}

/// Something that contradicts what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// One of [`codes`].
    pub code: &'static str,
    /// What happened and what to do next.
    pub detail: String,
    /// What belongs to the code.
    pub members: BTreeMap<&'static str, Value>,
}

impl AppError {
    /// A conflict of that code.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict(Conflict { code, detail: detail.into(), members: BTreeMap::new() })
    }

    /// One field that cannot be taken.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers have errors and texts, and nothing to do with them after"
    )]
    pub(crate) fn field(field: &str, code: &str, detail: impl ToString) -> Self {
        Self::Invalid(vec![FieldError { field: field.to_owned(), detail: detail.to_string(), code: code.to_owned() }])
    }

    /// No such thing, or not for this caller to know.
    pub(crate) const fn not_found() -> Self {
        Self::Denied(Denied::NotFound)
    }

    /// What goes over the wire. What was sent is not repeated where it may be a secret in the wrong place.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        let mut problem = self.problem();
        if matches!(self, Self::Invalid(_) | Self::BadRequest(_) | Self::Conflict(_)) {
            let fields = problem.errors.iter_mut().map(|error| &mut error.detail);
            for detail in fields.chain([&mut problem.detail]) {
                if let Cow::Owned(redacted) = redact(detail) {
                    *detail = redacted;
                }
            }
        }
        problem
    }

    fn problem(&self) -> Problem {
        match self {
            Self::Invalid(errors) => {
                let detail = errors.iter().map(|e| format!("{}: {}", e.field, e.detail)).collect::<Vec<_>>().join("; ");
                let mut problem = Problem::new(400, codes::INVALID_REQUEST, "The request cannot be taken", detail);
                problem.errors.clone_from(errors);
                problem
            }
            Self::BadRequest(detail) => {
                Problem::new(400, codes::INVALID_REQUEST, "The request cannot be taken", detail.clone())
            }
            Self::Unauthenticated(error, now) => unauthenticated(error, *now),
            Self::Denied(Denied::NotFound) => Problem::new(
                404,
                codes::NOT_FOUND,
                "Not found",
                "There is no such thing here, or you cannot see it. Check the id and the workspace.",
            ),
            Self::Denied(denied @ Denied::PasswordNeeded) => {
                let detail = capitalised(&format!("{denied}."));
                Problem::new(403, codes::PASSWORD_NEEDED, "Your password is needed", detail)
            }
            Self::Denied(denied) => {
                let mut problem =
                    Problem::new(403, codes::FORBIDDEN, "Not allowed", format!("This is not allowed: {denied}."));
                problem.required_role = denied.required_role();
                problem
            }
            Self::Refused(why) => {
                Problem::new(403, codes::FORBIDDEN, "Not allowed", format!("This is not allowed: {why}."))
            }
            Self::Route(error) => {
                Problem::new(403, codes::FORBIDDEN, "Not allowed", format!("This is not allowed: {error}."))
            }
            Self::RateLimited(seconds) => rate_limited(*seconds),
            Self::Conflict(conflict) => {
                let title = "It contradicts what is there";
                let mut problem = Problem::new(409, conflict.code, title, conflict.detail.clone());
                for (name, value) in &conflict.members {
                    problem = problem.with(name, value.clone());
                }
                problem
            }
            Self::QuotaExceeded(exceeded, contact) => {
                let whom = contact.as_deref().unwrap_or("the operator of this installation");
                let way = if exceeded.what.contains("keys") { "Revoke" } else { "Delete" };
                let detail = format!("{exceeded}. {way} one, or ask {whom} to raise the limit.");
                Problem::new(409, codes::QUOTA_EXCEEDED, "A limit is reached", capitalised(&detail))
                    .with("limit", exceeded.limit)
                    .with("support_contact", contact.clone())
            }
            Self::HostNotOurs(authority) => host_not_listed(421, authority),
            Self::HostNotProxied(authority) => host_not_listed(403, authority),
            Self::CrossSite => Problem::new(
                403,
                codes::FORBIDDEN,
                "Not from our own pages",
                "The request did not come from a page of this server, or from one that is too old. Reload the page and \
                 try again; nothing was changed. Programs sign their requests instead.",
            ),
            Self::TooLarge(limit) => Problem::new(
                413,
                codes::TOO_LARGE,
                "The body is too large",
                format!("A body may have {limit} bytes here; send less."),
            ),
            Self::Timeout => Problem::new(
                408,
                codes::TIMEOUT,
                "The request took too long",
                "The body did not come in within ten seconds; send it again.",
            ),
            Self::HeadersTooLarge => Problem::new(
                431,
                codes::HEADERS_TOO_LARGE,
                "The headers are too large",
                "Headers and target may have 16 KiB together; send less.",
            ),
            Self::UnsupportedMediaType => Problem::new(
                415,
                codes::UNSUPPORTED_MEDIA_TYPE,
                "The body is not JSON",
                "Send JSON with Content-Type: application/json.",
            ),
            Self::MethodNotAllowed => Problem::new(
                405,
                codes::METHOD_NOT_ALLOWED,
                "No such method here",
                "The path exists, but not with this method; see /api/v1/openapi.json.",
            ),
            // Its holder gets the first answer; as a problem it would be an internal error.
            Self::Answered(_) | Self::Internal(_) => Problem::new(
                500,
                codes::INTERNAL,
                "A fault of the server",
                "This is our fault, not yours. Nothing was changed. Tell the operator the request id.",
            ),
            Self::Unavailable(_) | Self::Contended(_) => Problem::new(
                503,
                codes::UNAVAILABLE,
                "Not available at the moment",
                "The server cannot reach its database or has too much to do. Your credential was not judged. \
                 Try again in a moment.",
            ),
        }
    }
}

fn unauthenticated(error: &AuthenticationError, now: Timestamp) -> Problem {
    let title = "Not authenticated";
    if !error.is_for_holder() {
        let detail = "The request has no credential that is accepted here. Sign it with a registered key, \
                      and see that the key, its owner and the clock are in order.";
        return Problem::new(401, codes::UNAUTHENTICATED, title, detail);
    }
    Problem::new(401, codes::UNAUTHENTICATED, title, capitalised(&format!("{error}; server time {now:.0}.")))
        .with("reason", error.code())
        .with("server_time", format!("{now:.0}"))
}

fn rate_limited(seconds: u64) -> Problem {
    Problem::new(
        429,
        codes::RATE_LIMITED,
        "Too many requests",
        format!("This key or address asks too often; try again in {seconds} s."),
    )
}

/// A request to a host that is not listed: 421 at Keyward itself, 403 through a proxy, which does not pass a 421 on.
fn host_not_listed(status: u16, authority: &str) -> Problem {
    let authority = shortened(authority);
    let detail = if status == 421 {
        format!(
            "This server does not answer for `{authority}`. Use its public address, or have the operator list this one in \
             `hosts`."
        )
    } else {
        format!(
            "Requests to `{authority}` are not verified here; the operator lists the hosts of an API behind a proxy in \
             `proxied_hosts`."
        )
    };
    Problem::new(status, codes::HOST_NOT_LISTED, "Another host", detail)
}

/// So much of what a client sent as helps to recognise it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. }
            | StoreError::Uncertain { .. }
            | StoreError::Server { .. }
            | StoreError::ForeignKey
            | StoreError::DiskFull
            | StoreError::ReadOnly => Self::Unavailable(error.to_string()),
            StoreError::Contended { .. } => Self::Contended(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

impl From<VerificationError> for AppError {
    fn from(error: VerificationError) -> Self {
        match error {
            VerificationError::Unauthenticated(error, now) => Self::Unauthenticated(error, now),
            VerificationError::Route(RouteError::Denied(denied)) => Self::Denied(denied),
            VerificationError::Route(error) => Self::Route(error),
            VerificationError::RateLimited(RetryAfter(seconds)) => Self::RateLimited(seconds),
            VerificationError::TooManySignatures => Self::HeadersTooLarge,
            VerificationError::Unsignable(part) => Self::BadRequest(format!("The request's {part} cannot be signed.")),
            VerificationError::NoLease | VerificationError::NonceNotRecorded(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Denied> for AppError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_down_is_503_and_never_401() {
        let error = StoreError::Unavailable { reason: "gone".into() };
        assert_eq!(AppError::from(error).to_problem().status, 503);
        assert_eq!(AppError::from(StoreError::DiskFull).to_problem().status, 503);
        assert_eq!(AppError::from(StoreError::ReadOnly).to_problem().status, 503);
    }

    #[test]
    fn a_fault_of_ours_tells_nothing_of_the_inside() {
        let problem = AppError::Internal("password_hash of usr_1".into()).to_problem();
        assert!(!serde_json::to_string(&problem).unwrap().contains("password_hash"));
    }
}
