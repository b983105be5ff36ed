//! What a running development mesh tells: one JSON line, or a table with first steps. Pure.

use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// The whole mesh.
#[derive(Debug, Serialize)]
pub(crate) struct Announcement {
    pub(crate) regions: Vec<RegionInfo>,
}

/// A region; the URLs are those of its first edge.
#[derive(Debug, Serialize)]
pub(crate) struct RegionInfo {
    pub(crate) name: String,
    pub(crate) ws: String,
    pub(crate) http: String,
    /// For plain NATS clients, with user and password.
    pub(crate) nats: String,
    pub(crate) admin: String,
    /// Of the region's nats-server.
    pub(crate) nats_pid: Option<u32>,
    pub(crate) edges: Vec<EdgeInfo>,
}

/// One edge.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EdgeInfo {
    pub(crate) id: String,
    pub(crate) ws: String,
    pub(crate) http: String,
    pub(crate) admin: String,
    pub(crate) pid: Option<u32>,
}

impl EdgeInfo {
    pub(crate) fn new(id: String, public_port: u16, admin_port: u16, pid: Option<u32>) -> Self {
        Self {
            id,
            ws: ws_url(public_port),
            http: format!("http://127.0.0.1:{public_port}"),
            admin: format!("http://127.0.0.1:{admin_port}"),
            pid,
        }
    }
}

/// The WebSocket URL of an edge on this port.
pub(crate) fn ws_url(public_port: u16) -> String {
    format!("ws://127.0.0.1:{public_port}/v1/ws")
}

impl Announcement {
    /// One line.
    pub(crate) fn to_json(&self) -> String {
        let object = serde_json::to_string(self).expect("plain structs serialize");
        format!("{object}\n")
    }

    /// A table, and what to try first.
    pub(crate) fn to_table(&self, state_dir: &Path) -> String {
        let titles = ["region", "edge", "WebSocket", "page", "NATS", "admin"].map(str::to_owned);
        let mut rows = vec![titles];
        for region in &self.regions {
            for (index, edge) in region.edges.iter().enumerate() {
                let of_region =
                    |text: &String| if index == 0 { text.clone() } else { String::new() };
                rows.push([
                    of_region(&region.name),
                    edge.id.clone(),
                    edge.ws.clone(),
                    edge.http.clone(),
                    of_region(&region.nats),
                    edge.admin.clone(),
                ]);
            }
        }
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
                write!(line, "{cell:<width$}  ").expect("writing to a string cannot fail");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push_str(&self.first_steps(state_dir));
        text
    }

    fn first_steps(&self, state_dir: &Path) -> String {
        let (Some(first), Some(last)) = (self.regions.first(), self.regions.last()) else {
            return String::new();
        };
        format!(
            "\nopen {page} in a browser, or try in two terminals:\n\
             \x20 meridian sub 'demo.>' --url {ws}\n\
             \x20 nats --server {nats} pub demo.hello 'hello from {region}'\n\
             \nfiles and logs are in {state}; Ctrl-C stops everything\n",
            page = first.http,
            ws = last.ws,
            nats = first.nats,
            region = first.name,
            state = state_dir.display(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> Announcement {
        let region = |name: &str, base: u16| {
            let edges: Vec<EdgeInfo> = (0..2)
                .map(|k| {
                    let port = base + 10 + 2 * k;
                    EdgeInfo::new(format!("{name}-{}", k + 1), port, port + 1, Some(1))
                })
                .collect();
            RegionInfo {
                name: name.into(),
                ws: edges[0].ws.clone(),
                http: edges[0].http.clone(),
                nats: format!("nats://app:app@127.0.0.1:{base}"),
                admin: edges[0].admin.clone(),
                nats_pid: Some(2),
                edges,
            }
        };
        Announcement { regions: vec![region("eu", 7400), region("us", 7500)] }
    }

    #[test]
    fn json_is_one_line_with_every_region_and_edge() {
        let json = announcement().to_json();
        assert_eq!(json.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let eu = &value["regions"][0];
        assert_eq!(eu["ws"], "ws://127.0.0.1:7410/v1/ws");
        assert_eq!(eu["http"], "http://127.0.0.1:7410");
        assert_eq!(eu["nats"], "nats://app:app@127.0.0.1:7400");
        assert_eq!(eu["admin"], "http://127.0.0.1:7411");
        assert_eq!(value["regions"][1]["edges"][1]["admin"], "http://127.0.0.1:7513");
    }

    #[test]
    fn the_table_names_all_addresses_and_the_first_steps() {
        let table = announcement().to_table(Path::new(".meridian/dev"));
        for text in [
            "us      us-1",
            "http://127.0.0.1:7513",
            "sub 'demo.>' --url ws://127.0.0.1:7510/v1/ws",
            "nats --server nats://app:app@127.0.0.1:7400 pub demo.hello",
            ".meridian/dev",
        ] {
            assert!(table.contains(text), "{text} is not in\n{table}");
        }
    }
}
