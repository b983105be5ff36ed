//! A finished span as a plain value: pure code makes it, `meridian-telemetry` exports it, and as
//! JSON it is what edges say to whoever watches a trace live.

use super::{SpanId, TraceContext, TraceId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One finished span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpanRecord {
    /// The trace.
    pub trace_id: TraceId,
    /// This span.
    pub span_id: SpanId,
    /// The span that it is a child of; None at the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SpanId>,
    /// What was done, with few values: subjects stand in attributes.
    pub name: String,
    /// Which side of an exchange it is.
    pub kind: SpanKind,
    /// ns since 1970, by the clock of whoever measured it.
    pub start_ns: u64,
    /// ns since 1970, not before the start.
    pub end_ns: u64,
    /// Names by OpenTelemetry's conventions for messaging, and `meridian.…` for the mesh's own.
    #[serde(default)]
    pub attributes: Vec<(Cow<'static, str>, SpanValue)>,
    /// What went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The message's `tracestate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// Which side of an exchange a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    /// A step within the mesh.
    Internal,
    /// A request is served.
    Server,
    /// A request is made.
    Client,
    /// A message is sent.
    Producer,
    /// A message is received.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SpanValue {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl SpanRecord {
    /// A span below `parent`'s, without attributes.
    #[must_use]
    pub fn below(
        parent: TraceContext,
        span_id: SpanId,
        name: impl Into<String>,
        kind: SpanKind,
        (start_ns, end_ns): (u64, u64),
    ) -> Self {
        Self {
            trace_id: parent.trace_id,
            span_id,
            parent: Some(parent.span_id),
            name: name.into(),
            kind,
            start_ns,
            end_ns: end_ns.max(start_ns),
            attributes: Vec::new(),
            error: None,
            tracestate: None,
        }
    }

    /// The same with a text attribute.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((Cow::Borrowed(name), SpanValue::Text(value.into())));
        self
    }

    /// The same with a number.
    #[must_use]
    pub fn number(mut self, name: &'static str, value: impl TryInto<i64>) -> Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.attributes.push((Cow::Borrowed(name), SpanValue::Number(value)));
        self
    }

    /// The same, about a message on a subject.
    #[must_use]
    pub fn about(self, subject: impl Into<String>) -> Self {
        self.text("messaging.system", "nats").text("messaging.destination.name", subject)
    }

    /// The value of a text attribute.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        match self.attributes.iter().find(|(other, _)| other == name) {
            Some((_, SpanValue::Text(text))) => Some(text),
            Some((_, SpanValue::Number(_))) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_comes_out_of_json_as_it_went_in_and_never_ends_before_it_starts() {
        let parent =
            TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01").unwrap();
        let span = SpanRecord::below(parent, SpanId(1), "x", SpanKind::Consumer, (20, 10))
            .about("demo.a")
            .number("meridian.members", 3u64);
        assert_eq!((span.start_ns, span.end_ns), (20, 20));
        let json = serde_json::to_string(&span).unwrap();
        assert!(json.contains("\"0af7651916cd43dd8448eb211c80319c\""), "{json}");
        assert_eq!(serde_json::from_str::<SpanRecord>(&json).unwrap(), span);
        assert_eq!(span.text_of("messaging.destination.name"), Some("demo.a"));
    }
}
