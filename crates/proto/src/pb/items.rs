//! Items: written at the edge, read by the client. The edge writes messages by `pb::message`.

mod history;

use super::commands::{ack_of, number_of};
use super::fields::{Fields, Malformed, Value};
use super::message::{ITEM, REPLY, message as write_message};
use super::payload::{add_header, content_parts, headers, kind_of, read_traceparent, spelling};
use super::writer;
use crate::codes::ErrorCode;
use crate::command::Ack;
use crate::decode_error::{DecodeError, refuse, shorten};
use crate::item::{
    ConnectReply, Expire, Failure, Gap, GoAway, Item, Limits, Mark, Mesh, Message, PublishReply,
    RefreshReply, Reply, RequestReply, SubscribeReply, Unsubscribed,
};
use crate::outgoing::{Naming, Origin, Outgoing};
use crate::payload::Kind;

/// Fields of an `Item` beside those of `message`, in the order of the `.proto` file.
const MESSAGE: u32 = 1;
const ERROR: u32 = 3;
const GAP: u32 = 4;
const UNSUBSCRIBED: u32 = 5;
const GO_AWAY: u32 = 6;
const MESH: u32 = 7;
const LIVE: u32 = 8;
const EXPIRE: u32 = 11;
const POSITION: u32 = 13;

/// Fields of a `Reply` that hold its body. A reply to `unsubscribe` has none.
const CONNECT: u32 = 2;
const SUBSCRIBE: u32 = 3;
const PUBLISH: u32 = 4;
const REQUEST: u32 = 5;
const HISTORY: u32 = 8;
const REFRESH: u32 = 9;

/// Reads the items of one frame, in order. The empty frame is the heartbeat. After a part that
/// nobody can find the end of, nothing follows.
pub fn items(frame: &[u8]) -> impl Iterator<Item = Result<Item, DecodeError>> {
    let heartbeat = frame.is_empty().then_some(Ok(Item::Heartbeat));
    let items = Fields::new(frame).filter_map(|field| match field {
        Ok((ITEM, Value::Bytes(bytes))) => Some(read(bytes)),
        Ok((ITEM, _)) => Some(not_a_frame(Malformed::FieldType(ITEM))),
        Ok(_) => None,
        Err(malformed) => Some(not_a_frame(malformed)),
    });
    heartbeat.into_iter().chain(items)
}

fn not_a_frame(malformed: Malformed) -> Result<Item, DecodeError> {
    Err(DecodeError::NotAFrame(shorten(malformed.to_string())))
}

/// The last of the kinds that it holds, as in a `oneof`. What is not known counts only where
/// nothing is.
fn read(bytes: &[u8]) -> Result<Item, DecodeError> {
    let mut item = Item::Heartbeat;
    for field in Fields::new(bytes) {
        let read = field.map_err(Refused::from).and_then(|(number, value)| one(number, value));
        match read {
            Ok(Item::Unknown(_)) if !matches!(item, Item::Heartbeat) => {}
            Ok(read) => item = read,
            Err(Refused(id, malformed)) => {
                let detail = format!("malformed item: {malformed}");
                return refuse(id, ErrorCode::BadRequest, detail);
            }
        }
    }
    Ok(item)
}

/// What is malformed, and the command that it answers.
struct Refused(Option<u32>, Malformed);

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Self(None, malformed)
    }
}

fn one(number: u32, value: Value<'_>) -> Result<Item, Refused> {
    if !matches!(number, MESSAGE..=LIVE | EXPIRE | POSITION) {
        return Ok(Item::Unknown(format!("field {number}")));
    }
    let bytes = value.bytes(number)?;
    Ok(match number {
        MESSAGE => Item::Message(message(bytes)?),
        REPLY => reply(bytes)?,
        ERROR => error(bytes)?,
        GAP => Item::Gap(gap(bytes)?),
        UNSUBSCRIBED => Item::Unsubscribed(unsubscribed(bytes)?),
        GO_AWAY => Item::GoAway(go_away(bytes)?),
        MESH => Item::Mesh(mesh(bytes)?),
        LIVE => Item::Live(mark(bytes)?),
        EXPIRE => Item::Expire(expire(bytes)?),
        _ => Item::Position(mark(bytes)?),
    })
}

fn message(bytes: &[u8]) -> Result<Message, Malformed> {
    let (mut i, mut s, mut q, mut r, mut tp) = (0, String::new(), None, None, None);
    let (mut payload, mut kind, mut h) = (&b""[..], Kind::Unsaid, Default::default());
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => i = value.small(1)?,
            2 => s = value.text(2)?,
            3 => q = Some(value.number(3)?),
            4 => payload = value.bytes(4)?,
            5 => add_header(&mut h, value.bytes(5)?)?,
            6 => tp = read_traceparent(value.bytes(6)?),
            8 => r = value.flag(8)?.then_some(1),
            10 => kind = kind_of(value.number(10)?),
            _ => {}
        }
    }
    let (d, t, b) = spelling(payload, kind)?;
    Ok(Message { i, s, q, d, t, b, h, tp, r })
}

