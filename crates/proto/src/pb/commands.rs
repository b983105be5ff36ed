//! Commands: read at the edge, written by the client.

use super::fields::{Fields, Malformed, Value};
use super::payload::{
    add_header, content_parts, headers, kind_of, read_traceparent, spelling, traceparent,
};
use super::writer;
use crate::codes::ErrorCode;
use crate::command::{
    Ack, Body, Command, Connect, History, Position, Publish, Receipt, Refresh, Request, Subscribe,
    Unsubscribe,
};
use crate::decode_error::{DecodeError, refuse, shorten};
use crate::limits::COMMANDS_PER_FRAME_MAX;
use crate::payload::{Content, Kind};

/// Field of a `ClientFrame` that holds a command.
const COMMAND: u32 = 1;

/// Fields of a `Command` that hold its body.
const CONNECT: u32 = 2;
const SUBSCRIBE: u32 = 3;
const UNSUBSCRIBE: u32 = 4;
const PUBLISH: u32 = 5;
const REQUEST: u32 = 6;
const HISTORY: u32 = 9;
const REFRESH: u32 = 10;
const RECEIPT: u32 = 11;

/// Fields of a `Command` for commands of the protocol that this version answers with 108.
const UNSERVED: [(u32, &str); 2] = [(7, "presence"), (8, "presence_stats")];

/// Numbers of the enum `Ack`. Others count as unsaid: they are of a later version.
const ACKS: [(Ack, u64); 3] = [(Ack::None, 1), (Ack::Edge, 2), (Ack::Stream, 3)];

pub(super) fn ack_of(number: u64) -> Option<Ack> {
    ACKS.into_iter().find(|(_, other)| *other == number).map(|(ack, _)| ack)
}

pub(super) fn number_of(ack: Option<Ack>) -> u64 {
    let known = ACKS.into_iter().find(|(other, _)| Some(*other) == ack);
    known.map_or(0, |(_, number)| number)
}

/// Reads the commands of one frame, in order. The empty frame is the heartbeat. After a part that
/// nobody can find the end of, nothing follows.
pub fn commands(frame: &[u8]) -> impl Iterator<Item = Result<Command, DecodeError>> {
    let heartbeat = frame.is_empty().then_some(Ok(Command { id: None, body: Body::Heartbeat }));
    let parts = Fields::new(frame).filter_map(|field| match field {
        Ok((COMMAND, Value::Bytes(bytes))) => Some(Ok(bytes)),
        Ok((COMMAND, _)) => Some(Err(Malformed::FieldType(COMMAND))),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    });
    let commands = parts.enumerate().map(|(index, part)| match part {
        _ if index >= COMMANDS_PER_FRAME_MAX => Err(DecodeError::TooManyCommands),
        Ok(bytes) => read(bytes),
        Err(malformed) => Err(DecodeError::NotAFrame(shorten(malformed.to_string()))),
    });
    heartbeat.into_iter().chain(commands)
}

/// What stands in a `Command`, before its body is read.
#[derive(Default)]
struct Parts<'a> {
    id: Option<u64>,
    body: Option<(u32, &'a [u8])>,
    second: Option<u32>,
    unknown: Option<u32>,
    malformed: Option<Malformed>,
}

impl<'a> Parts<'a> {
    fn read(command: &'a [u8]) -> Self {
        let mut parts = Self::default();
        for field in Fields::new(command) {
            match field {
                Ok((1, Value::Number(id))) => parts.id = Some(id),
                Ok((number @ 2..=11, Value::Bytes(bytes))) => match parts.body {
                    None => parts.body = Some((number, bytes)),
                    Some(_) => parts.second = Some(number),
                },
                Ok((number @ 1..=11, _)) => parts.malformed = Some(Malformed::FieldType(number)),
                Ok((number, _)) => parts.unknown = Some(number),
                Err(malformed) => parts.malformed = Some(malformed),
            }
        }
        parts
    }
}

