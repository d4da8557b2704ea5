//! The errors of operations, grouped by the person that has to act, and their mapping to problems of the API.

mod rotation;

use std::borrow::Cow;

use api::{FieldError, Problem, codes};
use domain::{
    ApiKeyId, Fingerprint, PrincipalId, ProjectId, Timestamp,
    policy::{OutsidePolicy, RuleName},
    principal::Denied,
    quota::{QuotaExceeded, QuotaSubject},
    secret::redact,
    user::Email,
    workspace::Slug,
};
use store::{StoreError, node::Feature};
use verifier::{AuthenticationError, RouteError, VerificationError, rate_limit::RetryAfter};

pub use self::rotation::RotationConflict;

/// Why an operation failed. Nothing was changed.
#[derive(Debug)]
pub enum AppError {
    // The caller must act.
    /// Invalid fields.
    Invalid(Vec<FieldError>),
    /// The request as a whole cannot be read.
    BadRequest(String),
    /// The credential was refused. The time is the server's, for callers that may see it.
    Unauthenticated(AuthenticationError, Timestamp),
    /// The caller is authenticated but not authorized, or may not see the object.
    Denied(Denied),
    /// The caller is authenticated but not authorized, for this reason.
    Refused(&'static str),
    /// The routes refuse a proxied request.
    Route(RouteError),
    /// There are too many requests. Contains the seconds to wait.
    RateLimited(u64),
    /// It conflicts with the current state.
    Conflict(Conflict),
    /// A key that is registered or changed would be outside the policy for keys.
    OutsidePolicy(OutsidePolicy),
    /// A quota is reached.
    QuotaExceeded(QuotaExceeded, Option<String>),
    /// It was sent to a host that is neither `public_url` nor in `hosts`. Contains the authority.
    HostNotOurs(String),
    /// A proxy asks about a request for a host that is not in `proxied_hosts`. Contains the authority.
    HostNotProxied(String),
    /// The request of a session does not come from a page of this server.
    CrossSite,
    /// The body exceeds this limit in bytes.
    TooLarge(usize),
    /// The body came too slowly.
    Timeout,
    /// Headers and target together exceed the limit.
    HeadersTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// A call of the Encord SDK to which only the API behind a proxy has an answer.
    NotServed,

    // The operator must act.
    /// The database is unreachable, or the node has no lease.
    Unavailable(String),
    /// There are more requests than this node can process, and this one was not processed.
    /// The client is to try again after so many seconds.
    Overloaded(u64),
    /// It conflicted with another change, and nothing was changed. The caller may retry.
    Contended(String),

    // The maintainers must act.
    /// An internal error. The text is logged and not sent to the caller.
    Internal(String),
}

/// A conflict with the current state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The key is registered.
    DuplicateKey {
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// The registration and its owner, for a caller that may see them.
        registration: Option<(ApiKeyId, PrincipalId)>,
    },
    /// The key is revoked and was or may have been used before, so it is permanently blocked.
    BlockedKey {
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// Whether a use was recorded. If not, a node that may have used it has stopped since then.
        was_used: bool,
    },
    /// The key was revoked recently, and not every node has confirmed yet that it was never used.
    KeyUseUnconfirmed {
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// The key is revoked.
    KeyRevoked,
    /// The key has expired, and the request sets no new expiry date.
    KeyExpired,
    /// A key cannot be rotated, or a rotation cannot be undone.
    Rotation(RotationConflict),
    /// The slug is or was in use.
    SlugTaken(Slug),
    /// The address of a service account is or was in use.
    AddressTaken(String),
    /// A user has the email.
    EmailTaken(Email),
    /// The invited email belongs to a user, who must sign in to accept.
    InvitedUserExists(Email),
    /// The caller is a member of the workspace.
    AlreadyMember,
    /// All invited users are members of the workspace.
    InvitedMembers(Vec<Email>),
    /// The workspace has an admin.
    HasAdmin,
    /// The last enabled admin of a workspace cannot be removed.
    LastAdmin,
    /// The last operator cannot be removed.
    LastOperator,
    /// These projects would be left without an admin.
    SuccessorRequired(Vec<ProjectId>),
    /// The invitation was accepted, was revoked or has expired.
    InvitationClosed,
    /// The link to set up the installation was used or has expired.
    SetUpLinkClosed,
    /// Nodes of an earlier release are running, which do not know what the change needs.
    UpgradeInProgress {
        /// What they do not know.
        missing: Feature,
        /// Their names.
        nodes: Vec<String>,
    },
    /// The signed request was processed before, and its stored response can no longer be decrypted.
    ResponseUnreadable,
}

impl From<Conflict> for AppError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl Conflict {
    /// Returns the problem for the API.
    fn problem(&self) -> Problem {
        let (code, detail) = match self {
            Self::DuplicateKey { fingerprint, registration } => return duplicate_key(fingerprint, *registration),
            Self::BlockedKey { fingerprint, was_used } => return blocked_key(fingerprint, *was_used),
            Self::KeyUseUnconfirmed { fingerprint } => return key_use_unconfirmed(fingerprint),
            Self::SuccessorRequired(projects) => return successor_required(projects),
            Self::KeyRevoked => (
                codes::KEY_REVOKED,
                "This key is revoked and cannot be used again. Register another \
                                                      key."
                    .to_owned(),
            ),
            Self::KeyExpired => {
                let detail = "This key has expired. Set \"expires_at\" to a new expiry date, or to null for no expiry.";
                (codes::KEY_EXPIRED, detail.to_owned())
            }
            Self::Rotation(rotation) => return rotation.problem(),
            Self::SlugTaken(slug) => {
                let detail = format!(
                    "The slug {slug} is in use or was used before, and slugs are never reused. \
                                      Choose another slug."
                );
                (codes::SLUG_TAKEN, detail)
            }
            Self::AddressTaken(address) => {
                let detail = format!(
                    "The address {address} is in use or was used before, and addresses are never reused. Choose \
                     another name."
                );
                (codes::NAME_TAKEN, detail)
            }
            Self::EmailTaken(email) => (
                codes::EMAIL_TAKEN,
                format!(
                    "A user with the email address {email} already exists. Use another email \
                                              address."
                ),
            ),
            Self::InvitedUserExists(email) => (
                codes::EMAIL_TAKEN,
                format!(
                    "{email} already has an account. Sign in to it, then accept the \
                                              invitation again."
                ),
            ),
            Self::AlreadyMember => (codes::ALREADY_MEMBER, "You are already a member of this workspace.".to_owned()),
            Self::InvitedMembers(emails) => {
                let detail = match emails.as_slice() {
                    [email] => format!("{email} is already a member of this workspace. Nobody was invited."),
                    emails => format!(
                        "All {} people are already members of this workspace. Nobody was invited.",
                        emails.len()
                    ),
                };
                (codes::ALREADY_MEMBER, detail)
            }
            Self::HasAdmin => (
                codes::ALREADY_MEMBER,
                "This workspace already has an admin. Ask the admin to invite \
                                                       other people."
                    .to_owned(),
            ),
            Self::LastAdmin => {
                let detail = "This is the last enabled admin of the workspace. Make another member an admin first.";
                (codes::LAST_ADMIN, detail.to_owned())
            }
            Self::LastOperator => {
                let detail = "This is the last operator. Make another user an operator first.";
                (codes::LAST_ADMIN, detail.to_owned())
            }
            Self::InvitationClosed => {
                let detail = "This invitation was accepted, was revoked or has expired. Ask for a new invitation.";
                (codes::INVITATION_CLOSED, detail.to_owned())
            }
            Self::SetUpLinkClosed => {
                let detail = "This link was used or has expired. Sign in, or restart the server to get a new link.";
                (codes::INVITATION_CLOSED, detail.to_owned())
            }
            Self::UpgradeInProgress { missing, nodes } => {
                let harm = match missing {
                    Feature::KeyLimits => "would accept the key without its limits",
                    Feature::KeyRotations => "do not know rotations of keys",
                    Feature::KeyPolicies => "would accept keys that a policy refuses",
                };
                let detail = format!(
                    "Servers of an earlier release are running, which {harm}: {}. Nothing was changed. Replace these \
                     servers with the current release, and try again.",
                    nodes.join(", ")
                );
                (codes::UPGRADE_IN_PROGRESS, detail)
            }
            Self::ResponseUnreadable => {
                let detail = "This signed request was already processed. Its stored response cannot be read because \
                              the installation key was replaced. Check what the request did, and sign a new request \
                              if you need another change.";
                (codes::ANSWER_UNREADABLE, detail.to_owned())
            }
        };
        conflict(code, detail)
    }
}

fn conflict(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(409, code, "The request conflicts with the current state", detail)
}

fn duplicate_key(fingerprint: &Fingerprint, registration: Option<(ApiKeyId, PrincipalId)>) -> Problem {
    let proof = match registration {
        Some(_) => "",
        None => " If another principal registered your key, register it with a proof to reclaim it.",
    };
    let detail = format!(
        "The key {fingerprint} is already registered. A key can be registered only once: generate a new key \
         pair.{proof}"
    );
    let problem = conflict(codes::DUPLICATE_KEY, detail).with("fingerprint", fingerprint.to_string());
    match registration {
        Some((key, owner)) => problem.with("key", key.to_string()).with("owner", owner.to_string()),
        None => problem,
    }
}

fn blocked_key(fingerprint: &Fingerprint, was_used: bool) -> Problem {
    let reason = if was_used {
        format!("The key {fingerprint} was used and then revoked.")
    } else {
        format!("The key {fingerprint} was revoked, and a server that may have recorded its use has stopped since.")
    };
    let detail = format!("{reason} It can never be registered again. Generate a new key pair.");
    let problem = conflict(codes::DUPLICATE_KEY, detail).with("fingerprint", fingerprint.to_string());
    // The member's name in the API since the first release. It means permanently blocked.
    problem.with("permanently_blocked", true)
}

fn key_use_unconfirmed(fingerprint: &Fingerprint) -> Problem {
    let detail = format!(
        "The key {fingerprint} was just revoked, and not every server has confirmed yet that it was never used. Try \
         again in a few seconds, or generate a new key pair."
    );
    conflict(codes::DUPLICATE_KEY, detail)
        .with("fingerprint", fingerprint.to_string())
        .with("permanently_blocked", false)
}

fn successor_required(projects: &[ProjectId]) -> Problem {
    let detail = "This would leave projects without an admin. Name a successor with ?successor=usr_… or \
                  ?successor=sa_….";
    let projects: Vec<String> = projects.iter().map(ToString::to_string).collect();
    conflict(codes::SUCCESSOR_REQUIRED, detail).with("projects", projects)
}

impl AppError {
    /// Creates the error for one invalid field.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers have errors and texts, and nothing to do with them after"
    )]
    pub(crate) fn field(field: &str, code: &str, detail: impl ToString) -> Self {
        Self::Invalid(vec![FieldError { field: field.to_owned(), detail: detail.to_string(), code: code.to_owned() }])
    }

    /// Creates the error for an object that does not exist or that this caller may not see.
    pub(crate) const fn not_found() -> Self {
        Self::Denied(Denied::NotFound)
    }

    /// Returns the problem for the API. It does not contain a value that may be a secret in the wrong place.
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
                let mut problem = Problem::new(400, codes::INVALID_REQUEST, "Invalid request", detail);
                problem.errors.clone_from(errors);
                problem
            }
            Self::BadRequest(detail) => Problem::new(400, codes::INVALID_REQUEST, "Invalid request", detail.clone()),
            Self::Unauthenticated(error, now) => unauthenticated(error, *now),
            Self::Denied(refusal) => denied(*refusal),
            Self::Refused(why) => {
                Problem::new(403, codes::FORBIDDEN, "Not allowed", format!("This is not allowed: {why}."))
            }
            Self::Route(error) => {
                Problem::new(403, codes::FORBIDDEN, "Not allowed", format!("This is not allowed: {error}."))
            }
            Self::RateLimited(seconds) => rate_limited(*seconds),
            Self::Conflict(conflict) => conflict.problem(),
            Self::OutsidePolicy(outside) => outside_policy(outside),
            Self::QuotaExceeded(exceeded, contact) => {
                let whom = contact.as_deref().unwrap_or("the operator of this installation");
                let way = match exceeded.what {
                    QuotaSubject::ServiceAccountKeys | QuotaSubject::UserKeys => "Revoke",
                    QuotaSubject::ServiceAccounts => "Delete",
                };
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
                "The request came from another site",
                "The request did not come from a page of this server, or the page is too old. Nothing was changed. \
                 Reload the page and try again. Programs must sign their requests.",
            ),
            Self::TooLarge(limit) => Problem::new(
                413,
                codes::TOO_LARGE,
                "The body is too large",
                format!("The limit for the body of this request is {limit} bytes. Send a shorter body."),
            ),
            Self::Timeout => Problem::new(
                408,
                codes::TIMEOUT,
                "The request took too long",
                "The body did not arrive within ten seconds. Send the request again.",
            ),
            Self::HeadersTooLarge => Problem::new(
                431,
                codes::HEADERS_TOO_LARGE,
                "The headers are too large",
                "The headers and the request target are larger than 16 KiB. Send fewer or shorter headers.",
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
                "Method not allowed",
                "This path does not support this method. See /api/v1/openapi.json.",
            ),
            Self::NotServed => not_served(),
            Self::Internal(_) => Problem::new(
                500,
                codes::INTERNAL,
                "Internal error",
                "The server could not process the request. Nothing was changed. Report the request id to the operator.",
            ),
            Self::Overloaded(_) => overloaded(),
            Self::Unavailable(_) | Self::Contended(_) => Problem::new(
                503,
                codes::UNAVAILABLE,
                "Temporarily unavailable",
                "The server cannot reach its database or is overloaded. Your credential was not verified. Try again \
                 in a moment.",
            ),
        }
    }
}

