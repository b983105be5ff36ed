//! The mapping, on events that a real supercluster of three regions emitted.

use super::*;
use meridian_proto::trace::TraceContext;

/// In the order in which they came to a subscriber of all regions: one message from A to B and C,
/// and one of A that a stream took.
fn sample() -> Vec<ServerEvent> {
    let text = include_str!("../nats-trace-events.json");
    let events: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let bytes = events.iter().map(|event| event.to_string().into_bytes());
    bytes.map(|event| ServerEvent::parse(&event).unwrap()).collect()
}

fn publisher() -> TraceContext {
    TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap()
}

/// What a region's collector makes of the events that it hears.
fn collected(region: &str, events: &[ServerEvent]) -> Vec<SpanRecord> {
    let (mut hops, mut spans) = (Hops::default(), Vec::new());
    for event in events {
        if event.cluster == region {
            spans.extend(hops.take(event, 0));
        }
        spans.extend(hops.hear(event, 0));
    }
    assert!(hops.expire(PATIENCE_MS).is_empty(), "an end was left over in {region}");
    spans
}

fn named<'a>(spans: &'a [SpanRecord], name: &str) -> &'a SpanRecord {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} in {spans:#?}"))
}

#[test]
fn one_message_through_a_gateway_is_server_way_server() {
    let events = sample();
    let (a, b) = (collected("A", &events[..3]), collected("B", &events[..3]));
    let (ingress, way, egress) =
        (named(&a, "nats A-1"), named(&b, "nats gateway A→B"), named(&b, "nats B-1"));
    assert_eq!((a.len(), b.len()), (1, 2));
    assert_eq!(ingress.parent, Some(publisher().span_id));
    assert_eq!(way.parent, Some(ingress.span_id));
    assert_eq!(egress.parent, Some(way.span_id));
    assert_eq!(way.end_ns - way.start_ns, 879_798_157 - 879_596_307);
    assert_eq!(way.end_ns, egress.start_ns);
    assert_eq!(egress.end_ns - egress.start_ns, 879_812_549 - 879_798_157);
    assert!((ingress.start_ns..=ingress.end_ns).contains(&way.start_ns));
    assert_eq!(ingress.tracestate.as_deref(), Some("mesh=1"));
    assert_eq!(egress.text_of("messaging.destination.name"), Some("tr.x"));
    assert_eq!(egress.span_id, crate::trace::server_span_id(publisher(), "B-1", "1"));
}

#[test]
fn whichever_end_is_heard_first_the_way_is_the_same() {
    let mut events = sample();
    let first = collected("C", &events[..3]);
    events[..3].reverse();
    let mut second = collected("C", &events[..3]);
    second.sort_by_key(|span| first.iter().position(|other| other.span_id == span.span_id));
    assert_eq!(first, second);
    assert_eq!(first.len(), 2);
}

#[test]
fn what_a_stream_took_is_below_its_server() {
    let events = sample();
    let spans = collected("A", &events[3..]);
    let (server, store) = (named(&spans, "nats A-1"), named(&spans, "store ORD"));
    assert_eq!(store.parent, Some(server.span_id));
    assert_eq!(store.end_ns - store.start_ns, 582_146_582 - 582_061_595);
    assert_eq!(spans.len(), 2);
}

#[test]
fn a_way_whose_beginning_is_never_heard_keeps_its_place_without_length() {
    let events = sample();
    let mut hops = Hops::default();
    let spans = hops.take(&events[0], 0);
    assert_eq!(spans.len(), 1);
    assert!(hops.expire(PATIENCE_MS - 1).is_empty());
    let late = hops.expire(PATIENCE_MS);
    assert_eq!(Some(late[0].span_id), spans[0].parent);
    assert_eq!(late[0].start_ns, late[0].end_ns);
}

#[test]
fn ends_without_another_are_bounded() {
    let event = sample().remove(0);
    let mut hops = Hops::default();
    for hop in 0..ENDS_MAX + 10 {
        hops.take(&ServerEvent { hop: hop.to_string(), ..event.clone() }, 0);
    }
    assert_eq!((hops.ended.len(), hops.order.len(), hops.given_up()), (ENDS_MAX, ENDS_MAX, 10));
}

#[test]
fn what_is_no_sampled_event_is_refused() {
    let text = include_str!("../nats-trace-events.json");
    let events: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let event = events[0].to_string();
    for (find, instead) in [("203331-01", "203331-00"), ("\"in\"", "\"eg\""), ("{", "[")] {
        let broken = event.replace(find, instead);
        assert!(ServerEvent::parse(broken.as_bytes()).is_err(), "{find}");
    }
}
