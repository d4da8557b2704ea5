//! RFC 9457 problem details, with a stable `code` for programs.

use domain::role::RequiredRole;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::schema;

/// A problem (RFC 9457), as `application/problem+json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:keyward:problem:` and the code.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// A short summary of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do next.
    pub detail: String,
    /// One of [`codes`]. The meaning of a code never changes.
    pub code: String,
    /// The invalid fields, for `invalid_request`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// For `forbidden`, the role that the operation requires: `user`, `operator`, `workspace:admin`, `project:viewer`,
    /// `project:editor` or `project:admin`.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::RequiredRole>)]
    pub required_role: Option<RequiredRole>,
    /// For `forbidden`, the scope that the key lacks, if it is limited to scopes.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::KeywardScope>)]
    pub required_scope: Option<String>,
    /// How the server processed the signature, for a request with `Keyward-Explain: 1`.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Explanation>)]
    pub explanation: Option<Explanation>,
    /// Further members, depending on the code: `fingerprint`, `limit`, `support_contact`, `projects`, …
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

/// An invalid field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Its name in the request.
    pub field: String,
    /// The reason, and how to correct it.
    pub detail: String,
    /// A stable code for the reason, such as `private_key_pasted`.
    pub code: String,
}

/// How the server processed a signature that it refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The signature base (RFC 9421 §2.5) that the server computed from the received request. The values of header
    /// fields other than `content-digest` are replaced by `length=…, sha-256=…` (hexadecimal). A covered component that
    /// the request does not have is `(missing)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_base: Option<String>,
    /// What is wrong with the form of the request, or why there is no explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The received body, if it is not the signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<ReceivedBody>,
    /// Seconds after which the server explains again, if this IP address asked too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub retry_after: Option<u64>,
}

/// A received body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReceivedBody {
    /// Its length in bytes.
    pub length: u64,
    /// Its digest, as in `Content-Digest`.
    pub content_digest: String,
}

impl Problem {
    /// Creates a problem with this status and code.
    #[must_use]
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:keyward:problem:{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            errors: Vec::new(),
            required_role: None,
            required_scope: None,
            explanation: None,
            members: Map::new(),
        }
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }
}

/// Returns a value that this release knows. An unknown value of a later release is ignored, and the problem is kept.
fn known<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).ok())
}

/// The codes. Codes may be added, and the meaning of a code never changes.
pub mod codes {
    /// 400: the request cannot be read, or a field is invalid.
    pub const INVALID_REQUEST: &str = "invalid_request";
    /// 401: the credential is missing or refused.
    pub const UNAUTHENTICATED: &str = "unauthenticated";
    /// 403: the caller is authenticated, but not authorized.
    pub const FORBIDDEN: &str = "forbidden";
    /// 421, 403: the request is for a host that is not listed.
    pub const HOST_NOT_LISTED: &str = "host_not_listed";
    /// 403: in a session, the password must be entered again first.
    pub const PASSWORD_NEEDED: &str = "password_needed";
    /// 404: it does not exist, or the caller may not see it.
    pub const NOT_FOUND: &str = "not_found";
    /// 405: the path exists, but not with this method.
    pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
    /// 408: the body did not arrive in time.
    pub const TIMEOUT: &str = "timeout";
    /// 409: the key is registered, or permanently blocked.
    pub const DUPLICATE_KEY: &str = "duplicate_key";
    /// 409: a quota is reached.
    pub const QUOTA_EXCEEDED: &str = "quota_exceeded";
    /// 409: the key would be outside the policy for keys. 403: the key is outside the policy of the workspace.
    pub const OUTSIDE_POLICY: &str = "outside_policy";
    /// 409: the slug is in use or was used before.
    pub const SLUG_TAKEN: &str = "slug_taken";
    /// 409: the name or service account address is in use or was used before.
    pub const NAME_TAKEN: &str = "name_taken";
    /// 409: the email address belongs to a user.
    pub const EMAIL_TAKEN: &str = "email_taken";
    /// 409: the last admin of a workspace cannot be removed or demoted.
    pub const LAST_ADMIN: &str = "last_admin";
    /// 409: projects would be left without an admin. Name a successor.
    pub const SUCCESSOR_REQUIRED: &str = "successor_required";
    /// 409: a server of an earlier release is running, which would not apply what the request asks for.
    pub const UPGRADE_IN_PROGRESS: &str = "upgrade_in_progress";
    /// 409: the key is revoked.
    pub const KEY_REVOKED: &str = "key_revoked";
    /// 409: the key has expired. Set a new expiry first.
    pub const KEY_EXPIRED: &str = "key_expired";
    /// 409: the key is disabled or suspended, so it cannot be rotated.
    pub const KEY_INACTIVE: &str = "key_inactive";
    /// 409: the key was rotated, so that its expiry cannot be later than the end of the overlap.
    pub const KEY_ROTATED: &str = "key_rotated";
    /// 409: the key has a successor that is not revoked. Undo the rotation, or wait for the end of the overlap.
    pub const ROTATION_PENDING: &str = "rotation_pending";
    /// 409: the overlap has ended, so the rotation cannot be undone.
    pub const ROTATION_ENDED: &str = "rotation_ended";
    /// 409: the person is already a member.
    pub const ALREADY_MEMBER: &str = "already_member";
    /// 409: the invitation was accepted or revoked.
    pub const INVITATION_CLOSED: &str = "invitation_closed";
    /// 409: this signed request was already processed, and its stored response cannot be decrypted.
    pub const ANSWER_UNREADABLE: &str = "answer_unreadable";
    /// 413: the body is larger than 1 MiB.
    pub const TOO_LARGE: &str = "too_large";
    /// 415: the body is not JSON.
    pub const UNSUPPORTED_MEDIA_TYPE: &str = "unsupported_media_type";
    /// 431: the headers exceed 16 KiB.
    pub const HEADERS_TOO_LARGE: &str = "headers_too_large";
    /// 429: too many requests.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// 500: internal error.
    pub const INTERNAL: &str = "internal";
    /// 503: the database does not respond, or the server is overloaded. Try again.
    pub const UNAVAILABLE: &str = "unavailable";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_role_of_a_later_release_does_not_hide_the_problem() {
        let mut problem = serde_json::to_value(Problem::new(403, codes::FORBIDDEN, "Not allowed", "…")).unwrap();
        for (role, read) in [("project:editor", Some(RequiredRole::ProjectEditor)), ("project:owner", None)] {
            problem["required_role"] = role.into();
            let problem: Problem = serde_json::from_value(problem.clone()).unwrap();
            assert_eq!((problem.required_role, problem.code.as_str()), (read, codes::FORBIDDEN));
            assert!(problem.members.is_empty());
        }
    }
}
