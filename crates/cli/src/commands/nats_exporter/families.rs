//! What monitors say, as instruments. Pure; the list is `meridian_telemetry::metrics::server`.

use meridian_telemetry::metrics::Snapshot;
use meridian_telemetry::metrics::server::{self as is, ServerInstrument};
use serde_json::Value;

/// What one server's monitor answered.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Where it was asked.
    pub(super) address: String,
    pub(super) varz: Option<Value>,
    pub(super) gatewayz: Option<Value>,
    pub(super) jsz: Option<Value>,
}

type Labels = Vec<(&'static str, String)>;

/// What stands under a path of `/varz`.
const OF_SERVER: [(ServerInstrument, &str); 9] = [
    (is::CONNECTIONS, "/connections"),
    (is::SUBSCRIPTIONS, "/subscriptions"),
    (is::MESSAGES_IN, "/in_msgs"),
    (is::MESSAGES_OUT, "/out_msgs"),
    (is::BYTES_IN, "/in_bytes"),
    (is::BYTES_OUT, "/out_bytes"),
    (is::SLOW_CONSUMERS, "/slow_consumers"),
    (is::MEMORY, "/mem"),
    (is::ROUTES, "/routes"),
];

/// What stands under a path of `/jsz`.
const OF_JETSTREAM: [(ServerInstrument, &str); 7] = [
    (is::STORAGE, "/storage"),
    (is::STORAGE_MAX, "/config/max_storage"),
    (is::STREAMS, "/streams"),
    (is::CONSUMERS, "/consumers"),
    (is::STORED, "/messages"),
    (is::API_ERRORS, "/api/errors"),
    (is::META_SIZE, "/meta_cluster/cluster_size"),
];

/// What stands under a path of a gateway's outbound connection.
const OF_GATEWAY: [(ServerInstrument, &str); 3] = [
    (is::GATEWAY_MESSAGES, "/connection/out_msgs"),
    (is::GATEWAY_BYTES, "/connection/out_bytes"),
    (is::GATEWAY_PENDING, "/connection/pending_bytes"),
];

/// Everything that was seen.
pub(super) fn snapshot(seen: &[Seen]) -> Snapshot {
    let mut families = vec![
        is::UP
            .family(seen.iter().map(|one| (one.label(), u64::from(one.varz.is_some()))).collect()),
        is::INFO.family(seen.iter().filter_map(Seen::info).collect()),
    ];
    families
        .extend(OF_SERVER.map(|(instrument, path)| of(seen, instrument, path, |one| &one.varz)));
    let gateways = |one: &Seen| one.outbound().map(|all| all.count() as u64).unwrap_or_default();
    let with_gateways = || seen.iter().filter(|one| one.gatewayz.is_some());
    families.push(
        is::GATEWAYS.family(with_gateways().map(|one| (one.label(), gateways(one))).collect()),
    );
    let outbound = |path: Option<&'static str>| -> Vec<(Labels, u64)> {
        let all = with_gateways().flat_map(|one| {
            let each = one.outbound().into_iter().flatten();
            each.filter_map(move |(region, gateway)| {
                let number = path.map_or(Some(1), |path| gateway.pointer(path)?.as_u64());
                Some((one.gateway_label(region), number?))
            })
        });
        all.collect()
    };
    families.push(is::GATEWAY_UP.family(outbound(None)));
    families.extend(OF_GATEWAY.map(|(instrument, path)| instrument.family(outbound(Some(path)))));
    families.push(is::GATEWAY_INBOUND.family(with_gateways().flat_map(Seen::inbound).collect()));
    families
        .extend(OF_JETSTREAM.map(|(instrument, path)| of(seen, instrument, path, |one| &one.jsz)));
    families.push(is::META_LEADER.family(seen.iter().filter_map(Seen::meta_leader).collect()));
    Snapshot { families }
}

/// One number a server.
fn of(
    seen: &[Seen],
    instrument: ServerInstrument,
    path: &str,
    answer: impl Fn(&Seen) -> &Option<Value>,
) -> meridian_telemetry::metrics::Family {
    let numbers = seen.iter().filter_map(|one| {
        let number = answer(one).as_ref()?.pointer(path)?.as_u64()?;
        Some((one.label(), number))
    });
    instrument.family(numbers.collect())
}

