//! The session's limits: each at its edge and one past it, and what a refusal is counted under.

use super::tests::{command, moment, policy, session};
use super::*;
use crate::policy::SessionLimits;

fn publish(bytes: usize) -> Command {
    let text = "x".repeat(bytes);
    command(&format!(r#"{{"id":1,"publish":{{"s":"open.a","t":"{text}"}}}}"#))
}

fn over(effect: Effect) -> (Limit, ErrorCode, Option<u64>) {
    match effect {
        Effect::Over(limit, Item::Error(_, failure)) => (limit, failure.code, failure.after_ms),
        other => panic!("not over a limit: {other:?}"),
    }
}

#[test]
fn a_connection_publishes_so_many_messages_a_second_and_no_more() {
    let mut policy = policy();
    policy.limits = SessionLimits { publishes_per_second: 4, ..policy.limits };
    let mut session = session(&policy);
    let mut publish = |now_ms| {
        let moment = Moment { now_ms, ..moment(&policy) };
        session.on_command(publish(1), &Interest::<u8>::new(0), &moment)
    };
    for number in 0..8 {
        assert!(matches!(publish(0), Effect::Publish { .. }), "{number} is within the burst");
    }
    let later = Some(250);
    assert_eq!(over(publish(0)), (Limit::Publishes, ErrorCode::TooManyRequests, later));
    assert!(matches!(publish(250), Effect::Publish { .. }));
}

#[test]
fn a_connection_publishes_so_many_bytes_a_second_and_no_more() {
    let mut policy = policy();
    policy.limits = SessionLimits { publish_bytes_per_second: 500, ..policy.limits };
    let mut session = session(&policy);
    let mut publish = |bytes, now_ms| {
        let moment = Moment { now_ms, ..moment(&policy) };
        session.on_command(publish(bytes), &Interest::<u8>::new(0), &moment)
    };
    assert!(matches!(publish(1_000, 0), Effect::Publish { .. }));
    assert!(matches!(publish(1_000, 0), Effect::Publish { .. }), "at the burst of four seconds");
    let later = Some(2);
    assert_eq!(over(publish(1, 0)), (Limit::PublishBytes, ErrorCode::TooManyRequests, later));
    assert!(matches!(publish(1, 2), Effect::Publish { .. }));
    assert!(matches!(publish(0, 2), Effect::Publish { .. }), "nothing weighs nothing");
}

#[test]
fn requests_cost_what_publishes_cost() {
    let mut policy = policy();
    policy.limits = SessionLimits { publishes_per_second: 1, ..policy.limits };
    let mut session = session(&policy);
    let mut send =
        |line: &str| session.on_command(command(line), &Interest::<u8>::new(0), &moment(&policy));
    let request = r#"{"id":4,"request":{"s":"open.a"}}"#;
    assert!(matches!(send(request), Effect::Request { .. }));
    assert!(matches!(send(request), Effect::Request { .. }));
    assert_eq!(over(send(request)).0, Limit::Publishes);
}

#[test]
fn the_filter_past_the_last_is_counted() {
    let policy = policy();
    let mut session = session(&policy);
    for held in 0..policy.limits.filters_max as u32 {
        let start = Start::Ephemeral(Recover::NotAsked);
        session.hold(held * 100, None, &start, None, &moment(&policy));
    }
    let line = r#"{"id":4,"subscribe":{"f":"open.a"}}"#;
    let effect = session.on_command(command(line), &Interest::<u8>::new(0), &moment(&policy));
    assert_eq!(over(effect), (Limit::Filters, ErrorCode::Limit, None));
}

#[test]
fn new_work_is_refused_under_pressure_and_what_ends_work_is_not() {
    let policy = policy();
    for pressure in [Pressure::None, Pressure::Refuse, Pressure::Shed] {
        let mut session = session(&policy);
        let start = Start::Ephemeral(Recover::NotAsked);
        session.hold(7, None, &start, None, &moment(&policy));
        let moment = Moment { pressure, ..moment(&policy) };
        let mut send =
            |line: &str| session.on_command(command(line), &Interest::<u8>::new(0), &moment);
        for line in [
            r#"{"id":4,"subscribe":{"f":"open.a"}}"#,
            r#"{"id":4,"publish":{"s":"open.a"}}"#,
            r#"{"id":4,"request":{"s":"open.a"}}"#,
            r#"{"id":4,"history":{"f":"kept.a"}}"#,
        ] {
            let effect = send(line);
            if pressure == Pressure::None {
                assert!(
                    !matches!(effect, Effect::Over(..) | Effect::Send(_)),
                    "{line}: {effect:?}"
                );
                continue;
            }
            let later = Some(AFTER_PRESSURE_MS);
            assert_eq!(over(effect), (Limit::Memory, ErrorCode::TooManyRequests, later), "{line}");
        }
        assert!(matches!(send("{}"), Effect::Nothing));
        assert!(matches!(send(r#"{"id":5,"unsubscribe":{"i":7}}"#), Effect::Unsubscribe(..)));
    }
}
