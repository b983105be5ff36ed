//! What `/metrics` says, taken apart.

use std::collections::BTreeMap;

/// One answer: the value of each series, as the text names it.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    pub text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads Prometheus text. Panics on a line that is none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        });
        Self { series: series.collect(), text: text.into() }
    }

    /// How many series there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.series.len()
    }

    /// The sum of the series of a metric whose labels hold all of `labels`, such as
    /// `class="durable"`. Panics when there is none: a test must not ask for what cannot be.
    #[must_use]
    pub fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        let mut of_metric = self.series.iter().filter(|(series, _)| {
            let (name, given) = series.split_once('{').unwrap_or((series, ""));
            name == metric && labels.iter().all(|label| given.contains(label))
        });
        let first = of_metric.next().unwrap_or_else(|| panic!("no series {metric} {labels:?}"));
        of_metric.fold(*first.1, |sum, (_, value)| sum + value)
    }
}
