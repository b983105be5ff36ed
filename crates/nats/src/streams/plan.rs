//! What has to be done so that there is what there must be. Pure: time is passed in, and
//! [`Streams::apply`](super::Streams::apply) performs the steps.

mod display;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;

use super::copy_config::{CopyConfig, FieldChange};
use super::epoch;
use super::error::Error;
use super::existing::{ExistingStream, overlap};
use super::namespace::{DurableNamespace, copy_name, first_home_stream_name, home_stream_name};

/// Steps in the order in which they are taken: what goes, then home streams, then mirrors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// One for each copy that there must be, and one for each that must go.
    pub steps: Vec<Step>,
    /// Streams of namespaces that the configuration does not name. They are left alone, since
    /// another configuration may name them.
    pub unknown: Vec<String>,
}

/// What happens to one stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Whose copy it is.
    pub namespace: String,
    /// The stream.
    pub stream: String,
    /// Where it is, or will be.
    pub region: String,
    /// What happens.
    #[serde(flatten)]
    pub action: Action,
}

/// What happens to a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// It is as it must be.
    Nothing,
    /// It is not there.
    Create {
        /// How it will be.
        config: CopyConfig,
    },
    /// It is changed in place; messages stay.
    Update {
        /// How it will be.
        config: CopyConfig,
        /// What that changes.
        changes: Vec<FieldChange>,
    },
    /// It is deleted and created, because it cannot be changed in place. Its messages are lost,
    /// and a mirror gets them again from home.
    Recreate {
        /// How it will be.
        config: CopyConfig,
        /// Why.
        reason: String,
        /// How many messages it holds.
        messages: u64,
    },
    /// It is deleted, with its messages.
    Delete {
        /// Why.
        reason: String,
        /// How many messages it holds.
        messages: u64,
    },
}

impl Plan {
    /// Whether everything is as it must be.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.action == Action::Nothing)
    }

    /// The streams that lose their messages, which must be confirmed.
    pub fn destroyed(&self) -> Vec<&str> {
        let destroyed = self.steps.iter().filter(|step| step.action.destroys());
        destroyed.map(|step| step.stream.as_str()).collect()
    }
}

impl Action {
    fn destroys(&self) -> bool {
        matches!(self, Self::Recreate { .. } | Self::Delete { .. })
    }
}

/// Compares what there must be with all streams of the account. `regions` are all regions of the
/// mesh, the homes among them; `now_s` is Unix time and becomes the epoch of new home streams.
///
/// # Errors
/// [`Error::Invalid`] for a namespace that cannot be, [`Error::NotOurs`] and [`Error::Overlap`]
/// for streams of others that are in the way.
pub fn plan(
    desired: &[DurableNamespace],
    existing: &[ExistingStream],
    regions: &[String],
    now_s: u64,
) -> Result<Plan, Error> {
    check_namespaces(desired, regions)?;
    let mut steps = Vec::new();
    for namespace in desired {
        steps.extend(leftovers(namespace, existing, regions));
    }
    let gone: BTreeSet<String> = steps.iter().map(|step| step.stream.clone()).collect();
    let (mut homes, mut mirrors) = (Vec::new(), Vec::new());
    for namespace in desired {
        check_neighbours(namespace, existing, regions, &gone)?;
        check_home(namespace, existing, regions)?;
        let (home, of_mirrors) = copies(namespace, existing, regions, now_s);
        homes.push(home);
        mirrors.extend(of_mirrors);
    }
    // A stream that gives subjects up must do so before another one takes them.
    homes.sort_by_key(|step| matches!(step.action, Action::Create { .. }));
    steps.extend(homes);
    steps.extend(mirrors);
    let names: BTreeSet<&str> = desired.iter().map(|namespace| namespace.name.as_str()).collect();
    let is_unknown = |stream: &&ExistingStream| {
        stream.namespace().is_some_and(|namespace| !names.contains(namespace))
    };
    let unknown = existing.iter().filter(is_unknown).map(|stream| stream.name().to_owned());
    Ok(Plan { steps, unknown: unknown.collect() })
}

fn check_namespaces(desired: &[DurableNamespace], regions: &[String]) -> Result<(), Error> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (index, namespace) in desired.iter().enumerate() {
        namespace.check(regions)?;
        let invalid = |what| Err(Error::Invalid { namespace: namespace.name.clone(), what });
        for region in regions {
            let name = copy_name(namespace, region);
            if names.contains(&name) {
                return invalid(format!("its stream {name} is another namespace's too"));
            }
        }
        names.extend(regions.iter().map(|region| copy_name(namespace, region)));
        let mut others = desired[..index].iter();
        if let Some(other) = others.find(|other| overlap(&other.pattern, &namespace.pattern)) {
            return invalid(format!("its pattern overlaps that of namespace {}", other.name));
        }
    }
    Ok(())
}

/// Streams of this namespace that no copy of it is called: of an older epoch, of a region that is
/// not in the mesh any more, of another home.
fn leftovers(
    namespace: &DurableNamespace,
    existing: &[ExistingStream],
    regions: &[String],
) -> Vec<Step> {
    let wanted: Vec<String> = regions.iter().map(|region| copy_name(namespace, region)).collect();
    let is_ours = |stream: &&ExistingStream| stream.namespace() == Some(namespace.name.as_str());
    let leftovers = existing.iter().filter(is_ours);
    let leftovers = leftovers.filter(|stream| !wanted.iter().any(|name| name == stream.name()));
    leftovers
        .map(|stream| Step {
            namespace: namespace.name.clone(),
            stream: stream.name().to_owned(),
            region: stream.region().to_owned(),
            action: Action::Delete {
                reason: why_leftover(namespace, stream, regions),
                messages: stream.messages(),
            },
        })
        .collect()
}

