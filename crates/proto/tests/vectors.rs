//! The golden vectors of `proto/vectors` and the tables of `proto/PROTOCOL.md`, held against this
//! crate. What the keys mean is told in `proto/README.md`; other languages read the same files.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach test helpers"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meridian_proto::codes::is_reconnectable;
use meridian_proto::command::{Body, Command, Headers};
use meridian_proto::guard::{FrameGuard, GuardLimits, Violation};
use meridian_proto::item::{Failure, Item, Message, Reply};
use meridian_proto::json::{self, DecodeError, Origin, Outgoing};
use meridian_proto::payload::ContentError;
use meridian_proto::{CloseCode, Content, ErrorCode, Filter, Payload, Subject, SubjectError};
use meridian_proto::{frame, limits};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

const SUBJECT: &str = "demo.eu.1";

fn file(name: &str) -> String {
    let path = format!("{}/../../proto/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn vectors(name: &str) -> Value {
    serde_json::from_str(&file(&format!("vectors/{name}.json"))).unwrap()
}

/// The entries of one list. An empty list is a mistake: it would test nothing.
fn list<'a>(vectors: &'a Value, key: &str) -> &'a [Value] {
    let entries = vectors[key].as_array().unwrap_or_else(|| panic!("no list {key}"));
    assert!(!entries.is_empty(), "{key} is empty");
    let names: BTreeSet<_> = entries.iter().filter_map(|entry| entry["name"].as_str()).collect();
    let named = entries.iter().filter(|entry| !entry["name"].is_null()).count();
    assert_eq!(names.len(), named, "a name stands twice in {key}");
    entries
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("no text {key} in {entry}"))
}

