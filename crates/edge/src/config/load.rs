//! Loading: layers, then a tree that is read again and again, each time without the key that was
//! wrong, until nothing is wrong any more. So one run reports every mistake.

use super::{Config, check};
use config::{Environment, File, FileFormat};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::Segment;
use std::fmt;
use std::path::Path;

/// Most mistakes that one run reports: more are the wrong file.
const MISTAKES_MAX: usize = 100;

/// Every mistake in a configuration, each with its place and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(formatter, "{count} {noun} in the configuration:")?;
        self.0.iter().try_for_each(|mistake| write!(formatter, "\n  - {mistake}"))
    }
}

impl std::error::Error for ConfigErrors {}

pub(super) fn load(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    let tree = layers(file).map_err(|mistake| ConfigErrors(vec![mistake]))?;
    from_tree(tree)
}

/// Reads and checks a tree.
pub(super) fn from_tree(mut tree: Value) -> Result<Config, ConfigErrors> {
    let mut mistakes = Vec::new();
    let config = loop {
        match serde_path_to_error::deserialize::<_, Config>(&tree) {
            Ok(config) => break config,
            Err(error) => {
                let segments: Vec<Segment> = error.path().iter().cloned().collect();
                mistakes.push(format!("{}: {}", error.path(), error.inner()));
                if mistakes.len() >= MISTAKES_MAX || !remove(&mut tree, &segments) {
                    return Err(ConfigErrors(mistakes));
                }
            }
        }
    };
    mistakes.extend(check::check(&config));
    if mistakes.is_empty() { Ok(config) } else { Err(ConfigErrors(mistakes)) }
}

fn layers(file: Option<&Path>) -> Result<Value, String> {
    let mut builder = config::Config::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}: name a readable file", path.display()))?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let environment = Environment::with_prefix("MERIDIAN")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("nats.servers")
        .with_list_parse_key("mesh.regions")
        .with_list_parse_key("edge.alternates")
        .with_list_parse_key("listen.origins");
    let built = builder.add_source(environment).build();
    let place = || file.map_or_else(String::new, |path| format!("{}: ", path.display()));
    built.and_then(config::Config::try_deserialize).map_err(|error| format!("{}{error}", place()))
}

/// Takes the wrong key out of the tree. False if it is not there, so that the loop ends.
fn remove(tree: &mut Value, path: &[Segment]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut node = tree;
    for segment in parents {
        let child = match segment {
            Segment::Map { key } => node.get_mut(key),
            Segment::Seq { index } => node.get_mut(index),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        let Some(child) = child else { return false };
        node = child;
    }
    match (last, node) {
        (Segment::Map { key }, Value::Object(fields)) => fields.remove(key).is_some(),
        (Segment::Seq { index }, Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

/// A name. Environment variables carry no types, so that a name of digits arrives as a number.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(D::Error::custom(format!("{other} is no name"))),
    }
}

/// Stands where a secret stood.
pub(super) const HIDDEN: &str = "***";

/// The URL with its password replaced.
pub(super) fn hide_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{user}:{HIDDEN}@{host}")
        }
        None => url.into(),
    }
}
