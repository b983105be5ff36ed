//! Dead files: those that no target, `mod` or `include` leads to.

use crate::report;
use crate::text::quoted_after;
use crate::tree::{Source, sources};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn every_file_of_a_crate_is_used() {
    let sources = sources();
    let by_path: BTreeMap<&str, &Source> =
        sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut next: Vec<String> =
        by_path.keys().filter(|path| is_target(path)).map(|path| (*path).to_owned()).collect();
    while let Some(path) = next.pop() {
        let Some(source) = by_path.get(path.as_str()) else { continue };
        if used.insert(path) {
            next.extend(children(source));
        }
    }
    let of_crates = by_path.keys().filter(|path| path.starts_with("crates/"));
    let code = of_crates.filter(|path| !path.ends_with(".toml"));
    let dead = code.filter(|path| !used.contains(**path));
    let breaches: Vec<String> = dead.map(|path| format!("{path}: nothing leads to it")).collect();
    report(&breaches);
}

/// What cargo compiles by itself.
fn is_target(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["crates", _, "build.rs"] | ["crates", _, "src", "lib.rs" | "main.rs"] => true,
        ["crates", _, "tests" | "examples" | "benches", file]
        | ["crates", _, "src", "bin", file] => file.ends_with(".rs"),
        ["crates", _, "tests" | "examples" | "benches", _, "main.rs"]
        | ["crates", _, "src", "bin", _, "main.rs"] => true,
        _ => false,
    }
}

/// The files that a file leads to; some of them may not exist.
fn children(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').expect("no source lies in the root");
    let stem = file.trim_end_matches(".rs");
    let is_top = is_target(&source.path) || file == "mod.rs";
    let of_modules = if is_top { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut paths = Vec::new();
    for (_, line) in source.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [.., "mod", name] = words.as_slice()
            && let Some(name) = name.strip_suffix(';')
        {
            paths.push(format!("{of_modules}/{name}.rs"));
            paths.push(format!("{of_modules}/{name}/mod.rs"));
        }
    }
    for before in ["include_str!(", "include_bytes!(", "include!(", "#[path ="] {
        let named = quoted_after(&source.text, before);
        paths.extend(named.iter().map(|name| format!("{folder}/{name}")));
    }
    paths
}

#[test]
fn a_module_is_looked_for_where_the_compiler_does() {
    let children_of =
        |path: &str, text: &str| children(&Source { path: path.to_owned(), text: text.to_owned() });
    let text = "pub(crate) mod b;\nmod c {\nconst D: &str = include_str!(\"d/e.js\");";
    let from_top = children_of("crates/a/src/lib.rs", text);
    assert_eq!(from_top, ["crates/a/src/b.rs", "crates/a/src/b/mod.rs", "crates/a/src/d/e.js"]);
    assert_eq!(children_of("crates/a/src/x.rs", "mod b;")[0], "crates/a/src/x/b.rs");
    assert_eq!(children_of("crates/a/src/x/mod.rs", "mod b;")[0], "crates/a/src/x/b.rs");
    assert_eq!(children_of("crates/a/tests/x.rs", "mod b;")[1], "crates/a/tests/b/mod.rs");
}
