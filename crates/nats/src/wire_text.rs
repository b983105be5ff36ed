//! What may stand in a control line or a header block.
//!
//! The last gate before the wire: a shard's clients share one connection, and a space or a line
//! break in one subject would be read by the server as a different command. Who may use a subject
//! is not decided here.

use crate::error::Error;

/// Whether a subject may hold `*` and `>` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wildcards {
    Allowed,
    /// nats-server would take `PUB a.*` and deliver it as a literal subject.
    Refused,
}

/// Refuses what is no subject by nats-server's rules. Its length is checked with the control line.
pub(crate) fn check_subject(
    what: &'static str,
    subject: &str,
    wildcards: Wildcards,
) -> Result<(), Error> {
    let invalid = |why| Err(Error::Invalid { what, why });
    let bytes = subject.as_bytes();
    let mut token_start = 0;
    for at in 0..=bytes.len() {
        // The end of the subject ends its last token.
        match bytes.get(at) {
            Some(b'.') | None => {}
            Some(byte) if *byte <= b' ' || *byte == 0x7f => {
                return invalid("it holds a space or a control character");
            }
            Some(_) => continue,
        }
        match &bytes[token_start..at] {
            [] => return invalid("it has an empty token"),
            b"*" | b">" if wildcards == Wildcards::Refused => return invalid("it has a wildcard"),
            b">" if at < bytes.len() => return invalid("'>' is not its last token"),
            _ => {}
        }
        token_start = at + 1;
    }
    Ok(())
}

/// Refuses a name that would end its line, or its own end.
pub(crate) fn check_header_name(name: &str) -> Result<(), Error> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if name.is_empty() || !name.bytes().all(is_allowed) {
        let why = "it is empty or holds a colon, a space or a character that is not ASCII";
        return Err(Error::Invalid { what: "header name", why });
    }
    Ok(())
}

/// Refuses a value that would end its line.
pub(crate) fn check_header_value(value: &str) -> Result<(), Error> {
    if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')) {
        return Err(Error::Invalid { what: "header value", why: "it holds a line break or NUL" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_subjects_pass() {
        let check = |subject, wildcards| check_subject("subject", subject, wildcards).is_ok();
        for sound in ["a", "a.b", "$JS.API.INFO", "a*b.c>", "é.ü", "_mrd.hb.eu"] {
            assert!(check(sound, Wildcards::Refused), "{sound}");
        }
        for wild in ["*", ">", "a.*", "*.a", "a.>", "a.*.>"] {
            assert!(check(wild, Wildcards::Allowed) && !check(wild, Wildcards::Refused), "{wild}");
        }
        let unsound =
            ["", ".", "a.", ".a", "a..b", ">.a", "a b", "a\tb", "a\r\nPUB", "a\0", "\x7f"];
        for unsound in unsound {
            assert!(!check(unsound, Wildcards::Allowed), "{unsound:?}");
        }
    }

    #[test]
    fn headers_cannot_end_their_line() {
        assert!(check_header_name("Nats-Msg-Id").is_ok());
        for name in ["", "a b", "a:", "a\r\nb", "a\0", "é"] {
            assert!(check_header_name(name).is_err(), "{name:?}");
        }
        assert!(check_header_value("").is_ok() && check_header_value("a: b\té").is_ok());
        for value in ["a\rb", "a\nb", "a\r\n\r\n", "\0"] {
            assert!(check_header_value(value).is_err(), "{value:?}");
        }
    }
}
