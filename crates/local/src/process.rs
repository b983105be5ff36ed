//! One supervised child process: start, readiness, signals, end. `NatsServer` and `EdgeProcess`
//! are thin shells around it.
//!
//! A child lives in a process group of its own, so that Ctrl-C in a terminal reaches only the
//! parent, which then decides the order of shutdown. It is killed when its `Process` is dropped,
//! and, on Linux with util-linux's `setpriv`, by the kernel when the *thread* that started it
//! ends, which covers a parent that was killed itself. So start children on a thread that lives
//! as long as they should: the main thread, a test's thread, or a worker of the runtime.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Error;
use crate::readiness::Readiness;

/// nats-server with JetStream takes a second on a busy laptop, an edge less; this is for worse.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// Longer than an orderly end of nats-server or a drained edge; SIGKILL follows.
const TERMINATE_DEADLINE: Duration = Duration::from_secs(15);

/// How often readiness is asked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How much of a log an error carries.
const LOG_TAIL_LINES: usize = 20;
const LOG_TAIL_BYTES: u64 = 8 << 10;

/// What to run, and how to see that it serves.
#[derive(Debug, Clone)]
pub(crate) struct ProcessSpec {
    /// For messages, for example `nats-server eu-1`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Both output streams are appended here.
    pub(crate) log_path: PathBuf,
    pub(crate) readiness: Readiness,
}

/// A child process. Owned by whoever may stop it; `child` is `None` after a wanted end.
#[derive(Debug)]
pub(crate) struct Process {
    spec: ProcessSpec,
    child: Option<Child>,
}

impl Process {
    /// Starts the process and does not wait for readiness.
    pub(crate) fn spawn(spec: ProcessSpec) -> Result<Self, Error> {
        let child = spawn_child(&spec)?;
        Ok(Self { spec, child: Some(child) })
    }

    /// Waits until the process serves.
    pub(crate) async fn wait_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_DEADLINE;
        while !self.spec.readiness.is_reached().await {
            if let Some(error) = self.unwanted_exit()? {
                return Err(error);
            }
            if Instant::now() >= deadline {
                return Err(Error::NotReady {
                    what: format!("{}: {}", self.spec.name, self.spec.readiness),
                    deadline_ms: READY_DEADLINE.as_millis() as u64,
                    detail: format!("; the end of its log:\n{}", self.log_tail()),
                });
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Ends the process if it runs, starts it again, and waits until it serves.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        self.terminate().await?;
        self.child = Some(spawn_child(&self.spec)?);
        self.wait_ready().await
    }

    /// The process id, while it runs or its end has not been seen.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// An `Exited` error if the process ended and nobody here asked for it.
    pub(crate) fn unwanted_exit(&mut self) -> Result<Option<Error>, Error> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child
            .try_wait()
            .map_err(Error::io(format!("ask for the state of {}", self.spec.name)))?;
        Ok(status.map(|status| self.exited(status)))
    }

    /// Waits for an end that nobody here asked for. Cancel-safe; pending after a wanted end.
    pub(crate) async fn wait_unwanted_exit(&mut self) -> Error {
        let Some(child) = &mut self.child else { return std::future::pending().await };
        match child.wait().await {
            Ok(status) => self.exited(status),
            Err(source) => Error::Io { action: format!("wait for {}", self.spec.name), source },
        }
    }

    /// Ends the process with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<(), Error> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().await.map_err(Error::io(format!("kill {}", self.spec.name)))
    }

    /// Ends the process with SIGTERM, and with SIGKILL if that takes too long.
    pub(crate) async fn terminate(&mut self) -> Result<(), Error> {
        self.request_end()?;
        let Some(child) = &mut self.child else { return Ok(()) };
        match timeout(TERMINATE_DEADLINE, child.wait()).await {
            Ok(status) => {
                status.map_err(Error::io(format!("wait for {}", self.spec.name)))?;
                self.child = None;
                Ok(())
            }
            Err(_) => {
                tracing::warn!(process = self.spec.name, "no end after SIGTERM, killing it");
                self.kill().await
            }
        }
    }

    /// Sends SIGTERM without waiting, so that several processes can end at the same time.
    pub(crate) fn request_end(&self) -> Result<(), Error> {
        self.signal(Signal::TERM)?;
        // A stopped process would see SIGTERM only when it is continued.
        self.signal(Signal::CONT)
    }

    /// Sends a signal; nothing happens if the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        // The id is gone once the child was reaped, so a stranger is never hit.
        let Some(pid) = self.pid().and_then(|id| Pid::from_raw(id.cast_signed())) else {
            return Ok(());
        };
        rustix::process::kill_process(pid, signal)
            .map_err(|errno| Error::io(format!("signal {}", self.spec.name))(errno.into()))
    }

    fn exited(&self, status: ExitStatus) -> Error {
        Error::Exited {
            name: self.spec.name.clone(),
            status: status.to_string(),
            log_path: self.spec.log_path.clone(),
            log_tail: self.log_tail(),
        }
    }

    fn log_tail(&self) -> String {
        log_tail(&self.spec.log_path).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

fn spawn_child(spec: &ProcessSpec) -> Result<Child, Error> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&spec.log_path)
        .map_err(Error::io(format!("open log {}", spec.log_path.display())))?;
    let log_too = log.try_clone().map_err(Error::io("duplicate a log's handle"))?;
    // Through `setpriv` a missing program would look like a process that ended.
    std::fs::metadata(&spec.program)
        .map_err(Error::io(format!("find program {}", spec.program.display())))?;
    let mut command = match death_signal_wrapper() {
        Some(wrapper) => {
            let mut command = Command::new(wrapper);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&spec.program);
            command
        }
        None => Command::new(&spec.program),
    };
    command
        .args(&spec.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(log_too))
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::io(format!("start {}", spec.program.display())))
}

