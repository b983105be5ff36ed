//! The section `[tracing]`: what is traced, and where spans go.

use super::{OtlpProtocol, load};
use meridian_core::trace::SamplerLimits;
use meridian_proto::Subject;
use meridian_telemetry::metrics;
use meridian_telemetry::trace::{Origin, Protocol, Settings};
use serde::{Deserialize, Serialize};

/// More would be a typing mistake: a queue that large no longer bounds anything.
const QUEUE_SPANS_MAX: usize = 1_000_000;

/// Which messages are traced. Nothing is while there is nowhere for spans to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracingSection {
    /// Which share of the messages that clients publish without a parent span is sampled, 0 to 1.
    pub sample_ratio: f64,
    /// Deliveries that take longer than this leave a span in any case, in ms.
    pub slow_ms: u64,
    /// Spans a second of what failed or was slow, of the whole edge.
    pub always_per_second: u32,
    /// Messages a second that clients may have sampled by their own word, of the whole edge.
    pub client_per_second: u32,
    /// Whether nats-server's trace events are turned into spans, and taken for parents.
    pub nats_spans: bool,
    /// Where finished spans are published for whoever watches, as `<subject>.<trace id>`. Empty:
    /// nowhere.
    #[serde(deserialize_with = "load::text")]
    pub live_subject: String,
    /// Where spans are sent by OTLP: `http://host:port`. Empty: nowhere.
    #[serde(deserialize_with = "load::text")]
    pub otlp_endpoint: String,
    /// How.
    pub otlp_protocol: OtlpProtocol,
    /// Spans that may wait; beyond it they are dropped and counted.
    pub otlp_queue_spans_max: usize,
    /// How long a request may take, in ms.
    pub otlp_timeout_ms: u64,
}

impl Default for TracingSection {
    fn default() -> Self {
        Self {
            sample_ratio: 0.001,
            slow_ms: 1_000,
            always_per_second: 5,
            client_per_second: 10,
            nats_spans: false,
            live_subject: String::new(),
            otlp_endpoint: String::new(),
            otlp_protocol: OtlpProtocol::Grpc,
            // A second of a whole edge whose every message is sampled, at some MB.
            otlp_queue_spans_max: 8_192,
            otlp_timeout_ms: 5_000,
        }
    }
}

impl TracingSection {
    /// What a shard's sampler goes by: an equal share.
    pub(crate) fn sampler_limits(&self, shards: usize) -> SamplerLimits {
        let share = |all: u32| all.div_ceil(u32::try_from(shards).unwrap_or(u32::MAX).max(1));
        SamplerLimits {
            ratio: self.sample_ratio,
            client_per_second: share(self.client_per_second),
            always_per_second: share(self.always_per_second),
        }
    }

    /// Where spans go, if anywhere.
    pub(crate) fn settings(&self) -> Option<Settings> {
        (!self.otlp_endpoint.is_empty()).then(|| Settings {
            endpoint: self.otlp_endpoint.clone(),
            protocol: match self.otlp_protocol {
                OtlpProtocol::Grpc => Protocol::Grpc,
                OtlpProtocol::Http => Protocol::Http,
            },
            queue_spans_max: self.otlp_queue_spans_max,
            timeout_ms: self.otlp_timeout_ms,
        })
    }

    /// Whether spans go anywhere.
    pub(crate) fn is_on(&self) -> bool {
        !self.otlp_endpoint.is_empty() || !self.live_subject.is_empty()
    }

    /// Everything that is wrong.
    pub(super) fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut wrong = |key: &str, what: String| mistakes.push(format!("tracing.{key}: {what}"));
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            wrong("sample_ratio", format!("{} is not 0 to 1", self.sample_ratio));
        }
        let live = &self.live_subject;
        if !live.is_empty() && Subject::parse(live).is_err() {
            wrong("live_subject", format!("{live:?} is no subject without wildcards"));
        }
        let protocol = metrics::otlp::Protocol::Http;
        let endpoint = metrics::otlp::Endpoint::parse(&self.otlp_endpoint, protocol);
        if let (false, Err(what)) = (self.otlp_endpoint.is_empty(), endpoint) {
            wrong("otlp_endpoint", format!("{:?} {what}", self.otlp_endpoint));
        }
        if !(1..=QUEUE_SPANS_MAX).contains(&self.otlp_queue_spans_max) {
            let what = format!("{} is not 1 to {QUEUE_SPANS_MAX}", self.otlp_queue_spans_max);
            wrong("otlp_queue_spans_max", what);
        }
        if !(100..=60_000).contains(&self.otlp_timeout_ms) {
            let what = format!("{} is not 100 to 60,000", self.otlp_timeout_ms);
            wrong("otlp_timeout_ms", what);
        }
        mistakes
    }
}

impl super::Config {
    /// Who this edge is to an OTLP receiver.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            instance: self.edge.id.clone(),
            region: self.edge.region.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_ratios_and_subjects_that_cannot_work_are_refused_together() {
        for endpoint in ["collector:4317", "https://c:4317", "http://c:x"] {
            let section = TracingSection {
                sample_ratio: 1.5,
                live_subject: "a.>".into(),
                otlp_endpoint: endpoint.into(),
                otlp_queue_spans_max: 0,
                otlp_timeout_ms: 1,
                ..TracingSection::default()
            };
            assert_eq!(section.check().len(), 5, "{endpoint}: {:?}", section.check());
        }
        let otlp_endpoint = "http://127.0.0.1:4317".into();
        assert!(TracingSection { otlp_endpoint, ..TracingSection::default() }.check().is_empty());
    }
}
