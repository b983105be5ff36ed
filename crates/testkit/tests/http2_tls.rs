//! HTTP/1.1 and HTTP/2 on one port, TLS in front of both, and a certificate that is renewed while
//! connections live.

#![allow(clippy::unwrap_used)]

use meridian_edge::{Config, Edge, Error};
use meridian_testkit::{
    Answer, RawSocket, RunningEdge, TestMesh, config_for, curl, eventually, within,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A certificate and its key in files, for the name `localhost`.
struct Certificate {
    directory: TempDir,
}

impl Certificate {
    fn new() -> Self {
        let this = Self { directory: TempDir::new().unwrap() };
        this.renew();
        this
    }

    /// Writes another one into the same files.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(self.file(), made.cert.pem()).unwrap();
        made.cert.der().clone()
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    fn serve(&self, config: &mut Config) {
        config.listen.tls_certificate = self.file();
        config.listen.tls_key = self.key();
    }
}

/// An edge without NATS, which serves the page over TLS.
fn edge_with(certificate: &Certificate) -> RunningEdge {
    let mut config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    config.demo.page = true;
    certificate.serve(&mut config);
    RunningEdge::start_unready(config)
}

/// A TLS connection that trusts this certificate only.
async fn tls(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A GET of the page over TLS by curl.
async fn get(edge: &RunningEdge, certificate: &Certificate, arguments: &[&str]) -> Answer {
    let file = certificate.file();
    let address = format!("https://localhost:{}/", edge.public().port());
    curl(&[&["--cacert", file.to_str().unwrap(), &address], arguments].concat()).await
}

#[tokio::test]
async fn both_versions_are_served_on_one_port_without_tls() {
    let mut config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    config.demo.page = true;
    let edge = RunningEdge::start_unready(config);
    let page = format!("http://{}/", edge.public());
    for (option, version) in [("--http1.1", "HTTP/1.1"), ("--http2-prior-knowledge", "HTTP/2")] {
        let answer = curl(&[option, &page]).await;
        assert_eq!((answer.status, answer.version.as_str()), (200, version));
        let missing = curl(&[option, &format!("{page}nothing")]).await;
        assert_eq!((missing.status, missing.version.as_str()), (404, version));
        let socket = curl(&[option, &format!("{page}v1/ws")]).await;
        assert!([426, 505].contains(&socket.status), "{socket:?}");
    }
}

#[tokio::test]
async fn several_requests_share_a_socket_in_both_versions() {
    let mut config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    config.demo.page = true;
    let edge = RunningEdge::start_unready(config);
    let page = format!("http://{}/", edge.public());
    for option in ["--http1.1", "--http2-prior-knowledge"] {
        let count = ["-w", "%{num_connects}\n", "-o", "/dev/null"];
        let next = ["--next", "-sS", option, "-w", "%{num_connects}\n", "-o", "/dev/null"];
        let arguments = [&[option][..], &count, &[&page], &next, &[&page]].concat();
        let output = within("curl", tokio::process::Command::new("curl").args(arguments).output());
        let output = String::from_utf8(output.await.unwrap().stdout).unwrap();
        assert!(output.ends_with("1\n0\n"), "{option}: {output}");
    }
}

#[tokio::test]
async fn tls_negotiates_the_version_and_refuses_what_is_too_old() {
    let certificate = Certificate::new();
    let edge = edge_with(&certificate);
    for (option, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        for tls in ["1.2", "1.3"] {
            let only = [&format!("--tlsv{tls}"), "--tls-max", tls, option];
            let answer = get(&edge, &certificate, &only).await;
            assert_eq!((answer.status, answer.version.as_str()), (200, version), "{tls}");
        }
    }
    let old = get(&edge, &certificate, &["--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"]).await;
    assert_eq!(old.status, 0, "TLS 1.1 is refused: {old:?}");
    let plain = curl(&[&format!("http://{}/", edge.public())]).await;
    assert_eq!(plain.status, 0, "there is no way around TLS: {plain:?}");
}

#[tokio::test]
async fn websockets_work_over_tls_and_outlive_a_renewed_certificate() {
    let certificate = Certificate::new();
    let first = certificate.renew();
    let mesh = TestMesh::one_region(|_| {}).await;
    let url = mesh.nats.region("eu").unwrap().nats_edge_url();
    let mut config = config_for("eu-2", "eu", &["eu".into()], &url);
    certificate.serve(&mut config);
    let edge = RunningEdge::start(config).await;

    let mut sockets = Vec::new();
    for version in [&TLS12, &TLS13] {
        let stream = tls(edge.public(), first.clone(), &[version]).await.unwrap();
        let mut socket = RawSocket::over(stream);
        socket.upgrade().await;
        socket.identify("{}").await;
        socket.send_text(r#"{"id":2,"subscribe":{"f":"demo.a"}}"#).await;
        assert_eq!(socket.next_item().await["id"], 2);
        sockets.push(socket);
    }

    let second = certificate.renew();
    eventually("the new certificate is served", async || {
        tls(edge.public(), second.clone(), &[&TLS13]).await.is_ok()
    })
    .await;
    assert!(tls(edge.public(), first, &[&TLS13]).await.is_err(), "and not the old one");

    // A large message leaves in several records, and small ones follow it in order.
    let nats = mesh.plain_nats("eu").await;
    let large = "x".repeat(200_000);
    for text in [large.as_str(), "small", "last"] {
        nats.publish("demo.a", text.to_owned().into()).await.unwrap();
    }
    for socket in &mut sockets {
        for text in [large.as_str(), "small", "last"] {
            assert!(socket.next_item().await["m"]["t"] == text);
        }
        socket.send_text(r#"{"id":3,"publish":{"s":"demo.b"}}"#).await;
        assert_eq!(socket.next_item().await["publish"]["ack"], "edge");
        // A close is answered, and the stream ends as TLS wants it.
        socket.send_frame(0x88, &[0x03, 0xe8]).await;
        assert_eq!(socket.close_code().await, Some(1000));
    }
    drop(sockets);
    edge.stop().await;
}

#[tokio::test]
async fn a_bad_renewal_changes_nothing_and_a_good_one_after_it_is_taken() {
    let certificate = Certificate::new();
    let edge = edge_with(&certificate);
    let good = std::fs::read(certificate.file()).unwrap();
    std::fs::write(certificate.file(), "half a certifi").unwrap();
    // The edge looks every other second; whether it has looked cannot be seen from outside, so the
    // old certificate is asked for until then.
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    let trusted = CertificateDer::from(rustls_der(&good));
    while tokio::time::Instant::now() < until {
        tls(edge.public(), trusted.clone(), &[&TLS13]).await.unwrap();
    }
    let renewed = certificate.renew();
    eventually("the good certificate is served", async || {
        tls(edge.public(), renewed.clone(), &[&TLS13]).await.is_ok()
    })
    .await;
}

fn rustls_der(pem: &[u8]) -> Vec<u8> {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

#[tokio::test]
async fn an_edge_does_not_start_with_a_certificate_that_is_no_good() {
    let certificate = Certificate::new();
    let mut config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    certificate.serve(&mut config);
    let other = Certificate::new();
    for (file, key) in [
        (certificate.directory.path().join("missing.pem"), certificate.key()),
        (certificate.file(), certificate.file()),
        (certificate.key(), certificate.key()),
        (certificate.file(), other.key()),
    ] {
        let mut config = config.clone();
        (config.listen.tls_certificate, config.listen.tls_key) = (file, key);
        match Edge::start(config.clone()) {
            Err(Error::Tls { .. }) => {}
            Err(other) => panic!("{config:?}: {other}"),
            Ok(_) => panic!("{config:?}: started"),
        }
    }
}

#[tokio::test]
async fn idle_sockets_are_closed_in_both_versions_and_with_tls() {
    let certificate = Certificate::new();
    let mut config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    (config.limits.handshake_ms, config.limits.header_read_ms) = (1_000, 1_000);
    config.demo.page = true;
    let plain = RunningEdge::start_unready(config.clone());
    certificate.serve(&mut config);
    let encrypted = RunningEdge::start_unready(config);

    // Settings, then nothing; a request, then nothing; nothing at all.
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]];
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (edge, bytes) in [
        (&plain, preface.concat()),
        (&plain, b"PRI * HT".to_vec()),
        (&plain, request.to_vec()),
        (&encrypted, Vec::new()),
        (&encrypted, vec![0x16, 3, 1]),
    ] {
        let mut stream = TcpStream::connect(edge.public()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = within("an idle socket is closed", stream.read_to_end(&mut rest)).await;
        // It was idle, and not dead: HTTP/2 had not asked yet.
        assert!(!rest.windows(4).any(|window| window == [0, 0, 8, 6]), "{rest:?}");
    }
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_socket_and_nothing_else() {
    let mut config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    config.demo.page = true;
    let edge = RunningEdge::start_unready(config);
    let mut stream = TcpStream::connect(edge.public()).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for number in 0..10_000_u32 {
        let id = (2 * number + 1).to_be_bytes();
        // HEADERS that end the stream: GET, http, / and no authority; then RST_STREAM.
        bytes.extend([0, 0, 3, 1, 5, id[0], id[1], id[2], id[3], 0x82, 0x86, 0x84]);
        bytes.extend([0, 0, 4, 3, 0, id[0], id[1], id[2], id[3], 0, 0, 0, 8]);
    }
    // The edge may end it before everything is written.
    drop(stream.write_all(&bytes).await);
    let mut answer = Vec::new();
    let _ = within("the flood is ended", stream.read_to_end(&mut answer)).await;
    // GOAWAY with ENHANCE_YOUR_CALM, unless the reset was faster.
    let is_told = answer.windows(4).any(|window| window == [0, 0, 0, 11]);
    assert!(is_told || answer.is_empty(), "{answer:?}");
    let page = curl(&["--http2-prior-knowledge", &format!("http://{}/", edge.public())]).await;
    assert_eq!(page.status, 200);
}
