//! nats-server's trace events as spans: one for each server, one for the way to it from the server
//! before, one for what a stream did.
//!
//! A way begins at one server and ends at another, and each tells only its own end. So whoever
//! makes spans of a region's events also hears those of the others, and joins the two ends by the
//! hop's number. All ids are derived (`ids`): parents are right also when an end is never heard.

use super::ids::{Place, derived_id, hop_before};
use super::server_events::{Link, ServerEvent};
use meridian_proto::trace::{SpanId, SpanKind, SpanRecord, TraceId};
use std::collections::{HashMap, VecDeque};

/// How long one end of a way is kept for the other, in ms. Events cross the same gateways as the
/// message did.
const PATIENCE_MS: u64 = 3_000;

/// Most ends that are kept; beyond it the oldest is given up.
const ENDS_MAX: usize = 8_192;

/// How the way between regions is called.
const GATEWAY: &str = "nats gateway";

/// A way, whoever tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    trace_id: TraceId,
    /// The publisher's span.
    span_id: SpanId,
    /// The server that it leads to.
    to: String,
    hop: String,
}

/// Where a way began.
#[derive(Debug, Clone)]
struct Began {
    at_ns: u64,
    cluster: String,
}

/// Owned by the collector. Joins what servers say.
#[derive(Debug, Default)]
pub struct Hops {
    began: HashMap<Way, Began>,
    /// The span of a way as its end tells it, until its beginning is heard.
    ended: HashMap<Way, SpanRecord>,
    /// Both of the above in the order in which they came.
    order: VecDeque<(u64, Way)>,
    given_up: u64,
}

impl Hops {
    /// Ends that had no room.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Hears an event of any region: where its message went on. Returns spans that waited for it.
    pub fn hear(&mut self, event: &ServerEvent, now_ms: u64) -> Vec<SpanRecord> {
        let mut spans = Vec::new();
        for departure in &event.departures {
            let way = way(event, &departure.to, &departure.hop);
            let began = Began { at_ns: departure.at_ns, cluster: event.cluster.clone() };
            match self.ended.remove(&way) {
                Some(span) => spans.push(joined(span, &began)),
                None => {
                    self.began.insert(way.clone(), began);
                    self.keep(way, now_ms);
                }
            }
        }
        spans
    }

    /// Takes an event of the own region, which nobody else takes, and returns its spans. The span
    /// of the way may come later.
    pub fn take(&mut self, event: &ServerEvent, now_ms: u64) -> Vec<SpanRecord> {
        let mut spans = vec![server_span(event)];
        spans.extend(store_span(event));
        if event.hop.is_empty() {
            return spans;
        }
        let (way, span) = (way(event, &event.server, &event.hop), way_span(event));
        match self.began.remove(&way) {
            Some(began) => spans.push(joined(span, &began)),
            None => {
                self.ended.insert(way.clone(), span);
                self.keep(way, now_ms);
            }
        }
        spans
    }

    /// Gives up what has waited for too long, and returns the spans of ways whose beginning was
    /// never heard: they have no length, but what hangs below them has a parent.
    pub fn expire(&mut self, now_ms: u64) -> Vec<SpanRecord> {
        let mut spans = Vec::new();
        while self.order.front().is_some_and(|(at_ms, _)| at_ms + PATIENCE_MS <= now_ms) {
            spans.extend(self.give_up_oldest());
        }
        spans
    }

    fn keep(&mut self, way: Way, now_ms: u64) {
        self.order.push_back((now_ms, way));
        if self.order.len() > ENDS_MAX {
            self.give_up_oldest();
            self.given_up += 1;
        }
    }

    fn give_up_oldest(&mut self) -> Option<SpanRecord> {
        let (_, way) = self.order.pop_front()?;
        self.began.remove(&way);
        self.ended.remove(&way)
    }
}

fn way(event: &ServerEvent, to: &str, hop: &str) -> Way {
    let (trace_id, span_id) = (event.context.trace_id, event.context.span_id);
    Way { trace_id, span_id, to: to.to_owned(), hop: hop.to_owned() }
}

/// From the message's arrival at a server to the last thing that the server did with it.
fn server_span(event: &ServerEvent) -> SpanRecord {
    let id = |place| derived_id(event.context, place, &event.server, &event.hop);
    let parent = match event.hop.is_empty() {
        true => event.context,
        false => event.context.with_span(id(Place::Link)),
    };
    let name = format!("nats {}", event.server);
    let times = (event.arrived_ns, event.ended_ns);
    let span = SpanRecord::below(parent, id(Place::Server), name, SpanKind::Internal, times)
        .about(&event.subject)
        .text("server.address", &event.server)
        .text("cloud.region", &event.cluster)
        .text("meridian.from", &event.from)
        .number("messaging.message.envelope.size", event.message_bytes)
        .number("meridian.clients", event.clients)
        .number("meridian.servers", event.departures.len());
    let (error, tracestate) = (event.error.clone(), event.tracestate.clone());
    SpanRecord { error, tracestate, ..span }
}

/// From the message's arrival at a server to its place in a stream.
fn store_span(event: &ServerEvent) -> Option<SpanRecord> {
    let stored = event.stored.as_ref()?;
    let id = |place| derived_id(event.context, place, &event.server, &event.hop);
    let parent = event.context.with_span(id(Place::Server));
    let name = format!("store {}", stored.stream);
    let times = (event.arrived_ns, stored.at_ns);
    let span = SpanRecord::below(parent, id(Place::Store), name, SpanKind::Internal, times)
        .about(&event.subject)
        .text("cloud.region", &event.cluster)
        .text("meridian.stream", &stored.stream);
    Some(SpanRecord { error: stored.error.clone(), ..span })
}

/// The way to a server, as far as the server itself knows it: without its beginning.
fn way_span(event: &ServerEvent) -> SpanRecord {
    let parent = derived_id(event.context, Place::Server, &event.from, hop_before(&event.hop));
    let id = derived_id(event.context, Place::Link, &event.server, &event.hop);
    let word = match event.link {
        Some(Link::Gateway) | None => GATEWAY,
        Some(Link::Route) => "nats route",
        Some(Link::Leaf) => "nats leaf",
    };
    let name = format!("{word} {}→{}", event.from, event.server);
    let times = (event.arrived_ns, event.arrived_ns);
    let parent = event.context.with_span(parent);
    SpanRecord::below(parent, id, name, SpanKind::Internal, times)
        .about(&event.subject)
        .text("cloud.region", &event.cluster)
        .text("meridian.hop", &event.hop)
}

/// A way with both ends. Between regions it is called by them. Clocks of servers differ: a way that
/// would end before it began has no length.
fn joined(mut span: SpanRecord, began: &Began) -> SpanRecord {
    span.start_ns = began.at_ns.min(span.end_ns);
    if let (true, Some(to)) = (span.name.starts_with(GATEWAY), span.text_of("cloud.region")) {
        span.name = format!("{GATEWAY} {}→{to}", began.cluster);
    }
    span
}

#[cfg(test)]
mod tests;
