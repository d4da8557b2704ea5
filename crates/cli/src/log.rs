//! The log on standard error: lines for a terminal, JSON otherwise.

mod request_lines;

use std::{
    fmt,
    io::{self, IsTerminal as _},
    sync::Arc,
};

use server::request_log::{RequestLog, TARGET, current_request_id};
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    registry::LookupSpan,
};

pub(crate) use self::request_lines::flush;
use self::request_lines::{AfterRequestLines, RequestLines, span_of};
use crate::{
    failure::{Failure, Outcome},
    message::CleanStderr,
};

/// Starts the log. `KEYWARD_LOG` sets the filter. Without it, `default` is used.
pub(crate) fn start(default: &str) -> Outcome {
    let filter = read_filter(default)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| CleanStderr);
    let started = if io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| cannot_start(&error))
}

/// Starts the log of a server, and returns its log of answered requests. On a terminal, and with the filter `debug` or
/// `trace`, there is none: answered requests are then logged as everything else, in spans.
pub(crate) fn start_serving(default: &str) -> Outcome<Option<Arc<dyn RequestLog>>> {
    if io::stderr().is_terminal() {
        return start(default).map(|()| None);
    }
    let filter = read_filter(default)?;
    let has_spans = filter.max_level_hint().is_none_or(|level| level > LevelFilter::INFO);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).json().flatten_event(true);
    if has_spans {
        let started = builder.with_writer(|| CleanStderr).try_init();
        return started.map(|()| None).map_err(|error| cannot_start(&error));
    }
    let builder = builder.map_event_format(WithRequestId).with_writer(|| AfterRequestLines);
    builder.try_init().map_err(|error| cannot_start(&error))?;
    if !tracing::enabled!(target: TARGET, Level::INFO) {
        return Ok(Some(Arc::new(NoRequestLog)));
    }
    Ok(Some(RequestLines::start().map_err(|error| cannot_start(&error))?))
}

fn read_filter(default: &str) -> Outcome<EnvFilter> {
    let wanted = std::env::var("KEYWARD_LOG").ok().filter(|filter| !filter.trim().is_empty());
    EnvFilter::try_new(wanted.as_deref().unwrap_or(default)).map_err(|error| {
        Failure::new(format!("KEYWARD_LOG is invalid ({error}): write for example `info` or `server=debug`"))
    })
}

fn cannot_start(error: &dyn fmt::Display) -> Failure {
    Failure::new(format!("the log cannot be started: {error}"))
}

/// The filter of the log excludes answered requests.
struct NoRequestLog;

impl RequestLog for NoRequestLog {
    fn write(&self, _: &server::request_log::AnsweredRequest<'_>) {}

    fn count_lost(&self) -> u64 {
        0
    }
}

/// Adds the id of the current request to a line, as if the request were a span.
struct WithRequestId(Format<Json>);

impl<S, N> FormatEvent<S, N> for WithRequestId
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(id) = current_request_id() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_suffix("}\n") {
            Some(open) => writeln!(writer, "{open},{}}}", span_of(id.as_str())),
            None => writer.write_str(&line),
        }
    }
}
