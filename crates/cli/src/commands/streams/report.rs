//! What `meridian streams` prints. Pure.

use meridian_nats::streams::{CopyStatus, Error, PurgeReport};
use serde::Serialize;

/// A mirror hears of home each second, also when nothing is published.
const HEARD_MS_MAX: u64 = 3_000;

/// One copy's line.
#[derive(Debug, Serialize)]
pub(super) struct CopyReport {
    namespace: String,
    /// As configured; the status says where the copy is.
    region: String,
    stream: String,
    is_home: bool,
    status: Option<CopyStatus>,
    /// Whether it may lack what home has.
    stale: bool,
    /// Whether home takes no writes.
    readonly: bool,
    /// What is not as it must be.
    pub(super) problem: Option<String>,
}

impl CopyReport {
    pub(super) fn new(
        namespace: &str,
        region: &str,
        is_home: bool,
        stream: String,
        status: Result<CopyStatus, Error>,
    ) -> Self {
        let (status, problem) = match status {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let (namespace, region) = (namespace.to_owned(), region.to_owned());
        let (stale, readonly) = (false, false);
        let mut report =
            Self { namespace, region, stream, is_home, status, stale, readonly, problem };
        report.check_alone();
        report
    }

    fn check_alone(&mut self) {
        let Some(status) = &self.status else { return };
        let has_heard = status.mirror_active_ms.is_some_and(|ms| ms <= HEARD_MS_MAX);
        if status.region != self.region {
            self.problem = Some(format!("it is placed in {:?}", status.region));
        } else if self.is_home && !status.takes_writes {
            self.problem = Some("it is not the home stream: see `streams plan`".to_owned());
        } else if !self.is_home && status.mirror_of.is_none() {
            self.problem = Some("it mirrors nothing".to_owned());
        } else if !self.is_home && !has_heard {
            self.problem = Some("it does not hear of home".to_owned());
        }
        self.stale = self.problem.is_some() || status.mirror_lag.is_some_and(|lag| lag > 0);
    }
}

/// What the copies of a namespace say together: without its home nothing can be stored, and a copy
/// of another epoch than home is not the same log.
pub(super) fn compare_homes(copies: &mut [CopyReport]) {
    let takes_writes = |copy: &CopyReport| copy.status.as_ref().is_some_and(|s| s.takes_writes);
    let writable: Vec<String> = copies
        .iter()
        .filter(|copy| copy.is_home && takes_writes(copy))
        .map(|copy| copy.namespace.clone())
        .collect();
    for copy in copies.iter_mut() {
        copy.stale |= copy.status.is_none();
        copy.readonly = !writable.contains(&copy.namespace);
    }
    let epoch_of = |copy: &CopyReport| copy.status.as_ref().and_then(|s| s.epoch.clone());
    let homes: Vec<(String, Option<String>)> = copies
        .iter()
        .filter(|copy| copy.is_home && copy.status.is_some())
        .map(|copy| (copy.namespace.clone(), epoch_of(copy)))
        .collect();
    for copy in copies.iter_mut().filter(|copy| copy.status.is_some()) {
        let home = homes.iter().find(|(namespace, _)| *namespace == copy.namespace);
        if copy.problem.is_none() && home.is_some_and(|(_, epoch)| *epoch != epoch_of(copy)) {
            copy.problem = Some("its epoch is not that of home: run `streams apply`".to_owned());
        }
    }
}

/// One JSON object on one line.
pub(super) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("plain structs of texts and numbers serialize");
    format!("{text}\n")
}

/// `{"copies":[…],"meta_leader":true}`.
pub(super) fn status_json(copies: &[CopyReport], has_meta_leader: bool) -> String {
    json(&serde_json::json!({"copies": copies, "meta_leader": has_meta_leader}))
}

