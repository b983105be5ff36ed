//! `[nats]`: the region's servers, and TLS to them. Ranges and contradictions are checked in
//! `check.rs`.

use super::Config;
use meridian_nats::{ServerUrl, Tls, TlsFiles};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The region's NATS servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsSection {
    /// `nats://user:password@host:port`, or `tls://…`, in order of preference. Only these are used:
    /// addresses that servers gossip would lead an edge out of its region.
    pub servers: Vec<String>,
    /// Who signs the servers' certificates, in PEM. `tls://` needs it.
    pub tls_ca: PathBuf,
    /// The edge's own certificate chain in PEM, where servers ask for one.
    pub tls_certificate: PathBuf,
    /// Its private key in PEM.
    pub tls_key: PathBuf,
}

impl NatsSection {
    /// TLS by the files; None where no authority is named.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, meridian_nats::Error> {
        if self.tls_ca.as_os_str().is_empty() {
            return Ok(None);
        }
        let files = TlsFiles {
            ca: self.tls_ca.clone(),
            certificate: self.tls_certificate.clone(),
            key: self.tls_key.clone(),
        };
        Tls::load(&files).map(Some)
    }
}

impl Default for NatsSection {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".into()],
            tls_ca: PathBuf::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
        }
    }
}

impl Config {
    /// The region's NATS servers, with what TLS to them is done with.
    ///
    /// # Errors
    /// [`meridian_nats::Error`] for the first address or file that is no good. The configuration
    /// has been checked, but files change.
    pub fn nats_servers(&self) -> Result<Vec<ServerUrl>, meridian_nats::Error> {
        let tls = self.nats.tls()?;
        let servers = self.nats.servers.iter();
        servers.map(|server| Ok(server.parse::<ServerUrl>()?.with_tls(tls.clone()))).collect()
    }
}
