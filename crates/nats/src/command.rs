//! What a client sends, appended to a byte buffer (NATS client protocol). Pure.
//!
//! Each function checks everything first and then appends one whole command, or appends nothing.
//! Called by the writer only.

use crate::defaults::CONTROL_LINE_BYTES_MAX;
use crate::error::Error;
use crate::wire_text::{Wildcards, check_header_name, check_header_value, check_subject};

const CRLF: &[u8] = b"\r\n";
const HEADER_VERSION: &[u8] = b"NATS/1.0\r\n";
const HEADER_SEPARATOR: &[u8] = b": ";

/// The decimal digits of the greatest u64.
const DIGITS_MAX: usize = 20;

/// One message to be published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication<'a> {
    pub(crate) subject: &'a str,
    pub(crate) reply: Option<&'a str>,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) payload: &'a [u8],
}

/// CONNECT with its JSON, which serde_json has written on one line.
pub(crate) fn append_connect(wire: &mut Vec<u8>, json: &str) -> Result<(), Error> {
    check_line("CONNECT ".len() + json.len())?;
    wire.extend_from_slice(b"CONNECT ");
    wire.extend_from_slice(json.as_bytes());
    wire.extend_from_slice(CRLF);
    Ok(())
}

/// SUB without a queue group.
pub(crate) fn append_subscribe(wire: &mut Vec<u8>, sid: u64, subject: &str) -> Result<(), Error> {
    check_subject("subject", subject, Wildcards::Allowed)?;
    check_line("SUB  ".len() + subject.len() + DIGITS_MAX)?;
    wire.extend_from_slice(b"SUB ");
    wire.extend_from_slice(subject.as_bytes());
    wire.push(b' ');
    append_decimal(wire, sid);
    wire.extend_from_slice(CRLF);
    Ok(())
}

/// UNSUB at once.
pub(crate) fn append_unsubscribe(wire: &mut Vec<u8>, sid: u64) {
    wire.extend_from_slice(b"UNSUB ");
    append_decimal(wire, sid);
    wire.extend_from_slice(CRLF);
}

/// PUB, or HPUB when there are headers.
pub(crate) fn append_publish(
    wire: &mut Vec<u8>,
    publication: Publication<'_>,
    max_payload: usize,
) -> Result<(), Error> {
    let Publication { subject, reply, headers, payload } = publication;
    let header_bytes = check_publication(publication, max_payload)?;
    wire.extend_from_slice(if headers.is_empty() { b"PUB " } else { b"HPUB " });
    wire.extend_from_slice(subject.as_bytes());
    wire.push(b' ');
    if let Some(reply) = reply {
        wire.extend_from_slice(reply.as_bytes());
        wire.push(b' ');
    }
    if !headers.is_empty() {
        append_decimal(wire, header_bytes as u64);
        wire.push(b' ');
    }
    append_decimal(wire, (header_bytes + payload.len()) as u64);
    wire.extend_from_slice(CRLF);
    if !headers.is_empty() {
        wire.extend_from_slice(HEADER_VERSION);
        for (name, value) in headers {
            wire.extend_from_slice(name.as_bytes());
            wire.extend_from_slice(HEADER_SEPARATOR);
            wire.extend_from_slice(value.as_bytes());
            wire.extend_from_slice(CRLF);
        }
        wire.extend_from_slice(CRLF);
    }
    wire.extend_from_slice(payload);
    wire.extend_from_slice(CRLF);
    Ok(())
}

/// Gives the length of the header block, 0 without headers.
fn check_publication(publication: Publication<'_>, max_payload: usize) -> Result<usize, Error> {
    let Publication { subject, reply, headers, payload } = publication;
    check_subject("subject", subject, Wildcards::Refused)?;
    if let Some(reply) = reply {
        check_subject("reply subject", reply, Wildcards::Refused)?;
    }
    let reply_bytes = reply.map_or(0, str::len);
    check_line("HPUB    ".len() + subject.len() + reply_bytes + 2 * DIGITS_MAX)?;
    let mut header_bytes = 0;
    if !headers.is_empty() {
        header_bytes = HEADER_VERSION.len() + CRLF.len();
        for (name, value) in headers {
            check_header_name(name)?;
            check_header_value(value)?;
            header_bytes += name.len() + HEADER_SEPARATOR.len() + value.len() + CRLF.len();
        }
    }
    let bytes = header_bytes + payload.len();
    if bytes > max_payload {
        return Err(Error::TooLarge { what: "payload", bytes, bytes_max: max_payload });
    }
    Ok(header_bytes)
}