fn unauthenticated(error: &AuthenticationError, now: Timestamp) -> Problem {
    let title = "Not authenticated";
    if error.is_about_form() {
        let detail = capitalised(&format!("{error}."));
        return Problem::new(401, codes::UNAUTHENTICATED, title, detail).with("reason", error.code());
    }
    if !error.is_for_holder() {
        let detail = "The request has no valid credential. Sign it with a registered key, and send exactly what was \
                      signed: the same method, URL, host and body. `keyward explain` shows what was signed.";
        return Problem::new(401, codes::UNAUTHENTICATED, title, detail);
    }
    Problem::new(401, codes::UNAUTHENTICATED, title, capitalised(&format!("{error}; server time {now:.0}.")))
        .with("reason", error.code())
        .with("server_time", format!("{now:.0}"))
}

/// The problem for a caller that is authenticated and not authorized.
fn denied(denied: Denied) -> Problem {
    let detail = || capitalised(&format!("{denied}."));
    match denied {
        Denied::NotFound => Problem::new(
            404,
            codes::NOT_FOUND,
            "Not found",
            "It does not exist, or you do not have access to it. Check the id and the workspace.",
        ),
        Denied::PasswordNeeded => Problem::new(403, codes::PASSWORD_NEEDED, "Your password is needed", detail()),
        Denied::OutsidePolicy(outside) => {
            Problem::new(403, codes::OUTSIDE_POLICY, "The key is outside the policy", detail())
                .with("rules", names_of(&outside))
        }
        _ => {
            let mut problem =
                Problem::new(403, codes::FORBIDDEN, "Not allowed", format!("This is not allowed: {denied}."));
            problem.required_role = denied.required_role();
            problem.required_scope = denied.required_scope().map(|scope| scope.as_str().to_owned());
            problem
        }
    }
}

