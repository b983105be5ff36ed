//! How items are put on a connection: which codec, and what stands around an item there.
//!
//! Not for reading, which each transport does for itself, nor for what an item means. Called by
//! the edge wherever something goes out; the choice is made once for a connection, and a group of
//! members that share encoded frames has one.

use crate::codes::CloseCode;
use crate::item::{Item, Reply};
use crate::outgoing::Outgoing;
use crate::payload::Payload;
use crate::{frame, json, pb};

/// The kind of a connection's outgoing side. Each item is whole in itself, so encoded items may be
/// appended to each other, whatever the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Wire {
    /// A WebSocket text frame an item, JSON.
    #[default]
    JsonText,
    /// A WebSocket binary frame an item, protobuf.
    PbBinary,
    /// A line of JSON an item, for a streamed HTTP response.
    JsonLine,
    /// An event an item, for `EventSource`: `data:` is the line of JSON, `id:` the position, if the
    /// item has one. Messages are events without a name; others are named, see [`event_name`].
    Sse,
}

/// An SSE comment: `EventSource` skips it, proxies see that the response lives.
const SSE_HEARTBEAT: &[u8] = b":\n\n";

impl Wire {
    /// Every wire, in the order of [`Wire::index`].
    pub const ALL: [Self; 4] = [Self::JsonText, Self::PbBinary, Self::JsonLine, Self::Sse];

    /// The place of this wire in [`Wire::ALL`], for tables with an entry each.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Appends one item. `epoch` is that of the stream that the item's subscription is on, if there
    /// is one: SSE needs it to spell a position.
    pub fn item(self, out: &mut Vec<u8>, item: &Item, epoch: Option<&str>) {
        match self {
            Self::JsonText => frame::text(out, |out| json::write_item(out, item)),
            Self::PbBinary => frame::binary(out, |out| pb::write_item(out, item)),
            Self::JsonLine => line(out, |out| json::write_item(out, item)),
            Self::Sse => {
                if let Some((epoch, sequence)) = position(item, epoch) {
                    sse_id(out, epoch, sequence);
                }
                if let Some(name) = event_name(item) {
                    out.extend_from_slice(b"event: ");
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'\n');
                }
                sse_data(out, |out| json::write_item(out, item));
            }
        }
    }

    /// Appends one message: the hot path, which allocates nothing once `out` has grown.
    pub fn message(self, out: &mut Vec<u8>, message: &Outgoing<'_>) {
        match self {
            Self::JsonText => frame::text(out, |out| json::message(out, message)),
            Self::PbBinary => frame::binary(out, |out| pb::message(out, message)),
            Self::JsonLine => line(out, |out| json::message(out, message)),
            Self::Sse => {
                if let (Some(epoch), Some(sequence)) = (message.epoch, message.sequence) {
                    sse_id(out, epoch, sequence);
                }
                sse_data(out, |out| json::message(out, message));
            }
        }
    }

    /// Appends the reply to a request, whose payload and headers are borrowed.
    pub fn request_reply(
        self,
        out: &mut Vec<u8>,
        id: u32,
        payload: Payload<'_>,
        headers: &[(&str, &str)],
    ) {
        let write = |out: &mut Vec<u8>| json::request_reply(out, id, payload, headers);
        match self {
            Self::JsonText => frame::text(out, write),
            Self::PbBinary => {
                frame::binary(out, |out| pb::request_reply(out, id, payload, headers));
            }
            Self::JsonLine => line(out, write),
            Self::Sse => {
                out.extend_from_slice(b"event: request\n");
                sse_data(out, write);
            }
        }
    }

    /// Appends the edge's sign of life. On a WebSocket it is the empty item for the client's
    /// code, and a ping that a browser answers without waking it (`proto/PROTOCOL.md`, Heartbeat).
    pub fn heartbeat(self, out: &mut Vec<u8>) {
        match self {
            Self::JsonText => out.extend_from_slice(&frame::HEARTBEAT),
            Self::PbBinary => out.extend_from_slice(&frame::HEARTBEAT_BINARY),
            Self::JsonLine => out.extend_from_slice(b"{}\n"),
            Self::Sse => out.extend_from_slice(SSE_HEARTBEAT),
        }
    }

    /// Appends the end, after which nothing may follow: a WebSocket close frame, or the push
    /// `close` where there are no such frames. The reason is cut to 123 bytes.
    pub fn close(self, out: &mut Vec<u8>, code: CloseCode, reason: &str) {
        let write = |out: &mut Vec<u8>| json::close(out, code, reason);
        match self {
            Self::JsonText | Self::PbBinary => frame::close_with(out, code, reason),
            Self::JsonLine => line(out, write),
            Self::Sse => {
                out.extend_from_slice(b"event: close\n");
                sse_data(out, write);
            }
        }
    }
}

/// The SSE name of an item: its key in JSON. `EventSource` has an event `error` of its own, for a
/// lost connection, so an error is a `failure`; messages have no name.
#[must_use]
pub fn event_name(item: &Item) -> Option<&str> {
    match item {
        Item::Message(_) => None,
        Item::Heartbeat => Some("heartbeat"),
        Item::Reply(_, Reply::Connect(_)) => Some("connect"),
        Item::Reply(_, Reply::Subscribe(_)) => Some("subscribe"),
        Item::Reply(_, Reply::Unsubscribe) => Some("unsubscribe"),
        Item::Reply(_, Reply::Publish(_)) => Some("publish"),
        Item::Reply(_, Reply::Request(_)) => Some("request"),
        Item::Reply(_, Reply::History(_)) => Some("history"),
        Item::Reply(_, Reply::Refresh(_)) => Some("refresh"),
        Item::Error(..) => Some("failure"),
        Item::Gap(_) => Some("gap"),
        Item::Live(_) => Some("live"),
        Item::Position(_) => Some("pos"),
        Item::Unsubscribed(_) => Some("unsub"),
        Item::Expire(_) => Some("expire"),
        Item::GoAway(_) => Some("goaway"),
        Item::Mesh(_) => Some("mesh"),
        Item::Unknown(name) => Some(name),
    }
}

