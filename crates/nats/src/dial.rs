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

use crate::error::Error;
use crate::operation::Op;
use crate::options::ConnectOptions;
use crate::reader::Reader;
use crate::server_info::ServerInfo;
use crate::server_url::{Credentials, ServerUrl};
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
    let (read_half, write_half) = stream.into_split();
    let max_payload = Arc::new(AtomicUsize::new(crate::defaults::PAYLOAD_BYTES_MAX));
    let mut reader = Reader::new(read_half, Arc::clone(&max_payload));
    let mut writer = Writer::new(write_half, options.outgoing_bytes_max, max_payload);

    let mut info = first_info(&mut reader, server).await?;
    if info.tls_required {
        return Err(refused(server, "it demands TLS, which is not supported yet"));
    }
    if !info.headers {
        return Err(refused(server, "it does not take headers; remove no_header_support"));
    }
    writer.connect(&connect_json(server, options)?)?;
    writer.ping();
    flush(&mut writer).await?;
    await_pong(&mut reader, &mut writer, server, &mut info).await?;
    Ok((reader, writer, info))
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

fn connect_json(server: &ServerUrl, options: &ConnectOptions) -> Result<String, Error> {
    let (user, pass, auth_token) = match server.credentials() {
        Credentials::None => (None, None, None),
        Credentials::UserPassword { user, password } => (Some(&**user), Some(&**password), None),
        Credentials::Token(token) => (None, None, Some(&**token)),
    };
    let connect = Connect {
        verbose: false,
        pedantic: false,
        tls_required: false,
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
