//! From bytes to one operation (NATS client protocol). Pure: no socket, no state, no copy.
//!
//! Called by the read buffer with everything that is unread. It starts from the beginning of the
//! operation each time: a control line is short, and a payload is measured, not scanned.

use memchr::memchr;

use crate::defaults::{ADDED_HEADERS_BYTES_MAX, CONTROL_LINE_IN_BYTES_MAX, MESSAGE_BYTES_CAP};
use crate::error::Error;
use crate::headers::Headers;
use crate::operation::{Message, Op};
use crate::server_info::ServerInfo;

/// The most arguments an operation has: `HMSG subject sid reply header-bytes total-bytes`.
const ARGUMENTS_MAX: usize = 5;

const CRLF: &[u8] = b"\r\n";

/// What stands at the beginning of the unread bytes.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// A whole operation, and the bytes that it took.
    Whole(Op<'a>, usize),
    /// The beginning of one. It cannot be whole with fewer than so many bytes.
    Incomplete { bytes_needed: usize },
}

/// Takes the first operation. `max_payload` is the server's own limit.
pub(crate) fn parse(unread: &[u8], max_payload: usize) -> Result<Parsed<'_>, Error> {
    let Some(line_feed) = memchr(b'\n', &unread[..unread.len().min(CONTROL_LINE_IN_BYTES_MAX)])
    else {
        if unread.len() >= CONTROL_LINE_IN_BYTES_MAX {
            return Err(Error::Protocol("control line is too long"));
        }
        return Ok(Parsed::Incomplete { bytes_needed: unread.len() + 1 });
    };
    let Some(line) = unread[..line_feed].strip_suffix(b"\r") else {
        return Err(Error::Protocol("control line does not end with CRLF"));
    };
    let body = Body { unread, at: line_feed + 1, max_payload };
    // In the order of their frequency.
    if let Some(arguments) = line.strip_prefix(b"MSG ") {
        return body.message(arguments);
    }
    if let Some(arguments) = line.strip_prefix(b"HMSG ") {
        return body.message_with_headers(arguments);
    }
    Ok(Parsed::Whole(bare_operation(line)?, line_feed + 1))
}

/// The operations that are one line.
fn bare_operation(line: &[u8]) -> Result<Op<'_>, Error> {
    match line.trim_ascii_end() {
        b"PING" => return Ok(Op::Ping),
        b"PONG" => return Ok(Op::Pong),
        b"+OK" => return Ok(Op::Ok),
        _ => {}
    }
    if let Some(json) = line.strip_prefix(b"INFO ") {
        return Ok(Op::Info(Box::new(ServerInfo::from_json(json)?)));
    }
    if let Some(text) = line.strip_prefix(b"-ERR") {
        let text =
            std::str::from_utf8(text).map_err(|_| Error::Protocol("-ERR is not UTF-8"))?.trim();
        let unquoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        return Ok(Op::Error(unquoted.unwrap_or(text)));
    }
    Err(Error::Protocol("unknown operation"))
}

/// Where the bytes after a MSG or HMSG line begin.
struct Body<'a> {
    unread: &'a [u8],
    at: usize,
    max_payload: usize,
}

