//! The session's claims: what each command leads to, at each limit and one past it.

use super::*;
use crate::interest::Admission;
use crate::namespace::tests::namespace;
use crate::namespace::{Class, Namespace, Namespaces, Permission};
use crate::policy::SessionLimits;
use meridian_proto::CloseCode;
use meridian_proto::command::{Connect, Position};
use meridian_proto::json;

pub(super) fn policy() -> Policy {
    let namespaces = vec![
        namespace("open", "open.>", Permission::Granted),
        namespace("shut", "shut.>", Permission::Denied),
        Namespace {
            class: Class::Durable,
            copy: "KEPT_1".into(),
            ..namespace("kept", "kept.>", Permission::Granted)
        },
    ];
    Policy {
        node: "n1".into(),
        region: "eu".into(),
        version: "0".into(),
        alternates: Vec::new(),
        namespaces: Namespaces::new(namespaces).unwrap(),
        tenants: crate::policy::Tenants::Together,
        limits: SessionLimits { filters_max: 2, commands_burst: 1000, ..SessionLimits::default() },
    }
}

pub(super) fn moment(policy: &Policy) -> Moment<'_> {
    let pressure = Pressure::None;
    Moment { policy, now_ms: 0, unix_s: 0, payload_bytes_max: Some(1000), pressure }
}

fn anonymous(_: &Connect) -> Credentials {
    Credentials::NotAsked
}

pub(super) fn command(line: &str) -> Command {
    json::commands(line).next().unwrap().unwrap()
}

