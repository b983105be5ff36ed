//! The one binary, `meridian`: an edge, a development mesh, and the tools to talk to both.
//!
//! Data goes to stdout and talk to stderr, so that every command can stand in a pipe. What the
//! exit codes mean stands in `exit`. Nothing here knows the wire: that is `meridian-client`.

mod commands;
mod exit;
mod headers;
mod message_format;
mod payload_argument;
mod pretty_json;
mod shown;
mod signals;
mod target;
mod template;
mod terminal;
mod waterfall;

use clap::Parser;
use exit::Error;
use std::process::ExitCode;

/// Publish and subscribe across regions: browsers in, plain NATS in, live messages out.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, after_help = exit::table(), max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    // Prints help and usage errors itself, and ends with 0 or 2: the codes of our own table.
    let arguments = Arguments::parse();
    // One thread: child processes of `dev` are bound to the thread that starts them, and an edge
    // brings threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(arguments.command)),
        Err(error) => Err(Error::Runtime(error)),
    };
    let exit = result.unwrap_or_else(|error| {
        if !error.is_quiet() {
            terminal::talk_error(&error.to_string());
        }
        error.exit()
    });
    ExitCode::from(exit.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_shows_the_exit_codes() {
        let help = Arguments::command().render_long_help().to_string();
        assert!(help.contains("130  interrupted"), "{help}");
    }
}
