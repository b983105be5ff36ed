//! The two streams: data to stdout, talk to stderr. Colour only on a terminal, and not with
//! `NO_COLOR` (no-color.org).

use crate::exit::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// How a piece of text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Colour,
}

impl Paint {
    /// What stdout can show.
    pub(crate) fn of_stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    fn of_stderr() -> Self {
        Self::of(io::stderr().is_terminal())
    }

    fn of(is_terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_terminal && !refused { Self::Colour } else { Self::Plain }
    }

    pub(crate) fn bold(self, text: impl Display) -> String {
        self.sgr("1", text)
    }

    pub(crate) fn dim(self, text: impl Display) -> String {
        self.sgr("2", text)
    }

    pub(crate) fn red(self, text: impl Display) -> String {
        self.sgr("31", text)
    }

    fn sgr(self, code: &str, text: impl Display) -> String {
        match self {
            Self::Plain => text.to_string(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Writes data and flushes, so that the next program in the pipe sees it now.
///
/// # Errors
/// [`Error::Pipe`], also when the reader has gone.
pub(crate) fn data(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|source| Error::Pipe { action: "write to stdout", source })
}

/// Says something to the person at the terminal.
pub(crate) fn talk(text: &str) {
    // Nobody to talk to is no reason to fail.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what went wrong.
pub(crate) fn talk_error(text: &str) {
    talk(&format!("{} {text}", Paint::of_stderr().red("meridian:")));
}

/// Text from elsewhere without what could steer a terminal: control characters but line ends and
/// tabs are shown as replacement characters.
pub(crate) fn harmless(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_others_are_disarmed() {
        assert_eq!(harmless("a\x1b[2Jb\r\u{9b}1m\n\tc"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}1m\n\tc");
    }

    #[test]
    fn plain_paint_leaves_text_alone() {
        assert_eq!(Paint::Plain.red("x"), "x");
        assert_eq!(Paint::Colour.bold("x"), "\x1b[1mx\x1b[0m");
    }
}
