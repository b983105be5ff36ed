//! Names in dashboards and rules are those of the lists of instruments, and every instrument is
//! looked at somewhere.

use crate::dashboards::queries;
use crate::{monitoring, read};
use meridian_telemetry::metrics::{Kind, instruments, server};
use std::collections::BTreeSet;

/// Every metric name in a text: words that begin as ours do, those of recording rules included.
fn names(text: &str) -> BTreeSet<String> {
    let is_of_name =
        |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = text.split(|letter| !is_of_name(letter));
    words.filter(|word| word.contains("meridian_")).map(str::to_owned).collect()
}

/// Everything that a scrape can show.
fn listed() -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        server::ALL.iter().map(|instrument| instrument.name.to_owned()).collect();
    for instrument in instruments::ALL {
        let name = instrument.name;
        match instrument.kind {
            Kind::Histogram(_) => {
                names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
            }
            Kind::Counter | Kind::Gauge => drop(names.insert(name.to_owned())),
        }
    }
    names
}

fn recorded() -> BTreeSet<String> {
    let text = read(monitoring().join("rules/recording.yml"));
    let records = text.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    records.map(str::to_owned).collect()
}

/// What is asked for in rules and dashboards.
fn asked() -> BTreeSet<String> {
    let rules =
        ["rules/recording.yml", "rules/alerts.yml", "tests/alerts.yml", "tests/objectives.yml"];
    let mut asked: BTreeSet<String> =
        rules.iter().flat_map(|file| names(&read(monitoring().join(file)))).collect();
    asked.extend(queries().iter().flat_map(|query| names(&query.expression)));
    asked
}

#[test]
fn every_name_is_one_of_an_instrument_or_a_recording_rule() {
    let known: BTreeSet<String> = listed().union(&recorded()).cloned().collect();
    let asked = asked();
    // `region:meridian_…` is of the rules, and the words of a name of theirs are no names.
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "nobody measures {unknown:?}");
}

#[test]
fn every_instrument_is_looked_at() {
    let asked = asked();
    let unseen: Vec<&str> = (instruments::ALL.iter().map(|instrument| instrument.name))
        .chain(server::ALL.iter().map(|instrument| instrument.name))
        .filter(|name| !asked.iter().any(|asked| asked.starts_with(name)))
        .collect();
    assert!(unseen.is_empty(), "no dashboard and no rule looks at {unseen:?}");
}
