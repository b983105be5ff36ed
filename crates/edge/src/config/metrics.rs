//! What is measured against, and where metrics go beside the admin port.

use super::load;
use meridian_core::utilization::Capacity;
use meridian_telemetry::metrics::otlp::{Endpoint, Protocol};
use serde::{Deserialize, Serialize};

/// Metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSection {
    /// Where metrics are sent by OTLP: `http://host:port`. Empty: nowhere.
    #[serde(deserialize_with = "load::text")]
    pub otlp_endpoint: String,
    /// How.
    pub otlp_protocol: OtlpProtocol,
    /// How often, in s.
    pub otlp_interval_s: u64,
    /// Bytes a second to clients that this edge may send. 0: not counted.
    pub capacity_egress_bytes_per_s: u64,
    /// Resident memory that this edge may use, in bytes. 0: not counted.
    pub capacity_memory_bytes: u64,
    /// How late a shard's event loop may be, in ms. 0: not counted.
    pub capacity_lag_ms: u64,
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// gRPC.
    #[default]
    Grpc,
    /// Protobuf over HTTP, at `/v1/metrics`.
    Http,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self {
            otlp_endpoint: String::new(),
            otlp_protocol: OtlpProtocol::Grpc,
            // As often as Prometheus scrapes by default.
            otlp_interval_s: 15,
            capacity_egress_bytes_per_s: 0,
            capacity_memory_bytes: 0,
            // A tenth of a second is what people notice; half of it leaves room for the network.
            capacity_lag_ms: 50,
        }
    }
}

impl MetricsSection {
    /// Everything that is wrong.
    pub(super) fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Err(what) = self.endpoint() {
            mistakes.push(format!("metrics.otlp_endpoint: {:?} {what}", self.otlp_endpoint));
        }
        for (key, value, most) in [
            ("otlp_interval_s", self.otlp_interval_s, 1..=3_600),
            ("capacity_lag_ms", self.capacity_lag_ms, 0..=60_000),
        ] {
            if !most.contains(&value) {
                let (least, most) = (most.start(), most.end());
                mistakes.push(format!("metrics.{key}: {value} is outside {least} to {most}"));
            }
        }
        mistakes
    }

    /// Where metrics go, if anywhere.
    pub(crate) fn endpoint(&self) -> Result<Option<Endpoint>, &'static str> {
        if self.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let protocol = match self.otlp_protocol {
            OtlpProtocol::Grpc => Protocol::Grpc,
            OtlpProtocol::Http => Protocol::Http,
        };
        Endpoint::parse(&self.otlp_endpoint, protocol).map(Some)
    }

    /// What the edge's load is measured against.
    pub(crate) fn capacity(&self, connections_max: usize) -> Capacity {
        Capacity {
            connections: connections_max as u64,
            egress_bytes_per_s: self.capacity_egress_bytes_per_s,
            memory_bytes: self.capacity_memory_bytes,
            lag_us: self.capacity_lag_ms * 1_000,
        }
    }
}
