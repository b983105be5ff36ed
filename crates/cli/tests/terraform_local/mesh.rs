//! A mesh that `terraform apply` starts, and its processes as the system sees them.

use meridian_local::{PortBlock, find_nats_server};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const BASE_PORT: u16 = 20_000;
const REGION_PORTS: u16 = 50;

/// Owned by one test; dropping it ends every process, whatever became of terraform's state.
pub(crate) struct TerraformMesh {
    state: TempDir,
    servers: usize,
    edges: usize,
    /// In the order in which regions get their ports: two a block.
    blocks: Vec<PortBlock>,
}

impl TerraformMesh {
    /// Nothing runs yet.
    pub(crate) fn new(servers: usize, edges: usize) -> Self {
        let blocks = (0..2).map(|_| PortBlock::claim().unwrap()).collect();
        let mesh = Self { state: TempDir::new().unwrap(), servers, edges, blocks };
        mesh.succeed(&["init", "-input=false"]);
        mesh
    }

    /// Applies these regions, the first of which is home; a region's second part is its `joined`.
    pub(crate) fn apply(&self, regions: &[(&str, u32)]) {
        let variables = self.variables(regions);
        self.succeed(&["apply", "-auto-approve", "-input=false", &self.at(), &variables]);
    }

    /// Whether a plan would change anything.
    pub(crate) fn plan_is_empty(&self, regions: &[(&str, u32)]) -> bool {
        let variables = self.variables(regions);
        let planned = self.run(&["plan", "-detailed-exitcode", &self.at(), &variables]);
        match planned.status.code() {
            Some(0) => true,
            Some(2) => false,
            code => panic!("plan ended with {code:?}: {}", text_of(&planned)),
        }
    }

    pub(crate) fn destroy(&self, regions: &[(&str, u32)]) {
        let variables = self.variables(regions);
        self.succeed(&["destroy", "-auto-approve", "-input=false", &self.at(), &variables]);
    }

    /// As if terraform's state were gone.
    pub(crate) fn lose_state(&self) {
        fs::remove_file(self.state.path().join("state.json")).unwrap();
    }

    /// What an operator runs then.
    pub(crate) fn stop_all(&self) {
        let stopped = Command::new("./process.sh")
            .arg("stop-all")
            .current_dir(terraform_local())
            .env("MESH", self.directory())
            .output()
            .unwrap();
        assert!(stopped.status.success(), "{}", text_of(&stopped));
    }

    /// Configurations, certificates, logs, pid files.
    pub(crate) fn directory(&self) -> PathBuf {
        self.state.path().join("mesh")
    }

    /// Keeps logs for whoever looks into a failure.
    pub(crate) fn keep(&mut self) {
        self.state.disable_cleanup(true);
        eprintln!("the mesh's files stay in {}", self.state.path().display());
    }

    /// The edges' WebSocket URLs.
    pub(crate) fn edges_of(&self, region: usize) -> Vec<String> {
        let first = self.first_port(region) + 30;
        (0..self.edges as u16).map(|k| format!("ws://127.0.0.1:{}/v1/ws", first + 2 * k)).collect()
    }

    /// The nats-servers, as `tls://`.
    pub(crate) fn servers_of(&self, region: usize) -> Vec<String> {
        let first = self.first_port(region);
        (0..self.servers as u16).map(|n| format!("tls://127.0.0.1:{}", first + 5 * n)).collect()
    }

    /// The processes by name that run now.
    pub(crate) fn running(&self) -> Vec<(String, Pid)> {
        let Ok(files) = fs::read_dir(self.directory().join("run")) else { return Vec::new() };
        let pids = files.filter_map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name()?.to_str()?.strip_suffix(".pid")?.to_owned();
            let pid = Pid::from_raw(fs::read_to_string(&path).ok()?.trim().parse().ok()?)?;
            test_kill_process(pid).is_ok().then_some((name, pid))
        });
        pids.collect()
    }

    /// SIGKILL for every process of a region.
    pub(crate) fn kill_region(&self, region: &str) -> usize {
        let prefix = format!("{region}-");
        let victims: Vec<_> =
            self.running().into_iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        for (_, pid) in &victims {
            kill_process(*pid, Signal::KILL).unwrap();
        }
        victims.len()
    }

    fn first_port(&self, region: usize) -> u16 {
        self.blocks[region / 2].ports().start + REGION_PORTS * (region % 2) as u16
    }

    fn at(&self) -> String {
        format!("-state={}", self.state.path().join("state.json").display())
    }

    /// Writes the variables, and names the file.
    fn variables(&self, regions: &[(&str, u32)]) -> String {
        let of = |(position, &(name, joined)): (usize, &(&str, u32))| {
            let index = (self.first_port(position) - BASE_PORT) / REGION_PORTS;
            (name.to_owned(), json!({ "index": index, "joined": joined }))
        };
        let of_all: serde_json::Map<String, Value> = regions.iter().enumerate().map(of).collect();
        let variables = json!({
            "regions": of_all,
            "home": regions[0].0,
            "servers": self.servers,
            "edges": self.edges,
            "base_port": BASE_PORT,
            "directory": self.directory(),
            "nats_server": find_nats_server().unwrap(),
            "meridian": env!("CARGO_BIN_EXE_meridian"),
        });
        let path = self.state.path().join("mesh.tfvars.json");
        fs::write(&path, variables.to_string()).unwrap();
        format!("-var-file={}", path.display())
    }

    fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "terraform {arguments:?}: {}", text_of(&output));
    }

    fn run(&self, arguments: &[&str]) -> Output {
        terraform(&terraform_local(), self.state.path(), arguments)
    }
}

impl Drop for TerraformMesh {
    fn drop(&mut self) {
        // A test that failed must not leave processes; the pids are its own.
        for (_, pid) in self.running() {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

pub(crate) fn terraform_local() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform/local")
}

/// Runs terraform in a directory of the tree; what it writes goes to `state`.
pub(crate) fn terraform(directory: &Path, state: &Path, arguments: &[&str]) -> Output {
    Command::new("terraform")
        .arg(format!("-chdir={}", directory.display()))
        .args(arguments)
        .arg("-no-color")
        // Nothing of this run is left in the tree, and nobody's settings matter.
        .env("TF_DATA_DIR", state.join("terraform"))
        .env("TF_CLI_CONFIG_FILE", "/dev/null")
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .expect("terraform is needed: install version 1.9 or newer")
}

pub(crate) fn text_of(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}
