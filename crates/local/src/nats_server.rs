//! One real nats-server on loopback. `Supercluster` starts one for each region; a test may start
//! one by itself with any configuration file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rustix::process::Signal;

use crate::Error;
use crate::process::{Process, ProcessSpec};
use crate::readiness::Readiness;

/// What to start.
#[derive(Debug, Clone)]
pub struct NatsServerOptions {
    /// From `find_nats_server`.
    pub binary: PathBuf,
    /// The configuration file; it must name the same client port and server name.
    pub config_path: PathBuf,
    /// Output is appended here.
    pub log_path: PathBuf,
    /// The loopback port for clients.
    pub client_port: u16,
    /// The greeting must carry this name, so that a stranger on the port is not mistaken for it.
    pub server_name: String,
}

/// A running nats-server. Owned by its region or test; killed when dropped.
#[derive(Debug)]
pub struct NatsServer {
    process: Process,
}

impl NatsServer {
    /// Starts a server and waits, up to 30 s, until it greets clients.
    ///
    /// # Errors
    /// `Exited` with the end of its log, `NotReady` after the deadline, `Io`.
    pub async fn start(options: NatsServerOptions) -> Result<Self, Error> {
        let mut server = Self::spawn(options)?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// Starts a server without waiting, so that several can start at the same time.
    pub(crate) fn spawn(options: NatsServerOptions) -> Result<Self, Error> {
        let spec = ProcessSpec {
            name: format!("nats-server {}", options.server_name),
            program: options.binary,
            arguments: vec!["--config".into(), options.config_path.into()],
            log_path: options.log_path,
            readiness: Readiness::NatsInfo {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, options.client_port)),
                server_name: options.server_name,
            },
        };
        Ok(Self { process: Process::spawn(spec)? })
    }

    pub(crate) async fn wait_ready(&mut self) -> Result<(), Error> {
        self.process.wait_ready().await
    }

    pub(crate) fn request_end(&self) -> Result<(), Error> {
        self.process.request_end()
    }

    pub(crate) fn unwanted_exit(&mut self) -> Result<Option<Error>, Error> {
        self.process.unwanted_exit()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Whether the process runs; a paused one does.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.process.kill().await
    }

    /// Ends it with SIGTERM and waits; SIGKILL after 15 s.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub async fn terminate(&mut self) -> Result<(), Error> {
        self.process.terminate().await
    }

    /// Ends it if it runs, starts it again with the same files, and waits until it greets clients.
    ///
    /// # Errors
    /// As `start`.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.restart().await
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

    /// Sends SIGUSR2: it tells clients to move away and ends by itself later.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub fn lame_duck(&self) -> Result<(), Error> {
        self.process.signal(Signal::USR2)
    }
}
