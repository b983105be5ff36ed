//! TLS to a region's servers: whom an edge trusts, and the certificate that says who it is.
//!
//! Both connections use it, the data connection by [`Stream`](crate::stream), async-nats by the
//! same rustls configuration. Not here: when TLS is wanted, which the server's address says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::{ResolvesClientCert, Resumption};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tracing::warn;

use crate::error::Error;

/// The files, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who signs servers' certificates. Nobody else is trusted, not even the system's authorities.
    pub ca: PathBuf,
    /// The client's own certificate chain; empty where servers ask for none.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// TLS, ready to be used. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Reads and checks the files. The client's certificate is read again for each connection, so
    /// a renewed one needs no restart; the authority is not.
    ///
    /// # Errors
    /// [`Error::Tls`] with the file that is no good, and why.
    pub fn load(files: &TlsFiles) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let bytes = read(&files.ca)?;
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let certificate = certificate.map_err(|error| wrong(&files.ca, error))?;
            roots.add(certificate).map_err(|error| wrong(&files.ca, error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&files.ca, "it holds no certificate"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&files.ca, error))?
            .with_root_certificates(roots);
        let mut config = if files.certificate.as_os_str().is_empty() {
            builder.with_no_client_auth()
        } else {
            let own =
                OwnCertificate { certificate: files.certificate.clone(), key: files.key.clone() };
            own.load()?;
            builder.with_client_cert_resolver(Arc::new(own))
        };
        // A resumed session would go on as the certificate that began it, after that was renewed.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

/// The same files in one process are one TLS; two are not compared.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Tls {}

/// The client's certificate, from its files at each handshake.
#[derive(Debug)]
struct OwnCertificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl OwnCertificate {
    fn load(&self) -> Result<CertifiedKey, Error> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&read(&self.certificate)?)
                .collect::<Result<_, _>>()
                .map_err(|error| wrong(&self.certificate, error))?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| wrong(&self.key, error))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| wrong(&self.certificate, error))
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Without a certificate the server refuses us, and the next attempt reads again.
        self.load().inspect_err(|error| warn!(%error, "no client certificate")).ok().map(Arc::new)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, reason: impl ToString) -> Error {
    Error::Tls { path: path.to_owned(), reason: reason.to_string() }
}
