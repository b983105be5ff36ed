//! One attempt to make a data connection: TCP, INFO, CONNECT, PING, PONG.
//!
//! Which server, and when again, is the caller's business with [`ServerPool`](crate::ServerPool)
//! and [`Backoff`](crate::Backoff).

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::error::Error;
use crate::operation::Op;
use crate::options::ConnectOptions;
use crate::reader::Reader;
use crate::server_info::ServerInfo;
use crate::server_url::{Credentials, ServerUrl};
use crate::stream;
use crate::writer::{Flush, Writer};

/// Connects to one server. When this returns, the server has accepted the credentials and has
/// answered a PING. Takes at most `options.connect_timeout_ms`.
///
/// # Errors
/// [`Error::Unreachable`] when the server does not answer (in time), [`Error::Unauthorized`] and
/// [`Error::Refused`] when it answers no, [`Error::Protocol`] when it is no NATS server.
pub async fn dial(
    server: &ServerUrl,
    options: &ConnectOptions,
) -> Result<(Reader, Writer, ServerInfo), Error> {
    let deadline = Duration::from_millis(options.connect_timeout_ms);
    let outcome = match timeout(deadline, handshake(server, options)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Io(io::ErrorKind::TimedOut.into())),
    };
    // Until the handshake is done, a broken connection is a server that cannot be reached.
    outcome.map_err(|error| match error {
        Error::Io(source) => Error::Unreachable { server: server.to_string(), source },
        Error::Closed => Error::Unreachable {
            server: server.to_string(),
            source: io::ErrorKind::UnexpectedEof.into(),
        },
        error => error,
    })
}

async fn handshake(
    server: &ServerUrl,
    options: &ConnectOptions,
) -> Result<(Reader, Writer, ServerInfo), Error> {
    let stream = TcpStream::connect((server.host(), server.port())).await?;
    // Commands are gathered before they are written, so waiting for more only adds delay.
    stream.set_nodelay(true)?;
    let max_payload = Arc::new(AtomicUsize::new(crate::defaults::PAYLOAD_BYTES_MAX));
    let (read_side, mut write_side) = stream::plain(stream);
    let mut reader = Reader::new(read_side, Arc::clone(&max_payload));

    // The server speaks first, in clear; only then it is asked for TLS.
    let mut info = first_info(&mut reader, server).await?;
    let is_encrypted = info.tls_required || server.demands_tls();
    if is_encrypted {
        let stream = start_tls(reader, write_side, server, &info).await?;
        let (read_side, encrypted) = stream::encrypted(stream);
        reader = Reader::new(read_side, Arc::clone(&max_payload));
        write_side = encrypted;
    }
    let mut writer = Writer::new(write_side, options.outgoing_bytes_max, max_payload);
    if !info.headers {
        return Err(refused(server, "it does not take headers; remove no_header_support"));
    }
    writer.connect(&connect_json(server, options, is_encrypted)?)?;
    writer.ping();
    let answered = async {
        flush(&mut writer).await?;
        await_pong(&mut reader, &mut writer, server, &mut info).await
    };
    answered.await.map_err(|error| tls_refusal(server, error))?;
    Ok((reader, writer, info))
}

/// Takes the connection over for TLS, once it is clear that both sides can.
async fn start_tls(
    reader: Reader,
    write_side: stream::WriteSide,
    server: &ServerUrl,
    info: &ServerInfo,
) -> Result<TlsStream<TcpStream>, Error> {
    if !info.tls_required && !info.tls_available {
        return Err(refused(server, "it offers no TLS, and its address here says tls://"));
    }
    let Some(tls) = server.tls() else {
        return Err(refused(server, "it demands TLS; write tls:// and set nats.tls_ca"));
    };
    let name = ServerName::try_from(server.host().to_owned())
        .map_err(|_| Error::Address("the host is no name that a certificate can have"))?;
    let stream = stream::reunite(reader.into_side()?, write_side)?;
    let connecting = TlsConnector::from(tls.config()).connect(name, stream);
    connecting.await.map_err(|error| tls_refusal(server, error.into()))
}

/// rustls reports what is wrong with either certificate as invalid data; with TLS 1.3 the server's
/// opinion of ours comes after the handshake.
fn tls_refusal(server: &ServerUrl, error: Error) -> Error {
    match error {
        Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            refused(server, &format!("TLS: {source}; check both certificates and their authority"))
        }
        error => error,
    }
}

async fn first_info(reader: &mut Reader, server: &ServerUrl) -> Result<ServerInfo, Error> {
    loop {
        match reader.next()? {
            Some(Op::Info(info)) => return Ok(*info),
            Some(Op::Error(message)) => return Err(refused(server, message)),
            Some(_) => return Err(Error::Protocol("the first operation is not INFO")),
            None => {}
        }
        reader.fill().await?;
    }
}

async fn await_pong(
    reader: &mut Reader,
    writer: &mut Writer,
    server: &ServerUrl,
    info: &mut ServerInfo,
) -> Result<(), Error> {
    loop {
        match reader.next()? {
            Some(Op::Pong) => return Ok(()),
            // Servers repeat INFO with more in it once they know the client.
            Some(Op::Info(newer)) => *info = *newer,
            Some(Op::Ping) => {
                writer.pong();
                flush(writer).await?;
            }
            Some(Op::Ok) => {}
            Some(Op::Error(message)) => return Err(refused(server, message)),
            Some(Op::Message(_)) => return Err(Error::Protocol("a message before any SUB")),
            None => {
                reader.fill().await?;
            }
        }
    }
}

async fn flush(writer: &mut Writer) -> Result<(), Error> {
    while writer.try_flush()? == Flush::Blocked {
        writer.writable().await?;
    }
    Ok(())
}

/// nats-server has no error codes; its texts are stable (server/errors.go).
fn refused(server: &ServerUrl, message: &str) -> Error {
    let (server, message) = (server.to_string(), message.to_owned());
    let lower = message.to_ascii_lowercase();
    if lower.contains("authorization") || lower.contains("authentication") {
        Error::Unauthorized { server, message }
    } else {
        Error::Refused { server, message }
    }
}

/// The JSON of CONNECT (NATS client protocol).
#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    headers: bool,
    no_responders: bool,
    /// An edge hears what it publishes: browsers see their own messages, in the one order.
    echo: bool,
    /// 1: the server may send INFO at any time.
    protocol: u8,
    lang: &'static str,
    version: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

fn connect_json(
    server: &ServerUrl,
    options: &ConnectOptions,
    is_encrypted: bool,
) -> Result<String, Error> {
    let (user, pass, auth_token) = match server.credentials() {
        Credentials::None => (None, None, None),
        Credentials::UserPassword { user, password } => (Some(&**user), Some(&**password), None),
        Credentials::Token(token) => (None, None, Some(&**token)),
    };
    let connect = Connect {
        verbose: false,
        pedantic: false,
        tls_required: is_encrypted,
        headers: true,
        no_responders: true,
        echo: true,
        protocol: 1,
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        name: &options.name,
        user,
        pass,
        auth_token,
    };
    serde_json::to_string(&connect)
        .map_err(|_| Error::Invalid { what: "CONNECT", why: "it cannot be written as JSON" })
}
