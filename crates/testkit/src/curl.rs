//! `curl` as an HTTP client: what works with it works for people, and it is not our own code.

use crate::within;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Longer than any test waits, so that a forgotten curl ends too, in s.
const TIME_MAX: &str = "300";

/// One response, whole.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// 0 when there was none.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/2`.
    pub version: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// A response that streams lines. curl ends with it.
pub struct LineStream {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Runs curl to its end. `arguments` are curl's own and the address.
pub async fn curl(arguments: &[&str]) -> Answer {
    let output = within("curl ends", command(arguments).arg("-i").output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let mut lines = head.lines();
    let mut status = lines.next().unwrap_or_default().split(' ');
    let version = status.next().unwrap_or_default().into();
    let status = status.next().and_then(|status| status.parse().ok()).unwrap_or_default();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    Answer { status, version, headers: headers.collect(), body: body.into() }
}

impl Answer {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl LineStream {
    /// Starts curl without buffering.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        let mut child = command.arg("-N").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line; None at the end of the response. Cancel-safe.
    pub async fn next(&mut self) -> Option<String> {
        within("a line", self.lines.next_line()).await.unwrap()
    }

    /// The next line that a condition holds for; the deadline bounds the whole search.
    pub async fn next_that(&mut self, condition: impl Fn(&str) -> bool) -> String {
        within("a certain line", async {
            loop {
                match self.next().await {
                    Some(line) if condition(&line) => return line,
                    Some(_) => {}
                    None => panic!("the response ended"),
                }
            }
        })
        .await
    }

    /// Lets curl read nothing until it is dropped.
    pub fn stop_reading(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::STOP).unwrap();
    }

    /// Ends curl as a closed laptop does: nothing is said.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", TIME_MAX]).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}
