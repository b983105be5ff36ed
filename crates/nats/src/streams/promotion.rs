//! What has to be done so that a region's mirror becomes the home stream (NATS ADR-59). Pure: time
//! is passed in, and [`Streams::promote`](super::Streams::promote) performs it.
//!
//! The old home is retired first: JetStream allows one stream to a subject, and the servers of
//! a home that is lost must not take writes again when they come back. Then the mirror takes the
//! subjects over, and last the other regions' mirrors are made again, because JetStream cannot
//! change what a mirror copies.

mod display;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Value, json};

use super::copy_config::{CopyConfig, FieldChange, set};
use super::epoch;
use super::error::Error;
use super::existing::ExistingStream;
use super::namespace::{
    DurableNamespace, first_home_stream_name, home_stream_name, mirror_stream_name,
};
use super::plan::{Action, Plan, plan};
use crate::subjects::retired;

/// All streams of the account, as far as they can be seen.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Those that answer.
    pub existing: Vec<ExistingStream>,
    /// The names of those that do not: their servers are down or cut off.
    pub silent: Vec<String>,
    /// The names of those that take what is published on the namespace's pattern, answering or
    /// not, as the meta leader knows them.
    pub capturing: Vec<String>,
}

/// How one mirror becomes the home stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Promotion {
    /// Whose home moves.
    pub namespace: String,
    /// Its pattern.
    pub(super) pattern: String,
    /// Where home will be.
    pub region: String,
    /// The stream that will be home. It keeps its name.
    pub stream: String,
    /// The stream that was home.
    pub old_home: OldHome,
    /// The epoch of all copies until now.
    pub epoch_before: Option<String>,
    /// The epoch afterwards: another one unless the old home answers, because what the mirror had
    /// not yet copied would make positions lie.
    pub epoch: String,
    /// What the old home becomes; `None` if it need not change.
    pub(super) retirement: Option<Retirement>,
    /// What the mirror becomes; `None` if it is home already.
    pub(super) takeover: Option<Takeover>,
    /// Mirrors that hold more than the one to promote: their names, and how many messages more.
    pub ahead: Vec<(String, u64)>,
    /// What other regions' copies need.
    pub rest: Plan,
    /// Copies that cannot be changed now, because their region does not answer.
    pub left: Vec<String>,
}

/// The stream that was home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OldHome {
    /// It answers: the mirror takes over once it has all of it.
    Answers {
        /// Its name.
        stream: String,
    },
    /// It does not: what the mirror has not copied is lost to the mesh.
    Lost {
        /// Its name.
        stream: String,
    },
    /// There is none any more, or the mirror took over already.
    Gone,
}

/// How the old home is kept from taking writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Retirement {
    pub(super) stream: String,
    /// The whole configuration to send.
    #[serde(skip)]
    pub(super) config: Value,
}

/// What the mirror becomes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Takeover {
    #[serde(skip)]
    pub(super) config: CopyConfig,
    pub(super) changes: Vec<FieldChange>,
}

impl Promotion {
    /// Whether everything is so already.
    pub fn is_empty(&self) -> bool {
        self.retirement.is_none() && self.takeover.is_none() && self.rest.is_empty()
    }

    /// The namespace as it has to stand in configuration afterwards: its home, and its
    /// `home_stream` unless that is the default.
    pub fn configuration(&self) -> String {
        format!("home = {:?}\nhome_stream = {:?}\n", self.region, self.stream)
    }
}

