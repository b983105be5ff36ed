//! The only crate that will know the OpenTelemetry SDK: logs now; spans, metrics and their export
//! come with the telemetry issue, behind this same boundary.
//!
//! Not for: deciding what to log. Other crates use `tracing` and know nothing of its output.

pub mod metrics;

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level directive is malformed.
    #[error("log level {0:?}: use error, warn, info, debug, trace, or target=level pairs")]
    Level(String),
    /// A subscriber is installed already.
    #[error("logging was started twice in one process")]
    Twice,
}

/// Starts logging to stderr, for the life of the process. `level` is a `tracing` directive such
/// as `info` or `info,meridian_edge=debug`.
///
/// # Errors
/// [`Error::Level`] and [`Error::Twice`].
pub fn init(format: LogFormat, level: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(level).map_err(|_| Error::Level(level.into()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_span_events(FmtSpan::NONE);
    let installed = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|_| Error::Twice)
}
