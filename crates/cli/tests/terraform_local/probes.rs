//! What nats-servers must refuse: clients without TLS or with a wrong certificate, and what an
//! edge's credentials do not cover.

use crate::mesh::TerraformMesh;
use meridian_nats::{
    ConnectOptions, Error, Flush, Op, Reader, ServerUrl, Tls, TlsFiles, Writer, dial,
};
use meridian_testkit::within;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Panics with what was let in.
pub(crate) async fn strangers_are_refused(mesh: &TerraformMesh) {
    let server = &mesh.servers_of(0)[0];
    let gateway = port_of(server) + 2;
    for port in [port_of(server), port_of(server) + 1, gateway] {
        speaks_clear_text_in_vain(port).await;
    }
    let pki = mesh.directory().join("pki");
    // The peers' authority signs servers; its word counts nothing among clients, nor the
    // certificate of a server, which is no user.
    for (file, what) in [("eu-n1/peer", "a server's for peers"), ("eu-n1/server", "a server's")] {
        let refused = dialed(server, &pki, file).await.map(drop).unwrap_err();
        let is_refused = matches!(refused, Error::Refused { .. } | Error::Unauthorized { .. });
        assert!(is_refused, "{what}: {refused:?}");
    }
    // And the other way round: an edge's certificate opens no gateway.
    let gateway = format!("tls://127.0.0.1:{gateway}");
    let refused = dialed(&gateway, &pki, "edges/eu-1/edge").await.map(drop).unwrap_err();
    assert!(!matches!(refused, Error::Unauthorized { .. }), "TLS itself refuses: {refused:?}");
}

/// Sends what would be a login and a ping; only a PONG would be wrong.
async fn speaks_clear_text_in_vain(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").await.ok();
    let mut answer = Vec::new();
    // The server closes, or resets.
    within("the server closes", stream.read_to_end(&mut answer)).await.ok();
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("PONG"), "port {port} took clear text: {answer}");
}

/// Panics with what an edge's certificate may do and must not.
pub(crate) async fn a_stolen_edge_can_do_little(mesh: &TerraformMesh) {
    let pki = mesh.directory().join("pki");
    let server = &mesh.servers_of(0)[0];
    let (mut reader, mut writer) = dialed(server, &pki, "edges/eu-1/edge").await.unwrap();
    for subject in [
        "$JS.API.STREAM.DELETE.ORDERS_1",
        "$JS.API.STREAM.PURGE.ORDERS_1",
        "$JS.API.STREAM.MSG.DELETE.ORDERS_1",
        "_mrd.reg.eu.orders.forged",
        "_mrd.hb.us",
        "secret.a",
        "$SYS.REQ.SERVER.PING",
    ] {
        writer.publish(subject, None, &[], b"{}").unwrap();
        assert!(is_refused(&mut reader, &mut writer).await, "an edge publishes {subject}");
    }
    for (sid, subject) in ["_INBOX_us-1.>", "_INBOX_eu-2.>", "_INBOX_app.>", ">", "_mrd.reg.us.>"]
        .into_iter()
        .enumerate()
    {
        writer.subscribe(sid as u64 + 1, subject).unwrap();
        assert!(is_refused(&mut reader, &mut writer).await, "an edge hears {subject}");
    }
    for subject in ["demo.a", "orders.a", "_mrd.hb.eu", "$JS.API.STREAM.INFO.ORDERS_1"] {
        writer.publish(subject, None, &[], b"").unwrap();
        assert!(!is_refused(&mut reader, &mut writer).await, "an edge may publish {subject}");
    }
}

/// Whether a violation comes before the answer to a ping.
async fn is_refused(reader: &mut Reader, writer: &mut Writer) -> bool {
    writer.ping();
    while writer.try_flush().unwrap() == Flush::Blocked {
        writer.writable().await.unwrap();
    }
    let mut refused = false;
    within("the server answers", async {
        loop {
            while let Some(op) = reader.next().unwrap() {
                match op {
                    Op::Pong => return refused,
                    Op::Error(message) => refused |= message.contains("Permissions Violation"),
                    _ => {}
                }
            }
            reader.fill().await.unwrap();
        }
    })
    .await
}

async fn dialed(
    server: &str,
    pki: &std::path::Path,
    file: &str,
) -> Result<(Reader, Writer), Error> {
    let at = |extension: &str| -> PathBuf { pki.join(format!("{file}.{extension}")) };
    let files = TlsFiles {
        ca: pki.join("authorities/clients-ca.crt"),
        certificate: at("crt"),
        key: at("key"),
    };
    let url: ServerUrl = server.parse().unwrap();
    let url = url.with_tls(Some(Tls::load(&files)?));
    let options = ConnectOptions::new(vec![url.clone()], "probe");
    dial(&url, &options).await.map(|(reader, writer, _)| (reader, writer))
}

fn port_of(server: &str) -> u16 {
    server.parse::<ServerUrl>().unwrap().port()
}