impl Seen {
    fn text(&self, path: &str) -> String {
        let found = self.varz.as_ref().and_then(|varz| varz.pointer(path)?.as_str());
        found.unwrap_or_default().to_owned()
    }

    /// Named by its address, which stands also when nobody answers there.
    fn label(&self) -> Labels {
        vec![("server", self.address.clone())]
    }

    fn gateway_label(&self, region: &str) -> Labels {
        vec![("server", self.address.clone()), ("gateway", region.to_owned())]
    }

    fn info(&self) -> Option<(Labels, u64)> {
        self.varz.as_ref()?;
        let mut labels = self.label();
        labels.extend([
            ("name", self.text("/server_name")),
            ("cluster", self.text("/cluster/name")),
            ("version", self.text("/version")),
        ]);
        Some((labels, 1))
    }

    fn outbound(&self) -> Option<impl Iterator<Item = (&String, &Value)>> {
        Some(self.gatewayz.as_ref()?.get("outbound_gateways")?.as_object()?.iter())
    }

    fn inbound(&self) -> Vec<(Labels, u64)> {
        let all = self.gatewayz.as_ref().and_then(|all| all.get("inbound_gateways")?.as_object());
        let each = all.into_iter().flatten();
        each.map(|(region, connections)| {
            let count = connections.as_array().map_or(0, Vec::len);
            (self.gateway_label(region), count as u64)
        })
        .collect()
    }

    /// Only where servers elect one.
    fn meta_leader(&self) -> Option<(Labels, u64)> {
        let meta = self.jsz.as_ref()?.get("meta_cluster")?;
        let leader = meta.get("leader").and_then(Value::as_str).unwrap_or_default();
        Some((self.label(), u64::from(!leader.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_telemetry::metrics::prometheus;
    use serde_json::json;

    #[test]
    fn every_instrument_has_a_series_and_a_server_that_is_down_has_one() {
        let up = Seen {
            address: "a:8222".into(),
            varz: Some(json!({
                "server_name": "eu-1", "version": "2.15.1", "cluster": {"name": "eu"},
                "connections": 3, "subscriptions": 70, "in_msgs": 1, "out_msgs": 2, "in_bytes": 3,
                "out_bytes": 4, "slow_consumers": 0, "mem": 5, "routes": 0,
            })),
            gatewayz: Some(json!({
                "outbound_gateways": {
                    "us": {"connection": {"out_msgs": 6, "out_bytes": 7, "pending_bytes": 8}}
                },
                "inbound_gateways": {"us": [{}, {}]},
            })),
            jsz: Some(json!({
                "storage": 9, "config": {"max_storage": 10}, "streams": 1, "consumers": 0,
                "messages": 11, "api": {"errors": 12},
                "meta_cluster": {"leader": "eu-1", "cluster_size": 3},
            })),
        };
        let down = Seen { address: "b:8222".into(), ..Seen::default() };
        let snapshot = snapshot(&[up, down]);
        let names: Vec<&str> = snapshot.families.iter().map(|family| family.name).collect();
        let listed: Vec<&str> = is::ALL.iter().map(|instrument| instrument.name).collect();
        assert_eq!(
            names.iter().collect::<std::collections::BTreeSet<_>>(),
            listed.iter().collect::<std::collections::BTreeSet<_>>()
        );
        assert!(snapshot.families.iter().all(|family| !family.series.is_empty()));
        let text = prometheus::text(&snapshot);
        for line in [
            r#"meridian_nats_server_up{server="a:8222"} 1"#,
            r#"meridian_nats_server_up{server="b:8222"} 0"#,
            r#"meridian_nats_server_gateway_sent_bytes_total{server="a:8222",gateway="us"} 7"#,
            r#"meridian_nats_server_gateway_inbound{server="a:8222",gateway="us"} 2"#,
            r#"meridian_nats_server_jetstream_meta_leader{server="a:8222"} 1"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