/// The status as a table.
pub(super) fn status(copies: &[CopyReport], has_meta_leader: bool) -> String {
    let heads = [
        "STREAM",
        "REGION",
        "STATE",
        "EPOCH",
        "MESSAGES",
        "FIRST",
        "LAST",
        "LAG",
        "HEARD",
        "CONSUMERS",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for copy in copies {
        let state = match (copy.stale, copy.readonly) {
            (true, true) => "stale, readonly",
            (true, false) => "stale",
            (false, true) => "readonly",
            (false, false) => "ok",
        };
        let mut row = vec![copy.stream.clone(), copy.region.clone(), state.to_owned()];
        if let Some(status) = &copy.status {
            let dash = || "-".to_owned();
            let heard = match (status.mirror_lag, status.mirror_active_ms) {
                (None, _) => dash(),
                (Some(_), None) => "never".to_owned(),
                (Some(_), Some(ms)) => format!("{ms} ms ago"),
            };
            row.extend([
                status.epoch.clone().unwrap_or_else(dash),
                status.messages.to_string(),
                status.first_seq.to_string(),
                status.last_seq.to_string(),
                status.mirror_lag.map_or_else(dash, |lag| lag.to_string()),
                heard,
                status.consumers.to_string(),
            ]);
        }
        rows.push(row);
    }
    let mut text = table(&rows);
    for copy in copies {
        if let Some(problem) = &copy.problem {
            text.push_str(&format!("! {}: {problem}\n", copy.stream));
        }
    }
    if !has_meta_leader {
        text.push_str(
            "! JetStream has no meta leader: more than half of the mesh's nats-servers must run; \
             until then no stream can be made, changed or promoted\n",
        );
    }
    text
}

/// What a purge did, as a table.
pub(super) fn purged(report: &PurgeReport) -> String {
    let mut rows = vec![["STREAM", "REGION", "PURGED"].map(str::to_owned).to_vec()];
    for copy in &report.copies {
        rows.push(vec![copy.stream.clone(), copy.region.clone(), copy.messages.to_string()]);
    }
    let mut text = table(&rows);
    for copy in &report.copies {
        if let Some(failure) = &copy.failure {
            text.push_str(&format!("! {}: {failure}\n", copy.stream));
        }
    }
    text.push_str(&format!("epoch: {}\n", report.epoch));
    text
}

/// Columns as wide as their widest cell, with two spaces between.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate();
        let line: Vec<String> =
            cells.map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(region: &str, epoch: &str, lag: Option<u64>) -> CopyReport {
        let stream = format!("ORDERS_1_{region}");
        let status = CopyStatus {
            stream: stream.clone(),
            region: region.to_owned(),
            epoch: Some(epoch.to_owned()),
            first_seq: 1,
            last_seq: 12,
            messages: 12,
            num_deleted: 0,
            mirror_lag: lag,
            mirror_active_ms: lag.map(|_| 800),
            mirror_of: lag.map(|_| "ORDERS_1".to_owned()),
            takes_writes: region == "eu",
            consumers: 0,
        };
        CopyReport::new("orders", region, region == "eu", stream, Ok(status))
    }

    #[test]
    fn a_copy_that_differs_from_home_has_a_problem() {
        let mut copies = [
            copy("eu", "E@1", None),
            copy("us", "E@1", Some(0)),
            copy("ap", "E@2", Some(0)),
            copy("sa", "E@1", None),
        ];
        compare_homes(&mut copies);
        assert_eq!([copies[0].problem.as_deref(), copies[1].problem.as_deref()], [None, None]);
        let problem = |index: usize| copies[index].problem.clone().unwrap();
        assert!(problem(2).contains("epoch"), "{}", problem(2));
        assert!(problem(3).contains("mirrors nothing"), "{}", problem(3));
        assert_eq!([copies[0].stale, copies[1].stale], [false, false]);
        let text = status(&copies, true);
        assert!(text.contains("\n! ORDERS_1_ap: its epoch"), "{text}");
        assert!(!text.contains("meta leader"), "{text}");
        assert!(status(&copies, false).contains("\n! JetStream has no meta leader"));
    }

    #[test]
    fn without_home_every_copy_is_readonly_and_a_mirror_that_hears_nothing_is_stale() {
        let mut copies =
            [copy("eu", "E@1", None), copy("us", "E@1", Some(0)), copy("ap", "E@1", Some(0))];
        copies[0].status = None;
        let unheard = copies[2].status.as_mut().unwrap();
        unheard.mirror_active_ms = None;
        copies[2].check_alone();
        compare_homes(&mut copies);
        assert!(copies.iter().all(|copy| copy.readonly));
        assert_eq!([copies[0].stale, copies[1].stale, copies[2].stale], [true, false, true]);
        let text = status(&copies, true);
        assert!(text.contains("\nORDERS_1_ap  ap      stale, readonly  E@1"), "{text}");
    }

    #[test]
    fn a_missing_copy_is_a_line_and_a_problem() {
        let missing = Err(Error::Missing { stream: "X_1".to_owned() });
        let mut copies = [CopyReport::new("x", "eu", true, "X_1".to_owned(), missing)];
        compare_homes(&mut copies);
        let text = status(&copies, true);
        assert!(text.starts_with("STREAM  REGION  STATE            EPOCH"), "{text}");
        assert!(
            text.contains("\nX_1     eu      stale, readonly\n! X_1: stream X_1 does not exist"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&status_json(&copies, true)).unwrap();
        assert_eq!(json["copies"][0]["status"], serde_json::Value::Null);
    }
}
