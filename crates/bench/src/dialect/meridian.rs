//! The edge's dialect: `meridian.v1.json` over WebSocket (the protocol's section 2), read without a
//! JSON parser.

use memchr::memmem;

use super::{Dialect, Event, Upgrade};
use crate::Endpoint;
use crate::frame::{OPCODE_TEXT, client_frame};
use crate::payload::StampScanner;

/// The subprotocol with JSON lines.
const SUBPROTOCOL: &str = "meridian.v1.json";

/// Speaks to an edge as a browser does.
#[derive(Debug, Clone)]
pub struct Meridian {
    endpoint: Endpoint,
    scanner: StampScanner,
}

impl Meridian {
    /// The edge whose WebSocket is at `endpoint` (with its path, usually `/v1/ws`).
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, scanner: StampScanner::default() }
    }
}

impl Dialect for Meridian {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn upgrade(&self) -> Upgrade {
        Upgrade::Subprotocol(SUBPROTOCOL)
    }

    fn opening(&self, subject: &str) -> Vec<u8> {
        let filter = serde_json::Value::from(subject);
        let lines =
            format!("{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"f\":{filter}}}}}");
        client_frame(OPCODE_TEXT, lines.as_bytes())
    }

    fn is_open(&self, text: &[u8]) -> Result<bool, String> {
        if memmem::find(text, b"\"error\":").is_some() {
            return Err(String::from_utf8_lossy(text).into_owned());
        }
        Ok(memmem::find(text, b"\"subscribe\":{").is_some())
    }

    fn read(&self, piece: &[u8], is_last: bool, carry: &mut Vec<u8>, on: &mut impl FnMut(Event)) {
        let found = self.scanner.scan(piece, is_last, carry, |stamp| on(Event::Message(stamp)));
        // Only a frame without messages is looked at again: gaps come alone, and this is the hot
        // path.
        if found == 0 && memmem::find(piece, b"\"gap\":{").is_some() {
            on(Event::Gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Stamp;

    fn dialect() -> Meridian {
        Meridian::new(Endpoint::parse("ws://127.0.0.1:1/v1/ws").unwrap())
    }

    #[test]
    fn subscribe_reply_opens_and_an_error_is_told() {
        let connected = b"{\"id\":1,\"connect\":{\"cid\":\"c\"}}\n";
        assert_eq!(dialect().is_open(connected), Ok(false));
        assert_eq!(dialect().is_open(b"{\"id\":2,\"subscribe\":{\"i\":7}}"), Ok(true));
        let refused = b"{\"id\":2,\"error\":{\"code\":102,\"msg\":\"unknown\"}}";
        assert!(dialect().is_open(refused).unwrap_err().contains("102"));
    }

    #[test]
    fn several_lines_in_a_frame_are_several_messages_and_gaps_are_told() {
        let mut text = Vec::new();
        for sequence in 0..2 {
            text.extend_from_slice(b"{\"m\":{\"i\":7,\"s\":\"demo.x\",\"d\":");
            Stamp { sent_ns: 1, sequence }.write(128, &mut text);
            text.extend_from_slice(b"}}\n");
        }
        let mut events = Vec::new();
        let mut carry = Vec::new();
        dialect().read(&text, true, &mut carry, &mut |event| events.push(event));
        dialect().read(b"{}", true, &mut carry, &mut |event| events.push(event));
        let gap = b"{\"gap\":{\"i\":7,\"why\":\"slow\"}}";
        dialect().read(gap, true, &mut carry, &mut |event| events.push(event));
        let message = |sequence| Event::Message(Stamp { sent_ns: 1, sequence });
        assert_eq!(events, [message(0), message(1), Event::Gap]);
    }
}
