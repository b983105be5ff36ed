//! A durable namespace, and the names that follow from it. Pure.

use super::error::Error;
use crate::subjects::{INTERNAL_ROOT, REVOCATIONS};
use crate::wire_text::{Wildcards, check_subject};

/// JetStream keeps at most five copies of a stream in one cluster.
const REPLICAS_MAX: usize = 5;

/// The name is a part of file names and subjects; epoch and region come behind it.
const STREAM_NAME_BYTES_MAX: usize = 64;

/// A century. JetStream counts ages in nanoseconds in 64 bits, which end after 292 years.
const AGE_S_MAX: u64 = 100 * 365 * 24 * 3_600;

/// What an operator decides about a durable namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableNamespace {
    /// As in the edge's configuration, for instance `orders`.
    pub name: String,
    /// Literal tokens and then `>`, for instance `orders.>`.
    pub pattern: String,
    /// The stem of the streams' names, for instance `ORDERS`: letters, digits, `-` and `_`.
    pub stream: String,
    /// Counted up by the operator to begin anew: the streams of an older epoch are deleted.
    pub epoch: u32,
    /// The region that writes go to.
    pub home: String,
    /// The home stream's name if home is a mirror that was promoted, which keeps its name, for
    /// instance `ORDERS_1_us`. `None`: stem and epoch.
    pub home_stream: Option<String>,
    /// Servers of a region that store each message: 1, 3 or 5.
    pub replicas: usize,
    /// Messages are deleted when they are this old, in seconds; 0 means never.
    pub max_age_s: u64,
    /// The oldest message of a subject is deleted when there are more; 0 means no limit.
    pub max_messages_per_subject: i64,
    /// The oldest messages are deleted when the stream is larger, in bytes; 0 means no limit.
    pub max_bytes: i64,
    /// How long a `Nats-Msg-Id` is remembered, in seconds; 0 means the server's default of 120.
    pub duplicate_window_s: u64,
}

/// The name of the stream that writes go to, for instance `ORDERS_1`; that of a mirror if one was
/// promoted.
pub fn home_stream_name(namespace: &DurableNamespace) -> String {
    namespace.home_stream.clone().unwrap_or_else(|| first_home_stream_name(namespace))
}

/// The name of the stream that an epoch begins with, before any mirror was promoted.
pub(super) fn first_home_stream_name(namespace: &DurableNamespace) -> String {
    format!("{}_{}", namespace.stream, namespace.epoch)
}

/// The name of a region's mirror, for instance `ORDERS_1_us`.
pub fn mirror_stream_name(namespace: &DurableNamespace, region: &str) -> String {
    format!("{}_{region}", first_home_stream_name(namespace))
}

/// The name of a region's copy: the home stream in the home region, a mirror elsewhere.
pub fn copy_name(namespace: &DurableNamespace, region: &str) -> String {
    if region == namespace.home {
        home_stream_name(namespace)
    } else {
        mirror_stream_name(namespace, region)
    }
}

/// What stands before a durable message's subject when a region's copy republishes it, for
/// instance `_mrd.reg.us.`.
pub fn live_subject_prefix(region: &str) -> String {
    format!("{INTERNAL_ROOT}.reg.{region}.")
}

impl DurableNamespace {
    /// Refuses what cannot be, before anything is sent. `regions` are all regions of the mesh.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first mistake.
    pub fn check(&self, regions: &[String]) -> Result<(), Error> {
        let mistake = self.name_mistake().or_else(|| self.pattern_mistake());
        let mistake = mistake.or_else(|| self.region_mistake(regions));
        match mistake.or_else(|| self.limit_mistake()) {
            Some(what) => Err(Error::Invalid { namespace: self.name.clone(), what }),
            None => Ok(()),
        }
    }

    fn name_mistake(&self) -> Option<String> {
        let is_name = is_plain(&self.stream) && self.stream.len() <= STREAM_NAME_BYTES_MAX;
        (!is_name).then(|| {
            let stream = &self.stream;
            format!("{stream:?} is no stream name: 1 to 64 letters, digits, - and _")
        })
    }

    fn pattern_mistake(&self) -> Option<String> {
        let pattern = &self.pattern;
        let literal = pattern.strip_suffix(".>").unwrap_or_default();
        // A whole token `*` stands for every tenant.
        let sample = literal.split('.').map(|token| if token == "*" { "x" } else { token });
        let sample = sample.collect::<Vec<_>>().join(".");
        let is_sound = check_subject("pattern", &sample, Wildcards::Refused).is_ok();
        let is_sound = is_sound && !sample.contains(['*', '>']);
        let is_reserved = literal.starts_with(['$', '_', '*']) && *pattern != *REVOCATIONS;
        (!is_sound || is_reserved)
            .then(|| format!("a durable pattern is literal tokens and then >, not {pattern:?}"))
    }

