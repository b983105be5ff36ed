//! TLS on both connections: users by certificate, refusals, and a certificate that is renewed.

use std::fs;
use std::path::PathBuf;

use meridian_nats::{
    ConnectOptions, Control, ControlOptions, Error, Flush, Op, Reader, ServerUrl, Tls, TlsFiles,
    Writer, dial,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::server::{DEADLINE, NatsServer, POLL};

/// An authority, and the files that it has signed.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = named("authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("ca.crt"), params.self_signed(&key).unwrap().pem())
            .unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Writes `file`.crt and .key.
    fn sign(&self, file: &str, common_name: &str, addresses: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let certificate = named(common_name, addresses).signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{file}.crt")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn files(&self, client: &str) -> TlsFiles {
        TlsFiles {
            ca: self.path("ca.crt"),
            certificate: self.path(&format!("{client}.crt")),
            key: self.path(&format!("{client}.key")),
        }
    }

    fn tls(&self, client: &str) -> Option<Tls> {
        Some(Tls::load(&self.files(client)).unwrap())
    }
}

fn named(common_name: &str, addresses: &[&str]) -> CertificateParams {
    let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
    let mut params = CertificateParams::new(addresses).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// A server that knows the user `edge` by its certificate and nobody else.
async fn server_of(authority: &Authority) -> NatsServer {
    authority.sign("server", "eu-n1", &["127.0.0.1"]);
    authority.sign("edge", "edge", &[]);
    let configuration = format!(
        r#"tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify_and_map: true }}
        authorization {{ users: [ {{ user: "CN=edge" }} ] }}"#,
        authority.path("server.crt"),
        authority.path("server.key"),
        authority.path("ca.crt"),
    );
    NatsServer::start(configuration.leak()).await
}

async fn dialed(url: &ServerUrl) -> Result<(Reader, Writer), Error> {
    let options = ConnectOptions::new(vec![url.clone()], "test");
    dial(url, &options).await.map(|(reader, writer, _)| (reader, writer))
}

#[tokio::test]
async fn large_and_many_messages_come_back_whole_through_tls() {
    const PAYLOAD_BYTES: usize = 700_000;
    const MESSAGES: usize = 20;
    let authority = Authority::new();
    let server = server_of(&authority).await;
    let url = server.tls_url().with_tls(authority.tls("edge"));
    let (mut reader, mut writer) = dialed(&url).await.unwrap();
    writer.subscribe(1, "a").unwrap();
    let payload: Vec<u8> = (0..PAYLOAD_BYTES).map(|i| (i % 251) as u8).collect();
    for _ in 0..MESSAGES {
        writer.publish("a", None, &[], &payload).unwrap();
    }
    // Both directions at once: neither may wait for the other, and none of the bytes be lost.
    let mut received = 0;
    let conversing = async {
        let mut blocked = writer.try_flush().unwrap() == Flush::Blocked;
        while received < MESSAGES {
            tokio::select! { biased;
                filled = reader.fill() => { filled.unwrap(); }
                ready = writer.writable(), if blocked => ready.unwrap(),
            }
            if blocked {
                blocked = writer.try_flush().unwrap() == Flush::Blocked;
            }
            while let Some(op) = reader.next().unwrap() {
                if let Op::Message(message) = op {
                    assert!(message.payload == payload, "message {received} is not whole");
                    received += 1;
                }
            }
        }
    };
    timeout(DEADLINE, conversing).await.unwrap();
}

#[tokio::test]
async fn who_has_no_good_certificate_is_refused_with_a_reason() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = server_of(&authority).await;
    authority.sign("other", "other", &[]);
    stranger.sign("edge", "edge", &[]);
    let anonymous = TlsFiles { ca: authority.path("ca.crt"), ..TlsFiles::default() };
    let forged = TlsFiles { ca: authority.path("ca.crt"), ..stranger.files("edge") };
    for (what, tls) in [
        ("a server of another authority", stranger.tls("edge")),
        ("a client certificate of another authority", Some(Tls::load(&forged).unwrap())),
        ("no client certificate", Some(Tls::load(&anonymous).unwrap())),
        ("no TLS at all", None),
    ] {
        let url = server.tls_url().with_tls(tls);
        let error = dialed(&url).await.map(drop).unwrap_err();
        assert!(matches!(&error, Error::Refused { .. }), "{what}: {error:?}");
    }
    let url = server.tls_url().with_tls(authority.tls("other"));
    let error = dialed(&url).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::Unauthorized { .. }), "an unknown user: {error:?}");
    let url = server.url().with_tls(authority.tls("edge"));
    dialed(&url).await.expect("nats:// takes TLS where the server demands it");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_the_address_demands_it() {
    let authority = Authority::new();
    authority.sign("edge", "edge", &[]);
    let server = NatsServer::start("").await;
    let error = dialed(&server.tls_url().with_tls(authority.tls("edge"))).await.map(drop);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("offers no TLS"), "{text}");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_by_the_next_connection() {
    let authority = Authority::new();
    let server = server_of(&authority).await;
    let url = server.tls_url().with_tls(authority.tls("edge"));
    authority.sign("edge", "somebody", &[]);
    let error = dialed(&url).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::Unauthorized { .. }), "{error:?}");
    authority.sign("edge", "edge", &[]);
    dialed(&url).await.unwrap();
}

#[tokio::test]
async fn control_connection_uses_the_same_certificate() {
    let authority = Authority::new();
    let server = server_of(&authority).await;
    let control = |tls| ControlOptions {
        servers: vec![server.tls_url().with_tls(tls)],
        name: "test".into(),
        edge_id: "eu-1".into(),
    };
    let connected = Control::connect(control(authority.tls("edge"))).await.unwrap();
    let give_up_at = Instant::now() + DEADLINE;
    while !connected.is_connected() {
        assert!(Instant::now() < give_up_at, "the control connection does not come up");
        sleep(POLL).await;
    }
}

#[tokio::test]
async fn files_that_are_no_good_are_named() {
    let authority = Authority::new();
    authority.sign("edge", "edge", &[]);
    authority.sign("other", "other", &[]);
    let mixed = TlsFiles { key: authority.path("other.key"), ..authority.files("edge") };
    let missing = TlsFiles { ca: authority.path("none.crt"), ..authority.files("edge") };
    let empty = TlsFiles { ca: authority.path("edge.key"), ..authority.files("edge") };
    for (files, named) in [(mixed, "edge.crt"), (missing, "none.crt"), (empty, "edge.key")] {
        let text = Tls::load(&files).map(drop).unwrap_err().to_string();
        assert!(text.contains(named), "{text}");
    }
}
