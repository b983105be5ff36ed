//! Whatever is said, both codecs say the same, and nothing that comes in makes the reader fail.

use super::{command_line, item_line, reflection};
use meridian_proto::command::{
    Ack, Body, Command, Connect, HeaderValues, Headers, History, Position, Publish, Receipt,
    Refresh, Request, Subscribe, Unsubscribe,
};
use meridian_proto::item::{
    ConnectReply, Expire, Failure, Gap, GoAway, HistoryGap, HistoryMessage, HistoryReply, Item,
    Limits, Mark, Mesh, Message, PublishReply, RefreshReply, Reply, RequestReply, SubscribeReply,
    Unsubscribed,
};
use meridian_proto::payload::Raw;
use meridian_proto::{DecodeError, ErrorCode, Naming, Outgoing, Payload, json, pb};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::value::RawValue;

/// An absent string and an empty one mean the same in the binary codec.
fn word() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("not empty", |text| !text.is_empty())
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(any::<String>(), 0..4)
}

fn id() -> impl Strategy<Value = u32> {
    1..=u32::MAX
}

fn traceparent() -> impl Strategy<Value = Option<String>> {
    of((1..=u128::MAX, 1..=u64::MAX, any::<u8>())
        .prop_map(|(trace, span, flags)| format!("00-{trace:032x}-{span:016x}-{flags:02x}")))
}

fn headers() -> impl Strategy<Value = Headers> {
    let values =
        prop::collection::vec(any::<String>(), 1..3).prop_map(|mut values| match values.len() {
            1 => HeaderValues::One(values.remove(0)),
            _ => HeaderValues::Many(values),
        });
    prop::collection::btree_map(any::<String>(), values, 0..3)
}

type Spelling = (Option<Box<RawValue>>, Option<String>, Option<Raw>);

fn raw(bytes: Vec<u8>) -> Spelling {
    (None, None, Some(Raw::new(bytes)))
}

fn payload() -> impl Strategy<Value = Spelling> {
    let json = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap()),
        any::<String>().prop_map(|text| serde_json::to_string(&[text]).unwrap()),
    ];
    prop_oneof![
        Just((None, None, None)),
        json.prop_map(|json| (Some(RawValue::from_string(json).unwrap()), None, None)),
        word().prop_map(|text| (None, Some(text), None)),
        prop::collection::vec(any::<u8>(), 1..300).prop_map(raw),
        // Bytes that read like text.
        word().prop_map(|text| raw(text.into_bytes())),
    ]
}

fn from() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        any::<u32>().prop_map(|last| serde_json::json!({ "last": last })),
        any::<String>().prop_map(|time| serde_json::json!({ "time": time })),
        any::<bool>().prop_map(|is_wanted| serde_json::json!({ "last_per_subject": is_wanted })),
    ]
}

fn ack() -> impl Strategy<Value = Ack> {
    prop_oneof![Just(Ack::None), Just(Ack::Edge), Just(Ack::Stream)]
}