fn read(bytes: &[u8]) -> Result<Command, DecodeError> {
    let parts = Parts::read(bytes);
    let Ok(id) = u32::try_from(parts.id.unwrap_or_default()) else {
        let detail = "id is not a whole number from 1 to 2^32-1";
        return refuse(None, ErrorCode::BadRequest, detail.into());
    };
    let id = (id > 0).then_some(id);
    if let Some(malformed) = parts.malformed {
        return refuse(id, ErrorCode::BadRequest, format!("malformed command: {malformed}"));
    }
    let Some((number, body)) = parts.body else {
        return match (id, parts.unknown) {
            (None, None) => Ok(Command { id, body: Body::Heartbeat }),
            (Some(_), None) => refuse(id, ErrorCode::BadRequest, "an id without a command".into()),
            (_, Some(number)) => {
                refuse(id, ErrorCode::UnknownCommand, format!("unknown command: field {number}"))
            }
        };
    };
    if let Some(second) = parts.second {
        let detail = format!("two commands in one: fields {number} and {second}");
        return refuse(id, ErrorCode::BadRequest, detail);
    }
    let (name, body) = match number {
        CONNECT => ("connect", connect(body).map(Body::Connect)),
        SUBSCRIBE => ("subscribe", subscribe(body).map(Body::Subscribe)),
        UNSUBSCRIBE => ("unsubscribe", unsubscribe(body).map(Body::Unsubscribe)),
        PUBLISH => ("publish", publish(body).map(Body::Publish)),
        REQUEST => ("request", request(body).map(Body::Request)),
        HISTORY => ("history", history(body).map(Body::History)),
        REFRESH => ("refresh", refresh(body).map(Body::Refresh)),
        RECEIPT => ("receipt", receipt(body).map(Body::Receipt)),
        other => {
            let name = UNSERVED.into_iter().find(|(number, _)| *number == other);
            let name = name.map_or("unknown", |(_, name)| name);
            return Ok(Command { id, body: Body::Unserved(name) });
        }
    };
    body.map(|body| Command { id, body }).or_else(|malformed| {
        refuse(id, ErrorCode::BadRequest, format!("malformed {name}: {malformed}"))
    })
}

fn connect(bytes: &[u8]) -> Result<Connect, Malformed> {
    let mut body = Connect::default();
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => body.token = value.optional_text(1)?,
            2 => body.name = value.optional_text(2)?,
            3 => body.ver = value.optional_text(3)?,
            4 => body.feat.push(value.text(4)?),
            5 => body.ping = Some(value.small(5)?).filter(|ping| *ping > 0),
            6 => body.tp = read_traceparent(value.bytes(6)?),
            _ => {}
        }
    }
    Ok(body)
}

fn subscribe(bytes: &[u8]) -> Result<Subscribe, Malformed> {
    let mut body = Subscribe::default();
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => body.f = value.text(1)?,
            2 => body.recover = Some(position(value.bytes(2)?)?),
            3 => body.hdr.push(value.text(3)?),
            4 => body.trace = value.flag(4)?,
            5 => body.from = Some(from(value.bytes(5)?)?),
            9 => body.token = value.optional_text(9)?,
            _ => {}
        }
    }
    Ok(body)
}

fn position(bytes: &[u8]) -> Result<Position, Malformed> {
    let mut position = Position { e: String::new(), q: 0 };
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => position.e = value.text(1)?,
            (2, value) => position.q = value.number(2)?,
            _ => {}
        }
    }
    Ok(position)
}

/// The last of the three, as in a `oneof`; without one an object that the session refuses.
fn from(bytes: &[u8]) -> Result<serde_json::Value, Malformed> {
    let mut from = serde_json::json!({});
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => from = serde_json::json!({ "last": value.small::<u32>(1)? }),
            (2, value) => from = serde_json::json!({ "time": value.text(2)? }),
            (3, value) => from = serde_json::json!({ "last_per_subject": value.flag(3)? }),
            _ => {}
        }
    }
    Ok(from)
}

