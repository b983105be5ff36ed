//! Writing: items (at the edge) and commands (at the client) to lines.

use crate::codes::CloseCode;
use crate::command::{Body, Command};
use crate::item::{Item, Reply};
use crate::limits::CLOSE_REASON_BYTES_MAX;
use serde::Serialize;
use serde_json::ser::Formatter;
use std::io;

/// Appends one item, without a line end.
pub fn item(out: &mut Vec<u8>, item: &Item) {
    match item {
        Item::Heartbeat => out.extend_from_slice(b"{}"),
        Item::Reply(id, Reply::Unsubscribe) => {
            out.extend_from_slice(format!("{{\"id\":{id}}}").as_bytes());
        }
        Item::Reply(id, Reply::Connect(body)) => line(out, Some(*id), "connect", body),
        Item::Reply(id, Reply::Subscribe(body)) => line(out, Some(*id), "subscribe", body),
        Item::Reply(id, Reply::Publish(body)) => line(out, Some(*id), "publish", body),
        Item::Reply(id, Reply::Request(body)) => line(out, Some(*id), "request", body),
        Item::Reply(id, Reply::History(body)) => line(out, Some(*id), "history", body),
        Item::Reply(id, Reply::Refresh(body)) => line(out, Some(*id), "refresh", body),
        Item::Error(id, body) => line(out, *id, "error", body),
        Item::Message(body) => line(out, None, "m", body),
        Item::Gap(body) => line(out, None, "gap", body),
        Item::Live(body) => line(out, None, "live", body),
        Item::Position(body) => line(out, None, "pos", body),
        Item::Unsubscribed(body) => line(out, None, "unsub", body),
        Item::GoAway(body) => line(out, None, "goaway", body),
        Item::Mesh(body) => line(out, None, "mesh", body),
        Item::Expire(body) => line(out, None, "expire", body),
        // Nobody makes one to send: it is what a reader keeps of a push it does not know.
        Item::Unknown(name) => line(out, None, name, &()),
    }
}

/// Appends one command, without a line end.
pub fn command(out: &mut Vec<u8>, command: &Command) {
    match &command.body {
        Body::Heartbeat => out.extend_from_slice(b"{}"),
        Body::Connect(body) => line(out, command.id, "connect", body),
        Body::Subscribe(body) => line(out, command.id, "subscribe", body),
        Body::Unsubscribe(body) => line(out, command.id, "unsubscribe", body),
        Body::Publish(body) => line(out, command.id, "publish", body),
        Body::Request(body) => line(out, command.id, "request", body),
        Body::History(body) => line(out, command.id, "history", body),
        Body::Receipt(body) => line(out, command.id, "receipt", body),
        Body::Refresh(body) => line(out, command.id, "refresh", body),
        Body::Unserved(name) => line(out, command.id, name, &()),
    }
}

/// What a close frame says, where there are no frames.
#[derive(Serialize)]
struct Close<'a> {
    code: u16,
    reason: &'a str,
}

/// Appends the push `close`, without a line end. The reason is cut as in a close frame.
pub(crate) fn close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    line(out, None, "close", &Close { code: code.number(), reason });
}

fn line(out: &mut Vec<u8>, id: Option<u32>, name: &str, body: &impl Serialize) {
    out.push(b'{');
    if let Some(id) = id {
        out.extend_from_slice(format!("\"id\":{id},").as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, OneLine);
    body.serialize(&mut serializer).expect("plain structs into memory cannot fail");
    out.push(b'}');
}

/// Compact JSON whose embedded raw values are kept to one line.
struct OneLine;

impl Formatter for OneLine {
    /// In valid JSON a raw line break stands only between tokens, so a space means the same.
    fn write_raw_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for (index, part) in fragment.split(['\n', '\r']).enumerate() {
            if index > 0 {
                writer.write_all(b" ")?;
            }
            writer.write_all(part.as_bytes())?;
        }
        Ok(())
    }
}