/// `setpriv`, if it can set the parent-death signal. It then becomes the program by `exec`, so
/// the process id is the program's. (Setting it ourselves would need `unsafe` between fork and
/// exec.)
fn death_signal_wrapper() -> Option<&'static Path> {
    const SETPRIV: &str = "setpriv";
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        std::process::Command::new(SETPRIV)
            .args(["--pdeathsig", "KILL", "--", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    found.then_some(Path::new(SETPRIV))
}

fn log_tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    /// A shell that never serves, so that only the supervision itself is tested.
    fn shell(directory: &Path, script: &str) -> ProcessSpec {
        ProcessSpec {
            name: "shell".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            log_path: directory.join("shell.log"),
            readiness: Readiness::Http {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
                path: "/",
            },
        }
    }

    fn exists(pid: u32) -> bool {
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::test_kill_process(pid).is_ok()
    }

    #[tokio::test]
    async fn early_end_carries_status_and_the_end_of_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let script = "for i in $(seq 100); do echo line $i; done; exit 3";
        let mut process = Process::spawn(shell(directory.path(), script)).unwrap();
        let text = process.wait_ready().await.unwrap_err().to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.contains("line 100") && text.contains("line 81"), "{text}");
        assert!(!text.contains("line 80"), "{text}");
        assert!(!process.is_running());
    }

    #[tokio::test]
    async fn stopped_process_can_still_end_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let script = "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.05; done";
        let mut process = Process::spawn(shell(directory.path(), script)).unwrap();
        while !process.log_tail().contains("up") {
            sleep(POLL_INTERVAL).await;
        }
        let pid = process.pid().unwrap();
        process.signal(Signal::STOP).unwrap();
        assert!(process.is_running());
        process.terminate().await.unwrap();
        assert!(process.log_tail().contains("bye"));
        assert!(!exists(pid));
        assert!(process.unwanted_exit().unwrap().is_none());
        assert_eq!(process.pid(), None);
    }

    #[tokio::test]
    async fn missing_program_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut spec = shell(directory.path(), "");
        spec.program = "/no/such/program".into();
        let text = Process::spawn(spec).unwrap_err().to_string();
        assert!(text.contains("/no/such/program"), "{text}");
    }

    #[tokio::test]
    async fn child_dies_with_the_thread_that_started_it() {
        assert!(death_signal_wrapper().is_some(), "this test needs setpriv of util-linux");
        let directory = tempfile::tempdir().unwrap();
        let spec = shell(directory.path(), "echo up; exec sleep 1000");
        let log_path = spec.log_path.clone();
        let parent = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let process = Process::spawn(spec).unwrap();
                while !log_tail(&log_path).unwrap().contains("up") {
                    sleep(POLL_INTERVAL).await;
                }
                let pid = process.pid().unwrap();
                // As if the parent had been killed: nothing is cleaned up.
                std::mem::forget(process);
                pid
            })
        });
        let pid = Pid::from_raw(parent.join().unwrap().cast_signed()).unwrap();
        let deadline = Instant::now() + READY_DEADLINE;
        // The child is this process's still, so it stays a zombie until it is waited for.
        let nohang = rustix::process::WaitOptions::NOHANG;
        while rustix::process::waitpid(Some(pid), nohang).unwrap().is_none() {
            assert!(Instant::now() < deadline, "the child outlives its thread");
            sleep(POLL_INTERVAL).await;
        }
    }

    #[tokio::test]
    async fn child_leads_its_own_process_group() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Process::spawn(shell(directory.path(), "exec sleep 1000")).unwrap();
        let pid = Pid::from_raw(process.pid().unwrap().cast_signed()).unwrap();
        assert_eq!(rustix::process::getpgid(Some(pid)).unwrap(), pid);
        process.kill().await.unwrap();
    }
}