/// `bytes` counts the line without its CRLF, with the longest numbers there are.
fn check_line(bytes: usize) -> Result<(), Error> {
    let bytes = bytes + CRLF.len();
    if bytes > CONTROL_LINE_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "control line",
            bytes,
            bytes_max: CONTROL_LINE_BYTES_MAX,
        });
    }
    Ok(())
}

fn append_decimal(wire: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    wire.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_PAYLOAD: usize = 64;

    const PLAIN: Publication<'static> =
        Publication { subject: "a.b", reply: None, headers: &[], payload: b"hi" };

    fn published(publication: Publication<'_>) -> Result<String, Error> {
        let mut wire = b"before".to_vec();
        let outcome = append_publish(&mut wire, publication, MAX_PAYLOAD);
        let text = String::from_utf8(wire).unwrap();
        let text = text.strip_prefix("before").unwrap().to_owned();
        assert!(outcome.is_ok() || text.is_empty(), "a refused command left {text:?}");
        outcome.map(|()| text)
    }

    #[test]
    fn commands_are_written_as_the_protocol_has_them() {
        assert_eq!(published(PLAIN).unwrap(), "PUB a.b 2\r\nhi\r\n");
        let reply = Publication { reply: Some("r"), payload: b"", ..PLAIN };
        assert_eq!(published(reply).unwrap(), "PUB a.b r 0\r\n\r\n");
        let headers = Publication { headers: &[("A", "b"), ("C", "")], ..PLAIN };
        let block = "NATS/1.0\r\nA: b\r\nC: \r\n\r\n";
        assert_eq!(block.len(), 23);
        assert_eq!(published(headers).unwrap(), format!("HPUB a.b 23 25\r\n{block}hi\r\n"));
        let both = Publication { reply: Some("r"), ..headers };
        assert_eq!(published(both).unwrap(), format!("HPUB a.b r 23 25\r\n{block}hi\r\n"));
        let mut wire = Vec::new();
        append_subscribe(&mut wire, u64::MAX, "a.>").unwrap();
        append_unsubscribe(&mut wire, 0);
        assert_eq!(wire, b"SUB a.> 18446744073709551615\r\nUNSUB 0\r\n");
    }

    #[test]
    fn what_would_break_the_stream_is_refused_and_nothing_is_appended() {
        let headers: [&[(&str, &str)]; 3] =
            [&[("a b", "c")], &[("", "c")], &[("A", "b\r\nPUB x 0\r\n")]];
        for headers in headers {
            let outcome = published(Publication { headers, ..PLAIN });
            assert!(matches!(outcome, Err(Error::Invalid { .. })), "{outcome:?}");
        }
        for subject in ["", "a b", "a\r\nPING\r\n", "a.*", "a..b", "a\0"] {
            let outcome = published(Publication { subject, ..PLAIN });
            assert!(matches!(outcome, Err(Error::Invalid { what: "subject", .. })), "{outcome:?}");
            let outcome = published(Publication { reply: Some(subject), ..PLAIN });
            assert!(matches!(outcome, Err(Error::Invalid { what: "reply subject", .. })));
        }
    }

    #[test]
    fn payload_and_headers_together_are_held_to_the_limit() {
        let payload = [b'x'; MAX_PAYLOAD];
        let at_limit = Publication { payload: &payload, ..PLAIN };
        assert!(published(at_limit).is_ok());
        let one_past = [b'x'; MAX_PAYLOAD + 1];
        let outcome = published(Publication { payload: &one_past, ..PLAIN });
        assert!(matches!(outcome, Err(Error::TooLarge { what: "payload", bytes: 65, .. })));
        let outcome = published(Publication { headers: &[("A", "b")], ..at_limit });
        assert!(matches!(outcome, Err(Error::TooLarge { what: "payload", .. })));
    }

    #[test]
    fn control_line_is_held_to_the_limit() {
        let longest = "x".repeat(CONTROL_LINE_BYTES_MAX - "SUB  \r\n".len() - DIGITS_MAX);
        let mut wire = Vec::new();
        append_subscribe(&mut wire, u64::MAX, &longest).unwrap();
        assert_eq!(wire.len(), CONTROL_LINE_BYTES_MAX);
        let outcome = append_subscribe(&mut wire, 1, &format!("{longest}x"));
        assert!(matches!(outcome, Err(Error::TooLarge { what: "control line", .. })));
        assert_eq!(wire.len(), CONTROL_LINE_BYTES_MAX);
        let outcome = published(Publication { subject: &longest, ..PLAIN });
        assert!(matches!(outcome, Err(Error::TooLarge { what: "control line", .. })));
        let json = "x".repeat(CONTROL_LINE_BYTES_MAX);
        assert!(append_connect(&mut wire, &json).is_err());
    }
}
