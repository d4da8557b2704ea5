//! Failures of commands: a message for users with the next step, and an exit status and JSON for programs.

use std::{
    fmt, io,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use api::{Problem, codes};
use client::{AgentError, ClientError, PrivateKeyError, SignError, WriteKeyPairError};
use domain::principal::Denied;
use http::StatusCode;
use serde::Serialize;
use server::{
    AppError, StoreError,
    app::{ChangeError, OpenError},
    settings::SettingError,
};

use crate::message::clean;

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The exit status of a check that is incomplete.
const INCOMPLETE: u8 = 2;

/// Separates what happened from what to do next.
const NEXT: &str = "\nnext: ";

/// The kind of a failure, which determines the exit status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Any other failure.
    Failed = 1,
    /// The command line, or a variable that replaces an argument, is incomplete or invalid.
    Usage = 2,
    /// The server refused the credential.
    NotAuthenticated = 3,
    /// The operation is not allowed, or the object does not exist.
    NotAllowed = 4,
    /// The server did not respond, or reported that it is unavailable.
    Unreachable = 5,
}

impl Kind {
    /// Returns the kind for an HTTP status.
    pub(crate) fn of(status: u16) -> Self {
        match StatusCode::from_u16(status) {
            Ok(StatusCode::UNAUTHORIZED) => Self::NotAuthenticated,
            Ok(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => Self::NotAllowed,
            Ok(StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
                Self::Unreachable
            }
            _ => Self::Failed,
        }
    }

    /// Returns the `code` in JSON, if there is none from the server.
    fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "invalid_usage",
            Self::NotAuthenticated => codes::UNAUTHENTICATED,
            Self::NotAllowed => codes::NOT_FOUND,
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What happened, and what to do next.
    Told { told: String, kind: Kind },
    /// The server refused the request. Contains the message with the next step, and the server's problem for programs.
    Refused { told: String, problem: Box<Problem> },
    /// A check is incomplete. Its exit status is 2, because 1 means that it found something.
    Incomplete(Box<Self>),
    /// The complete output is already on standard output.
    Printed,
    /// No message is printed, because the user requested this.
    Silent(Kind),
    /// Standard output cannot be written.
    Output(io::Error),
}

/// Whether errors are printed as JSON.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Makes errors be printed as JSON, for a command with `--json`.
pub(crate) fn tell_as_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// A failure as JSON, printed as one line on standard error.
#[derive(Serialize)]
struct Told<'a> {
    error: ToldError<'a>,
}

