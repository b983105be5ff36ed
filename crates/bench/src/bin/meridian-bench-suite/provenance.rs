//! Where the figures come from: a number without its machine, commit, date and command is worth
//! nothing.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::Failure;
use crate::servers::Programs;

/// Stands in every result file and above the table.
#[derive(Debug, Serialize)]
pub(crate) struct Provenance {
    /// Processor, cores, memory and kernel; never a host name.
    pub(crate) machine: String,
    /// `git rev-parse --short HEAD`, with `+` when the tree has changes.
    pub(crate) commit: String,
    /// UTC.
    pub(crate) date: String,
    /// The command line.
    pub(crate) command: String,
    /// What nats-server says of itself.
    pub(crate) nats_server: String,
}

impl Provenance {
    pub(crate) fn collect(programs: &Programs) -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism()?;
        let model = field(&fs::read_to_string("/proc/cpuinfo")?, "model name");
        let memory = field(&fs::read_to_string("/proc/meminfo")?, "MemTotal");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let changed = !output("git", &["status", "--porcelain"]).is_empty();
        let nats_server = match &programs.nats_server {
            Some(path) => output(&path.to_string_lossy(), &["--version"]),
            None => "not used".to_owned(),
        };
        let command: Vec<String> = std::env::args().collect();
        Ok(Self {
            machine: format!("{cores} × {model}, {memory}, Linux {}", kernel.trim()),
            commit: output("git", &["rev-parse", "--short", "HEAD"])
                + if changed { "+" } else { "" },
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            command: command.join(" "),
            nats_server,
        })
    }
}

/// The value of `name : value`, as the files in `/proc` write it.
fn field(text: &str, name: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or_else(|| format!("unknown {name}"), |(_, value)| value.trim().to_owned())
}

/// A program's output; empty when it does not run, since a release archive has no git.
fn output(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
