//! The only crate that knows the OpenTelemetry SDK: logs here, instruments in `metrics`, and
//! spans and their export in `trace`.
//!
//! Not for: deciding what to log. Other crates use `tracing` and know nothing of its output.

pub mod metrics;
pub mod trace;

use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

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
    let lines =
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Each part has its own filter: what is logged does not decide what is traced.
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    subscriber.with(trace::bridge::layer()).try_init().map_err(|_| Error::Twice)
}
