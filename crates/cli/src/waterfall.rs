//! A trace as a picture in text: one line a span, below its parent, with its place on the common
//! time line. Pure; `commands/trace.rs` collects the spans.

use crate::terminal::{Paint, harmless};
use meridian_proto::trace::{SpanId, SpanRecord};
use std::collections::HashSet;
use std::fmt::Write;

/// Columns of the time line.
const BAR_COLUMNS: usize = 32;

/// A name that is longer is cut.
const NAME_COLUMNS_MAX: usize = 44;

/// One span, and how deep it stands.
struct Row<'a> {
    span: &'a SpanRecord,
    label: String,
}

/// Draws the spans of one trace.
pub(crate) fn draw(spans: &[SpanRecord], paint: Paint) -> String {
    let (Some(start_ns), Some(end_ns)) =
        (spans.iter().map(|span| span.start_ns).min(), spans.iter().map(|span| span.end_ns).max())
    else {
        return String::new();
    };
    let rows = rows(spans);
    let longest = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or_default();
    let columns = longest.min(NAME_COLUMNS_MAX);
    let places: Vec<&str> = rows.iter().map(|row| place(row.span)).collect();
    let place_columns = places.iter().map(|place| place.len()).max().unwrap_or_default();
    let total_ns = (end_ns - start_ns).max(1);
    let mut text = String::new();
    let head =
        format!("{:columns$}  {:place_columns$}  {:>11}  {:>11}", "span", "at", "from", "took");
    writeln!(text, "{}", paint.dim(head)).expect("writing to a string cannot fail");
    for (row, place) in rows.iter().zip(places) {
        let (from_ns, took_ns) = (row.span.start_ns - start_ns, took_ns(row.span));
        let label: String = row.label.chars().take(columns).collect();
        let bar = bar(from_ns, took_ns, total_ns);
        let (from, took) = (ms(from_ns), ms(took_ns));
        let line =
            format!("{label:columns$}  {place:place_columns$}  {from:>11}  {took:>11}  {bar}");
        let line = match &row.span.error {
            Some(error) => paint.red(format!("{line} {}", harmless(error))),
            None => line,
        };
        writeln!(text, "{}", line.trim_end()).expect("writing to a string cannot fail");
    }
    let steps = rows.iter().filter(|row| row.span.parent.is_some());
    if let Some(slowest) = steps.max_by_key(|row| took_ns(row.span)) {
        let (name, took) = (harmless(&slowest.span.name), ms(took_ns(slowest.span)));
        let line = format!("{} in all; the longest step: {name}, {took}", ms(total_ns));
        writeln!(text, "{}", paint.bold(line)).expect("writing to a string cannot fail");
    }
    text
}

/// Spans below their parents, siblings in the order in which they began. A span whose parent is
/// not there stands at the top.
fn rows(spans: &[SpanRecord]) -> Vec<Row<'_>> {
    let ids: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let is_top = |span: &SpanRecord| span.parent.is_none_or(|parent| !ids.contains(&parent));
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    let mut tops: Vec<&SpanRecord> = spans.iter().filter(|span| is_top(span)).collect();
    tops.sort_by_key(|span| span.start_ns);
    // What stands in a circle has no top: it is drawn from wherever it is met first.
    for top in tops.into_iter().chain(spans) {
        descend(spans, top, "", "", &mut seen, &mut rows);
    }
    rows
}

fn descend<'a>(
    spans: &'a [SpanRecord],
    span: &'a SpanRecord,
    branch: &str,
    below: &str,
    seen: &mut HashSet<SpanId>,
    rows: &mut Vec<Row<'a>>,
) {
    // Spans of strangers may be below each other in a circle, or be there twice.
    if !seen.insert(span.span_id) {
        return;
    }
    rows.push(Row { span, label: format!("{branch}{}", harmless(&span.name)) });
    let is_child = |other: &&SpanRecord| other.parent == Some(span.span_id);
    let mut children: Vec<&SpanRecord> = spans.iter().filter(is_child).collect();
    children.sort_by_key(|child| child.start_ns);
    let last = children.len().saturating_sub(1);
    for (index, child) in children.into_iter().enumerate() {
        let (fork, rail) = if index == last { ("└ ", "  ") } else { ("├ ", "│ ") };
        let (branch, below) = (format!("{below}{fork}"), format!("{below}{rail}"));
        descend(spans, child, &branch, &below, seen, rows);
    }
}

