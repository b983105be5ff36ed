//! A snapshot as the message of OTLP's metrics service: cumulative sums, gauges and histograms with
//! explicit bounds.

use crate::metrics::layout::{Kind, Unit};
use crate::metrics::snapshot::{Family, Series, Snapshot, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who sends: by the conventions for resources.
#[derive(Debug, Clone)]
pub struct Resource {
    attributes: Vec<KeyValue>,
}

impl Resource {
    /// An edge of a region.
    #[must_use]
    pub fn new(edge_id: &str, region: &str) -> Self {
        let attributes = vec![
            attribute("service.name", "meridian-edge"),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", edge_id),
            attribute("cloud.region", region),
        ];
        Self { attributes }
    }
}

/// The whole message.
pub(super) fn request(
    snapshot: &Snapshot,
    resource: &Resource,
    started: SystemTime,
    now: SystemTime,
) -> ExportMetricsServiceRequest {
    let span = (unix_ns(started), unix_ns(now));
    let families = snapshot.families.iter().filter(|family| !family.series.is_empty());
    let scope = InstrumentationScope { name: "meridian".into(), ..InstrumentationScope::default() };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(OtlpResource {
                attributes: resource.attributes.clone(),
                ..OtlpResource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: families.map(|family| metric(family, span)).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

fn metric(family: &Family, span: (u64, u64)) -> Metric {
    let numbers =
        || family.series.iter().filter_map(|one| number(family.unit, one, span)).collect();
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers() }),
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality,
            is_monotonic: true,
        }),
        Kind::Histogram(_) => metric::Data::Histogram(Histogram {
            data_points: family
                .series
                .iter()
                .filter_map(|one| spread(family.unit, one, span))
                .collect(),
            aggregation_temporality,
        }),
    };
    Metric {
        name: family.otlp_name.clone(),
        description: family.help.into(),
        unit: family.unit.ucum().into(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn number(unit: Unit, series: &Series, (started, now): (u64, u64)) -> Option<NumberDataPoint> {
    let Value::Number(number) = series.value else { return None };
    let value = if unit.scale() == 1.0 {
        number_data_point::Value::AsInt(i64::try_from(number).unwrap_or(i64::MAX))
    } else {
        number_data_point::Value::AsDouble(shown(unit, number))
    };
    Some(NumberDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: started,
        time_unix_nano: now,
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

fn spread(unit: Unit, series: &Series, (started, now): (u64, u64)) -> Option<HistogramDataPoint> {
    let Value::Spread { bounds, buckets, sum } = &series.value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: started,
        time_unix_nano: now,
        count: buckets.iter().sum(),
        sum: Some(shown(unit, *sum)),
        bucket_counts: buckets.clone(),
        explicit_bounds: bounds.iter().map(|bound| shown(unit, *bound)).collect(),
        ..HistogramDataPoint::default()
    })
}

fn attributes(series: &Series) -> Vec<KeyValue> {
    series.labels.iter().map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
}

fn shown(unit: Unit, number: u64) -> f64 {
    number as f64 * unit.scale()
}

fn unix_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::Class;
    use crate::metrics::{Cells, Names, Slots, Source, instruments};
    use std::sync::Arc;

    #[test]
    fn the_message_holds_the_same_numbers_in_base_units() {
        let cells = Cells::default();
        cells.observe(&instruments::SUBSCRIBE, (Class::Durable,), 1_500);
        cells.add(&instruments::SESSIONS, (), 3);
        let source = Source {
            shards: vec![Arc::default()],
            control: Arc::default(),
            names: Arc::new(Names::default()),
        };
        source.shards[0].publish(&cells);
        let resource = Resource::new("eu-1", "eu");
        let sent = request(&source.snapshot(), &resource, UNIX_EPOCH, SystemTime::now());
        let metrics = &sent.resource_metrics[0].scope_metrics[0].metrics;
        let named = |name| metrics.iter().find(|metric| metric.name == name).unwrap();
        let Some(metric::Data::Sum(sum)) = &named("meridian.sessions").data else {
            panic!("a sum")
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(3)));
        let latency = named("meridian.subscribe.latency");
        assert_eq!(latency.unit, "s");
        let Some(metric::Data::Histogram(spread)) = &latency.data else { panic!("a histogram") };
        let durable = &spread.data_points[1];
        assert_eq!((durable.count, durable.sum), (1, Some(0.0015)));
        assert_eq!(durable.bucket_counts.len(), durable.explicit_bounds.len() + 1);
    }
}