    fn region_mistake(&self, regions: &[String]) -> Option<String> {
        if let Some(region) = regions.iter().find(|region| !is_plain(region)) {
            return Some(format!("{region:?} is no region: letters, digits, - and _"));
        }
        if !regions.contains(&self.home) {
            let (home, known) = (&self.home, regions.join(", "));
            return Some(format!("its home {home:?} is none of the mesh's regions: {known}"));
        }
        self.home_stream_mistake()
    }

    fn home_stream_mistake(&self) -> Option<String> {
        let name = self.home_stream.as_ref()?;
        let (first, promoted) =
            (first_home_stream_name(self), mirror_stream_name(self, &self.home));
        (*name != first && *name != promoted).then(|| {
            format!("home_stream {name:?}: leave it out, or {promoted:?} if that was promoted")
        })
    }

    fn limit_mistake(&self) -> Option<String> {
        if !(1..=REPLICAS_MAX).contains(&self.replicas) {
            return Some(format!("{} replicas: 1, 3 or 5 are possible", self.replicas));
        }
        if self.max_age_s > AGE_S_MAX {
            return Some(format!("max_age_s {} is over {AGE_S_MAX}", self.max_age_s));
        }
        if self.max_age_s > 0 && self.duplicate_window_s > self.max_age_s {
            let (window, age) = (self.duplicate_window_s, self.max_age_s);
            return Some(format!("duplicate_window_s {window} is longer than max_age_s {age}"));
        }
        if self.duplicate_window_s > AGE_S_MAX {
            return Some(format!("duplicate_window_s is over {AGE_S_MAX}"));
        }
        let is_negative = self.max_messages_per_subject < 0 || self.max_bytes < 0;
        is_negative.then(|| "a limit is negative: 0 means no limit".to_owned())
    }
}

fn is_plain(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::streams) fn orders() -> DurableNamespace {
        DurableNamespace {
            name: "orders".into(),
            pattern: "orders.>".into(),
            stream: "ORDERS".into(),
            epoch: 1,
            home: "eu".into(),
            home_stream: None,
            replicas: 1,
            max_age_s: 86_400,
            max_messages_per_subject: 0,
            max_bytes: 1 << 30,
            duplicate_window_s: 120,
        }
    }

    pub(in crate::streams) fn regions(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_follow_from_namespace_epoch_and_region() {
        let orders = orders();
        assert_eq!(home_stream_name(&orders), "ORDERS_1");
        assert_eq!(mirror_stream_name(&orders, "us"), "ORDERS_1_us");
        assert_eq!(copy_name(&orders, "eu"), "ORDERS_1");
        assert_eq!(copy_name(&orders, "ap"), "ORDERS_1_ap");
        assert_eq!(live_subject_prefix("us"), "_mrd.reg.us.");
    }

    #[test]
    fn a_promoted_mirror_keeps_its_name_and_the_others_theirs() {
        let mut promoted = orders();
        (promoted.home, promoted.home_stream) = ("us".into(), Some("ORDERS_1_us".into()));
        assert_eq!(home_stream_name(&promoted), "ORDERS_1_us");
        assert_eq!(copy_name(&promoted, "us"), "ORDERS_1_us");
        assert_eq!(copy_name(&promoted, "eu"), "ORDERS_1_eu");
        assert_eq!(copy_name(&promoted, "ap"), "ORDERS_1_ap");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        type Change = fn(&mut DurableNamespace);
        let wrong: [(Change, &str); 14] = [
            (|n| n.stream = "OR.DERS".into(), "stream name"),
            (|n| n.stream = String::new(), "stream name"),
            (|n| n.stream = "X".repeat(65), "stream name"),
            (|n| n.pattern = "*.orders.>".into(), "literal tokens"),
            (|n| n.pattern = "t.a*.orders.>".into(), "literal tokens"),
            (|n| n.pattern = "orders".into(), "literal tokens"),
            (|n| n.pattern = ">".into(), "literal tokens"),
            (|n| n.pattern = "_mrd.x.>".into(), "literal tokens"),
            (|n| n.home = "mars".into(), "none of the mesh's regions: eu, us"),
            (
                |n| n.home_stream = Some("ORDERS_1_us".into()),
                "\"ORDERS_1_eu\" if that was promoted",
            ),
            (|n| n.replicas = 6, "replicas"),
            (|n| n.duplicate_window_s = 86_401, "longer than max_age_s"),
            (|n| n.max_age_s = AGE_S_MAX + 1, "max_age_s"),
            (|n| n.max_bytes = -1, "negative"),
        ];
        let regions = regions(&["eu", "us"]);
        orders().check(&regions).unwrap();
        // All tenants of a mesh.
        let of_tenants = DurableNamespace { pattern: "t.*.orders.>".into(), ..orders() };
        of_tenants.check(&regions).unwrap();
        for (change, part) in wrong {
            let mut namespace = orders();
            change(&mut namespace);
            let error = namespace.check(&regions).unwrap_err().to_string();
            assert!(error.contains("namespace orders: ") && error.contains(part), "{error}");
        }
        assert!(orders().check(&["eu".into(), "u s".into()]).is_err());
    }
}