fn number(entry: &Value, key: &str) -> usize {
    entry[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {entry}")) as usize
}

fn bytes(entry: &Value) -> Vec<u8> {
    STANDARD.decode(text(entry, "base64")).unwrap()
}

fn hex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

/// What a decoded line says, told as the vectors tell it.
#[derive(Debug, PartialEq)]
struct Meaning {
    id: Value,
    kind: String,
    fields: Value,
    payload: Value,
}

impl Meaning {
    fn expected(entry: &Value) -> Self {
        let kind = text(entry, "kind").to_owned();
        let payload = entry["payload"].clone();
        Self { id: entry["id"].clone(), kind, fields: entry["fields"].clone(), payload }
    }

    fn new(
        id: Option<u32>,
        kind: &str,
        body: &impl Serialize,
        content: Option<Content<'_>>,
    ) -> Self {
        let mut fields = serde_json::to_value(body).unwrap();
        let payload = content.map_or(Value::Null, |content| {
            let body = fields.as_object_mut().unwrap();
            let kind = match (body.remove("d"), body.remove("t"), body.remove("b")) {
                (Some(_), None, None) => "json",
                (None, Some(_), None) => "text",
                (None, None, Some(_)) => "bytes",
                (None, None, None) => "empty",
                several => panic!("{several:?}"),
            };
            let base64 = STANDARD.encode(content.to_bytes().unwrap());
            serde_json::json!({ "kind": kind, "base64": base64 })
        });
        Self { id: id.map_or(Value::Null, Value::from), kind: kind.into(), fields, payload }
    }

    fn of_command(command: &Command) -> Self {
        let (id, nothing) = (command.id, serde_json::json!({}));
        match &command.body {
            Body::Heartbeat => Self::new(id, "heartbeat", &nothing, None),
            Body::Connect(body) => Self::new(id, "connect", body, None),
            Body::Subscribe(body) => Self::new(id, "subscribe", body, None),
            Body::Unsubscribe(body) => Self::new(id, "unsubscribe", body, None),
            Body::Publish(body) => Self::new(id, "publish", body, Some(body.content())),
            Body::Request(body) => Self::new(id, "request", body, Some(body.content())),
            Body::History(body) => Self::new(id, "history", body, None),
            Body::Receipt(body) => Self::new(id, "receipt", body, None),
            Body::Refresh(body) => Self::new(id, "refresh", body, None),
            Body::Unserved(name) => {
                Self::new(id, "unserved", &serde_json::json!({ "command": name }), None)
            }
        }
    }

    fn of_item(item: &Item) -> Self {
        let nothing = serde_json::json!({});
        match item {
            Item::Heartbeat => Self::new(None, "heartbeat", &nothing, None),
            Item::Reply(id, Reply::Connect(body)) => Self::new(Some(*id), "connect", body, None),
            Item::Reply(id, Reply::Subscribe(body)) => {
                Self::new(Some(*id), "subscribe", body, None)
            }
            Item::Reply(id, Reply::Unsubscribe) => {
                Self::new(Some(*id), "unsubscribe", &nothing, None)
            }
            Item::Reply(id, Reply::Publish(body)) => Self::new(Some(*id), "publish", body, None),
            Item::Reply(id, Reply::Request(body)) => {
                Self::new(Some(*id), "request", body, Some(body.content()))
            }
            Item::Reply(id, Reply::History(body)) => Self::new(Some(*id), "history", body, None),
            Item::Reply(id, Reply::Refresh(body)) => Self::new(Some(*id), "refresh", body, None),
            Item::Error(id, body) => Self::new(*id, "error", body, None),
            Item::Message(body) => Self::new(None, "m", body, Some(body.content())),
            Item::Gap(body) => Self::new(None, "gap", body, None),
            Item::Live(body) => Self::new(None, "live", body, None),
            Item::Position(body) => Self::new(None, "pos", body, None),
            Item::Unsubscribed(body) => Self::new(None, "unsub", body, None),
            Item::GoAway(body) => Self::new(None, "goaway", body, None),
            Item::Mesh(body) => Self::new(None, "mesh", body, None),
            Item::Expire(body) => Self::new(None, "expire", body, None),
            Item::Unknown(name) => Self::new(None, name, &nothing, None),
        }
    }
}

/// The canonical line and the other spellings of an entry.
fn spellings(entry: &Value) -> impl Iterator<Item = &str> {
    let also = entry["also"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    std::iter::once(text(entry, "line")).chain(also)
}

#[test]
fn commands_mean_what_the_vectors_say_and_are_written_canonically() {
    let vectors = vectors("commands");
    for entry in list(&vectors, "vectors") {
        for line in spellings(entry) {
            let mut commands = json::commands(line);
            let command = commands.next().unwrap().unwrap_or_else(|e| panic!("{line}: {e}"));
            assert!(commands.next().is_none(), "{line} is one command");
            assert_eq!(Meaning::of_command(&command), Meaning::expected(entry), "{line}");
            assert_eq!(written(|out| json::command(out, &command)), text(entry, "line"));
        }
    }
    for entry in list(&vectors, "frames") {
        let lines: Vec<String> = json::commands(text(entry, "frame"))
            .map(|command| written(|out| json::command(out, &command.unwrap())))
            .collect();
        assert_eq!(serde_json::json!(lines), entry["lines"], "{entry}");
    }
}

#[test]
fn items_mean_what_the_vectors_say_and_are_written_canonically() {
    let vectors = vectors("items");
    for entry in list(&vectors, "vectors") {
        for line in spellings(entry) {
            let item = json::item(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(Meaning::of_item(&item), Meaning::expected(entry), "{line}");
            assert_eq!(written(|out| json::write_item(out, &item)), text(entry, "line"));
            assert_eq!(written_by_the_edge(&item, entry), text(entry, "line"));
        }
    }
    for entry in list(&vectors, "frames") {
        let lines: Vec<String> = json::items(text(entry, "frame"))
            .map(|item| written(|out| json::write_item(out, &item.unwrap())))
            .collect();
        assert_eq!(serde_json::json!(lines), entry["lines"], "{entry}");
    }
    for entry in list(&vectors, "skipped") {
        let item = json::item(text(entry, "line")).unwrap();
        assert!(matches!(&item, Item::Unknown(name) if name == text(entry, "push")), "{entry}");
    }
    for entry in list(&vectors, "malformed") {
        assert!(json::item(text(entry, "line")).is_err(), "{entry}");
    }
}

/// Messages and responders' answers as the edge's hot path writes them; other items as they are.
fn written_by_the_edge(item: &Item, entry: &Value) -> String {
    let Some(kind) = entry["payload"]["kind"].as_str() else { return text(entry, "line").into() };
    let sent = bytes(&entry["payload"]);
    let declared = match kind {
        "text" => Some(&b"text/plain"[..]),
        "bytes" => Some(&b"application/octet-stream"[..]),
        _ => None,
    };
    let payload = Payload::classify(declared, &sent);
    match item {
        Item::Message(Message { i, s, q, h, tp, r, .. }) => {
            let (headers, traceparent) = (pairs(h), tp.as_deref());
            let origin = if r.is_some() { Origin::Replay } else { Origin::Live };
            let plain = Outgoing::plain(*i, s.as_bytes(), payload);
            let outgoing =
                Outgoing { sequence: *q, origin, headers: &headers, traceparent, ..plain };
            written(|out| json::message(out, &outgoing))
        }
        Item::Reply(id, Reply::Request(reply)) => {
            written(|out| json::request_reply(out, *id, payload, &pairs(&reply.h)))
        }
        other => panic!("{other:?} has no payload"),
    }
}

fn pairs(headers: &Headers) -> Vec<(&str, &str)> {
    headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value)))
        .collect()
}

