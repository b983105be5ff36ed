//! `meridian config`: reads an edge's configuration as the edge would, and says what is wrong
//! with it or what it comes to.

use crate::exit::{Error, Exit};
use crate::terminal::{self, talk};
use meridian_edge::Config;
use std::path::PathBuf;

/// Check or show an edge's configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say whether an edge would accept it; all mistakes at once, and code 2.
    Check(Source),
    /// Print what it comes to, defaults and environment included, passwords hidden.
    Show(Source),
}

#[derive(Debug, clap::Args)]
struct Source {
    /// The TOML file. Without it, defaults and MERIDIAN__… variables only.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let load = |source: &Source| Config::load(source.config.as_deref()).map_err(Error::Config);
    match &arguments.action {
        Action::Check(source) => {
            load(source)?;
            talk("the configuration is good");
        }
        Action::Show(source) => terminal::data(load(source)?.to_toml().as_bytes())?,
    }
    Ok(Exit::Ok)
}
