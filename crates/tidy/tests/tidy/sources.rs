//! Sizes, names and words of source files.

use crate::report;
use crate::text::{functions, holds_word};
use crate::tree::sources;

/// Columns of a line.
const COLUMNS_MAX: usize = 100;

/// Lines of a file: what one sitting can review. About 130 is usual.
const FILE_LINES_MAX: usize = 500;

/// Lines of a function: a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Names that say nothing about what is inside.
const NAMES: [&str; 8] =
    ["common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"];

/// Unfinished work, and tests that do not run. Cut in two, so that this file does not hold them.
const WORDS: [&str; 7] = [
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ign", "ore"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("TO", "DO"),
    concat!("db", "g!("),
];

/// Places that exist on one machine only.
const PLACES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/"), concat!("/ho", "me/")];

#[test]
fn no_line_is_longer_than_100_columns() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                breaches.push(format!("{}:{number}: {columns} columns", source.path));
            }
        }
    }
    report(&breaches);
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let sources = sources();
    let counted = sources.iter().map(|source| (source, source.lines().count()));
    let long = counted.filter(|(_, lines)| *lines > FILE_LINES_MAX);
    let breaches: Vec<String> =
        long.map(|(source, lines)| format!("{}: {lines} lines", source.path)).collect();
    report(&breaches);
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        for function in functions(&source.text) {
            if function.lines > FUNCTION_LINES_MAX {
                let (line, name, lines) = (function.line, function.name, function.lines);
                breaches.push(format!("{}:{line}: fn {name} has {lines} lines", source.path));
            }
        }
    }
    report(&breaches);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some(opening) = opening(&source.path) else { continue };
        if !source.text.starts_with(opening) {
            breaches.push(format!("{}:1: begin with `{opening}` and what it is for", source.path));
        }
    }
    report(&breaches);
}

/// How a file says what it is for; None where the language has no word for it.
fn opening(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "rs" => Some("//! "),
        "ts" => Some("/**"),
        "mjs" => Some("// "),
        _ => None,
    }
}

#[test]
fn no_file_or_module_has_an_empty_name() {
    let mut breaches = Vec::new();
    for source in sources() {
        for part in source.path.split('/') {
            if NAMES.contains(&part.split('.').next().unwrap_or_default()) {
                breaches.push(format!("{}: {part} says nothing: name the noun", source.path));
            }
        }
        for (number, line) in source.lines().filter(|_| source.is_rust()) {
            let name =
                line.split_once("mod ").map(|(_, rest)| rest.trim_end_matches([';', ' ', '{']));
            if name.is_some_and(|name| NAMES.contains(&name)) {
                breaches.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    report(&breaches);
}

#[test]
fn nothing_is_left_unfinished_and_no_test_is_switched_off() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            let words = WORDS.iter().filter(|word| holds_word(line, word));
            breaches.extend(words.map(|word| format!("{}:{number}: {word}", source.path)));
        }
    }
    report(&breaches);
}

#[test]
fn no_path_of_one_machine_stands_in_a_source() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            let places = PLACES.iter().filter(|place| line.contains(**place));
            breaches.extend(places.map(|place| format!("{}:{number}: {place}", source.path)));
        }
    }
    report(&breaches);
}
