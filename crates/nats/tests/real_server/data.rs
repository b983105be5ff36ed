//! The data connection.

use std::io;

use meridian_nats::{ConnectOptions, Error, Flush, Message, Op, Reader, ServerUrl, Writer, dial};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::server::{DEADLINE, NatsServer};

const USERS: &str = r#"authorization { users: [
    { user: "edge", password: "p@ss:w/rd", permissions: { subscribe: "open.>", publish: ">" } }
] }"#;

fn options(server: &ServerUrl) -> ConnectOptions {
    ConnectOptions::new(vec![server.clone()], "test")
}

async fn dialed(server: &ServerUrl) -> (Reader, Writer) {
    let (reader, writer, info) = dial(server, &options(server)).await.unwrap();
    assert!(!info.server_id.is_empty() && info.headers);
    (reader, writer)
}

async fn flush(writer: &mut Writer) {
    while writer.try_flush().unwrap() == Flush::Blocked {
        writer.writable().await.unwrap();
    }
}

/// Reads until an operation is what is looked for.
async fn awaited<T>(reader: &mut Reader, mut look: impl FnMut(Op<'_>) -> Option<T>) -> T {
    let reading = async {
        loop {
            while let Some(op) = reader.next().unwrap() {
                if let Some(found) = look(op) {
                    return found;
                }
            }
            reader.fill().await.unwrap();
        }
    };
    timeout(DEADLINE, reading).await.unwrap()
}

async fn pong(reader: &mut Reader, writer: &mut Writer) {
    writer.ping();
    flush(writer).await;
    awaited(reader, |op| (op == Op::Pong).then_some(())).await;
}

async fn with_message<T>(reader: &mut Reader, look: impl Fn(Message<'_>) -> T) -> T {
    awaited(reader, |op| match op {
        Op::Message(message) => Some(look(message)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn message_with_reply_and_headers_arrives_as_it_was_published() {
    let server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    writer.subscribe(41, "a.*").unwrap();
    writer.subscribe(42, "b.>").unwrap();
    pong(&mut reader, &mut writer).await;
    let (mut other_reader, mut other) = dialed(&server.url()).await;
    other.publish("unheard", None, &[], b"nothing").unwrap();
    let headers = [("traceparent", "00-1-2-01"), ("X", "é y")];
    other.publish("b.c.d", Some("r.1"), &headers, b"\r\nMSG \0\xff").unwrap();
    other.publish("a.b", None, &[], b"").unwrap();
    pong(&mut other_reader, &mut other).await;
    with_message(&mut reader, |message| {
        assert_eq!((message.sid, message.subject), (42, &b"b.c.d"[..]));
        assert_eq!(message.reply, Some(&b"r.1"[..]));
        assert_eq!(message.headers.get("traceparent"), Some(&b"00-1-2-01"[..]));
        assert_eq!(message.headers.get("x"), Some("é y".as_bytes()));
        assert_eq!(message.headers.iter().count(), 2);
        assert_eq!(message.payload, b"\r\nMSG \0\xff");
    })
    .await;
    with_message(&mut reader, |message| {
        assert_eq!((message.sid, message.subject), (41, &b"a.b"[..]));
        assert!(message.reply.is_none() && message.headers.is_empty());
        assert!(message.payload.is_empty());
    })
    .await;
}

#[tokio::test]
async fn own_messages_come_back_and_stop_after_unsubscribe() {
    let server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    writer.subscribe(1, "a").unwrap();
    writer.publish("a", None, &[], b"heard").unwrap();
    writer.unsubscribe(1);
    writer.publish("a", None, &[], b"unheard").unwrap();
    writer.ping();
    flush(&mut writer).await;
    let mut heard = Vec::new();
    awaited(&mut reader, |op| match op {
        Op::Message(message) => {
            heard.push(message.payload.to_vec());
            None
        }
        op => (op == Op::Pong).then_some(()),
    })
    .await;
    assert_eq!(heard, [b"heard"]);
}

#[tokio::test]
async fn wrong_credentials_are_a_typed_error_and_the_right_ones_pass() {
    let server = NatsServer::start(USERS).await;
    for user_info in ["", "edge:wrong@", "token@"] {
        let url = server.url_as(user_info);
        let error = dial(&url, &options(&url)).await.unwrap_err();
        let text = error.to_string();
        let Error::Unauthorized { message, .. } = error else { panic!("{text}") };
        assert_eq!(message, "Authorization Violation");
        assert!(!text.contains("wrong"), "{text}");
    }
    dialed(&server.url_as("edge:p%40ss%3Aw%2Frd@")).await;
}

#[tokio::test]
async fn permission_violation_is_reported_and_the_connection_lives() {
    let server = NatsServer::start(USERS).await;
    let (mut reader, mut writer) = dialed(&server.url_as("edge:p%40ss%3Aw%2Frd@")).await;
    writer.subscribe(1, "closed.a").unwrap();
    flush(&mut writer).await;
    let error = awaited(&mut reader, |op| match op {
        Op::Error(text) => Some(text.to_owned()),
        _ => None,
    });
    assert!(error.await.contains("Permissions Violation"));
    pong(&mut reader, &mut writer).await;
}

#[tokio::test]
async fn request_without_responders_gets_status_503() {
    let server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    writer.subscribe(9, "reply.*").unwrap();
    writer.publish("nobody.listens", Some("reply.1"), &[], b"?").unwrap();
    flush(&mut writer).await;
    with_message(&mut reader, |message| {
        assert_eq!((message.sid, message.subject), (9, &b"reply.1"[..]));
        assert_eq!((message.headers.status(), message.payload), (Some(503), &b""[..]));
    })
    .await;
}

#[tokio::test]
async fn megabyte_message_is_read_whole_and_small_ones_follow() {
    let server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    let payload: Vec<u8> = (0..1024 * 1024).map(|at: u32| (at % 251) as u8).collect();
    writer.subscribe(1, "big").unwrap();
    for _ in 0..3 {
        writer.publish("big", None, &[], &payload).unwrap();
        writer.publish("big", None, &[], b"small").unwrap();
    }
    // Reading and writing at once: the server stops reading while its own socket is full.
    let mut sizes = Vec::new();
    let reading = awaited(&mut reader, |op| {
        if let Op::Message(message) = op {
            assert!(message.payload == b"small" || message.payload == payload);
            sizes.push(message.payload.len());
        }
        (sizes.len() == 6).then_some(())
    });
    tokio::join!(reading, flush(&mut writer));
    assert_eq!(sizes, [payload.len(), 5, payload.len(), 5, payload.len(), 5]);
}

#[tokio::test]
async fn payload_is_held_to_the_servers_own_limit() {
    let server = NatsServer::start("max_payload: 2048").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    assert_eq!(writer.max_payload(), 2048);
    let outcome = writer.publish("a", None, &[], &[b'x'; 2049]);
    assert!(matches!(outcome, Err(Error::TooLarge { bytes: 2049, bytes_max: 2048, .. })));
    writer.subscribe(1, "a").unwrap();
    writer.publish("a", None, &[], &[b'x'; 2048]).unwrap();
    flush(&mut writer).await;
    with_message(&mut reader, |message| assert_eq!(message.payload.len(), 2048)).await;
    pong(&mut reader, &mut writer).await;
}

#[tokio::test]
async fn refused_commands_never_reach_the_wire() {
    let server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    let long = "x".repeat(5000);
    for subject in ["", "a b", "a\r\nPUB b 0\r\n", "a\0b", "a..b", &long] {
        assert!(writer.subscribe(1, subject).is_err());
        assert!(writer.publish(subject, None, &[], b"").is_err());
        assert!(writer.publish("a", Some(subject), &[], b"").is_err());
    }
    assert!(writer.publish("a", None, &[("A", "b\r\n\r\n")], b"").is_err());
    assert!(writer.is_empty());
    pong(&mut reader, &mut writer).await;
}

#[tokio::test]
async fn longest_subject_allowed_is_taken_by_the_server() {
    let server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    let length = (1..5000).rev().find(|length| writer.subscribe(1, &"x".repeat(*length)).is_ok());
    assert!(length.unwrap() > 4000);
    pong(&mut reader, &mut writer).await;
}

#[tokio::test]
async fn killed_server_ends_the_reader() {
    let mut server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    server.kill();
    let ended = async {
        loop {
            while reader.next().unwrap().is_some() {}
            if let Err(error) = reader.fill().await {
                return error;
            }
        }
    };
    let error = timeout(DEADLINE, ended).await.unwrap();
    assert!(matches!(error, Error::Closed | Error::Io(_)), "{error}");
    let url = server.url();
    let error = dial(&url, &options(&url)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    // The first write to a closed connection may still be taken by the system.
    let broken = async {
        loop {
            writer.ping();
            if writer.try_flush().is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, broken).await.unwrap();
}

#[tokio::test]
async fn cancelled_fill_loses_no_bytes() {
    let server = NatsServer::start("").await;
    let (mut reader, mut writer) = dialed(&server.url()).await;
    writer.subscribe(1, "a").unwrap();
    let mut seen = 0;
    let mut cancelled = 0;
    let reading = async {
        // One message at a time, so that the wait for each is begun and cancelled until it comes.
        for at in 0..200 {
            writer.publish("a", None, &[], at.to_string().as_bytes()).unwrap();
            flush(&mut writer).await;
            while seen == at {
                tokio::select! {
                    biased;
                    // Bytes first: the other arm only ever cancels a wait.
                    count = reader.fill() => { count.unwrap(); }
                    // Ready the second time, so that every wait is cancelled.
                    () = tokio::task::yield_now() => cancelled += 1,
                }
                while let Some(op) = reader.next().unwrap() {
                    if let Op::Message(message) = op {
                        assert_eq!(message.payload, seen.to_string().as_bytes());
                        seen += 1;
                    }
                }
            }
        }
    };
    timeout(DEADLINE, reading).await.unwrap();
    assert!(cancelled > 0);
}

#[tokio::test]
async fn lame_duck_is_announced() {
    let server = NatsServer::start("").await;
    let (mut reader, _writer) = dialed(&server.url()).await;
    server.signal("ldm");
    awaited(&mut reader, |op| match op {
        Op::Info(info) => info.lame_duck.then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn silent_and_foreign_servers_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url: ServerUrl = format!("nats://{address}").parse().unwrap();
    let mut options = options(&url);
    options.connect_timeout_ms = 50;
    let Err(Error::Unreachable { source, .. }) = dial(&url, &options).await else {
        panic!("a server that says nothing is unreachable")
    };
    assert_eq!(source.kind(), io::ErrorKind::TimedOut);
    let (silent, _) = listener.accept().await.unwrap();
    drop(silent);
    for (greeting, is_unreachable) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], false),
        (b"INFO {\"headers\":true,\"tls_required\":true}\r\n", false),
        (b"INFO {\"headers\":false}\r\n", false),
        (b"", true),
    ] {
        options.connect_timeout_ms = 20_000;
        let greet = async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.writable().await.unwrap();
            assert_eq!(stream.try_write(greeting).unwrap(), greeting.len());
        };
        let (outcome, ()) = tokio::join!(dial(&url, &options), greet);
        match outcome.unwrap_err() {
            Error::Unreachable { .. } => assert!(is_unreachable),
            Error::Protocol(_) | Error::Refused { .. } => assert!(!is_unreachable),
            error => panic!("{error}"),
        }
    }
}
