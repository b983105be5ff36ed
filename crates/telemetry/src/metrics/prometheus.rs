//! A snapshot as Prometheus text, version 0.0.4.

use super::layout::{Kind, Unit};
use super::snapshot::{Family, Series, Snapshot, Value};
use std::fmt::Write;

/// What the text is called in HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes everything out.
#[must_use]
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    for family in snapshot.families.iter().filter(|family| !family.series.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write_family(&mut out, family);
    }
    out
}

fn write_family(out: &mut String, family: &Family) -> std::fmt::Result {
    let Family { name, help, kind, unit, .. } = family;
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    for series in &family.series {
        write_series(out, name, *unit, series)?;
    }
    Ok(())
}

fn write_series(out: &mut String, name: &str, unit: Unit, series: &Series) -> std::fmt::Result {
    match &series.value {
        Value::Number(number) => {
            write_labels(out, name, series, None)?;
            writeln!(out, " {}", shown(unit, *number))
        }
        Value::Spread { bounds, buckets, sum } => {
            let (bucket_name, mut count) = (format!("{name}_bucket"), 0_u64);
            for (index, bucket) in buckets.iter().enumerate() {
                count = count.wrapping_add(*bucket);
                let bound = bounds.get(index).map(|bound| shown(unit, *bound).to_string());
                let bound = bound.as_deref().unwrap_or("+Inf");
                write_labels(out, &bucket_name, series, Some(bound))?;
                writeln!(out, " {count}")?;
            }
            write_labels(out, &format!("{name}_sum"), series, None)?;
            writeln!(out, " {}", shown(unit, *sum))?;
            write_labels(out, &format!("{name}_count"), series, None)?;
            writeln!(out, " {count}")
        }
    }
}

fn write_labels(
    out: &mut String,
    name: &str,
    series: &Series,
    le: Option<&str>,
) -> std::fmt::Result {
    out.push_str(name);
    let given = series.labels.iter().map(|(name, value)| (*name, value.as_str()));
    for (index, (name, value)) in given.chain(le.map(|bound| ("le", bound))).enumerate() {
        write!(out, "{}{name}=\"", if index == 0 { '{' } else { ',' })?;
        for character in value.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    if !series.labels.is_empty() || le.is_some() {
        out.push('}');
    }
    Ok(())
}

/// A slot's number in the unit that is shown. Millionths are exact in text.
fn shown(unit: Unit, number: u64) -> Shown {
    if unit.scale() == 1.0 { Shown::Whole(number) } else { Shown::Millionths(number) }
}

enum Shown {
    Whole(u64),
    Millionths(u64),
}

impl std::fmt::Display for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(number) => write!(out, "{number}"),
            Self::Millionths(number) => {
                let (whole, rest) = (number / 1_000_000, number % 1_000_000);
                if rest == 0 {
                    return write!(out, "{whole}");
                }
                write!(out, "{whole}.{}", format!("{rest:06}").trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{
        Cells, Names, Published, Slots, Source, instruments, labels::Class, labels::Region,
    };
    use std::sync::Arc;

    fn source(shards: usize) -> Source {
        Source {
            shards: (0..shards).map(|_| Arc::default()).collect(),
            control: Arc::default(),
            names: Arc::new(Names {
                regions: vec!["eu".into(), "us".into()],
                build: ["1".into(), "e\"1".into(), "eu".into()],
                ..Names::default()
            }),
        }
    }

    #[test]
    fn shards_are_summed_and_histograms_add_up() {
        let source = source(2);
        for (published, value) in source.shards.iter().zip([400, 1_500_000]) {
            let cells = Cells::default();
            cells.observe(&instruments::LATENCY, (Class::Durable, Region::at(Some(1))), value);
            cells.add(&instruments::SESSIONS, (), 2);
            published.publish(&cells);
        }
        let text = text(&source.snapshot());
        let series = r#"meridian_delivery_latency_seconds_bucket{class="durable",origin="us",le="#;
        for line in [
            "meridian_sessions_total 4",
            "# TYPE meridian_delivery_latency_seconds histogram",
            &format!(r#"{series}"0.0005"}} 1"#),
            &format!(r#"{series}"1"}} 1"#),
            &format!(r#"{series}"2.5"}} 2"#),
            &format!(r#"{series}"+Inf"}} 2"#),
            r#"meridian_delivery_latency_seconds_sum{class="durable",origin="us"} 1.5004"#,
            r#"meridian_delivery_latency_seconds_count{class="durable",origin="us"} 2"#,
            r#"meridian_build_info{version="1",edge="e\"1",region="eu"} 0"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(r#"namespace=""#), "no namespace is configured");
    }

    #[test]
    fn a_gauge_that_is_not_known_is_not_shown() {
        let source = source(1);
        source.control.set(&instruments::META_LEADER, (), u64::MAX);
        assert!(!text(&source.snapshot()).contains("meridian_jetstream_meta_leader"));
        source.control.set(&instruments::META_LEADER, (), 1);
        assert!(text(&source.snapshot()).contains("meridian_jetstream_meta_leader 1"));
        let _: &Published = &source.control;
    }
}