fn why_leftover(
    namespace: &DurableNamespace,
    stream: &ExistingStream,
    regions: &[String],
) -> String {
    let first = first_home_stream_name(namespace);
    let is_of_this_epoch =
        stream.name() == first || stream.name().starts_with(&format!("{first}_"));
    if !is_of_this_epoch {
        format!("not of the configured stream and epoch, {first}")
    } else if stream.name() == first && stream.mirror_of().is_none() {
        was_home(namespace)
    } else if !regions.iter().any(|region| region == stream.region()) {
        format!("region {} is not in the mesh", stream.region())
    } else {
        "home is in this region now, which needs no mirror".to_owned()
    }
}

fn was_home(namespace: &DurableNamespace) -> String {
    let home = home_stream_name(namespace);
    format!("it was home before {home}, which may lack messages that are here: save them first")
}

/// Refuses to turn the home stream into a mirror, or a mirror into the home stream: a promotion
/// does that, and loses nothing that there is.
fn check_home(
    namespace: &DurableNamespace,
    existing: &[ExistingStream],
    regions: &[String],
) -> Result<(), Error> {
    let home = home_stream_name(namespace);
    let invalid = |what| Err(Error::Invalid { namespace: namespace.name.clone(), what });
    for stream in existing {
        let (name, region) = (stream.name(), stream.region());
        if name == home && stream.mirror_of().is_some() {
            let promote = format!("`meridian streams promote {} --to {region}`", namespace.name);
            return invalid(format!("its home_stream {name} is a mirror: {promote} first"));
        }
        let is_mirror_by_name =
            regions.iter().any(|region| copy_name(namespace, region) == name) && name != home;
        if is_mirror_by_name && stream.takes_writes() {
            let keys = format!("home = {region:?} and home_stream = {name:?}");
            return invalid(format!("its home stream is {name}: set {keys}"));
        }
    }
    Ok(())
}

/// Refuses streams of others that have our names or store our subjects.
fn check_neighbours(
    namespace: &DurableNamespace,
    existing: &[ExistingStream],
    regions: &[String],
    gone: &BTreeSet<String>,
) -> Result<(), Error> {
    for stream in existing.iter().filter(|stream| !gone.contains(stream.name())) {
        let is_ours = stream.namespace() == Some(namespace.name.as_str());
        let has_our_name =
            regions.iter().any(|region| copy_name(namespace, region) == stream.name());
        if has_our_name && !is_ours {
            return Err(Error::NotOurs {
                stream: stream.name().to_owned(),
                namespace: namespace.name.clone(),
            });
        }
        // A stream of another namespace may be about to give its subjects up.
        let is_strange = stream.namespace().is_none();
        if is_strange && stream.subjects().any(|subject| overlap(subject, &namespace.pattern)) {
            return Err(Error::Overlap {
                stream: stream.name().to_owned(),
                pattern: namespace.pattern.clone(),
            });
        }
    }
    Ok(())
}

/// Home and its mirrors.
fn copies(
    namespace: &DurableNamespace,
    existing: &[ExistingStream],
    regions: &[String],
    now_s: u64,
) -> (Step, Vec<Step>) {
    let find = |name: &str| existing.iter().find(|stream| stream.name() == name);
    let home = find(&home_stream_name(namespace));
    let config_of = |region: &str, epoch: &str| CopyConfig::of(namespace, region, epoch);
    let fresh = || epoch::new(&home_stream_name(namespace), now_s);
    let mut epoch = home.and_then(ExistingStream::epoch).map_or_else(fresh, str::to_owned);
    let mut home_action = compare(home, config_of(&namespace.home, &epoch));
    if matches!(home_action, Action::Recreate { .. }) {
        epoch = epoch::next(&home_stream_name(namespace), Some(&epoch), now_s);
        home_action = compare(home, config_of(&namespace.home, &epoch));
    }
    // The home stream that mirrors may go on copying.
    let lasting = home.filter(|_| !home_action.destroys());
    let step = |region: &str, action| Step {
        namespace: namespace.name.clone(),
        stream: copy_name(namespace, region),
        region: region.to_owned(),
        action,
    };
    let others = regions.iter().filter(|region| **region != namespace.home);
    let mirrors = others.map(|region| {
        let config = config_of(region, &epoch);
        let action = match (find(&config.stream), lasting) {
            // Its messages have the sequence numbers of a stream that is not there any more.
            (Some(mirror), origin) if origin.is_none_or(|origin| mirror.is_older_than(origin)) => {
                Action::Recreate {
                    config,
                    reason: "it copied a home stream that is gone; to keep its messages, make it \
                             the home stream instead (promote it)"
                        .to_owned(),
                    messages: mirror.messages(),
                }
            }
            (Some(retired), _) if retired.mirror_of().is_none() => Action::Recreate {
                config,
                reason: was_home(namespace),
                messages: retired.messages(),
            },
            (mirror, _) => compare(mirror, config),
        };
        step(region, action)
    });
    let mirrors = mirrors.collect();
    (step(&namespace.home, home_action), mirrors)
}

fn compare(existing: Option<&ExistingStream>, config: CopyConfig) -> Action {
    let Some(existing) = existing else { return Action::Create { config } };
    let changes = config.changes(&existing.config);
    let fixed: Vec<&str> =
        changes.iter().filter(|change| !change.is_possible()).map(|change| change.field).collect();
    if !fixed.is_empty() {
        let reason = format!("cannot be changed in place: {}", fixed.join(", "));
        return Action::Recreate { config, reason, messages: existing.messages() };
    }
    if changes.is_empty() { Action::Nothing } else { Action::Update { config, changes } }
}