fn names_of(outside: &OutsidePolicy) -> Vec<&'static str> {
    outside.violations.rules().into_iter().map(RuleName::as_str).collect()
}

fn outside_policy(outside: &OutsidePolicy) -> Problem {
    let rules = outside.violations.list();
    let rules: Vec<String> = rules.iter().map(|violated| format!("{}: {}", violated.must, violated.advice)).collect();
    let detail = format!("The key would be outside the policy of {}: {}.", outside.place, rules.join("; "));
    Problem::new(409, codes::OUTSIDE_POLICY, "The key is outside the policy", detail).with("rules", names_of(outside))
}

/// The refusal of a request for which an overloaded server has no time.
fn overloaded() -> Problem {
    Problem::new(
        503,
        codes::UNAVAILABLE,
        "Overloaded",
        "The server has more requests than it can process. Your credential was not verified, and nothing was changed. Try \
         again in two seconds.",
    )
}

fn not_served() -> Problem {
    let detail = "Keyward has no answer to this call of the Encord SDK; your platform has. Give the SDK the platform's \
                  address as `domain`.";
    Problem::new(404, codes::NOT_FOUND, "Not found", detail)
}

fn rate_limited(seconds: u64) -> Problem {
    Problem::new(
        429,
        codes::RATE_LIMITED,
        "Too many requests",
        format!("This key or IP address has sent too many requests. Try again in {seconds} s."),
    )
}

