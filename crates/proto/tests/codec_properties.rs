//! Properties of the JSON codec: whatever a publisher sends, a subscriber reads exactly that, on
//! one line; whatever a client sends, the decoder answers and does not panic; a server frame says
//! its true length.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach test helpers"
)]

use meridian_proto::command::{Ack, Body, Command, HeaderValues, Headers, Publish};
use meridian_proto::item::{Item, Message, Reply};
use meridian_proto::json::{self, DecodeError, Outgoing};
use meridian_proto::payload::Raw;
use meridian_proto::{Payload, frame};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// JSON texts with free spelling: white space, line breaks, escapes, numbers no machine holds.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0.10e+999".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let space = || prop_oneof![Just(""), Just(" "), Just("\r\n"), Just("\n"), Just("\t")];
    leaf.prop_recursive(6, 40, 4, move |inner| {
        let key = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
        let member = (key, space(), inner.clone())
            .prop_map(|(key, space, value)| format!("{key}{space}:{space}{value}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..4), space())
                .prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(","))),
            (prop::collection::vec(member, 0..4), space())
                .prop_map(|(members, space)| format!("{{{space}{}}}{space}", members.join(","))),
        ]
    })
}

fn payload_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => json_text().prop_map(String::into_bytes),
        2 => any::<String>().prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..200),
        1 => "[\\[\\]{}\":,\\\\0-9a-z \r\n]{0,40}".prop_map(String::into_bytes),
    ]
}

fn content_type() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        Just(None),
        Just(Some("text/plain")),
        Just(Some("application/octet-stream")),
        Just(Some("application/json")),
    ]
}

/// Headers with repeated names, as they come from NATS.
fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![Just("x-a".to_owned()), Just("x-b".to_owned()), any::<String>()];
    prop::collection::vec((name, any::<String>()), 0..6)
}

