//! A real Prometheus, which scrapes every second and is asked by its API.

use crate::monitoring;
use meridian_local::http_get;
use meridian_testkit::{program, within};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Who is scraped, with a region each.
pub(crate) struct Targets {
    pub(crate) edges: Vec<(String, SocketAddr)>,
    pub(crate) exporters: Vec<(String, SocketAddr)>,
}

/// Ends when it is dropped.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _child: Child,
    _state: TempDir,
}

impl Prometheus {
    pub(crate) async fn start(targets: &Targets) -> Self {
        let state = TempDir::new().unwrap();
        let config = state.path().join("prometheus.yml");
        std::fs::write(&config, configuration(targets)).unwrap();
        let mut child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", state.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = within("prometheus listens", async {
            loop {
                let line = lines.next_line().await.unwrap().expect("prometheus goes on");
                if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                    return address.trim().parse().unwrap();
                }
            }
        })
        .await;
        // It must not block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, _child: child, _state: state }
    }

    /// How many series a query gives now.
    ///
    /// # Panics
    /// When Prometheus does not understand it.
    pub(crate) async fn series(&self, query: &str) -> usize {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/api/v1/query?query={encoded}");
        let response = http_get(self.address, &path).await.unwrap();
        let answer: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let result = answer["data"]["result"].as_array().unwrap();
        // What is divided by nothing is no data.
        result.iter().filter(|series| series["value"][1] != "NaN").count()
    }
}

fn configuration(targets: &Targets) -> String {
    let job = |name: &str, targets: &[(String, SocketAddr)]| {
        let mut job = format!("  - job_name: {name}\n    static_configs:\n");
        for (region, address) in targets {
            job += &format!(
                "      - targets: [\"{address}\"]\n        labels: {{region: {region}}}\n"
            );
        }
        job
    };
    let rules = monitoring().join("rules/*.yml");
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\n\
         scrape_configs:\n{}{}",
        rules.display(),
        job("meridian-edge", &targets.edges),
        job("meridian-nats", &targets.exporters),
    )
}