fn unsubscribe(bytes: &[u8]) -> Result<Unsubscribe, Malformed> {
    let mut body = Unsubscribe { i: 0 };
    for field in Fields::new(bytes) {
        if let (1, value) = field? {
            body.i = value.small(1)?;
        }
    }
    Ok(body)
}

fn publish(bytes: &[u8]) -> Result<Publish, Malformed> {
    let mut body = Publish::default();
    let (mut payload, mut kind) = (&b""[..], Kind::Unsaid);
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => body.s = value.text(1)?,
            2 => payload = value.bytes(2)?,
            3 => kind = kind_of(value.number(3)?),
            4 => body.mid = value.optional_text(4)?,
            5 => body.ack = ack_of(value.number(5)?),
            6 => add_header(&mut body.h, value.bytes(6)?)?,
            7 => body.tp = read_traceparent(value.bytes(7)?),
            _ => {}
        }
    }
    let (d, t, b) = spelling(payload, kind)?;
    Ok(Publish { d, t, b, ..body })
}

fn request(bytes: &[u8]) -> Result<Request, Malformed> {
    let mut body = Request::default();
    let (mut payload, mut kind) = (&b""[..], Kind::Unsaid);
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => body.s = value.text(1)?,
            2 => payload = value.bytes(2)?,
            3 => kind = kind_of(value.number(3)?),
            4 => body.timeout = Some(value.number(4)?).filter(|timeout| *timeout > 0),
            5 => add_header(&mut body.h, value.bytes(5)?)?,
            6 => body.tp = read_traceparent(value.bytes(6)?),
            _ => {}
        }
    }
    let (d, t, b) = spelling(payload, kind)?;
    Ok(Request { d, t, b, ..body })
}

fn history(bytes: &[u8]) -> Result<History, Malformed> {
    let mut body = History::default();
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => body.f = value.text(1)?,
            2 => body.after = Some(position(value.bytes(2)?)?),
            3 => body.before = Some(position(value.bytes(3)?)?),
            4 => body.limit = Some(value.number(4)?),
            5 => body.hdr.push(value.text(5)?),
            6 => body.trace = value.flag(6)?,
            _ => {}
        }
    }
    Ok(body)
}

fn receipt(bytes: &[u8]) -> Result<Receipt, Malformed> {
    let mut body = Receipt::default();
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => body.tp = read_traceparent(value.bytes(1)?).unwrap_or_default(),
            2 => body.at = value.number(2)?,
            3 => body.took = value.number(3)?,
            _ => {}
        }
    }
    Ok(body)
}

fn refresh(bytes: &[u8]) -> Result<Refresh, Malformed> {
    let mut body = Refresh::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => body.token = value.text(1)?,
            (2, value) => body.i = Some(value.small(2)?).filter(|i| *i > 0),
            _ => {}
        }
    }
    Ok(body)
}

/// Appends a frame with one command. Frames may be appended to each other.
pub fn command(out: &mut Vec<u8>, command: &Command) {
    writer::nested(out, COMMAND, |out| {
        writer::number(out, 1, u64::from(command.id.unwrap_or_default()));
        match &command.body {
            Body::Heartbeat => {}
            Body::Connect(body) => writer::nested(out, CONNECT, |out| write_connect(out, body)),
            Body::Subscribe(body) => {
                writer::nested(out, SUBSCRIBE, |out| write_subscribe(out, body));
            }
            Body::Unsubscribe(body) => {
                writer::nested(out, UNSUBSCRIBE, |out| writer::number(out, 1, body.i.into()));
            }
            Body::Publish(body) => writer::nested(out, PUBLISH, |out| write_publish(out, body)),
            Body::Request(body) => writer::nested(out, REQUEST, |out| write_request(out, body)),
            Body::History(body) => writer::nested(out, HISTORY, |out| write_history(out, body)),
            Body::Refresh(body) => writer::nested(out, REFRESH, |out| {
                writer::text(out, 1, Some(&body.token));
                writer::number(out, 2, body.i.unwrap_or_default().into());
            }),
            Body::Receipt(body) => writer::nested(out, RECEIPT, |out| write_receipt(out, body)),
            Body::Unserved(name) => {
                let known = UNSERVED.into_iter().find(|(_, other)| other == name);
                known.into_iter().for_each(|(number, _)| writer::bytes_always(out, number, b""));
            }
        }
    });
}