/// Returns the problem for a host that is not listed: 421 at Keyward itself, and 403 through a proxy, because proxies
/// do not pass on a 421.
fn host_not_listed(status: u16, authority: &str) -> Problem {
    let authority = shortened(authority);
    let detail = if status == 421 {
        format!(
            "This server does not accept requests for `{authority}`. Use its public URL, or ask the operator to add \
             this host to `hosts`."
        )
    } else {
        format!(
            "Requests to `{authority}` are not verified by this server. Ask the operator to add this host to \
             `proxied_hosts`."
        )
    };
    Problem::new(status, codes::HOST_NOT_LISTED, "Host not listed", detail)
}

/// Returns the beginning of a value from a client, which is long enough to recognise it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Returns a reason as a sentence.
pub(crate) fn sentence(reason: &str) -> String {
    format!("{}.", capitalised(reason))
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
            VerificationError::Route(error @ RouteError::Path(_)) => Self::BadRequest(sentence(&error.to_string())),
            VerificationError::Route(error) => Self::Route(error),
            VerificationError::RateLimited(RetryAfter(seconds)) => Self::RateLimited(seconds),
            VerificationError::TooManySignatures => Self::HeadersTooLarge,
            VerificationError::Unsignable(part) => Self::BadRequest(format!(
                "The request's {part} cannot be part of a \
                                                                             signature."
            )),
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
    fn an_internal_error_shows_no_internal_text() {
        let problem = AppError::Internal("password_hash of usr_1".into()).to_problem();
        assert!(!serde_json::to_string(&problem).unwrap().contains("password_hash"));
    }
}
