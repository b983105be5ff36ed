//! One `meridian edge` process, for `meridian dev` and for tests. It knows the command line and
//! the readiness path of an edge, and nothing else of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::Error;
use crate::process::{Process, ProcessSpec};
use crate::readiness::Readiness;

/// A running edge. Owned by whoever started it; killed when dropped.
#[derive(Debug)]
pub struct EdgeProcess {
    process: Process,
}

impl EdgeProcess {
    /// Runs `<binary> edge --config <config_path>` and waits, up to 30 s, for 200 at `/readyz`.
    /// Output is appended to `log_path`.
    ///
    /// # Errors
    /// `Exited` with the end of its log, `NotReady` after the deadline, `Io`.
    pub async fn start(
        binary: &Path,
        config_path: PathBuf,
        log_path: PathBuf,
        admin_address: SocketAddr,
    ) -> Result<Self, Error> {
        let mut process = Process::spawn(ProcessSpec {
            name: format!("edge with admin address {admin_address}"),
            program: binary.to_path_buf(),
            arguments: vec!["edge".into(), "--config".into(), config_path.into()],
            log_path,
            readiness: Readiness::Http { address: admin_address, path: "/readyz" },
        })?;
        process.wait_ready().await?;
        Ok(Self { process })
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Waits for an end that neither `kill` nor `terminate` asked for. Cancel-safe.
    pub async fn exited(&mut self) -> Error {
        self.process.wait_unwanted_exit().await
    }

    /// Ends it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.process.kill().await
    }

    /// Freezes it with SIGSTOP: sockets stay open and nothing answers.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub fn pause(&self) -> Result<(), Error> {
        self.process.signal(Signal::STOP)
    }

    /// Ends `pause`.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub fn resume(&self) -> Result<(), Error> {
        self.process.signal(Signal::CONT)
    }

    /// Ends it with SIGTERM and waits until it has drained; SIGKILL after 15 s.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub async fn terminate(&mut self) -> Result<(), Error> {
        self.process.terminate().await
    }

    /// Ends it if it runs, starts it again with the same files, and waits until it is ready.
    ///
    /// # Errors
    /// As `start`.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.restart().await
    }
}