fn reply(bytes: &[u8]) -> Result<Item, Refused> {
    let (mut id, mut body, mut unknown) = (0, None, None);
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => id = value.small(1)?,
            CONNECT..=REQUEST | HISTORY | REFRESH => body = Some((number, value.bytes(number)?)),
            other => unknown = Some(other),
        }
    }
    let read = match (body, unknown) {
        (None, None) => Ok(Reply::Unsubscribe),
        (None, Some(number)) => return Ok(Item::Unknown(format!("reply, field {number}"))),
        (Some((CONNECT, bytes)), _) => connect_reply(bytes).map(Reply::Connect),
        (Some((SUBSCRIBE, bytes)), _) => subscribe_reply(bytes).map(Reply::Subscribe),
        (Some((PUBLISH, bytes)), _) => publish_reply(bytes).map(Reply::Publish),
        (Some((HISTORY, bytes)), _) => history::read(bytes).map(Reply::History),
        (Some((REFRESH, bytes)), _) => refresh_reply(bytes).map(Reply::Refresh),
        (Some((_, bytes)), _) => request_reply(bytes).map(Reply::Request),
    };
    read.map(|reply| Item::Reply(id, reply)).map_err(|malformed| Refused(Some(id), malformed))
}

fn connect_reply(bytes: &[u8]) -> Result<ConnectReply, Malformed> {
    let mut reply = ConnectReply {
        cid: String::new(),
        node: String::new(),
        region: String::new(),
        ver: String::new(),
        ping: 0,
        user: None,
        expires: None,
        limits: Limits { frame: 0, subs: 0, cmds: 0 },
        alt: Vec::new(),
        feat: Vec::new(),
    };
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => reply.cid = value.text(1)?,
            2 => reply.node = value.text(2)?,
            3 => reply.region = value.text(3)?,
            4 => reply.ver = value.text(4)?,
            5 => reply.ping = value.small(5)?,
            6 => reply.limits = limits(value.bytes(6)?)?,
            7 => reply.alt.push(value.text(7)?),
            8 => reply.feat.push(value.text(8)?),
            9 => reply.user = Some(value.text(9)?),
            10 => reply.expires = Some(value.number(10)?),
            _ => {}
        }
    }
    Ok(reply)
}

fn limits(bytes: &[u8]) -> Result<Limits, Malformed> {
    let mut limits = Limits { frame: 0, subs: 0, cmds: 0 };
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => limits.frame = value.small(1)?,
            (2, value) => limits.subs = value.small(2)?,
            (3, value) => limits.cmds = value.small(3)?,
            _ => {}
        }
    }
    Ok(limits)
}

fn subscribe_reply(bytes: &[u8]) -> Result<SubscribeReply, Malformed> {
    let (i, recoverable) = (0, false);
    let (e, q, n, recovered, why) = (None, None, None, None, None);
    let mut reply = SubscribeReply { i, recoverable, e, q, n, recovered, why };
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => reply.i = value.small(1)?,
            2 => reply.recoverable = value.flag(2)?,
            3 => reply.recovered = Some(value.flag(3)?),
            4 => reply.why = value.optional_text(4)?,
            5 => reply.e = value.optional_text(5)?,
            6 => reply.q = Some(value.number(6)?),
            7 => reply.n = Some(value.number(7)?),
            _ => {}
        }
    }
    Ok(reply)
}

fn publish_reply(bytes: &[u8]) -> Result<PublishReply, Malformed> {
    let mut reply = PublishReply { ack: Ack::None, stream: None, q: None, dup: None };
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => reply.ack = ack_of(value.number(1)?).unwrap_or(Ack::None),
            2 => reply.stream = value.optional_text(2)?,
            3 => reply.q = Some(value.number(3)?),
            4 => reply.dup = Some(value.flag(4)?),
            _ => {}
        }
    }
    Ok(reply)
}

fn request_reply(bytes: &[u8]) -> Result<RequestReply, Malformed> {
    let (mut payload, mut kind, mut h) = (&b""[..], Kind::Unsaid, Default::default());
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => payload = value.bytes(1)?,
            (2, value) => kind = kind_of(value.number(2)?),
            (3, value) => add_header(&mut h, value.bytes(3)?)?,
            _ => {}
        }
    }
    let (d, t, b) = spelling(payload, kind)?;
    Ok(RequestReply { d, t, b, h })
}

fn refresh_reply(bytes: &[u8]) -> Result<RefreshReply, Malformed> {
    let mut reply = RefreshReply { expires: 0 };
    for field in Fields::new(bytes) {
        if let (1, value) = field? {
            reply.expires = value.number(1)?;
        }
    }
    Ok(reply)
}

