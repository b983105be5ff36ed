//! The commands, one file each. A command returns how it ended; `main` turns that into the exit
//! code.

mod bench;
mod config;
mod dev;
mod drain;
mod edge;
mod history;
mod nats_exporter;
mod publish;
mod request;
pub(crate) mod streams;
mod sub;
mod token;
mod trace;
mod version;

use crate::exit::{Error, Exit};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Sub(sub::Arguments),
    Pub(publish::Arguments),
    Request(request::Arguments),
    History(history::Arguments),
    Edge(edge::Arguments),
    Dev(dev::Arguments),
    Config(config::Arguments),
    Bench(bench::Arguments),
    Streams(streams::Arguments),
    Token(token::Arguments),
    Trace(trace::Arguments),
    Drain(drain::Arguments),
    NatsExporter(nats_exporter::Arguments),
    Version(version::Arguments),
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command) -> Result<Exit, Error> {
    match command {
        Command::Sub(arguments) => sub::run(arguments).await,
        Command::Pub(arguments) => publish::run(arguments).await,
        Command::Request(arguments) => request::run(arguments).await,
        Command::History(arguments) => history::run(arguments).await,
        Command::Edge(arguments) => edge::run(arguments).await,
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Config(arguments) => config::run(&arguments),
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Streams(arguments) => streams::run(arguments).await,
        Command::Token(arguments) => token::run(arguments).await,
        Command::Trace(arguments) => trace::run(arguments).await,
        Command::Drain(arguments) => drain::run(arguments).await,
        Command::NatsExporter(arguments) => nats_exporter::run(arguments).await,
        Command::Version(arguments) => version::run(&arguments),
    }
}
