//! One nats-server process for one test: started, killed, started again on the same port.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meridian_nats::ServerUrl;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Only a failure takes this long; the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Between two looks at a condition.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// Killed when dropped.
pub(crate) struct NatsServer {
    child: Child,
    port: u16,
    configuration: &'static str,
    directory: TempDir,
}

impl NatsServer {
    /// Starts a server with these further lines of configuration, and waits until it listens.
    pub(crate) async fn start(configuration: &'static str) -> Self {
        let directory = TempDir::new().unwrap();
        // The server takes a free port for -1 and tells it in a file, so no port is chosen twice.
        let child = spawn(directory.path(), configuration, -1);
        let mut server = Self { child, port: 0, configuration, directory };
        server.port = server.listening_port().await;
        server
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the killed server again, on the same port.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.directory.path(), self.configuration, i32::from(self.port));
        assert_eq!(self.listening_port().await, self.port);
    }

    /// What `nats-server --signal` does, for instance `ldm`.
    pub(crate) fn signal(&self, signal: &str) {
        let argument = format!("{signal}={}", self.child.id());
        let status = Command::new(program()).args(["--signal", &argument]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn url(&self) -> ServerUrl {
        self.url_as("")
    }

    /// The address with this in front of the host, for instance `user:password@`.
    pub(crate) fn url_as(&self, user_info: &str) -> ServerUrl {
        format!("nats://{user_info}127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// The address as TLS.
    pub(crate) fn tls_url(&self) -> ServerUrl {
        format!("tls://127.0.0.1:{}", self.port).parse().unwrap()
    }

    async fn listening_port(&mut self) -> u16 {
        let file = format!("nats-server_{}.ports", self.child.id());
        let file = self.directory.path().join(file);
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            // The file appears empty before it is written.
            let port = std::fs::read(&file).ok().and_then(|json| first_port(&json));
            if let Some(port) = port {
                return port;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("nats-server ended with {status}");
            }
            assert!(Instant::now() < give_up_at, "nats-server does not listen");
            sleep(POLL).await;
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn first_port(json: &[u8]) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_slice(json).ok()?;
    ports["nats"][0].as_str()?.parse::<ServerUrl>().ok().map(|url| url.port())
}

fn spawn(directory: &Path, configuration: &str, port: i32) -> Child {
    let file = directory.join("nats.conf");
    std::fs::write(&file, format!("listen: \"127.0.0.1:{port}\"\n{configuration}\n")).unwrap();
    Command::new(program())
        .arg("--config")
        .arg(&file)
        .arg("--ports_file_dir")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `NATS_SERVER`, then PATH, then the workspace's `.tools`.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("NATS_SERVER") {
        return program.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"));
    let mut programs = folders.into_iter().map(|folder| folder.join("nats-server"));
    programs
        .find(|program| program.is_file())
        .expect("nats-server: set NATS_SERVER or run make dev")
}