fn error(bytes: &[u8]) -> Result<Item, Malformed> {
    let mut id = 0;
    let mut failure = Failure::new(ErrorCode::Internal, "");
    failure.retry = false;
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => id = value.small(1)?,
            2 => failure.code = known_code(value.number(2)?),
            3 => failure.msg = value.text(3)?,
            4 => failure.retry = value.flag(4)?,
            5 => failure.after_ms = Some(value.number(5)?),
            6 => failure.hint = value.optional_text(6)?,
            _ => {}
        }
    }
    Ok(Item::Error((id > 0).then_some(id), failure))
}

/// As in JSON: `retry` says what to do about a number that is not known.
fn known_code(number: u64) -> ErrorCode {
    let known = u16::try_from(number).ok().and_then(|number| ErrorCode::try_from(number).ok());
    known.unwrap_or(ErrorCode::Internal)
}

fn gap(bytes: &[u8]) -> Result<Gap, Malformed> {
    let mut gap = Gap::default();
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => gap.i = value.small(1)?,
            2 => gap.why = value.text(2)?,
            3 => gap.after = Some(value.number(3)?),
            4 => gap.upto = Some(value.number(4)?),
            5 => gap.e = Some(value.text(5)?),
            _ => {}
        }
    }
    Ok(gap)
}

fn unsubscribed(bytes: &[u8]) -> Result<Unsubscribed, Malformed> {
    let mut end = Unsubscribed { i: 0, code: 0, reason: String::new() };
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => end.i = value.small(1)?,
            (2, value) => end.code = value.small(2)?,
            (3, value) => end.reason = value.text(3)?,
            _ => {}
        }
    }
    Ok(end)
}

fn expire(bytes: &[u8]) -> Result<Expire, Malformed> {
    let mut expire = Expire { in_s: 0, i: None };
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => expire.in_s = value.number(1)?,
            (2, value) => expire.i = Some(value.small(2)?).filter(|i| *i > 0),
            _ => {}
        }
    }
    Ok(expire)
}

fn go_away(bytes: &[u8]) -> Result<GoAway, Malformed> {
    let (why, server) = (String::new(), Vec::new());
    let mut goaway = GoAway { why, server, after_ms: [0, 0], deadline_ms: 0 };
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => goaway.why = value.text(1)?,
            2 => goaway.server.push(value.text(2)?),
            3 => goaway.after_ms[0] = value.number(3)?,
            4 => goaway.after_ms[1] = value.number(4)?,
            5 => goaway.deadline_ms = value.number(5)?,
            _ => {}
        }
    }
    Ok(goaway)
}

fn mesh(bytes: &[u8]) -> Result<Mesh, Malformed> {
    let mut mesh = Mesh::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => mesh.degraded.push(value.text(1)?),
            (2, value) => mesh.stale.push(value.text(2)?),
            (3, value) => mesh.readonly.push(value.text(3)?),
            _ => {}
        }
    }
    Ok(mesh)
}

fn mark(bytes: &[u8]) -> Result<Mark, Malformed> {
    let mut mark = Mark { i: 0, q: 0 };
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => mark.i = value.small(1)?,
            (2, value) => mark.q = value.number(2)?,
            _ => {}
        }
    }
    Ok(mark)
}

/// Appends a frame with one item. Frames may be appended to each other.
pub fn write_item(out: &mut Vec<u8>, item: &Item) {
    if let Item::Message(body) = item {
        return write_whole_message(out, body);
    }
    writer::nested(out, ITEM, |out| match item {
        // Nobody makes an unknown one to send: it is what a reader keeps of a push of a later
        // version. A message has been written above.
        Item::Heartbeat | Item::Unknown(_) | Item::Message(_) => {}
        Item::Reply(id, reply) => writer::nested(out, REPLY, |out| write_reply(out, *id, reply)),
        Item::Error(id, body) => writer::nested(out, ERROR, |out| write_error(out, *id, body)),
        Item::Gap(body) => writer::nested(out, GAP, |out| write_gap(out, body)),
        Item::Live(mark) => writer::nested(out, LIVE, |out| write_mark(out, mark)),
        Item::Position(mark) => writer::nested(out, POSITION, |out| write_mark(out, mark)),
        Item::Unsubscribed(body) => writer::nested(out, UNSUBSCRIBED, |out| {
            writer::number(out, 1, body.i.into());
            writer::number(out, 2, body.code.into());
            writer::text(out, 3, Some(&body.reason));
        }),
        Item::Expire(body) => writer::nested(out, EXPIRE, |out| {
            writer::number(out, 1, body.in_s);
            writer::number(out, 2, body.i.unwrap_or_default().into());
        }),
        Item::GoAway(body) => writer::nested(out, GO_AWAY, |out| write_go_away(out, body)),
        Item::Mesh(body) => writer::nested(out, MESH, |out| {
            write_texts(out, 1, &body.degraded);
            write_texts(out, 2, &body.stale);
            write_texts(out, 3, &body.readonly);
        }),
    });
}

