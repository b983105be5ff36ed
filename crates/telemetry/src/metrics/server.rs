//! The list of what `meridian nats-exporter` shows of nats-servers: the second and last list of
//! names, beside [`super::instruments`].
//!
//! Labels are servers and gateways: as many as there are, which is few.

use super::layout::{Kind, Unit};
use super::snapshot::{Family, Series, Value};

/// One instrument of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerInstrument {
    /// The name in Prometheus.
    pub name: &'static str,
    kind: Kind,
    unit: Unit,
    help: &'static str,
}

impl ServerInstrument {
    /// The instrument with its series: labels, and a number in the units of [`Unit`].
    #[must_use]
    pub fn family(&self, series: Vec<(Vec<(&'static str, String)>, u64)>) -> Family {
        let series = series.into_iter();
        Family {
            name: self.name,
            otlp_name: String::new(),
            help: self.help,
            unit: self.unit,
            kind: self.kind,
            series: series
                .map(|(labels, number)| Series { labels, value: Value::Number(number) })
                .collect(),
        }
    }
}

macro_rules! server_instruments {
    ($($handle:ident: $kind:ident = $name:literal, $unit:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $handle: ServerInstrument = ServerInstrument {
                name: $name, kind: Kind::$kind, unit: $unit, help: $help,
            };
        )*

        /// Every one, in the order of the exposition.
        pub const ALL: &[ServerInstrument] = &[$($handle,)*];
    };
}

server_instruments! {
    UP: Gauge = "meridian_nats_server_up", Unit::Of("{server}"),
        "1 while the server's monitor answers.";
    INFO: Gauge = "meridian_nats_server_info", Unit::Of("{server}"),
        "Always 1; the labels say which server runs.";
    CONNECTIONS: Gauge = "meridian_nats_server_connections", Unit::Of("{connection}"),
        "Clients connected.";
    SUBSCRIPTIONS: Gauge = "meridian_nats_server_subscriptions", Unit::Of("{subscription}"),
        "Subscriptions held.";
    MESSAGES_IN: Counter = "meridian_nats_server_received_messages_total", Unit::Of("{message}"),
        "Messages received, from clients, routes and gateways.";
    MESSAGES_OUT: Counter = "meridian_nats_server_sent_messages_total", Unit::Of("{message}"),
        "Messages sent.";
    BYTES_IN: Counter = "meridian_nats_server_received_bytes_total", Unit::Bytes,
        "Bytes received.";
    BYTES_OUT: Counter = "meridian_nats_server_sent_bytes_total", Unit::Bytes,
        "Bytes sent.";
    SLOW_CONSUMERS: Counter = "meridian_nats_server_slow_consumers_total", Unit::Of("{client}"),
        "Connections that the server cut because they read too slowly.";
    MEMORY: Gauge = "meridian_nats_server_memory_bytes", Unit::Bytes,
        "Resident memory.";
    ROUTES: Gauge = "meridian_nats_server_routes", Unit::Of("{route}"),
        "Routes to servers of its cluster.";
    GATEWAYS: Gauge = "meridian_nats_server_gateways", Unit::Of("{gateway}"),
        "Other regions that the server has a gateway connection to.";
    GATEWAY_UP: Gauge = "meridian_nats_server_gateway_up", Unit::Of("{gateway}"),
        "1 while the server has a gateway connection to this region.";
    GATEWAY_MESSAGES: Counter =
        "meridian_nats_server_gateway_sent_messages_total", Unit::Of("{message}"),
        "Messages sent to this region.";
    GATEWAY_BYTES: Counter = "meridian_nats_server_gateway_sent_bytes_total", Unit::Bytes,
        "Bytes sent to this region.";
    GATEWAY_PENDING: Gauge = "meridian_nats_server_gateway_pending_bytes", Unit::Bytes,
        "Bytes that wait for this region.";
    GATEWAY_INBOUND: Gauge = "meridian_nats_server_gateway_inbound", Unit::Of("{connection}"),
        "Gateway connections from this region.";
    STORAGE: Gauge = "meridian_nats_server_jetstream_storage_bytes", Unit::Bytes,
        "JetStream's file storage in use.";
    STORAGE_MAX: Gauge = "meridian_nats_server_jetstream_storage_max_bytes", Unit::Bytes,
        "JetStream's file storage at most.";
    STREAMS: Gauge = "meridian_nats_server_jetstream_streams", Unit::Of("{stream}"),
        "Streams on the server.";
    CONSUMERS: Gauge = "meridian_nats_server_jetstream_consumers", Unit::Of("{consumer}"),
        "Consumers on the server: mirrors, and none of Meridian's clients.";
    STORED: Gauge = "meridian_nats_server_jetstream_messages", Unit::Of("{message}"),
        "Messages stored on the server.";
    API_ERRORS: Counter = "meridian_nats_server_jetstream_api_errors_total", Unit::Of("{error}"),
        "Requests to JetStream's API that failed.";
    META_LEADER: Gauge = "meridian_nats_server_jetstream_meta_leader", Unit::Of("{leader}"),
        "1 while the server knows JetStream's meta leader.";
    META_SIZE: Gauge = "meridian_nats_server_jetstream_meta_size", Unit::Of("{server}"),
        "Servers that elect the meta leader.";
}
