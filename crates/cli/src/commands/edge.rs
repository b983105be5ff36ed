//! `meridian edge`: runs one edge until a signal ends it.

use crate::exit::{Error, Exit};
use crate::signals::Signals;
use crate::terminal::talk;
use meridian_edge::config::LogFormat;
use meridian_edge::{Config, Edge};
use std::path::PathBuf;
use tokio::sync::oneshot;

/// Run an edge.
///
/// SIGTERM or Ctrl-C drains it: clients are told to go elsewhere, then it ends with code 0. A
/// second signal ends it at once, with code 130. Mistakes in the configuration end it with code 2
/// before a port is bound.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The TOML file. Without it, defaults and MERIDIAN__… variables only.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let config = Config::load(arguments.config.as_deref()).map_err(Error::Config)?;
    let format = match config.log.format {
        LogFormat::Text => meridian_telemetry::LogFormat::Text,
        LogFormat::Json => meridian_telemetry::LogFormat::Json,
    };
    meridian_telemetry::init(format, &config.log.level)
        .map_err(|error| Error::Usage(error.to_string()))?;
    let mut signals = Signals::listen()?;
    let edge = Edge::start(config)?;

    let (shut_down, ordered) = oneshot::channel::<()>();
    let shutdown = async {
        // The sender being gone would mean that nobody can order an end any more.
        let _ = ordered.await;
    };
    let mut running = std::pin::pin!(edge.run_until(shutdown));
    tokio::select! { biased;
        // An edge that ends by itself has a reason, and it is told.
        result = &mut running => return Ok(result.map(|()| Exit::Ok)?),
        () = signals.recv() => {}
    }
    talk("draining; once more ends at once");
    let _ = shut_down.send(());
    signals.race(running).await?;
    Ok(Exit::Ok)
}