fn write_connect(out: &mut Vec<u8>, body: &Connect) {
    writer::text(out, 1, body.token.as_deref());
    writer::text(out, 2, body.name.as_deref());
    writer::text(out, 3, body.ver.as_deref());
    body.feat.iter().for_each(|feature| writer::bytes_always(out, 4, feature.as_bytes()));
    writer::number(out, 5, body.ping.unwrap_or_default().into());
    traceparent(out, 6, body.tp.as_deref());
}

fn write_subscribe(out: &mut Vec<u8>, body: &Subscribe) {
    writer::text(out, 1, Some(&body.f));
    write_position(out, 2, body.recover.as_ref());
    body.hdr.iter().for_each(|name| writer::bytes_always(out, 3, name.as_bytes()));
    writer::number(out, 4, body.trace.into());
    if let Some(from) = &body.from {
        writer::nested(out, 5, |out| write_from(out, from));
    }
    writer::text(out, 9, body.token.as_deref());
}

fn write_position(out: &mut Vec<u8>, field: u32, position: Option<&Position>) {
    if let Some(position) = position {
        writer::nested(out, field, |out| {
            writer::text(out, 1, Some(&position.e));
            writer::number(out, 2, position.q);
        });
    }
}

/// What is none of the three becomes an empty message, which the edge does not understand either.
fn write_from(out: &mut Vec<u8>, from: &serde_json::Value) {
    if let Some(last) = from["last"].as_u64() {
        writer::number_always(out, 1, last.min(u32::MAX.into()));
    } else if let Some(time) = from["time"].as_str() {
        writer::bytes_always(out, 2, time.as_bytes());
    } else if let Some(is_wanted) = from["last_per_subject"].as_bool() {
        writer::number_always(out, 3, is_wanted.into());
    }
}

fn write_payload(out: &mut Vec<u8>, content: Content<'_>) {
    let (payload, kind) = content_parts(content);
    writer::bytes(out, 2, payload);
    writer::number(out, 3, kind);
}

fn write_publish(out: &mut Vec<u8>, body: &Publish) {
    writer::text(out, 1, Some(&body.s));
    write_payload(out, body.content());
    writer::text(out, 4, body.mid.as_deref());
    writer::number(out, 5, number_of(body.ack));
    headers(out, 6, &body.h);
    traceparent(out, 7, body.tp.as_deref());
}

fn write_request(out: &mut Vec<u8>, body: &Request) {
    writer::text(out, 1, Some(&body.s));
    write_payload(out, body.content());
    writer::number(out, 4, body.timeout.unwrap_or_default().min(u32::MAX.into()));
    headers(out, 5, &body.h);
    traceparent(out, 6, body.tp.as_deref());
}

fn write_receipt(out: &mut Vec<u8>, body: &Receipt) {
    traceparent(out, 1, Some(body.tp.as_str()).filter(|tp| !tp.is_empty()));
    writer::number(out, 2, body.at);
    writer::number(out, 3, body.took);
}

fn write_history(out: &mut Vec<u8>, body: &History) {
    writer::text(out, 1, Some(&body.f));
    write_position(out, 2, body.after.as_ref());
    write_position(out, 3, body.before.as_ref());
    writer::optional_number(out, 4, body.limit);
    body.hdr.iter().for_each(|name| writer::bytes_always(out, 5, name.as_bytes()));
    writer::number(out, 6, body.trace.into());
}
