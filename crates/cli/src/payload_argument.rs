//! The payload of `pub` and `request`: an argument, or `-` for standard input.

use crate::exit::Error;
use crate::template::{self, Values};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meridian_client::PayloadBuf;
use std::io::{self, IsTerminal, Read};

/// Most bytes read from standard input. No edge takes more in one message.
const STDIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The arguments that say what to send.
#[derive(Debug, clap::Args)]
pub(crate) struct PayloadArgument {
    /// What to send; `-` reads it from standard input. Without it, an empty message.
    payload: Option<String>,
    /// Send it as text, even if it reads like JSON.
    #[arg(long, conflicts_with = "base64")]
    text: bool,
    /// The payload is given in base64: send the bytes that it stands for, as bytes.
    #[arg(long)]
    base64: bool,
    /// Leave {{Count}}, {{Unix}}, {{UnixNano}} and {{ID}} as they are.
    #[arg(long)]
    no_templates: bool,
}

/// What to send each time.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    kind: Kind,
    /// Whether to fill in templates.
    pub(crate) templates: Templates,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Sniffed,
    Text,
    Bytes,
}

/// Whether `{{…}}` means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Templates {
    Filled,
    Verbatim,
}

impl Templates {
    /// The text with its templates filled, if they are to be.
    pub(crate) fn fill(self, text: &str, values: &Values) -> String {
        match self {
            Self::Filled => template::fill(text, values),
            Self::Verbatim => text.to_owned(),
        }
    }
}

impl PayloadArgument {
    /// Reads standard input if that is asked for, and decodes base64.
    ///
    /// # Errors
    /// [`Error::Pipe`] and [`Error::Usage`].
    pub(crate) fn read(&self) -> Result<Payload, Error> {
        let bytes = match self.payload.as_deref() {
            None => Vec::new(),
            Some("-") => read_stdin()?,
            Some(text) => text.as_bytes().to_vec(),
        };
        self.payload_of(bytes)
    }

    fn payload_of(&self, bytes: Vec<u8>) -> Result<Payload, Error> {
        let templates = if self.no_templates { Templates::Verbatim } else { Templates::Filled };
        if self.base64 {
            let decoded = STANDARD.decode(bytes.trim_ascii()).map_err(|error| {
                Error::Usage(format!(
                    "the payload is not base64 ({error}): use the standard alphabet with padding"
                ))
            })?;
            return Ok(Payload { bytes: decoded, kind: Kind::Bytes, templates });
        }
        let kind = if self.text { Kind::Text } else { Kind::Sniffed };
        if kind == Kind::Text && std::str::from_utf8(&bytes).is_err() {
            let what = "the payload is not UTF-8, so it cannot be sent as text: leave out --text";
            return Err(Error::Usage(what.into()));
        }
        Ok(Payload { bytes, kind, templates })
    }
}

impl Payload {
    /// The payload of one message: what is valid JSON as JSON, other UTF-8 as text, else bytes.
    pub(crate) fn of(&self, values: &Values) -> PayloadBuf {
        let bytes = match std::str::from_utf8(&self.bytes) {
            Ok(text) if self.kind != Kind::Bytes => self.templates.fill(text, values).into_bytes(),
            _ => self.bytes.clone(),
        };
        match self.kind {
            Kind::Sniffed => PayloadBuf::sniff(bytes),
            Kind::Bytes => PayloadBuf::Bytes(bytes),
            Kind::Text => match String::from_utf8(bytes) {
                Ok(text) => PayloadBuf::Text(text),
                Err(error) => PayloadBuf::Bytes(error.into_bytes()),
            },
        }
    }
}

fn read_stdin() -> Result<Vec<u8>, Error> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        crate::terminal::talk("reading the payload from the terminal; end it with Ctrl-D");
    }
    let mut bytes = Vec::new();
    let read = stdin.lock().take(STDIN_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Pipe { action: "read standard input", source })?;
    if bytes.len() as u64 > STDIN_BYTES_MAX {
        let what = format!("the input is longer than {STDIN_BYTES_MAX} bytes: split it");
        return Err(Error::Usage(what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(payload: &str) -> PayloadArgument {
        let payload = Some(payload.to_owned());
        PayloadArgument { payload, text: false, base64: false, no_templates: false }
    }

    fn sent(argument: &PayloadArgument) -> PayloadBuf {
        argument.read().unwrap().of(&Values::now(3))
    }

    #[test]
    fn json_is_json_and_the_rest_is_text() {
        assert!(matches!(sent(&argument("{\"n\":{{Count}}}")), PayloadBuf::Json(raw)
            if raw.get() == "{\"n\":3}"));
        assert!(
            matches!(sent(&argument("hello {{Count}}")), PayloadBuf::Text(t) if t == "hello 3")
        );
        let nothing = PayloadArgument { payload: None, ..argument("") };
        assert!(matches!(sent(&nothing), PayloadBuf::Empty));
    }

    #[test]
    fn bytes_that_are_no_text_are_bytes() {
        let payload = argument("").payload_of(b"\xff{{Count}}".to_vec()).unwrap();
        assert!(
            matches!(payload.of(&Values::now(1)), PayloadBuf::Bytes(b) if b == b"\xff{{Count}}")
        );
    }

    #[test]
    fn a_forced_kind_wins_over_what_the_bytes_look_like() {
        let text = PayloadArgument { text: true, ..argument("12") };
        assert!(matches!(sent(&text), PayloadBuf::Text(t) if t == "12"));
        let bytes = PayloadArgument { base64: true, ..argument("MTIz\n") };
        assert!(matches!(sent(&bytes), PayloadBuf::Bytes(b) if b == b"123"));
        let wrong = PayloadArgument { base64: true, ..argument("!") };
        assert!(matches!(wrong.read(), Err(Error::Usage(_))));
        assert!(matches!(text.payload_of(vec![0xff]), Err(Error::Usage(_))));
    }

    #[test]
    fn templates_can_be_left_alone() {
        let verbatim = PayloadArgument { no_templates: true, ..argument("{{Count}}") };
        assert!(matches!(sent(&verbatim), PayloadBuf::Text(t) if t == "{{Count}}"));
    }
}