/// What refuses a command that was decoded, in the order in which an edge checks.
fn refusal(body: &Body) -> Option<ErrorCode> {
    let subject_error = |error: Option<SubjectError>| error.map(|_| ErrorCode::InvalidSubject);
    let content_error = |error: Option<ContentError>| error.map(|_| ErrorCode::BadRequest);
    match body {
        Body::Unserved(_) => Some(ErrorCode::NotAvailable),
        Body::Subscribe(body) => subject_error(Filter::parse(&body.f).err()),
        Body::History(body) => subject_error(Filter::parse(&body.f).err()),
        Body::Publish(body) => subject_error(Subject::parse(&body.s).err())
            .or_else(|| content_error(body.content().to_nats().err())),
        Body::Request(body) => subject_error(Subject::parse(&body.s).err())
            .or_else(|| content_error(body.content().to_nats().err())),
        _ => None,
    }
}

#[test]
fn refused_frames_get_the_code_that_the_vectors_say() {
    for entry in list(&vectors("rejected"), "vectors") {
        let mut commands = json::commands(text(entry, "frame"));
        for _ in 0..number(entry, "before") {
            assert!(commands.next().unwrap().is_ok(), "{entry}");
        }
        let (id, error, close) = match commands.next().unwrap() {
            Err(
                DecodeError::NotAnObject(_)
                | DecodeError::NotAFrame(_)
                | DecodeError::TooManyCommands,
            ) => (None, None, Some(CloseCode::BadProtocol.number())),
            Err(DecodeError::Refused(id, Failure { code, .. })) => (id, Some(code), None),
            Ok(command) => {
                assert_ne!(text(entry, "stage"), "decode", "decoded: {entry}");
                (command.id, refusal(&command.body), None)
            }
        };
        assert_eq!(serde_json::json!(close), entry["close"], "{entry}");
        assert_eq!(serde_json::json!(error.map(u16::from)), entry["error"], "{entry}");
        assert_eq!(serde_json::json!(id), entry["id"], "{entry}");
    }
}

fn subject_error_name(error: SubjectError) -> &'static str {
    match error {
        SubjectError::Empty => "empty",
        SubjectError::TooLong => "too_long",
        SubjectError::TooManyTokens => "too_many_tokens",
        SubjectError::EmptyToken => "empty_token",
        SubjectError::Character => "character",
        SubjectError::Wildcard => "wildcard",
        SubjectError::GreaterNotLast => "greater_not_last",
        SubjectError::Reserved => "reserved",
    }
}

#[test]
fn subjects_and_filters_are_judged_as_the_vectors_say() {
    let vectors = vectors("subjects");
    for entry in list(&vectors, "subjects_valid") {
        assert!(Subject::parse(text(entry, "text")).is_ok(), "{entry}");
    }
    for entry in list(&vectors, "filters_valid") {
        let filter = Filter::parse(text(entry, "text")).unwrap_or_else(|e| panic!("{entry}: {e}"));
        assert_eq!(filter.is_wildcard(), entry["wildcard"].as_bool().unwrap(), "{entry}");
    }
    for entry in list(&vectors, "subjects_invalid") {
        let error = Subject::parse(text(entry, "text")).unwrap_err();
        assert_eq!(subject_error_name(error), text(entry, "error"), "{entry}");
    }
    for entry in list(&vectors, "filters_invalid") {
        let error = Filter::parse(text(entry, "text")).unwrap_err();
        assert_eq!(subject_error_name(error), text(entry, "error"), "{entry}");
    }
}

#[test]
fn filters_relate_as_the_vectors_say() {
    let vectors = vectors("subjects");
    let filter = |entry: &Value, key: &str| Filter::parse(text(entry, key)).unwrap();
    let expected = |entry: &Value| entry["is"].as_bool().unwrap();
    for entry in list(&vectors, "matches") {
        let is_match = filter(entry, "filter").matches(text(entry, "subject"));
        assert_eq!(is_match, expected(entry), "{entry}");
    }
    for entry in list(&vectors, "contains") {
        let contains = filter(entry, "outer").contains(&filter(entry, "inner"));
        assert_eq!(contains, expected(entry), "{entry}");
    }
    for entry in list(&vectors, "overlaps") {
        let (left, right) = (filter(entry, "left"), filter(entry, "right"));
        assert_eq!(left.overlaps(&right), expected(entry), "{entry}");
        assert_eq!(right.overlaps(&left), expected(entry), "{entry}");
    }
}