pub(super) fn session(policy: &Policy) -> Session {
    let first = command(r#"{"id":1,"connect":{"feat":["mesh","x"],"ping":1}}"#);
    match greet(first, "c1".into(), anonymous, &moment(policy)) {
        Greeting::Welcome(session, _) => *session,
        other => panic!("{other:?}"),
    }
}

fn decide(line: &str) -> Effect {
    let policy = policy();
    session(&policy).on_command(command(line), &Interest::<u8>::new(0), &moment(&policy))
}

fn refused(line: &str) -> ErrorCode {
    match decide(line) {
        Effect::Send(Item::Error(_, failure)) | Effect::Over(_, Item::Error(_, failure)) => {
            failure.code
        }
        other => panic!("{line} gave {other:?}"),
    }
}

#[test]
fn connect_answers_with_what_was_asked_for_and_is_served() {
    let policy = policy();
    let first = command(r#"{"id":1,"connect":{"feat":["mesh","x"],"ping":1}}"#);
    let Greeting::Welcome(session, item) = greet(first, "c1".into(), anonymous, &moment(&policy))
    else {
        panic!("refused");
    };
    let Item::Reply(1, Reply::Connect(reply)) = item else { panic!("{item:?}") };
    assert_eq!(reply.feat, ["mesh"]);
    assert_eq!(reply.ping, 5, "pulled into the range");
    assert_eq!((reply.cid.as_str(), reply.limits.subs), ("c1", 2));
    assert_eq!((session.ping_s(), session.mesh_notices()), (5, MeshNotices::Wanted));
}

#[test]
fn whoever_does_not_connect_first_is_closed() {
    let policy = policy();
    for line in [r#"{"id":1,"subscribe":{"f":"open.a"}}"#, r#"{"connect":{}}"#] {
        let greeting = greet(command(line), "c".into(), anonymous, &moment(&policy));
        assert!(matches!(greeting, Greeting::Refused(_, CloseCode::BadProtocol)), "{line}");
    }
    let of_length = |length: usize| {
        let line = format!(r#"{{"id":1,"connect":{{"name":"{}"}}}}"#, "x".repeat(length));
        greet(command(&line), "c".into(), anonymous, &moment(&policy))
    };
    assert!(matches!(of_length(4096), Greeting::Welcome(..)));
    assert!(matches!(of_length(4097), Greeting::Refused(..)));
    assert!(matches!(
        greet(command("{}"), "c".into(), anonymous, &moment(&policy)),
        Greeting::Ignored
    ));
    assert_eq!(refused(r#"{"id":2,"connect":{}}"#), ErrorCode::BadRequest);
}

#[test]
fn filters_are_checked_before_nats_sees_them() {
    for (filter, code) in [
        ("a b", ErrorCode::InvalidSubject),
        ("open..a", ErrorCode::InvalidSubject),
        ("open.>.a", ErrorCode::InvalidSubject),
        ("open.\\u0000", ErrorCode::InvalidSubject),
        ("$SYS.>", ErrorCode::InvalidSubject),
        ("_mrd.hb.eu", ErrorCode::InvalidSubject),
        (">", ErrorCode::InvalidSubject),
        ("*.a", ErrorCode::InvalidSubject),
        ("other.a", ErrorCode::UnknownSubjectSpace),
        ("open", ErrorCode::UnknownSubjectSpace),
    ] {
        let line = format!(r#"{{"id":1,"subscribe":{{"f":"{filter}"}}}}"#);
        assert_eq!(refused(&line), code, "{filter}");
    }
    let long = format!(r#"{{"id":1,"subscribe":{{"f":"open.{}"}}}}"#, "x".repeat(251));
    assert_eq!(refused(&long), ErrorCode::InvalidSubject);
    let longest = format!(r#"{{"id":1,"subscribe":{{"f":"open.{}"}}}}"#, "x".repeat(250));
    assert!(matches!(decide(&longest), Effect::Subscribe { .. }));
    let tokens = format!(r#"{{"id":1,"subscribe":{{"f":"open{}"}}}}"#, ".x".repeat(16));
    assert_eq!(refused(&tokens), ErrorCode::InvalidSubject);
}

#[test]
fn the_last_filter_is_accepted_and_one_more_is_refused() {
    let policy = policy();
    let mut session = session(&policy);
    let mut interest = Interest::new(0);
    for (name, expected) in [("a", None), ("a", Some(105)), ("b", None), ("c", Some(106))] {
        let line = format!(r#"{{"id":1,"subscribe":{{"f":"open.{name}"}}}}"#);
        match session.on_command(command(&line), &interest, &moment(&policy)) {
            Effect::Subscribe { filter, wishes, start, .. } => {
                assert_eq!(expected, None, "{name}");
                let admission = Admission::AtProof;
                let (held, _) = interest.join(1_u8, None, &filter, wishes, admission);
                session.hold(held, None, &start, None, &moment(&policy));
            }
            Effect::Send(Item::Error(_, failure))
            | Effect::Over(Limit::Filters, Item::Error(_, failure)) => {
                assert_eq!(expected, Some(u16::from(failure.code)), "{name}");
            }
            other => panic!("{other:?}"),
        }
    }
    let held = session.subscriptions()[0];
    let line = format!(r#"{{"id":9,"unsubscribe":{{"i":{held}}}}}"#);
    let effect = session.on_command(command(&line), &interest, &moment(&policy));
    assert!(matches!(effect, Effect::Unsubscribe(i, Item::Reply(9, _)) if i == held));
    let again = session.on_command(command(&line), &interest, &moment(&policy));
    assert!(matches!(again, Effect::Send(Item::Error(Some(9), _))));
}

#[test]
fn an_ephemeral_filter_says_that_nothing_was_recovered() {
    let policy = policy();
    let mut session = session(&policy);
    let line = r#"{"id":1,"subscribe":{"f":"open.a","recover":{"e":"x","q":1}}}"#;
    let effect = session.on_command(command(line), &Interest::<u8>::new(0), &moment(&policy));
    let Effect::Subscribe { start, .. } = effect else { panic!("{effect:?}") };
    session.hold(7, None, &start, None, &moment(&policy));
    let reply = session.subscribed(7);
    assert_eq!((reply.recovered, reply.why.as_deref()), (Some(false), Some("ephemeral")));
    assert_eq!(session.subscribed(7).recovered, None, "said once");
    let history = r#"{"id":1,"subscribe":{"f":"open.a","from":{"last":5}}}"#;
    assert_eq!(refused(history), ErrorCode::NotAvailable);
}

#[test]
fn a_durable_filter_starts_where_it_is_asked_to() {
    let start = |more: &str| {
        let line = format!(r#"{{"id":1,"subscribe":{{"f":"kept.a"{more}}}}}"#);
        match decide(&line) {
            Effect::Subscribe { start: Start::Durable(from), .. } => Ok(from),
            Effect::Send(Item::Error(_, failure)) => Err(failure.code),
            other => panic!("{line} gave {other:?}"),
        }
    };
    assert_eq!(start(""), Ok(From::New));
    let position = Position { e: "E".into(), q: 7 };
    assert_eq!(start(r#","recover":{"e":"E","q":7}"#), Ok(From::Position(position)));
    assert_eq!(start(r#","from":{"last":500}"#), Ok(From::Last(500)));
    assert_eq!(start(r#","from":{"last":501}"#), Err(ErrorCode::Limit));
    assert_eq!(start(r#","from":{"last":0}"#), Err(ErrorCode::Limit));
    assert_eq!(start(r#","from":{"last_per_subject":true}"#), Ok(From::LastPerSubject));
    let time = "2026-11-24T09:00:00Z";
    assert_eq!(start(&format!(r#","from":{{"time":"{time}"}}"#)), Ok(From::Time(time.into())));
    assert_eq!(start(r#","from":{"time":"yesterday, at noon"}"#), Err(ErrorCode::BadRequest));
    assert_eq!(start(r#","from":{"x":1}"#), Err(ErrorCode::BadRequest));
    let both = r#","from":{"last":1},"recover":{"e":"E","q":7}"#;
    assert_eq!(start(both), Err(ErrorCode::BadRequest));
}

#[test]
fn a_page_of_history_is_asked_for_by_one_position_at_most_and_within_the_limits() {
    let page = |more: &str| match decide(&format!(r#"{{"id":1,"history":{{{more}}}}}"#)) {
        Effect::History(page) => Ok((page.place, page.limit, page.wishes.headers)),
        Effect::Send(Item::Error(Some(1), failure)) => Err(failure.code),
        other => panic!("{more} gave {other:?}"),
    };
    let position = || Position { e: "E".into(), q: 7 };
    let at = r#"{"e":"E","q":7}"#;
    assert_eq!(page(r#""f":"kept.>""#), Ok((HistoryPlace::Newest, 100, Vec::new())));
    let after = page(&format!(r#""f":"kept.a","after":{at},"limit":500,"hdr":["X-Kind"]"#));
    assert_eq!(after, Ok((HistoryPlace::After(position()), 500, vec!["x-kind".into()])));
    let before = page(&format!(r#""f":"kept.a","before":{at},"limit":1"#));
    assert_eq!(before, Ok((HistoryPlace::Before(position()), 1, Vec::new())));
    for (body, code) in [
        (r#""f":"kept.a","limit":501"#, ErrorCode::Limit),
        (r#""f":"kept.a","limit":0"#, ErrorCode::Limit),
        (&format!(r#""f":"kept.a","after":{at},"before":{at}"#), ErrorCode::BadRequest),
        (r#""f":"kept.a","after":{"e":"E","q":9007199254740992}"#, ErrorCode::BadRequest),
        (r#""f":"kept.a","hdr":["x-other"]"#, ErrorCode::Forbidden),
        (r#""f":"open.a""#, ErrorCode::NotAvailable),
        (r#""f":"other.a""#, ErrorCode::UnknownSubjectSpace),
        (r#""f":"kept..a""#, ErrorCode::InvalidSubject),
    ] {
        assert_eq!(page(body), Err(code), "{body}");
    }
    let largest = r#""f":"kept.a","after":{"e":"E","q":9007199254740991}"#;
    assert!(page(largest).is_ok());
    assert_eq!(refused(r#"{"history":{"f":"kept.a"}}"#), ErrorCode::BadRequest);
    let policy = policy();
    let away = Moment { payload_bytes_max: None, ..moment(&policy) };
    let line = command(r#"{"id":1,"history":{"f":"kept.a"}}"#);
    let effect = session(&policy).on_command(line, &Interest::<u8>::new(0), &away);
    let Effect::Send(Item::Error(Some(1), failure)) = effect else { panic!("{effect:?}") };
    assert_eq!((failure.code, failure.retry), (ErrorCode::RegionUnreachable, true));
}

#[test]
fn a_durable_publish_is_proven_by_the_stream_unless_asked_otherwise() {
    let proof = |ack: &str| {
        let line = format!(r#"{{"id":1,"publish":{{"s":"kept.a"{ack}}}}}"#);
        match decide(&line) {
            Effect::Publish { id, proof, .. } => (id, proof),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(proof(""), (Some(1), PublishProof::Stored));
    assert_eq!(proof(r#","ack":"stream""#), (Some(1), PublishProof::Stored));
    assert_eq!(proof(r#","ack":"edge""#), (Some(1), PublishProof::Server));
    assert_eq!(proof(r#","ack":"none""#).0, None);
}

#[test]
fn headers_pass_only_where_the_namespace_allows_them() {
    let subscribe = |hdr: &str| format!(r#"{{"id":1,"subscribe":{{"f":"open.a","hdr":[{hdr}]}}}}"#);
    assert_eq!(refused(&subscribe("\"x-other\"")), ErrorCode::Forbidden);
    let Effect::Subscribe { wishes, .. } = decide(&subscribe(r#""X-Kind","content-type""#)) else {
        panic!("refused");
    };
    assert_eq!(wishes.headers, ["content-type", "x-kind"]);
    let publish = |h: &str| format!(r#"{{"id":1,"publish":{{"s":"open.a","h":{{{h}}}}}}}"#);
    assert_eq!(refused(&publish(r#""Nats-Msg-Id":"1""#)), ErrorCode::Forbidden);
    assert_eq!(refused(&publish(r#""x-other":"1""#)), ErrorCode::Forbidden);
    assert_eq!(refused(&publish(r#""x kind":"1""#)), ErrorCode::BadRequest);
    assert_eq!(refused(&publish(r#""x-kind":"a\r\nNats-Trace-Only: 1""#)), ErrorCode::BadRequest);
    let many: Vec<String> = (0..33).map(|n| format!("\"{n}\"")).collect();
    assert_eq!(refused(&publish(&format!("\"x-kind\":[{}]", many.join(",")))), ErrorCode::Limit);
    let most = format!("\"x-kind\":[{}]", many[..32].join(","));
    assert!(matches!(decide(&publish(&most)), Effect::Publish { .. }));
}

#[test]
fn publish_carries_id_trace_and_content_type_into_nats() {
    let tp = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let line = format!(r#"{{"id":1,"publish":{{"s":"open.a","t":"1","mid":"m","tp":"{tp}"}}}}"#);
    let Effect::Publish { id: Some(1), message, proof } = decide(&line) else { panic!("refused") };
    assert_eq!(proof, PublishProof::Server);
    let header = |name: &str| {
        let found = message.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(message.payload, b"1");
    assert_eq!(header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(header("Nats-Msg-Id"), Some("m"));
    assert_eq!(message.trace.map(|trace| trace.to_string()).as_deref(), Some(tp));
    assert_eq!(header("traceparent"), None, "the edge writes it when it has decided");
}

#[test]
fn publishes_that_must_not_reach_nats_are_refused() {
    for (body, code) in [
        (r#""s":"shut.a""#, ErrorCode::Forbidden),
        (r#""s":"none.a""#, ErrorCode::UnknownSubjectSpace),
        (r#""s":"open.*""#, ErrorCode::InvalidSubject),
        (r#""s":"open.a","t":"x","b":"eA==""#, ErrorCode::BadRequest),
        (r#""s":"open.a","tp":"no""#, ErrorCode::BadRequest),
        (r#""s":"open.a","mid":"""#, ErrorCode::BadRequest),
        (r#""s":"open.a","ack":"stream""#, ErrorCode::NotAvailable),
    ] {
        assert_eq!(refused(&format!(r#"{{"id":1,"publish":{{{body}}}}}"#)), code, "{body}");
    }
    let of_size = |bytes: usize| {
        format!(r#"{{"id":1,"publish":{{"s":"open.a","t":"{}"}}}}"#, "x".repeat(bytes))
    };
    assert!(matches!(decide(&of_size(1000)), Effect::Publish { .. }));
    assert_eq!(refused(&of_size(1001)), ErrorCode::PayloadTooLarge);
}

#[test]
fn without_nats_publishes_fail_at_once_and_may_be_retried() {
    let policy = policy();
    let moment = Moment { payload_bytes_max: None, ..moment(&policy) };
    let line = r#"{"id":1,"publish":{"s":"open.a"}}"#;
    let effect = session(&policy).on_command(command(line), &Interest::<u8>::new(0), &moment);
    let Effect::Send(Item::Error(Some(1), failure)) = effect else { panic!("{effect:?}") };
    assert_eq!((failure.code, failure.retry), (ErrorCode::RegionUnreachable, true));
}

#[test]
fn requests_need_an_id_and_have_a_bounded_timeout() {
    let policy = policy();
    assert_eq!(refused(r#"{"request":{"s":"open.a"}}"#), ErrorCode::BadRequest);
    let line = r#"{"id":4,"request":{"s":"open.a","timeout":9999999}}"#;
    let effect =
        session(&policy).on_command(command(line), &Interest::<u8>::new(0), &moment(&policy));
    assert!(matches!(effect, Effect::Request { id: 4, timeout_ms: 60_000, .. }), "{effect:?}");
}

#[test]
fn the_command_budget_says_how_long_to_wait() {
    let mut policy = policy();
    policy.limits = SessionLimits { commands_per_second: 10, commands_burst: 2, ..policy.limits };
    let mut session = session(&policy);
    let mut send = |now_ms| {
        let moment = Moment { now_ms, ..moment(&policy) };
        session.on_command(command("{}"), &Interest::<u8>::new(0), &moment)
    };
    assert!(matches!(send(0), Effect::Nothing));
    assert!(matches!(send(0), Effect::Nothing));
    let Effect::Over(Limit::Commands, Item::Error(None, failure)) = send(0) else {
        panic!("over the budget")
    };
    assert_eq!((failure.code, failure.after_ms), (ErrorCode::TooManyRequests, Some(100)));
    assert!(matches!(send(100), Effect::Nothing));
    // The pong that answers a heartbeat costs nothing of it, and floods have their own end.
    let moment = Moment { now_ms: 100, ..moment(&policy) };
    assert_eq!([(); 3].map(|()| session.spend_control(&moment)), [true, true, false]);
}