/// The position that an item tells (`proto/PROTOCOL.md`, Positions). A message's goes another way.
fn position<'a>(item: &'a Item, epoch: Option<&'a str>) -> Option<(&'a str, u64)> {
    match item {
        Item::Reply(_, Reply::Subscribe(reply)) => Some((reply.e.as_deref()?, reply.q?)),
        Item::Live(mark) | Item::Position(mark) => Some((epoch?, mark.q)),
        Item::Gap(gap) => Some((epoch?, gap.upto?)),
        _ => None,
    }
}

fn line(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    write(out);
    out.push(b'\n');
}

/// What is written is one line: the JSON codec keeps every item to one.
fn sse_data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"data: ");
    write(out);
    out.extend_from_slice(b"\n\n");
}

fn sse_id(out: &mut Vec<u8>, epoch: &str, sequence: u64) {
    out.extend_from_slice(b"id: ");
    // An epoch is a stream's name and a number. Should one ever hold a line break, it may not
    // become a field of its own.
    out.extend(epoch.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)));
    out.push(b':');
    json::decimal(out, sequence);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Failure, Gap, Mark};
    use crate::outgoing::{Naming, Origin};
    use crate::{CloseCode, ErrorCode};

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    const DURABLE: Outgoing<'_> = Outgoing {
        i: 7,
        subject: b"orders.eu.1",
        naming: Naming::Needed,
        sequence: Some(9),
        epoch: Some("O@1"),
        origin: Origin::Live,
        payload: Payload::Json("{\"a\":\r\n1}"),
        headers: &[],
        traceparent: None,
    };

    #[test]
    fn indexes_are_places_in_the_list() {
        for (index, wire) in Wire::ALL.into_iter().enumerate() {
            assert_eq!(wire.index(), index);
        }
    }

    #[test]
    fn a_line_is_the_item_and_one_line_break() {
        let line = text(|out| Wire::JsonLine.message(out, &DURABLE));
        let expected = "{\"m\":{\"i\":7,\"s\":\"orders.eu.1\",\"q\":9,\"d\":{\"a\":  1}}}\n";
        assert_eq!(line, expected);
        assert_eq!(text(|out| Wire::JsonLine.heartbeat(out)), "{}\n");
        let closed = text(|out| Wire::JsonLine.close(out, CloseCode::Drained, "drain"));
        assert_eq!(closed, "{\"close\":{\"code\":3001,\"reason\":\"drain\"}}\n");
    }

    #[test]
    fn an_event_has_an_id_only_where_a_client_may_resume() {
        let data = "data: {\"m\":{\"i\":7,\"s\":\"orders.eu.1\",\"q\":9,\"d\":{\"a\":  1}}}\n\n";
        assert_eq!(text(|out| Wire::Sse.message(out, &DURABLE)), format!("id: O@1:9\n{data}"));
        let wildcard = Outgoing { epoch: None, ..DURABLE };
        assert_eq!(text(|out| Wire::Sse.message(out, &wildcard)), data);
        let live = Item::Live(Mark { i: 7, q: 12 });
        let data = "event: live\ndata: {\"live\":{\"i\":7,\"q\":12}}\n\n";
        let written = text(|out| Wire::Sse.item(out, &live, Some("O@1\n")));
        assert_eq!(written, format!("id: O@1:12\n{data}"));
        assert_eq!(text(|out| Wire::Sse.item(out, &live, None)), data);
        let gap = Gap { i: 7, why: "nats".into(), ..Gap::default() };
        let written = text(|out| Wire::Sse.item(out, &Item::Gap(gap), Some("O@1")));
        assert_eq!(written, "event: gap\ndata: {\"gap\":{\"i\":7,\"why\":\"nats\"}}\n\n");
    }

    #[test]
    fn an_error_is_not_named_like_the_loss_of_the_connection() {
        let failure = Failure::new(ErrorCode::Forbidden, "no\n");
        let written = text(|out| Wire::Sse.item(out, &Item::Error(None, failure), None));
        assert!(written.starts_with("event: failure\ndata: {\"error\":{"), "{written}");
        assert_eq!(written.matches('\n').count(), 3, "{written}");
        assert_eq!(text(|out| Wire::Sse.heartbeat(out)), ":\n\n");
        let closed = text(|out| Wire::Sse.close(out, CloseCode::Slow, &"é".repeat(100)));
        assert!(closed.starts_with("event: close\ndata: {\"close\":{\"code\":3003,"), "{closed}");
        assert_eq!(closed.matches('é').count(), 61, "cut to what a close frame holds");
    }

    #[test]
    fn a_text_frame_is_what_the_codec_writes_in_a_frame() {
        let mut expected = Vec::new();
        frame::text(&mut expected, |out| json::message(out, &DURABLE));
        let mut out = Vec::new();
        Wire::JsonText.message(&mut out, &DURABLE);
        assert_eq!(out, expected);
        assert_eq!(out[..2], [0x81, out.len() as u8 - 2]);
    }
}