#[test]
fn payloads_are_spelled_as_the_vectors_say() {
    let vectors = vectors("payloads");
    for entry in list(&vectors, "from_nats") {
        let (sent, declared) = (bytes(entry), entry["content_type"].as_str());
        let payload = Payload::classify(declared.map(str::as_bytes), &sent);
        let kind = match payload {
            Payload::Empty => "empty",
            Payload::Json(_) => "json",
            Payload::Text(_) => "text",
            Payload::Bytes(_) => "bytes",
        };
        assert_eq!(kind, text(entry, "kind"), "{entry}");
        let outgoing = Outgoing::plain(7, SUBJECT.as_bytes(), payload);
        assert_eq!(written(|out| json::message(out, &outgoing)), text(entry, "line"), "{entry}");
    }
    for entry in list(&vectors, "to_nats") {
        let content = text(entry, "content").strip_prefix('{').unwrap();
        let separator = if content == "}" { "" } else { "," };
        let line = format!("{{\"publish\":{{\"s\":\"{SUBJECT}\"{separator}{content}}}");
        let command = json::commands(&line).next().unwrap().unwrap();
        let Body::Publish(publish) = command.body else { panic!("{line}") };
        let nats = publish.content().to_nats().unwrap();
        assert_eq!(nats.bytes, bytes(entry), "{entry}");
        assert_eq!(nats.content_type, entry["content_type"].as_str(), "{entry}");
    }
}

fn close_code(entry: &Value, key: &str) -> CloseCode {
    let wanted = number(entry, key);
    CloseCode::ALL.into_iter().find(|code| usize::from(code.number()) == wanted).unwrap()
}

#[test]
fn frames_have_the_bytes_that_the_vectors_say() {
    let vectors = vectors("frames");
    for entry in list(&vectors, "text") {
        let length = number(entry, "text_bytes");
        let mut out = Vec::new();
        frame::text(&mut out, |out| out.resize(out.len() + length, b'x'));
        let header = hex(text(entry, "header"));
        assert_eq!(out[..header.len()], header, "{entry}");
        assert_eq!(out.len(), header.len() + length, "{entry}");
    }
    let mut closes = BTreeSet::new();
    for entry in list(&vectors, "close") {
        let code = close_code(entry, "code");
        closes.insert(code.number());
        assert_eq!(code.reason(), text(entry, "reason"));
        let mut out = Vec::new();
        frame::close(&mut out, code);
        assert_eq!(out, hex(text(entry, "hex")), "{entry}");
    }
    assert_eq!(closes.len(), CloseCode::ALL.len(), "every close code has a vector");
    for entry in list(&vectors, "close_with") {
        let mut out = Vec::new();
        frame::close_with(&mut out, close_code(entry, "code"), text(entry, "reason"));
        assert_eq!(out, hex(text(entry, "hex")), "{entry}");
        assert_eq!(&out[4..], text(entry, "sent").as_bytes(), "{entry}");
    }
    for entry in list(&vectors, "pong") {
        let mut out = Vec::new();
        frame::pong(&mut out, &hex(text(entry, "payload")));
        assert_eq!(out, hex(text(entry, "hex")), "{entry}");
    }
    let [heartbeat] = list(&vectors, "fixed") else { panic!("one fixed frame is known") };
    assert_eq!(frame::HEARTBEAT.as_slice(), hex(text(heartbeat, "hex")));
}

#[test]
fn the_last_byte_of_a_refused_frame_is_the_one_that_is_refused() {
    let mut violations = BTreeSet::new();
    for entry in list(&vectors("frames"), "refused") {
        let mut stream = hex(text(entry, "hex"));
        if let Some(zeros) = entry["then_zeros"].as_u64() {
            stream.resize(stream.len() + zeros as usize, 0);
            stream.extend(hex(text(entry, "then_hex")));
        }
        let (last, before) = stream.split_last().unwrap();
        let (mut guard, limits) = (FrameGuard::new(), GuardLimits::default());
        assert!(guard.inspect(&limits, before).is_ok(), "{entry}");
        let violation = guard.inspect(&limits, &[*last]).unwrap_err();
        assert_eq!(violation.metric_label(), text(entry, "violation"), "{entry}");
        assert_eq!(usize::from(violation.close_code()), number(entry, "close"), "{entry}");
        violations.insert(violation.metric_label());
    }
    assert_eq!(violations.len(), Violation::ALL.len(), "every violation has a vector");
}

