//! Why a command did not do what it was asked to: a sentence for a person, with what to do next.

use std::{fmt, io, process::ExitCode};

use api::Problem;
use client::{AgentError, ClientError, PrivateKeyError, SignError, WriteKeyPairError};
use server::{
    AppError, StoreError,
    app::{ChangeError, OpenError},
    settings::SettingError,
};

use crate::message::clean;

/// What a command comes back with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What happened, and what to do next.
    Told(String),
    /// The server said no: what it said and what to do next, and its own words for programs.
    Refused { told: String, problem: Box<Problem> },
    /// Everything is on standard output already.
    Printed,
    /// Standard output takes no more.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Told(message.into())
    }

    /// The code of the server's refusal, one of [`api::codes`].
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }

    /// Whether the server refused the request and changed nothing. After a 5xx response, that is not certain.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if (400..500).contains(&problem.status))
    }

    /// The server's word for why a credential was not accepted, where the signature itself was good.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => problem.members.get("reason").and_then(|reason| reason.as_str()),
            _ => None,
        }
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            // The reader had enough, as in `keyward audit list | head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Printed => {}
            Self::Told(_) | Self::Refused { .. } | Self::Output(_) => eprintln!("error: {}", clean(&self.to_string())),
        }
        ExitCode::FAILURE
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(message) | Self::Refused { told: message, .. } => f.write_str(message),
            Self::Printed => Ok(()),
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
    /// On the host, a person who may read the database may read what is wrong with it.
    fn from(error: AppError) -> Self {
        match error {
            AppError::Internal(reason) | AppError::Unavailable(reason) | AppError::Contended(reason) => {
                Self::Told(reason)
            }
            other => Self::Told(other.to_problem().detail),
        }
    }
}

macro_rules! told {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Told(error.to_string())
            }
        }
    )*};
}
told!(AgentError, ClientError, OpenError, PrivateKeyError, SettingError, SignError, StoreError, WriteKeyPairError);
