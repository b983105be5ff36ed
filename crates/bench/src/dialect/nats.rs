//! nats-server's WebSocket listener: the NATS text protocol in binary frames (nats-server docs,
//! "WebSocket").
//!
//! The protocol is read as a byte stream, since the server may cut a message at a frame's end. No
//! user agent is sent, so the server does not cut its frames for browsers at 4096 bytes: the
//! reading that favours it.

use memchr::{memchr, memmem};

use super::{Dialect, Event, Upgrade};
use crate::Endpoint;
use crate::endpoint::NatsRole;
use crate::frame::{OPCODE_BINARY, client_frame};
use crate::payload::Stamp;

/// The most that is kept of an unfinished message: the server's own bound on a payload, and room
/// for its line.
const CARRY_BYTES_MAX: usize = 1024 * 1024 + 4096;

/// Speaks to nats-server.
#[derive(Debug, Clone)]
pub struct NatsWebSocket {
    endpoint: Endpoint,
}

impl NatsWebSocket {
    /// The server whose WebSocket listener is at `endpoint`.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl Dialect for NatsWebSocket {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn upgrade(&self) -> Upgrade {
        Upgrade::Plain
    }

    fn opening(&self, subject: &str) -> Vec<u8> {
        let text = format!(
            "{}SUB {subject} 1\r\nPING\r\n",
            self.endpoint.nats_connect(NatsRole::Receiver)
        );
        client_frame(OPCODE_BINARY, text.as_bytes())
    }

    fn is_open(&self, text: &[u8]) -> Result<bool, String> {
        if let Some(at) = memmem::find(text, b"-ERR ") {
            return Err(String::from_utf8_lossy(&text[at..]).into_owned());
        }
        Ok(memmem::find(text, b"PONG\r\n").is_some())
    }

    fn read(&self, piece: &[u8], _is_last: bool, carry: &mut Vec<u8>, on: &mut impl FnMut(Event)) {
        if carry.is_empty() {
            let used = read_stream(piece, on);
            carry.extend_from_slice(&piece[used..]);
        } else {
            carry.extend_from_slice(piece);
            let used = read_stream(carry, on);
            carry.drain(..used);
        }
        if carry.is_empty() || carry.len() > CARRY_BYTES_MAX {
            // The buffer goes back: most sockets never need it again.
            *carry = Vec::new();
        }
    }

    fn pong(&self) -> Vec<u8> {
        client_frame(OPCODE_BINARY, b"PONG\r\n")
    }
}

/// Reads whole protocol items off the front; returns how many bytes they took.
fn read_stream(bytes: &[u8], on: &mut impl FnMut(Event)) -> usize {
    let mut at = 0;
    while let Some(line_bytes) = memchr(b'\n', &bytes[at..]) {
        let line = &bytes[at..at + line_bytes];
        let after_line = at + line_bytes + 1;
        if line.starts_with(b"MSG ") {
            let Some(payload_bytes) = last_number(line) else { return bytes.len() };
            let Some(payload) = bytes.get(after_line..after_line + payload_bytes + 2) else {
                return at;
            };
            if let Some(stamp) = Stamp::read(payload) {
                on(Event::Message(stamp));
            }
            at = after_line + payload_bytes + 2;
        } else {
            if line.starts_with(b"PING") {
                on(Event::Ping);
            }
            at = after_line;
        }
    }
    at
}

/// The payload's length: the last field of `MSG <subject> <sid> [reply] <bytes>\r`.
fn last_number(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\r")?;
    let digits = &line[line.iter().rposition(|&byte| byte == b' ')? + 1..];
    digits.iter().try_fold(0_usize, |sum, &digit| {
        let digit = (digit as char).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(digit as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_pings_are_found_wherever_the_stream_is_cut() {
        let dialect = NatsWebSocket::new(Endpoint::parse("ws://127.0.0.1:1").unwrap());
        let mut stream = b"PONG\r\n".to_vec();
        for sequence in 0..2 {
            stream.extend_from_slice(b"MSG demo.bench 1 128\r\n");
            Stamp { sent_ns: 5, sequence }.write(128, &mut stream);
            stream.extend_from_slice(b"\r\nPING\r\n");
        }
        let message = |sequence| Event::Message(Stamp { sent_ns: 5, sequence });
        for cut in 0..=stream.len() {
            let (mut events, mut carry) = (Vec::new(), Vec::new());
            dialect.read(&stream[..cut], true, &mut carry, &mut |event| events.push(event));
            dialect.read(&stream[cut..], true, &mut carry, &mut |event| events.push(event));
            assert_eq!(events, [message(0), Event::Ping, message(1), Event::Ping], "cut {cut}");
            assert!(carry.is_empty());
        }
    }

    #[test]
    fn refusal_is_told_in_the_servers_words() {
        let dialect = NatsWebSocket::new(Endpoint::parse("ws://127.0.0.1:1").unwrap());
        let refused = dialect.is_open(b"INFO {}\r\n-ERR 'Authorization Violation'\r\n");
        assert!(refused.unwrap_err().contains("Authorization Violation"));
    }
}