/// Which edge or server made it.
fn place(span: &SpanRecord) -> &str {
    let names = ["meridian.edge", "server.address", "cloud.region"];
    names.into_iter().find_map(|name| span.text_of(name)).unwrap_or_default()
}

fn took_ns(span: &SpanRecord) -> u64 {
    span.end_ns.saturating_sub(span.start_ns)
}

fn ms(ns: u64) -> String {
    format!("{:.3} ms", ns as f64 / 1e6)
}

/// A span on the common time line; however short, it shows.
fn bar(from_ns: u64, took_ns: u64, total_ns: u64) -> String {
    let column = |ns: u64| {
        let columns = u128::from(ns) * BAR_COLUMNS as u128 / u128::from(total_ns);
        usize::try_from(columns).unwrap_or(BAR_COLUMNS)
    };
    let before = column(from_ns).min(BAR_COLUMNS - 1);
    let length = column(took_ns).clamp(1, BAR_COLUMNS - before);
    format!("{}{}", " ".repeat(before), "█".repeat(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_proto::trace::{SpanKind, TraceContext};

    fn span(id: u64, below: u64, name: &str, times_us: (u64, u64), place: &str) -> SpanRecord {
        let root = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        let parent = TraceContext::parse(root).unwrap().with_span(SpanId(below));
        let times = (1_000_000 + times_us.0 * 1_000, 1_000_000 + times_us.1 * 1_000);
        SpanRecord::below(parent, SpanId(id), name, SpanKind::Internal, times)
            .text("meridian.edge", place)
    }

    #[test]
    fn a_message_through_a_gateway_is_drawn_as_a_tree_on_one_time_line() {
        let root = SpanRecord { parent: None, ..span(1, 9, "edge publish", (0, 400), "us-1") };
        let spans = [
            span(4, 3, "fan-out", (80_300, 80_500), "eu-1"),
            span(3, 2, "nats gateway us→eu", (200, 80_200), "eu"),
            root,
            span(5, 2, "fan-out", (300, 400), "us-1"),
            span(2, 1, "nats us-1", (100, 250), "us-1"),
        ];
        let expected = "\
span                      at           from         took
edge publish              us-1     0.000 ms     0.400 ms  █
└ nats us-1               us-1     0.100 ms     0.150 ms  █
  ├ nats gateway us→eu    eu       0.200 ms    80.000 ms  ███████████████████████████████
  │ └ fan-out             eu-1    80.300 ms     0.200 ms                                 █
  └ fan-out               us-1     0.300 ms     0.100 ms  █
80.500 ms in all; the longest step: nats gateway us→eu, 80.000 ms
";
        let squeeze = |text: &str| {
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            text.lines().map(words).collect::<Vec<_>>()
        };
        assert_eq!(squeeze(&draw(&spans, Paint::Plain)), squeeze(expected));
    }

    #[test]
    fn circles_strangers_and_nothing_are_drawn_without_harm() {
        assert_eq!(draw(&[], Paint::Plain), "");
        let circle = [span(1, 2, "a", (0, 1), ""), span(2, 1, "b", (0, 1), "")];
        let drawn = draw(&circle, Paint::Plain);
        assert_eq!(drawn.lines().count(), 4, "a head, two spans, the longest step: {drawn}");
        let hostile = [span(1, 9, "x\x1b[2J", (0, 0), "")];
        assert!(!draw(&hostile, Paint::Plain).contains('\x1b'));
    }
}
