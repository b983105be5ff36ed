//! Claims about the supervision of an edge, with a shell script in its place: what is tested is
//! the command line, the wait for readiness, and the end. The edge's own tests start the real one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meridian_local::{EdgeProcess, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

fn script(directory: &Path, body: &str) -> PathBuf {
    let path = directory.join("meridian");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Answers one request for each of the given statuses, then no more.
async fn answer(listener: TcpListener, statuses: &[u16]) {
    for status in statuses {
        let (mut stream, _) = timeout(DEADLINE, listener.accept()).await.expect("asked").unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        assert!(request.starts_with(b"GET /readyz "), "{request:?}");
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn start_waits_for_readiness_and_terminate_for_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let log_path = directory.path().join("edge.log");
    let binary = script(directory.path(), "echo started \"$@\"; exec sleep 1000");
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin_address = admin.local_addr().unwrap();
    let start = EdgeProcess::start(&binary, "edge.toml".into(), log_path.clone(), admin_address);
    // Not ready at first: a 503 must not count.
    let (edge, ()) = tokio::join!(start, answer(admin, &[503, 503, 200]));
    let mut edge = edge.unwrap();
    assert!(edge.is_running());
    edge.terminate().await.unwrap();
    assert!(!edge.is_running());
    assert_eq!(edge.pid(), None);
    assert_eq!(fs::read_to_string(log_path).unwrap(), "started edge --config edge.toml\n");
}

#[tokio::test]
async fn edge_that_ends_early_is_reported_with_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let binary = script(directory.path(), "echo 'unknown key shardz' >&2; exit 64");
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let log_path = directory.path().join("edge.log");
    let error = EdgeProcess::start(&binary, "x".into(), log_path, nobody).await.unwrap_err();
    assert!(matches!(error, Error::Exited { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("exit status: 64") && text.contains("unknown key shardz"), "{text}");
}

#[tokio::test]
async fn unasked_end_of_a_running_edge_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let binary = script(directory.path(), "exec sleep 1000");
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin_address = admin.local_addr().unwrap();
    let log_path = directory.path().join("edge.log");
    let start = EdgeProcess::start(&binary, "x".into(), log_path, admin_address);
    let (edge, ()) = tokio::join!(start, answer(admin, &[200]));
    let mut edge = edge.unwrap();
    let pid = rustix::process::Pid::from_raw(edge.pid().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(matches!(edge.exited().await, Error::Exited { .. }));
}