fn write_texts(out: &mut Vec<u8>, field: u32, texts: &[String]) {
    texts.iter().for_each(|text| writer::bytes_always(out, field, text.as_bytes()));
}

fn write_whole_message(out: &mut Vec<u8>, body: &Message) {
    let pairs = body
        .h
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value)));
    let pairs: Vec<(&str, &str)> = pairs.collect();
    let naming = if body.s.is_empty() { Naming::ByFilter } else { Naming::Needed };
    let origin = if body.r == Some(1) { Origin::Replay } else { Origin::Live };
    let plain = Outgoing::plain(body.i, body.s.as_bytes(), body.content().payload());
    let (sequence, traceparent) = (body.q, body.tp.as_deref());
    let whole = Outgoing { naming, sequence, origin, headers: &pairs, traceparent, ..plain };
    write_message(out, &whole);
}

fn write_reply(out: &mut Vec<u8>, id: u32, reply: &Reply) {
    writer::number(out, 1, id.into());
    match reply {
        Reply::Unsubscribe => {}
        Reply::Connect(body) => writer::nested(out, CONNECT, |out| write_connect(out, body)),
        Reply::Subscribe(body) => writer::nested(out, SUBSCRIBE, |out| {
            writer::number(out, 1, body.i.into());
            writer::number(out, 2, body.recoverable.into());
            writer::optional_number(out, 3, body.recovered.map(u64::from));
            writer::text(out, 4, body.why.as_deref());
            writer::text(out, 5, body.e.as_deref());
            writer::optional_number(out, 6, body.q);
            writer::optional_number(out, 7, body.n);
        }),
        Reply::History(body) => writer::nested(out, HISTORY, |out| history::write(out, body)),
        Reply::Refresh(body) => {
            writer::nested(out, REFRESH, |out| writer::number(out, 1, body.expires));
        }
        Reply::Publish(body) => writer::nested(out, PUBLISH, |out| {
            writer::number(out, 1, number_of(Some(body.ack)));
            writer::text(out, 2, body.stream.as_deref());
            writer::optional_number(out, 3, body.q);
            writer::optional_number(out, 4, body.dup.map(u64::from));
        }),
        Reply::Request(body) => writer::nested(out, REQUEST, |out| {
            let (payload, kind) = content_parts(body.content());
            writer::bytes(out, 1, payload);
            writer::number(out, 2, kind);
            headers(out, 3, &body.h);
        }),
    }
}

fn write_connect(out: &mut Vec<u8>, body: &ConnectReply) {
    writer::text(out, 1, Some(&body.cid));
    writer::text(out, 2, Some(&body.node));
    writer::text(out, 3, Some(&body.region));
    writer::text(out, 4, Some(&body.ver));
    writer::number(out, 5, body.ping.into());
    writer::nested(out, 6, |out| {
        writer::number(out, 1, body.limits.frame as u64);
        writer::number(out, 2, body.limits.subs as u64);
        writer::number(out, 3, body.limits.cmds as u64);
    });
    write_texts(out, 7, &body.alt);
    write_texts(out, 8, &body.feat);
    writer::text(out, 9, body.user.as_deref());
    writer::optional_number(out, 10, body.expires);
}

fn write_error(out: &mut Vec<u8>, id: Option<u32>, body: &Failure) {
    writer::number(out, 1, id.unwrap_or_default().into());
    writer::number(out, 2, u16::from(body.code).into());
    writer::text(out, 3, Some(&body.msg));
    writer::number(out, 4, body.retry.into());
    writer::optional_number(out, 5, body.after_ms);
    writer::text(out, 6, body.hint.as_deref());
}

fn write_gap(out: &mut Vec<u8>, body: &Gap) {
    writer::number(out, 1, body.i.into());
    writer::text(out, 2, Some(&body.why));
    writer::optional_number(out, 3, body.after);
    writer::optional_number(out, 4, body.upto);
    writer::text(out, 5, body.e.as_deref());
}

fn write_mark(out: &mut Vec<u8>, mark: &Mark) {
    writer::number(out, 1, mark.i.into());
    writer::number(out, 2, mark.q);
}

fn write_go_away(out: &mut Vec<u8>, body: &GoAway) {
    writer::text(out, 1, Some(&body.why));
    write_texts(out, 2, &body.server);
    writer::number(out, 3, body.after_ms[0]);
    writer::number(out, 4, body.after_ms[1]);
    writer::number(out, 5, body.deadline_ms);
}
