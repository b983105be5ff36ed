//! Licences of everything that is linked, against the list in `deny.toml`. cargo-deny checks more
//! (`make deny`), but has to be installed; this does not.

use crate::dependencies::metadata;
use crate::report;
use crate::tree::root;

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed();
    let metadata = metadata();
    let mut breaches = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or("none"));
        if !is_allowed(licence, &allowed) {
            breaches.push(format!("{name}: {licence} is not in deny.toml"));
        }
    }
    report(&breaches);
}

fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there");
    let table: toml::Table = text.parse().expect("deny.toml is TOML");
    let list = table["licenses"]["allow"].as_array().expect("licenses.allow is a list");
    list.iter().filter_map(|licence| licence.as_str().map(str::to_owned)).collect()
}

/// An SPDX expression: `AND` binds before `OR`, `WITH` belongs to its licence, and the old `/`
/// means `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest, allowed) && rest.is_empty()
}

fn any(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut value = all(rest, allowed);
    while take(rest, "OR") {
        value |= all(rest, allowed);
    }
    value
}

fn all(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut value = one(rest, allowed);
    while take(rest, "AND") {
        value &= one(rest, allowed);
    }
    value
}

fn one(rest: &mut &[&str], allowed: &[String]) -> bool {
    if take(rest, "(") {
        let value = any(rest, allowed);
        return take(rest, ")") && value;
    }
    let Some((first, after)) = rest.split_first() else { return false };
    let mut licence = (*first).to_owned();
    *rest = after;
    if take(rest, "WITH")
        && let Some((exception, after)) = rest.split_first()
    {
        licence = format!("{licence} WITH {exception}");
        *rest = after;
    }
    allowed.contains(&licence)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let is_next = rest.first() == Some(&word);
    if is_next {
        *rest = &rest[1..];
    }
    is_next
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned()];
    for good in ["MIT", "GPL-3.0 OR MIT", "Apache-2.0/MIT", "(MIT OR X) AND Apache-2.0"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND X", "(MIT OR Y) AND X", "MIT WITH Z", "(MIT", "", "none"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