/// The rows of the first table after a heading of `PROTOCOL.md` whose head begins with `first`.
fn table(heading: &str, first: &str) -> Vec<Vec<String>> {
    let document = file("PROTOCOL.md");
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let (_, rows) = section.split_once(&format!("\n| {first} |")).unwrap();
    let cells = |row: &str| {
        row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    rows.lines().skip(2).take_while(|row| row.starts_with('|')).map(cells).collect()
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

#[test]
fn the_tables_of_codes_in_the_specification_are_those_of_the_source() {
    let said: Vec<_> = table("Error codes", "code").iter().map(|row| row[..3].to_vec()).collect();
    let is: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retry = yes_or_no(code.is_retryable());
            vec![u16::from(*code).to_string(), code.label().into(), retry.into()]
        })
        .collect();
    assert_eq!(said, is);

    let said: Vec<_> = table("Close codes", "code").iter().map(|row| row[..4].to_vec()).collect();
    let is: Vec<_> = CloseCode::ALL
        .iter()
        .map(|code| {
            let reconnect = yes_or_no(is_reconnectable(code.number()));
            let texts = [code.label(), code.reason(), reconnect].map(String::from);
            [vec![code.number().to_string()], texts.to_vec()].concat()
        })
        .collect();
    assert_eq!(said, is);

    let said = table("Frame violations", "violation");
    let is: Vec<Vec<String>> = Violation::ALL
        .iter()
        .map(|v| vec![v.metric_label().into(), v.close_code().to_string(), v.reason().into()])
        .collect();
    assert_eq!(said, is);
}

#[test]
fn the_limits_in_the_specification_are_those_of_the_source() {
    let said: Vec<(String, u64)> = table("Limits", "limit")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].replace(',', "").parse().unwrap()))
        .collect();
    let is = [
        ("SUBJECT_BYTES_MAX", limits::SUBJECT_BYTES_MAX as u64),
        ("SUBJECT_TOKENS_MAX", limits::SUBJECT_TOKENS_MAX as u64),
        ("CLIENT_MESSAGE_BYTES_MAX", limits::CLIENT_MESSAGE_BYTES_MAX as u64),
        ("FRAGMENTS_MAX", u64::from(limits::FRAGMENTS_MAX)),
        ("MESSAGE_ASSEMBLY_MS_MAX", limits::MESSAGE_ASSEMBLY_MS_MAX),
        ("FILTERS_MAX", limits::FILTERS_MAX as u64),
        ("COMMANDS_PER_FRAME_MAX", limits::COMMANDS_PER_FRAME_MAX as u64),
        ("COMMANDS_PER_SECOND", u64::from(limits::COMMANDS_PER_SECOND)),
        ("COMMANDS_BURST", u64::from(limits::COMMANDS_BURST)),
        ("PUBLISH_BYTES_PER_SECOND", u64::from(limits::PUBLISH_BYTES_PER_SECOND)),
        ("OUTBOX_BYTES_MAX", limits::OUTBOX_BYTES_MAX as u64),
        ("HEADERS_MAX", limits::HEADERS_MAX as u64),
        ("HEADER_BYTES_MAX", limits::HEADER_BYTES_MAX as u64),
        ("CLOSE_REASON_BYTES_MAX", limits::CLOSE_REASON_BYTES_MAX as u64),
        ("JSON_DEPTH_MAX", limits::JSON_DEPTH_MAX as u64),
        ("TOKEN_BYTES_MAX", limits::TOKEN_BYTES_MAX as u64),
        ("MESSAGE_ID_BYTES_MAX", limits::MESSAGE_ID_BYTES_MAX as u64),
        ("HISTORY_LIMIT_MAX", limits::HISTORY_LIMIT_MAX),
        ("HISTORY_LIMIT_DEFAULT", limits::HISTORY_LIMIT_DEFAULT),
        ("HISTORY_PAGE_BYTES_MAX", limits::HISTORY_PAGE_BYTES_MAX as u64),
        ("PING_S_DEFAULT", u64::from(limits::PING_S_DEFAULT)),
        ("REQUEST_TIMEOUT_MS_DEFAULT", limits::REQUEST_TIMEOUT_MS_DEFAULT),
    ];
    assert_eq!(said, is.map(|(name, value)| (name.to_owned(), value)));
}