/// Plans the promotion of the mirror in `region`. `regions` are all regions of the mesh; `now_s`
/// is Unix time and becomes the epoch if home is lost. Whether `namespace` names the old home or
/// the new one already makes no difference: what counts is what the streams say.
///
/// # Errors
/// [`Error::Invalid`] when there is no mirror to promote, or it copies another stream than home.
pub fn promotion(
    namespace: &DurableNamespace,
    region: &str,
    survey: &Survey,
    regions: &[String],
    now_s: u64,
) -> Result<Promotion, Error> {
    namespace.check(regions)?;
    let invalid = |what: String| Error::Invalid { namespace: namespace.name.clone(), what };
    let target = target(namespace, region, survey).map_err(invalid)?;
    let is_home = target.takes_writes();
    let old_home = old_home(target, survey);
    let after = after(namespace, region, target.name());
    let epoch_before = target.epoch().map(str::to_owned);
    let epoch = match (&epoch_before, &old_home) {
        (Some(epoch), _) if is_home => epoch.clone(),
        (Some(epoch), OldHome::Answers { .. }) => epoch.clone(),
        (epoch, _) => epoch::next(target.name(), epoch.as_deref(), now_s),
    };
    let config = CopyConfig::of(&after, region, &epoch);
    let taken_over = taken_over(&target.config, &config);
    let changes = config.changes(&target.config);
    let takeover = (!is_home).then_some(Takeover { config, changes });
    let retirement = match &old_home {
        OldHome::Gone => None,
        OldHome::Answers { stream } | OldHome::Lost { stream } => {
            retirement(namespace, stream, survey, regions).map_err(invalid)?
        }
    };
    let mut existing = survey.existing.clone();
    for stream in &mut existing {
        if stream.name() == target.name() {
            stream.config.clone_from(&taken_over);
        } else if let Some(retirement) =
            retirement.as_ref().filter(|retirement| retirement.stream == stream.name())
        {
            stream.config.clone_from(&retirement.config);
        }
    }
    let whole = plan(std::slice::from_ref(&after), &existing, regions, now_s)?;
    let (rest, left) = rest(whole, &old_home, survey);
    Ok(Promotion {
        namespace: namespace.name.clone(),
        pattern: namespace.pattern.clone(),
        region: region.to_owned(),
        stream: target.name().to_owned(),
        ahead: ahead(target, survey),
        old_home,
        epoch_before,
        epoch,
        retirement,
        takeover,
        rest,
        left,
    })
}

/// The stream to promote, or the home stream if it is in this region already.
fn target<'a>(
    namespace: &DurableNamespace,
    region: &str,
    survey: &'a Survey,
) -> Result<&'a ExistingStream, String> {
    let is_ours = |stream: &&ExistingStream| stream.namespace() == Some(namespace.name.as_str());
    let mut ours = survey.existing.iter().filter(is_ours);
    let is_captured = |stream: &ExistingStream| survey.captures(stream.name());
    if let Some(home) = ours.clone().find(|s| s.region() == region && is_captured(s)) {
        return Ok(home);
    }
    let name = mirror_stream_name(namespace, region);
    let found = ours.find(|stream| stream.name() == name);
    let mirror = found.ok_or_else(|| {
        format!("there is no stream {name} that answers: only a region's mirror can be promoted")
    })?;
    let Some(origin) = mirror.mirror_of() else {
        return Err(format!("{name} is no mirror: run `meridian streams apply` first"));
    };
    match survey.capturing.iter().find(|name| *name != origin) {
        None => Ok(mirror),
        Some(home) => {
            let first = format!("{name} copies {origin}, and {home} stores the namespace's");
            Err(format!("{first} subjects: run `meridian streams apply` first"))
        }
    }
}

fn old_home(target: &ExistingStream, survey: &Survey) -> OldHome {
    let Some(stream) = target.mirror_of().map(str::to_owned) else { return OldHome::Gone };
    if survey.find(&stream).is_some() {
        OldHome::Answers { stream }
    } else if survey.silent.contains(&stream) || survey.captures(&stream) {
        OldHome::Lost { stream }
    } else {
        OldHome::Gone
    }
}

/// The namespace as it is configured afterwards.
pub(super) fn after(namespace: &DurableNamespace, region: &str, stream: &str) -> DurableNamespace {
    let is_first = stream == first_home_stream_name(namespace);
    let home_stream = (!is_first).then(|| stream.to_owned());
    DurableNamespace { home: region.to_owned(), home_stream, ..namespace.clone() }
}

/// A mirror's configuration as the home stream's.
pub(super) fn taken_over(mirror: &Value, config: &CopyConfig) -> Value {
    let mut plain = mirror.clone();
    if let Some(fields) = plain.as_object_mut() {
        // Taken away, not emptied: the server takes an empty mirror for a mirror of nothing.
        fields.remove("mirror");
        fields.remove("mirror_direct");
    }
    config.over(Some(&plain))
}