/// The values of each name in order, which is what a client must see.
fn grouped(headers: &[(String, String)]) -> Headers {
    let mut grouped = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers {
        grouped.entry(name.clone()).or_default().push(value.clone());
    }
    let one_or_many = |mut values: Vec<String>| match values.len() {
        1 => HeaderValues::One(values.remove(0)),
        _ => HeaderValues::Many(values),
    };
    grouped.into_iter().map(|(name, values)| (name, one_or_many(values))).collect()
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The bytes that a client must get for `sent`: the same, but for line breaks of JSON.
fn as_delivered(kind: Payload<'_>, sent: &[u8]) -> Vec<u8> {
    match kind {
        // RawValue holds the value without white space around it.
        Payload::Json(text) => text.trim().replace(['\r', '\n'], " ").into_bytes(),
        _ => sent.to_vec(),
    }
}

fn message_of(line: &str) -> Message {
    match json::item(line).unwrap() {
        Item::Message(message) => message,
        other => panic!("{line} gave {other:?}"),
    }
}

/// Reads a server frame by RFC 6455 5.2, knowing nothing of the encoder. Returns its first byte,
/// its payload, and what follows it.
fn independent_frame(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    assert_eq!(bytes[1] & 0x80, 0, "servers do not mask");
    let (length, start) = match bytes[1] {
        126 => (u64::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()), 10),
        short => (u64::from(short), 2),
    };
    let minimal = match length {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    assert_eq!(start, minimal, "the shortest form");
    let (payload, rest) = bytes[start..].split_at(usize::try_from(length).unwrap());
    (bytes[0], payload, rest)
}

proptest! {
    #[test]
    fn a_delivered_message_says_what_was_published_on_one_line(
        i in any::<u32>(),
        subject in any::<String>(),
        sent in payload_bytes(),
        content_type in content_type(),
        headers in headers(),
        traceparent in prop::option::of(any::<String>()),
        sequence in prop::option::of(any::<u64>()),
    ) {
        let payload = Payload::classify(content_type.map(str::as_bytes), &sent);
        let mut line = Vec::new();
        json::message(&mut line, &Outgoing {
            sequence,
            headers: &borrowed(&headers),
            traceparent: traceparent.as_deref(),
            ..Outgoing::plain(i, subject.as_bytes(), payload)
        });
        let line = String::from_utf8(line).unwrap();
        prop_assert!(!line.contains(['\n', '\r']));
        prop_assert!(serde_json::from_str::<IgnoredAny>(&line).is_ok());
        let message = message_of(&line);
        prop_assert_eq!(message.i, i);
        prop_assert_eq!(&message.s, &subject);
        let received = message.content().to_bytes().unwrap().into_owned();
        prop_assert_eq!(received, as_delivered(payload, &sent));
        let kinds = (message.d.is_some(), message.t.is_some(), message.b.is_some());
        prop_assert_eq!(kinds, match payload {
            Payload::Empty => (false, false, false),
            Payload::Json(_) => (true, false, false),
            Payload::Text(_) => (false, true, false),
            Payload::Bytes(_) => (false, false, true),
        });
        prop_assert_eq!(message.h, grouped(&headers));
        prop_assert_eq!(message.tp, traceparent);
        prop_assert_eq!(message.q, sequence);
    }

    #[test]
    fn subjects_of_any_bytes_stay_inside_their_string(
        subject in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut line = Vec::new();
        let (payload, headers) = (Payload::Json("1"), &[][..]);
        let outgoing =
            Outgoing { headers, ..Outgoing::plain(7, &subject, payload) };
        json::message(&mut line, &outgoing);
        let message = message_of(std::str::from_utf8(&line).unwrap());
        prop_assert_eq!(message.s, String::from_utf8_lossy(&subject));
        prop_assert_eq!(message.d.as_deref().map(RawValue::get), Some("1"));
    }

    #[test]
    fn a_responders_answer_says_what_was_answered_on_one_line(
        id in 1_u32..,
        sent in payload_bytes(),
        headers in headers(),
    ) {
        let payload = Payload::classify(None, &sent);
        let mut line = Vec::new();
        json::request_reply(&mut line, id, payload, &borrowed(&headers));
        let line = String::from_utf8(line).unwrap();
        prop_assert!(!line.contains(['\n', '\r']));
        let Item::Reply(got, Reply::Request(reply)) = json::item(&line).unwrap() else {
            panic!("{line}");
        };
        prop_assert_eq!(got, id);
        let received = reply.content().to_bytes().unwrap().into_owned();
        prop_assert_eq!(received, as_delivered(payload, &sent));
        prop_assert_eq!(reply.h, grouped(&headers));
    }

    #[test]
    fn a_published_payload_comes_out_of_nats_as_the_client_sent_it(
        json in json_text(),
        text in any::<String>(),
        spelling in 0..3,
    ) {
        let raw = RawValue::from_string(json).unwrap();
        let raw_bytes = || Raw::new(b"\xff\0".to_vec());
        let publish = match spelling {
            0 => Publish { s: "a".into(), d: Some(raw.clone()), ..Publish::default() },
            1 => Publish { s: "a".into(), t: Some(text.clone()), ..Publish::default() },
            _ => Publish { s: "a".into(), b: Some(raw_bytes()), ..Publish::default() },
        };
        let publish = Publish { ack: Some(Ack::Edge), ..publish };
        let mut line = Vec::new();
        json::command(&mut line, &Command { id: Some(1), body: Body::Publish(publish) });
        let line = String::from_utf8(line).unwrap();
        prop_assert!(!line.contains(['\n', '\r']));
        let command = json::commands(&line).next().unwrap().unwrap();
        let Body::Publish(publish) = command.body else { panic!("{line}") };
        let nats = publish.content().to_nats().unwrap();
        let kind = Payload::classify(nats.content_type.map(str::as_bytes), &nats.bytes);
        let flat = raw.get().replace(['\r', '\n'], " ");
        prop_assert_eq!(kind, match spelling {
            0 => Payload::Json(&flat),
            1 if text.is_empty() => Payload::Empty,
            1 => Payload::Text(&text),
            _ => Payload::Bytes(b"\xff\x00"),
        });
    }

    #[test]
    fn decoding_any_text_never_panics_and_ends(
        frame in prop_oneof![
            any::<String>(),
            "(\\{\"id\":[0-9]{0,3},\"(connect|publish|x)\":\\{[a-z\":1,]{0,9}\\}\\}?\n?){0,80}",
            "(\\{\\}\n){60,70}",
            json_text().prop_map(|body| format!("{{\"id\":1,\"publish\":{body}}}")),
        ],
    ) {
        let lines = frame.split('\n').filter(|line| !line.trim().is_empty()).count();
        let results: Vec<_> = json::commands(&frame).collect();
        prop_assert_eq!(results.len(), lines);
        for (index, result) in results.iter().enumerate() {
            let is_over = matches!(result, Err(DecodeError::TooManyCommands));
            prop_assert_eq!(is_over, index >= 64);
        }
        json::items(&frame).for_each(drop);
    }

    #[test]
    fn a_text_frame_says_its_true_length(
        lengths in prop::collection::vec(
            prop_oneof![0_usize..300, 125_usize..128, 65_530_usize..65_545, 0_usize..200_000],
            1..4,
        ),
    ) {
        let mut out = Vec::new();
        for length in &lengths {
            frame::text(&mut out, |out| out.extend(std::iter::repeat_n(b'x', *length)));
        }
        let mut rest = out.as_slice();
        for length in lengths {
            let (first, payload, after) = independent_frame(rest);
            prop_assert_eq!(first, 0x81);
            prop_assert_eq!(payload.len(), length);
            prop_assert!(payload.iter().all(|byte| *byte == b'x'));
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }
}