fn command() -> impl Strategy<Value = Command> {
    let connect = (of(word()), of(word()), of(word()), words(), of(1_u32..), traceparent())
        .prop_map(|(token, name, ver, feat, ping, tp)| {
            Body::Connect(Connect { token, name, ver, feat, ping, tp })
        });
    let position = || of((any::<String>(), any::<u64>()).prop_map(|(e, q)| Position { e, q }));
    let history =
        (any::<String>(), position(), position(), of(any::<u64>()), words(), any::<bool>())
            .prop_map(|(f, after, before, limit, hdr, trace)| {
                Body::History(History { f, after, before, limit, hdr, trace })
            });
    let receipt = (traceparent(), any::<u64>(), any::<u64>())
        .prop_map(|(tp, at, took)| Body::Receipt(Receipt { tp: tp.unwrap_or_default(), at, took }));
    let subscribe = (any::<String>(), position(), of(from()), words(), any::<bool>(), of(word()))
        .prop_map(|(f, recover, from, hdr, trace, token)| {
            Body::Subscribe(Subscribe { f, recover, from, hdr, trace, token })
        });
    let refresh =
        (any::<String>(), of(id())).prop_map(|(token, i)| Body::Refresh(Refresh { token, i }));
    let publish = (any::<String>(), payload(), of(word()), of(ack()), headers(), traceparent())
        .prop_map(|(s, (d, t, b), mid, ack, h, tp)| {
            Body::Publish(Publish { s, d, t, b, mid, ack, h, tp })
        });
    let request =
        (any::<String>(), payload(), of(1..=u64::from(u32::MAX)), headers(), traceparent())
            .prop_map(|(s, (d, t, b), timeout, h, tp)| {
                Body::Request(Request { s, d, t, b, timeout, h, tp })
            });
    let asked = prop_oneof![
        connect,
        subscribe,
        any::<u32>().prop_map(|i| Body::Unsubscribe(Unsubscribe { i })),
        publish,
        request,
        history,
        receipt,
        refresh,
    ];
    prop_oneof![
        1 => Just(Command { id: None, body: Body::Heartbeat }),
        9 => (of(id()), asked).prop_map(|(id, body)| Command { id, body }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let (cid, limit) = (any::<String>, || 0..=u32::MAX as usize);
    let token = (of("[a-z]{1,9}"), of(any::<u64>()));
    let connect =
        (cid(), cid(), cid(), cid(), any::<u32>(), limit(), limit(), words(), words(), token)
            .prop_map(|(cid, node, region, ver, ping, frame, subs, alt, feat, token)| {
                let limits = Limits { frame, subs, cmds: 64 };
                let (user, expires) = token;
                Reply::Connect(ConnectReply {
                    cid,
                    node,
                    region,
                    ver,
                    ping,
                    user,
                    expires,
                    limits,
                    alt,
                    feat,
                })
            });
    let number = || of(any::<u64>());
    let subscribe = (
        any::<u32>(),
        any::<bool>(),
        of(word()),
        number(),
        number(),
        of(any::<bool>()),
        of(word()),
    )
        .prop_map(|(i, recoverable, e, q, n, recovered, why)| {
            Reply::Subscribe(SubscribeReply { i, recoverable, e, q, n, recovered, why })
        });
    let publish = (ack(), of(word()), number(), of(any::<bool>()))
        .prop_map(|(ack, stream, q, dup)| Reply::Publish(PublishReply { ack, stream, q, dup }));
    let request = (payload(), headers())
        .prop_map(|((d, t, b), h)| Reply::Request(RequestReply { d, t, b, h }));
    let refresh = any::<u64>().prop_map(|expires| Reply::Refresh(RefreshReply { expires }));
    prop_oneof![connect, subscribe, Just(Reply::Unsubscribe), publish, request, history(), refresh]
}

fn history() -> impl Strategy<Value = Reply> {
    let message = (any::<String>(), any::<u64>(), payload(), headers(), traceparent())
        .prop_map(|(s, q, (d, t, b), h, tp)| HistoryMessage { s, q, d, t, b, h, tp });
    let gap = (any::<u64>(), any::<u64>(), any::<String>())
        .prop_map(|(after, upto, why)| HistoryGap { after, upto, why });
    let messages = prop::collection::vec(message, 0..4);
    let gaps = prop::collection::vec(gap, 0..3);
    let flags = any::<(bool, bool)>();
    (messages, any::<String>(), any::<(u64, u64)>(), flags, gaps).prop_map(
        |(m, e, (after, before), (more, thinned), gaps)| {
            Reply::History(HistoryReply { m, e, after, before, more, thinned, gaps })
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let replayed = prop_oneof![Just(None), Just(Some(1))];
    (any::<u32>(), any::<String>(), of(any::<u64>()), payload(), headers(), traceparent(), replayed)
        .prop_map(|(i, s, q, (d, t, b), h, tp, r)| Message { i, s, q, d, t, b, h, tp, r })
}

fn push() -> impl Strategy<Value = Item> {
    let number = || of(any::<u64>());
    let mark = || (any::<u32>(), any::<u64>()).prop_map(|(i, q)| Mark { i, q });
    let failure = (0..ErrorCode::ALL.len(), any::<String>(), any::<bool>(), number(), of(word()))
        .prop_map(|(code, msg, retry, after_ms, hint)| {
            let code = ErrorCode::ALL[code];
            Failure { code, msg, retry, after_ms, hint }
        });
    let gap = (any::<u32>(), number(), number(), of(word()), any::<String>())
        .prop_map(|(i, after, upto, e, why)| Gap { i, after, upto, e, why });
    let goaway = (any::<String>(), words(), any::<[u64; 2]>(), any::<u64>()).prop_map(
        |(why, server, after_ms, deadline_ms)| GoAway { why, server, after_ms, deadline_ms },
    );
    let unsubscribed = (any::<u32>(), any::<u16>(), any::<String>())
        .prop_map(|(i, code, reason)| Unsubscribed { i, code, reason });
    prop_oneof![
        Just(Item::Heartbeat),
        (of(id()), failure).prop_map(|(id, failure)| Item::Error(id, failure)),
        gap.prop_map(Item::Gap),
        mark().prop_map(Item::Live),
        mark().prop_map(Item::Position),
        unsubscribed.prop_map(Item::Unsubscribed),
        goaway.prop_map(Item::GoAway),
        (any::<u64>(), of(id())).prop_map(|(in_s, i)| Item::Expire(Expire { in_s, i })),
        (words(), words(), words()).prop_map(|(degraded, stale, readonly)| {
            Item::Mesh(Mesh { degraded, stale, readonly })
        }),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        push(),
        message().prop_map(Item::Message),
        (id(), reply()).prop_map(|(id, reply)| Item::Reply(id, reply)),
    ]
}

proptest! {
    #[test]
    fn both_codecs_read_the_same_commands(commands in prop::collection::vec(command(), 1..5)) {
        let mut frame = Vec::new();
        commands.iter().for_each(|command| pb::command(&mut frame, command));
        reflection::read("ClientFrame", &frame);
        let lines: Vec<String> = commands.iter().map(command_line).collect();
        let from_pb: Vec<String> =
            pb::commands(&frame).map(|command| command_line(&command.unwrap())).collect();
        let joined = lines.join("\n");
        let from_json: Vec<String> =
            json::commands(&joined).map(|command| command_line(&command.unwrap())).collect();
        prop_assert_eq!(&from_pb, &lines);
        prop_assert_eq!(from_pb, from_json);
    }

    #[test]
    fn both_codecs_read_the_same_items(items in prop::collection::vec(item(), 1..5)) {
        let mut frame = Vec::new();
        items.iter().for_each(|item| pb::write_item(&mut frame, item));
        reflection::read("ServerFrame", &frame);
        let lines: Vec<String> = items.iter().map(item_line).collect();
        let from_pb: Vec<String> =
            pb::items(&frame).map(|item| item_line(&item.unwrap())).collect();
        let joined = lines.join("\n");
        let from_json: Vec<String> =
            json::items(&joined).map(|item| item_line(&item.unwrap())).collect();
        prop_assert_eq!(&from_pb, &lines);
        prop_assert_eq!(from_pb, from_json);
    }

    #[test]
    fn a_message_carries_any_bytes_as_they_are(
        i in any::<u32>(),
        subject in prop::collection::vec(any::<u8>(), 1..30),
        sent in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            any::<String>().prop_map(String::into_bytes),
            any::<i64>().prop_map(|number| format!(" {number}\r\n").into_bytes()),
        ],
        is_named in any::<bool>(),
    ) {
        let payload = Payload::classify(None, &sent);
        let naming = if is_named { Naming::Needed } else { Naming::ByFilter };
        let mut frame = Vec::new();
        pb::message(&mut frame, &Outgoing { naming, ..Outgoing::plain(i, &subject, payload) });
        reflection::read("ServerFrame", &frame);
        let item = pb::items(&frame).next().unwrap().unwrap();
        let Item::Message(message) = item else { panic!("{item:?}") };
        prop_assert_eq!(message.i, i);
        let shown = String::from_utf8_lossy(&subject);
        prop_assert_eq!(message.s.as_str(), if is_named { &*shown } else { "" });
        prop_assert_eq!(message.content().payload(), payload);
        prop_assert_eq!(&*message.content().to_bytes().unwrap(), &sent[..]);
    }

    #[test]
    fn a_payload_comes_out_of_nats_as_it_went_in(
        (d, t, b) in payload(),
    ) {
        let publish = Publish { s: "a".into(), d, t, b, ..Publish::default() };
        let sent = publish.content().to_bytes().unwrap().into_owned();
        let mut frame = Vec::new();
        let command = Command { id: None, body: Body::Publish(publish.clone()) };
        pb::command(&mut frame, &command);
        let read = pb::commands(&frame).next().unwrap().unwrap();
        let Body::Publish(read) = read.body else { panic!("{read:?}") };
        let nats = read.content().to_nats().unwrap();
        prop_assert_eq!(&*nats.bytes, &sent[..]);
        let content_type = nats.content_type.map(str::as_bytes);
        let delivered = Payload::classify(content_type, &nats.bytes);
        prop_assert_eq!(delivered, publish.content().payload());
    }

    #[test]
    fn decoding_any_bytes_never_panics_and_ends(
        frame in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            // Keys and lengths that are small enough to lead somewhere.
            prop::collection::vec(0_u8..48, 0..200),
            prop::collection::vec(Just([0x0a_u8, 0]), 60..70).prop_map(|frames| frames.concat()),
        ],
    ) {
        let results: Vec<_> = pb::commands(&frame).collect();
        prop_assert!(results.iter().take(64).filter(|result| result.is_ok()).count() <= 64);
        for (index, result) in results.iter().enumerate() {
            prop_assert_eq!(matches!(result, Err(DecodeError::TooManyCommands)), index >= 64);
        }
        pb::items(&frame).for_each(drop);
    }

    #[test]
    fn a_frame_that_is_cut_is_not_taken_for_another(
        command in command(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = Vec::new();
        pb::command(&mut frame, &command);
        let cut = &frame[..1 + cut.index(frame.len() - 1)];
        let results: Vec<_> = pb::commands(cut).collect();
        prop_assert!(matches!(results[..], [Err(DecodeError::NotAFrame(_))]), "{results:?}");
    }
}
