//! The errors of a request. Each message says what to do next.

use std::{error::Error, fmt, io};

use api::{Problem, codes};
use domain::secret::{quoted, redact, shown};
use http::StatusCode;

use crate::{resolver::ResolveError, signer::SignError};

/// Why a request has no usable response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL is invalid.
    #[error("{url} is not the URL of a server ({reason}): it must start with `https://` or `http://` and a host")]
    Url {
        /// The URL in backticks, or a description of it if it may be a secret.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The request was not signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
    /// The server cannot be reached.
    #[error("cannot connect to {origin} ({reason}): {cause}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// The chain of reasons.
        reason: String,
        /// The cause.
        cause: ConnectCause,
    },
    /// The certificates to trust cannot be read.
    #[error(
        "the certificates to trust are invalid ({reason}): give one or more as PEM, starting with `-----BEGIN CERTIFICATE-----`"
    )]
    Certificates {
        /// The reason.
        reason: String,
    },
    /// The server did not respond in time. A write may or may not have been executed.
    #[error("no response from {origin} in time: try again; the request may have been processed anyway")]
    Timeout {
        /// Scheme, host and port.
        origin: String,
    },
    /// The connection was lost. A write may or may not have been executed.
    #[error("the connection to {origin} broke ({reason}): try again; the request may have been processed anyway")]
    Broken {
        /// Scheme, host and port.
        origin: String,
        /// The chain of reasons.
        reason: String,
    },
    /// The server reports an error.
    #[error("{}", printable_problem(.0))]
    Problem(Box<Problem>),
    /// The server refused the signature, and the clocks of the two machines differ.
    #[error("{}; {skew}", printable_problem(.problem))]
    Clock {
        /// The difference.
        skew: ClockSkew,
        /// The server's response.
        problem: Box<Problem>,
    },
    /// The response is a redirect. Redirects are never followed, because the signature would be sent to another
    /// address.
    #[error(
        "the server answers {} and points to {}: requests are signed for one URL and do not follow redirects, so use \
         that URL if it is yours", status.as_u16(), shown(&printable(location))
    )]
    Redirect {
        /// The status.
        status: StatusCode,
        /// The `Location` field.
        location: String,
    },
    /// An error status without a problem in the body. The response is probably not from Keyward.
    #[error("the server answers {status} without a reason: {}", after_status(*status, *retry_after))]
    Status {
        /// The status.
        status: StatusCode,
        /// The number of seconds after which to retry, if the response contains it.
        retry_after: Option<u64>,
    },
    /// The response is not the expected one.
    #[error(
        "the server's response is not what this version expects ({reason}): check the URL and the versions of \
             client and server"
    )]
    Answer {
        /// The reason.
        reason: String,
    },
    /// The response is longer than allowed.
    #[error("the server's response is longer than {limit} bytes and was discarded")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

impl ClientError {
    /// Returns the server's problem, if there is one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) | Self::Clock { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// Creates the error for an invalid URL.
    pub(crate) fn url(url: &str, reason: impl fmt::Display) -> Self {
        Self::Url { url: quoted(url).to_string(), reason: reason.to_string() }
    }

    pub(crate) fn transport(error: &reqwest::Error, origin: String) -> Self {
        if error.is_timeout() && !error.is_connect() {
            return Self::Timeout { origin };
        }
        // The outer messages repeat the URL. The innermost ones contain the reason.
        let mut reasons = Vec::new();
        let mut next = error.source();
        while let Some(reason) = next {
            reasons.push(reason.to_string());
            next = reason.source();
        }
        let reason = if reasons.is_empty() { error.to_string() } else { reasons.join(": ") };
        if error.is_connect() {
            let cause = ConnectCause::of(error);
            Self::Connect { origin, reason, cause }
        } else {
            Self::Broken { origin, reason }
        }
    }
}

/// Why a server cannot be reached. `Display` says what to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnectCause {
    /// The host name cannot be resolved.
    UnknownHost,
    /// No process listens on that port.
    NotListening,
    /// The server's certificate is not trusted on this machine, or is not for that name or time.
    UntrustedCertificate,
    /// The server does not use TLS.
    NotTls,
    /// Another cause.
    Other,
}

impl ConnectCause {
    fn of(error: &reqwest::Error) -> Self {
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = next {
            if error.is::<ResolveError>() {
                return Self::UnknownHost;
            }
            if let Some(mut error) = error.downcast_ref::<io::Error>() {
                // Each layer may wrap the error once.
                while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()) {
                    error = inner;
                }
                match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(_)) => return Self::UntrustedCertificate,
                    Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
                    _ if error.kind() == io::ErrorKind::ConnectionRefused => return Self::NotListening,
                    _ => {}
                }
            }
            next = error.source();
        }
        Self::Other
    }
}

impl fmt::Display for ConnectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownHost => {
                "the host name cannot be resolved; check the spelling and the DNS settings of this machine"
            }
            Self::NotListening => "no server listens there; check the URL and that the server is running",
            Self::UntrustedCertificate => {
                "the server's certificate is not trusted on this machine; if your own authority issued it, give the \
                 authority's certificate with `--ca-file` or KEYWARD_CA_FILE, otherwise replace the server's \
                 certificate"
            }
            Self::NotTls => {
                "the server does not speak TLS on this port; check the port, and whether the URL must start with \
                 http://"
            }
            Self::Other => "check the URL, the network, and that the server is running",
        })
    }
}

fn after_status(status: StatusCode, retry_after: Option<u64>) -> String {
    match (status, retry_after) {
        (StatusCode::TOO_MANY_REQUESTS, Some(seconds)) => {
            format!("too many requests; try again in {seconds} s")
        }
        (StatusCode::TOO_MANY_REQUESTS, None) => "too many requests; try again later".to_owned(),
        (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _) => {
            "the proxy in front of Keyward cannot reach it; check that the server is running, and try again".to_owned()
        }
        _ => "check that the URL is the URL of Keyward, not of a proxy in front of it".to_owned(),
    }
}

/// The difference between this machine's clock and the server's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockSkew {
    /// The seconds by which this machine is ahead. Negative if it is behind.
    pub seconds: i64,
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.seconds < 0 { "behind" } else { "ahead of" };
        write!(
            f,
            "this machine's clock is {} s {direction} the server's, which is the likely reason: set the clock \
             (`timedatectl set-ntp true` on Linux) and try again",
            self.seconds.unsigned_abs()
        )
    }
}

fn printable_problem(problem: &Problem) -> String {
    let fields = problem.errors.iter().map(|error| format!("{}: {}", error.field, error.detail));
    let what = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    // The detail of an invalid request lists its fields.
    let is_list = problem.code == codes::INVALID_REQUEST && !problem.errors.is_empty();
    let what = Some(what.clone()).filter(|_| !is_list);
    printable(&what.into_iter().chain(fields).collect::<Vec<_>>().join("; "))
}

/// Replaces control characters, which could be harmful in terminals, and hides secrets. The message may contain text
/// from the request.
fn printable(text: &str) -> String {
    redact(text).replace(char::is_control, " ")
}
