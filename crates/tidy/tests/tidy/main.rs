//! The house rules that neither compiler nor clippy checks. Each test reports every breach at
//! once, as `file:line: what`; a rule that is in the way is changed here, not worked around.

mod configuration;
mod dependencies;
mod licences;
mod modules;
mod sources;
mod text;
mod tree;

/// Fails with all breaches, if there are any.
fn report(breaches: &[String]) {
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}