/// What keeps the old home from taking writes: a subject that nobody publishes on, since without
/// any the server would take the stream's name for one. Its messages stay.
fn retirement(
    namespace: &DurableNamespace,
    stream: &str,
    survey: &Survey,
    regions: &[String],
) -> Result<Option<Retirement>, String> {
    if !survey.captures(stream) {
        return Ok(None);
    }
    let mut config = match survey.find(stream) {
        Some(existing) => existing.config.clone(),
        None => {
            // It does not answer, and an update replaces the whole configuration.
            let region = region_of(namespace, stream, survey, regions)?;
            let old = after(namespace, &region, stream);
            let epoch = epoch::new(stream, 0);
            CopyConfig::of(&old, &region, &epoch).over(None)
        }
    };
    set(&mut config, "subjects", json!([retired(stream)]));
    if let Some(fields) = config.as_object_mut() {
        fields.remove("republish");
    }
    Ok(Some(Retirement { stream: stream.to_owned(), config }))
}

/// Where a home stream is that does not answer.
fn region_of(
    namespace: &DurableNamespace,
    stream: &str,
    survey: &Survey,
    regions: &[String],
) -> Result<String, String> {
    if let Some(region) = regions.iter().find(|r| mirror_stream_name(namespace, r) == stream) {
        return Ok(region.clone());
    }
    if home_stream_name(namespace) == stream {
        return Ok(namespace.home.clone());
    }
    // The file names the new home already. The old one is where there is no mirror.
    let has_mirror = |region: &&String| {
        let mirror = mirror_stream_name(namespace, region);
        survey.find(&mirror).is_some() || survey.silent.contains(&mirror)
    };
    let mut without = regions.iter().filter(|region| !has_mirror(region));
    match (without.next(), without.next()) {
        (Some(region), None) => Ok(region.clone()),
        _ => Err(format!("where is {stream}? Name its region as `home` in the file")),
    }
}

/// What of the plan for afterwards is done at once, and which streams must wait.
fn rest(mut plan: Plan, old_home: &OldHome, survey: &Survey) -> (Plan, Vec<String>) {
    plan.unknown.clear();
    // A region without any stream that answers cannot be given one.
    let answers = |region: &str| survey.existing.iter().any(|stream| stream.region() == region);
    let (mut kept, mut left) = (Vec::new(), Vec::new());
    for mut step in plan.steps {
        let mut must_wait = survey.silent.contains(&step.stream) || !answers(&step.region);
        match (&mut step.action, old_home) {
            // What an old home holds may be all there is of some messages.
            (Action::Delete { .. }, _) => must_wait = true,
            (Action::Recreate { .. }, OldHome::Lost { stream }) if *stream == step.stream => {
                must_wait = true;
            }
            (Action::Recreate { reason, .. }, OldHome::Answers { stream })
                if *stream == step.stream =>
            {
                *reason = "it has handed everything over, and becomes a mirror".to_owned();
            }
            _ => {}
        }
        if must_wait {
            left.push(step.stream);
        } else {
            kept.push(step);
        }
    }
    (Plan { steps: kept, unknown: Vec::new() }, left)
}

fn ahead(target: &ExistingStream, survey: &Survey) -> Vec<(String, u64)> {
    let Some(origin) = target.mirror_of() else { return Vec::new() };
    let others = survey.existing.iter().filter(|stream| stream.mirror_of() == Some(origin));
    let more = others.map(|stream| {
        let more = stream.state.last_seq.saturating_sub(target.state.last_seq);
        (stream.name().to_owned(), more)
    });
    more.filter(|(_, more)| *more > 0).collect()
}

impl Survey {
    fn find(&self, name: &str) -> Option<&ExistingStream> {
        self.existing.iter().find(|stream| stream.name() == name)
    }

    pub(super) fn captures(&self, name: &str) -> bool {
        self.capturing.iter().any(|capturing| capturing == name)
    }
}
