//! What stands in the dashboards.

use crate::{monitoring, read};
use serde_json::Value;

/// One query of one panel.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// Where it stands.
    pub(crate) place: String,
    /// As written, variables included.
    pub(crate) expression: String,
}

impl Query {
    /// What Grafana sends with everything selected, over a window that a test can wait for.
    pub(crate) fn filled(&self) -> String {
        let filled = self.expression.replace("$__rate_interval", "10s");
        let filled = filled.replace("$region", ".*").replace("$instance", ".*");
        assert!(!filled.contains('$'), "{}: an unknown variable in {filled}", self.place);
        filled
    }
}

/// Every query of every panel.
pub(crate) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for name in ["edge", "region", "mesh", "slo"] {
        let text = read(monitoring().join(format!("dashboards/{name}.json")));
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let place = format!("{name}: {}", panel["title"].as_str().unwrap());
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{place} asks nothing");
            queries.extend(targets.iter().map(|target| Query {
                place: place.clone(),
                expression: target["expr"].as_str().unwrap().into(),
            }));
        }
    }
    queries
}

#[test]
fn a_dashboard_is_what_grafana_reads() {
    for name in ["edge", "region", "mesh", "slo"] {
        let text = read(monitoring().join(format!("dashboards/{name}.json")));
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(dashboard["uid"], format!("meridian-{name}"));
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        assert_eq!(variables[0]["name"], "datasource");
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            let (id, place) = (&panel["id"], &panel["gridPos"]);
            assert!(!ids.contains(id) && !places.contains(place), "{}", panel["title"]);
            assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24);
            ids.push(id.clone());
            places.push(place.clone());
        }
    }
}
