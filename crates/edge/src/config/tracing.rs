//! The sections `[tracing]` and `[otlp]`: what is traced, and where spans go.

use super::load;
use meridian_core::trace::SamplerLimits;
use meridian_proto::Subject;
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
}

/// An OTLP receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpSection {
    /// `http://host:port`. Empty: nothing is exported.
    #[serde(deserialize_with = "load::text")]
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// Spans that may wait; beyond it they are dropped and counted.
    pub queue_spans_max: usize,
    /// How long a request may take, in ms.
    pub timeout_ms: u64,
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// gRPC.
    #[default]
    Grpc,
    /// Protobuf over HTTP.
    Http,
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
        }
    }
}

impl Default for OtlpSection {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: OtlpProtocol::Grpc,
            // A second of a whole edge whose every message is sampled, at some MB.
            queue_spans_max: 8_192,
            timeout_ms: 5_000,
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
}

impl OtlpSection {
    /// Where spans go, if anywhere.
    pub(crate) fn settings(&self) -> Option<Settings> {
        (!self.endpoint.is_empty()).then(|| Settings {
            endpoint: self.endpoint.clone(),
            protocol: match self.protocol {
                OtlpProtocol::Grpc => Protocol::Grpc,
                OtlpProtocol::Http => Protocol::Http,
            },
            queue_spans_max: self.queue_spans_max,
            timeout_ms: self.timeout_ms,
        })
    }
}

impl super::Config {
    /// Whether spans go anywhere.
    pub(crate) fn traces(&self) -> bool {
        !self.otlp.endpoint.is_empty() || !self.tracing.live_subject.is_empty()
    }

    /// Who this edge is to an OTLP receiver.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            instance: self.edge.id.clone(),
            region: self.edge.region.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// What types cannot say.
pub(super) fn check(tracing: &TracingSection, otlp: &OtlpSection) -> Vec<String> {
    let mut mistakes = Vec::new();
    if !(0.0..=1.0).contains(&tracing.sample_ratio) {
        mistakes.push(format!("tracing.sample_ratio: {} is not 0 to 1", tracing.sample_ratio));
    }
    let live = &tracing.live_subject;
    if !live.is_empty() && Subject::parse(live).is_err() {
        mistakes.push(format!("tracing.live_subject: {live:?} is no subject without wildcards"));
    }
    let authority = otlp.endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let is_authority = |text: &str| {
        text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok()
        })
    };
    if !otlp.endpoint.is_empty() && !authority.is_some_and(is_authority) {
        let what = "is not http://host:port: for TLS put a collector beside the edge";
        mistakes.push(format!("otlp.endpoint: {:?} {what}", otlp.endpoint));
    }
    if !(1..=QUEUE_SPANS_MAX).contains(&otlp.queue_spans_max) {
        let what = format!("{} is not 1 to {QUEUE_SPANS_MAX}", otlp.queue_spans_max);
        mistakes.push(format!("otlp.queue_spans_max: {what}"));
    }
    if !(100..=60_000).contains(&otlp.timeout_ms) {
        mistakes.push(format!("otlp.timeout_ms: {} is not 100 to 60,000", otlp.timeout_ms));
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_ratios_and_subjects_that_cannot_work_are_refused_together() {
        let tracing = TracingSection {
            sample_ratio: 1.5,
            live_subject: "a.>".into(),
            ..TracingSection::default()
        };
        for endpoint in
            ["collector:4317", "https://c:4317", "http://c", "http://u@c:1", "http://c:x"]
        {
            let otlp = OtlpSection {
                endpoint: endpoint.into(),
                queue_spans_max: 0,
                timeout_ms: 1,
                ..OtlpSection::default()
            };
            assert_eq!(check(&tracing, &otlp).len(), 5, "{endpoint}");
        }
        let good = OtlpSection { endpoint: "http://[::1]:4317/".into(), ..OtlpSection::default() };
        assert!(check(&TracingSection::default(), &good).is_empty());
    }
}
