//! The log on standard error: lines for a terminal, JSON otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    failure::{Failure, Outcome},
    message::CleanStderr,
};

/// Starts the log. `KEYWARD_LOG` sets the filter. Without it, `default` is used.
pub(crate) fn start(default: &str) -> Outcome {
    let wanted = std::env::var("KEYWARD_LOG").ok().filter(|filter| !filter.trim().is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default)).map_err(|error| {
        Failure::new(format!("KEYWARD_LOG is invalid ({error}): write for example `info` or `server=debug`"))
    })?;
    let builder = fmt().with_env_filter(filter).with_writer(|| CleanStderr);
    let started = if io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| Failure::new(format!("the log cannot be started: {error}")))
}