#[derive(Serialize)]
struct ToldError<'a> {
    /// The server's code, or else the kind of failure.
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    exit_status: u8,
    /// The server's problem (RFC 9457).
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<serde_json::Value>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::of_kind(Kind::Failed, message)
    }

    /// Creates the failure for an incomplete or invalid command line, or a variable that replaces an argument.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::of_kind(Kind::Usage, message)
    }

    /// Creates the failure for an object that does not exist, or is hidden from this user.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::of_kind(Kind::NotAllowed, message)
    }

    pub(crate) fn of_kind(kind: Kind, message: impl Into<String>) -> Self {
        Self::Told { told: message.into(), kind }
    }

    /// Returns the same failure with another message.
    pub(crate) fn retold(self, told: String) -> Self {
        match self {
            Self::Refused { problem, .. } => Self::Refused { told, problem },
            other => Self::Told { kind: other.kind(), told },
        }
    }

    /// Returns the kind of failure.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Told { kind, .. } | Self::Silent(kind) => *kind,
            Self::Refused { problem, .. } => Kind::of(problem.status),
            Self::Incomplete(failure) => failure.kind(),
            Self::Printed | Self::Output(_) => Kind::Failed,
        }
    }

    /// Returns the code of the server's refusal, one of [`api::codes`].
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.code),
            Self::Incomplete(failure) => failure.code(),
            _ => None,
        }
    }

    /// Returns whether the server refused the request and changed nothing. After a 5xx response, that is not certain.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if (400..500).contains(&problem.status))
    }

    /// Returns the server's code for why a credential was refused although the signature is valid.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => problem.members.get("reason").and_then(|reason| reason.as_str()),
            _ => None,
        }
    }

    /// Prints it on standard error, and returns the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Incomplete(failure) => {
                failure.report();
                return ExitCode::from(INCOMPLETE);
            }
            // The reader closed the pipe, as in `keyward audit list | head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Printed | Self::Silent(_) => {}
            Self::Told { .. } | Self::Refused { .. } | Self::Output(_) if AS_JSON.load(Ordering::Relaxed) => {
                eprintln!("{}", self.to_json());
            }
            Self::Told { .. } | Self::Refused { .. } | Self::Output(_) => {
                eprintln!("error: {}", clean(&self.to_string()));
            }
        }
        ExitCode::from(self.kind() as u8)
    }

    fn to_json(&self) -> String {
        let told = clean(&self.to_string());
        let (message, next) = match told.split_once(NEXT) {
            Some((message, next)) => (message, Some(next)),
            None => (told.as_str(), None),
        };
        let problem = match self {
            Self::Refused { problem, .. } => serde_json::to_string(problem).ok(),
            _ => None,
        };
        let problem = problem.and_then(|problem| serde_json::from_str(&clean(&problem)).ok());
        let code = self.code().unwrap_or(self.kind().code());
        let error = ToldError { code, message, next, exit_status: self.kind() as u8, problem };
        // Text, numbers and a JSON value can always be serialized.
        serde_json::to_string(&Told { error }).unwrap_or_else(|error| error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { told, .. } | Self::Refused { told, .. } => f.write_str(told),
            Self::Incomplete(failure) => failure.fmt(f),
            Self::Printed | Self::Silent(_) => Ok(()),
            Self::Output(error) => write!(f, "cannot write to standard output ({error})"),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        error.error.into()
    }
}

impl From<AppError> for Failure {
    /// On the host, a user that may read the database may see its errors.
    fn from(error: AppError) -> Self {
        match error {
            AppError::Unavailable(reason) => Self::of_kind(Kind::Unreachable, reason),
            AppError::Internal(reason) | AppError::Contended(reason) => Self::new(reason),
            AppError::Denied(Denied::NotFound) => Self::not_found(error.to_problem().detail),
            other => {
                let problem = other.to_problem();
                Self::of_kind(Kind::of(problem.status), problem.detail)
            }
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let told = error.to_string();
        let kind = match error {
            ClientError::Problem(problem) | ClientError::Clock { problem, .. } => {
                return Self::Refused { told, problem };
            }
            ClientError::Connect { .. } | ClientError::Timeout { .. } | ClientError::Broken { .. } => Kind::Unreachable,
            ClientError::Status { status, .. } => Kind::of(status.as_u16()),
            ClientError::Url { .. } | ClientError::Sign(SignError::UserInfo) => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::of_kind(kind, told)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = if matches!(error, StoreError::Unavailable { .. }) { Kind::Unreachable } else { Kind::Failed };
        Self::of_kind(kind, error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}

macro_rules! told {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        }
    )*};
}
told!(AgentError, PrivateKeyError, SettingError, SignError, WriteKeyPairError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_json_in_one_line_with_its_next_step_apart() {
        let failure = Failure::not_found("there is no key `a\"b`\nnext: `keyward keys list`");
        let json = failure.to_json();
        assert!(!json.contains('\n'), "{json}");
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let expected = serde_json::json!({"error": {
            "code": "not_found", "message": "there is no key `a\"b`", "next": "`keyward keys list`", "exit_status": 4,
        }});
        assert_eq!(value, expected);
    }

    #[test]
    fn the_response_of_a_server_determines_the_exit_status() {
        let statuses =
            [(400, 1), (401, 3), (403, 4), (404, 4), (409, 1), (429, 1), (500, 1), (502, 5), (503, 5), (504, 5)];
        for (status, exit) in statuses {
            assert_eq!(Kind::of(status) as u8, exit, "{status}");
        }
    }
}
