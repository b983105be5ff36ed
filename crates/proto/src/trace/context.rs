//! A trace context as a value: who is the parent, and whether the trace is sampled. Not for
//! deciding that: `meridian_core::trace` does.

use super::{TRACEPARENT_BYTES, sampled_flag};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The sampled bit of the flags (W3C Trace Context, section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// The id of a trace; never zero where it came from a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u128);

/// The id of a span; never zero where it came from a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub u64);

/// What a `traceparent` of version 00 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that what comes next is a child of.
    pub span_id: SpanId,
    /// The flags; only the lowest bit has a meaning.
    pub flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent`; None for what [`sampled_flag`] calls malformed.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        sampled_flag(traceparent)?;
        let trace_id = u128::from_str_radix(&traceparent[3..35], 16).ok()?;
        let span_id = u64::from_str_radix(&traceparent[36..52], 16).ok()?;
        let flags = u8::from_str_radix(&traceparent[53..TRACEPARENT_BYTES], 16).ok()?;
        Some(Self { trace_id: TraceId(trace_id), span_id: SpanId(span_id), flags })
    }

    /// Whether spans of this trace are recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED == SAMPLED
    }

    /// The same place of the same trace, sampled.
    #[must_use]
    pub fn sampled(self) -> Self {
        Self { flags: self.flags | SAMPLED, ..self }
    }

    /// The same place of the same trace, not sampled.
    #[must_use]
    pub fn unsampled(self) -> Self {
        Self { flags: self.flags & !SAMPLED, ..self }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn with_span(self, span_id: SpanId) -> Self {
        Self { span_id, ..self }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SpanId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_the_same() {
        let context = TraceContext::parse(TEXT).unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), TEXT);
        assert_eq!(TraceContext::parse(&TEXT.to_uppercase()), None);
    }

    #[test]
    fn the_sampled_flag_is_set_and_cleared_alone() {
        let context = TraceContext::parse(&TEXT.replace("-01", "-03")).unwrap();
        assert_eq!(context.unsampled().flags, 2);
        assert_eq!(context.unsampled().sampled(), context);
        assert!(context.with_span(SpanId(7)).to_string().contains("-0000000000000007-"));
    }
}
