//! TLS for the public listener: the certificate and key, read at the start, and again whenever
//! their files change. Connections that stand keep what they began with.
//!
//! Called by the edge at its start, and beside the control plane afterwards. The shards get what
//! they serve with by `Orders`.

use crate::config::ListenSection;
use crate::error::Error;
use crate::shard::Orders;
use crate::watched::WatchedFiles;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tracing::{info, warn};

/// What clients may choose by ALPN, in the edge's order of preference.
pub(crate) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Where the certificate is. Owned by the edge.
pub(crate) struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
}

impl CertificateFiles {
    /// The files of a configuration, if it wants TLS.
    pub(crate) fn of(listen: &ListenSection) -> Option<Self> {
        let (certificate, key) = (listen.tls_certificate.clone(), listen.tls_key.clone());
        (!certificate.as_os_str().is_empty()).then_some(Self { certificate, key })
    }

    /// Reads both files.
    ///
    /// # Errors
    /// [`Error::Tls`] when one cannot be read, or both do not fit together.
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>, Error> {
        self.read().and_then(|(certificate, key)| self.parse(&certificate, &key))
    }

    /// Orders what the files hold whenever that changes. Files that are no good change nothing.
    pub(crate) async fn watch(self, orders: &watch::Sender<Orders>) {
        let mut files = WatchedFiles::new(vec![self.certificate.clone(), self.key.clone()]);
        loop {
            files.changed().await;
            match self.load() {
                Ok(tls) => {
                    info!(certificate = %self.certificate.display(), "certificate reloaded");
                    orders.send_modify(|orders| orders.tls = Some(tls));
                }
                Err(error) => warn!(%error, "the old certificate stays"),
            }
        }
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| Error::Tls { path: path.into(), reason: error.to_string() })
        };
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn parse(&self, certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, Error> {
        let wrong = |path: &Path, reason: String| Error::Tls { path: path.into(), reason };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(&self.certificate, error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| wrong(&self.key, error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(&self.certificate, error.to_string()))?;
        config.alpn_protocols = vec![HTTP2.into(), HTTP1.into()];
        Ok(Arc::new(config))
    }
}
