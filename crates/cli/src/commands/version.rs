//! `meridian version`: what this binary is.

use crate::exit::{Error, Exit};
use crate::terminal;
use meridian_proto::json::SUBPROTOCOL;

/// Print the version.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    terminal::data(text(arguments).as_bytes())?;
    Ok(Exit::Ok)
}

fn text(arguments: &Arguments) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.json {
        let value = serde_json::json!({
            "name": "meridian",
            "version": version,
            "protocols": [SUBPROTOCOL],
        });
        format!("{value}\n")
    } else {
        format!("meridian {version} ({SUBPROTOCOL})\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_object_on_one_line() {
        let text = text(&Arguments { json: true });
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
    }
}