impl<'a> Body<'a> {
    fn message(self, line: &'a [u8]) -> Result<Parsed<'a>, Error> {
        let arguments = Arguments::split(line)?;
        let (reply, size) = match *arguments.as_slice() {
            [_, _, size] => (None, size),
            [_, _, reply, size] => (Some(reply), size),
            _ => return Err(Error::Protocol("MSG has the wrong number of arguments")),
        };
        self.take(arguments.subject_and_sid()?, reply, 0, decimal(size)?)
    }

    fn message_with_headers(self, line: &'a [u8]) -> Result<Parsed<'a>, Error> {
        let arguments = Arguments::split(line)?;
        let (reply, header_size, size) = match *arguments.as_slice() {
            [_, _, header_size, size] => (None, header_size, size),
            [_, _, reply, header_size, size] => (Some(reply), header_size, size),
            _ => return Err(Error::Protocol("HMSG has the wrong number of arguments")),
        };
        self.take(arguments.subject_and_sid()?, reply, decimal(header_size)?, decimal(size)?)
    }

    /// `size` counts headers and payload together, as on the wire.
    fn take(
        self,
        (subject, sid): (&'a [u8], u64),
        reply: Option<&'a [u8]>,
        header_size: u64,
        size: u64,
    ) -> Result<Parsed<'a>, Error> {
        if header_size > size {
            return Err(Error::Protocol("headers are longer than the whole message"));
        }
        let size_max = self.max_payload.min(MESSAGE_BYTES_CAP) + ADDED_HEADERS_BYTES_MAX;
        if size > size_max as u64 {
            return Err(Error::Protocol("message is larger than the server's max_payload"));
        }
        let [header_size, size] = [header_size, size]
            .map(|size| usize::try_from(size).expect("it is at most size_max, a usize"));
        let payload_at = self.at + header_size;
        let end = self.at + size;
        let Some(after) = self.unread.get(end..end + CRLF.len()) else {
            return Ok(Parsed::Incomplete { bytes_needed: end + CRLF.len() });
        };
        if after != CRLF {
            return Err(Error::Protocol("payload does not end with CRLF"));
        }
        let headers = Headers::new(&self.unread[self.at..payload_at]);
        let payload = &self.unread[payload_at..end];
        let message = Message { sid, subject, reply, headers, payload };
        Ok(Parsed::Whole(Op::Message(message), end + CRLF.len()))
    }
}

/// A control line's arguments, on the stack.
struct Arguments<'a> {
    fields: [&'a [u8]; ARGUMENTS_MAX],
    count: usize,
}

impl<'a> Arguments<'a> {
    fn split(line: &'a [u8]) -> Result<Self, Error> {
        let mut arguments = Self { fields: [&[]; ARGUMENTS_MAX], count: 0 };
        let mut rest = line;
        while !rest.is_empty() {
            // Arguments are short: a plain loop is faster here than memchr's dispatch.
            let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            if end > 0 {
                let Some(field) = arguments.fields.get_mut(arguments.count) else {
                    return Err(Error::Protocol("control line has too many arguments"));
                };
                *field = &rest[..end];
                arguments.count += 1;
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        Ok(arguments)
    }

    fn as_slice(&self) -> &[&'a [u8]] {
        &self.fields[..self.count]
    }

    fn subject_and_sid(&self) -> Result<(&'a [u8], u64), Error> {
        Ok((self.fields[0], decimal(self.fields[1])?))
    }
}

fn decimal(digits: &[u8]) -> Result<u64, Error> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Error::Protocol("number expected in a control line"));
    }
    let mut number: u64 = 0;
    for digit in digits {
        // No `ok_or`: making and dropping an error for each digit was a tenth of the cost of a
        // message.
        let next =
            number.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
        let Some(next) = next else {
            return Err(Error::Protocol("number in a control line is too great"));
        };
        number = next;
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_PAYLOAD: usize = 1_000;

    fn whole(bytes: &[u8]) -> Op<'_> {
        match parse(bytes, MAX_PAYLOAD).unwrap() {
            Parsed::Whole(op, used) => {
                assert_eq!(used, bytes.len());
                op
            }
            Parsed::Incomplete { bytes_needed } => panic!("{bytes_needed} bytes needed"),
        }
    }

    #[test]
    fn messages_are_taken_with_and_without_reply_and_headers() {
        let plain = Message {
            sid: 7,
            subject: b"a.b",
            reply: None,
            headers: Headers::default(),
            payload: b"hi",
        };
        assert_eq!(whole(b"MSG a.b 7 2\r\nhi\r\n"), Op::Message(plain));
        let reply = Message { reply: Some(b"r.1"), ..plain };
        assert_eq!(whole(b"MSG a.b 7  r.1 2\r\nhi\r\n"), Op::Message(reply));
        let block = b"NATS/1.0\r\nA: b\r\n\r\n";
        let headers = Message { headers: Headers::new(block), ..plain };
        let wire = b"HMSG a.b 7 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n";
        assert_eq!(whole(wire), Op::Message(headers));
        let both = Message { reply: Some(b"r.1"), ..headers };
        let wire = b"HMSG a.b 7 r.1 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n";
        assert_eq!(whole(wire), Op::Message(both));
    }

    #[test]
    fn a_payload_may_hold_anything_that_looks_like_the_protocol() {
        let Op::Message(message) = whole(b"MSG a 1 14\r\nPING\r\n\r\nMSG \0\n\r\n") else {
            panic!()
        };
        assert_eq!(message.payload, b"PING\r\n\r\nMSG \0\n");
        let Op::Message(empty) = whole(b"MSG a 18446744073709551615 0\r\n\r\n") else { panic!() };
        assert_eq!((empty.sid, empty.payload), (u64::MAX, &b""[..]));
    }

    #[test]
    fn bare_operations_are_told_apart() {
        assert_eq!(whole(b"PING\r\n"), Op::Ping);
        assert_eq!(whole(b"PONG\r\n"), Op::Pong);
        assert_eq!(whole(b"+OK\r\n"), Op::Ok);
        assert_eq!(whole(b"-ERR 'Stale Connection'\r\n"), Op::Error("Stale Connection"));
        assert_eq!(whole(b"-ERR\r\n"), Op::Error(""));
        assert!(matches!(whole(b"INFO {\"ldm\":true} \r\n"), Op::Info(info) if info.lame_duck));
    }

    #[test]
    fn malformed_bytes_are_typed_errors() {
        for bytes in [
            &b"\r\n"[..],
            b"PING\n",
            b"ping\r\n",
            b"HELLO world\r\n",
            b"MSG\r\n",
            b"MSG a\r\n",
            b"MSG a 1\r\n",
            b"MSG a 1 r 2 3\r\n",
            b"MSG a 1 r 2 3 4\r\n",
            b"MSG a x 2\r\nhi\r\n",
            b"MSG a 1 -2\r\nhi\r\n",
            b"MSG a 1 2x\r\nhi\r\n",
            b"MSG a 18446744073709551616 2\r\nhi\r\n",
            b"MSG a 1 2\r\nhi!\r",
            b"HMSG a 1 2\r\nhi\r\n",
            b"HMSG a 1 3 2\r\nhi\r\n",
            b"INFO []\r\n",
            b"-ERR '\xff'\r\n",
        ] {
            let error = parse(bytes, MAX_PAYLOAD).expect_err("malformed bytes");
            assert!(matches!(error, Error::Protocol(_)), "{error}");
        }
    }

    #[test]
    fn size_is_refused_one_past_the_limit_before_the_payload_comes() {
        let at_limit = MAX_PAYLOAD + ADDED_HEADERS_BYTES_MAX;
        let line = format!("MSG a 1 {at_limit}\r\n");
        let Ok(Parsed::Incomplete { bytes_needed }) = parse(line.as_bytes(), MAX_PAYLOAD) else {
            panic!("a message at the limit is awaited")
        };
        assert_eq!(bytes_needed, line.len() + at_limit + 2);
        for line in [
            format!("MSG a 1 {}\r\n", at_limit + 1),
            format!("HMSG a 1 12 {}\r\n", at_limit + 1),
            format!("MSG a 1 {}\r\n", u64::MAX),
        ] {
            let error = parse(line.as_bytes(), MAX_PAYLOAD).unwrap_err();
            assert!(error.to_string().contains("max_payload"), "{error}");
        }
        assert!(parse(format!("MSG a 1 {}\r\n", u64::MAX).as_bytes(), usize::MAX).is_err());
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let mut bytes = vec![b'x'; CONTROL_LINE_IN_BYTES_MAX - 1];
        assert!(matches!(parse(&bytes, MAX_PAYLOAD), Ok(Parsed::Incomplete { .. })));
        bytes.push(b'x');
        assert!(matches!(parse(&bytes, MAX_PAYLOAD), Err(Error::Protocol(_))));
    }
}
