//! Frames that break RFC 6455 or a limit: the documented close, for their sender alone.

#![allow(clippy::unwrap_used)]

mod hostile;

use hostile::Scene;
use meridian_testkit::{RawSocket, ServerFrame, eventually, within};
use std::time::Duration;

/// The largest client message.
const MESSAGE_BYTES_MAX: usize = 65_536;

const UNMASKED: &str = "client frames must be masked";
const RESERVED_BITS: &str = "reserved bits are set but no extension was negotiated";
const OPCODE: &str = "unknown opcode";
const CONTROL_LONG: &str = "control frames carry at most 125 bytes";
const CONTROL_FRAGMENTED: &str = "control frames must not be fragmented";
const CONTINUATION: &str = "continuation without a message to continue";
const START_INSIDE: &str = "new message before the last one was finished";
const FRAGMENTS: &str = "too many fragments in one message";
const TOO_BIG: &str = "message too big";
const NOT_MINIMAL: &str = "frame length is not in its shortest form";
const OVERFLOW: &str = "frame length has its highest bit set";
const INVALID_UTF8: &str = "invalid UTF-8";
const BINARY: &str = "binary frame on a text protocol";

/// Bytes that a connected client sends, and the close that they get.
struct Attack {
    name: String,
    bytes: Vec<u8>,
    code: u16,
    /// What the close frame says, where the protocol promises it.
    reason: Option<&'static str>,
}

fn attack(name: impl Into<String>, bytes: Vec<u8>, code: u16, reason: &'static str) -> Attack {
    Attack { name: name.into(), bytes, code, reason: Some(reason) }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    RawSocket::frame(first, payload)
}

/// A masked frame's header that announces a 64-bit length, and nothing behind it.
fn long_header(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0x80 | 127][..], &length.to_be_bytes()].concat()
}

/// The same with a 16-bit length.
fn medium_header(first: u8, length: u16) -> Vec<u8> {
    [&[first, 0x80 | 126][..], &length.to_be_bytes()].concat()
}

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes()[..], reason].concat())
}

/// A publish with an acknowledgement, padded with spaces to `length`.
fn padded_publish(id: u32, length: usize) -> String {
    let command = format!(r#"{{"id":{id},"publish":{{"s":"demo.padded","d":1}}}}"#);
    let padding = " ".repeat(length.saturating_sub(command.len()));
    format!("{command}{padding}")
}

fn acknowledged(id: u32) -> String {
    format!(r#"{{"id":{id},"publish":{{"ack":"edge"}}}}"#)
}

fn bad_headers() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for first in [0x81, 0x82, 0x88, 0x89, 0x8a] {
        let name = format!("unmasked {first:#x}");
        attacks.push(attack(name, vec![first, 2, b'{', b'}'], 1002, UNMASKED));
    }
    for bit in [0x40, 0x20, 0x10] {
        for first in [0x81, 0x01, 0x89] {
            let name = format!("reserved bit {bit:#x} on {first:#x}");
            attacks.push(attack(name, frame(first | bit, b"{}"), 1002, RESERVED_BITS));
        }
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for final_bit in [0x80, 0] {
            let name = format!("opcode {opcode:#x}, final bit {final_bit:#x}");
            attacks.push(attack(name, frame(final_bit | opcode, b"{}"), 1002, OPCODE));
        }
    }
    for control in [0x88, 0x89, 0x8a] {
        let name = format!("control {control:#x} of 126 bytes");
        attacks.push(attack(name, frame(control, &[0; 126]), 1002, CONTROL_LONG));
        let name = format!("control {control:#x} with a 64-bit length");
        attacks.push(attack(name, long_header(control, 1), 1002, CONTROL_LONG));
        let name = format!("fragmented control {control:#x}");
        attacks.push(attack(name, frame(control & 0x0f, b""), 1002, CONTROL_FRAGMENTED));
    }
    for (name, bytes) in [
        ("16-bit length of 125", medium_header(0x81, 125)),
        ("16-bit length of 0", medium_header(0x81, 0)),
        ("64-bit length of 0", long_header(0x81, 0)),
        ("64-bit length of 65,535", long_header(0x81, 65_535)),
    ] {
        attacks.push(attack(name, bytes, 1002, NOT_MINIMAL));
    }
    attacks.push(attack("length with the highest bit", long_header(0x81, 1 << 63), 1002, OVERFLOW));
    attacks.push(attack("the longest length", long_header(0x81, u64::MAX), 1002, OVERFLOW));
    attacks
}

fn bad_messages() -> Vec<Attack> {
    let start = frame(0x01, br#"{"id":"#);
    let mut attacks = vec![
        attack("continuation first", frame(0x80, b"x"), 1002, CONTINUATION),
        attack("unfinished continuation first", frame(0x00, b""), 1002, CONTINUATION),
        attack(
            "continuation after a whole message",
            [frame(0x01, b"{"), frame(0x80, b"}"), frame(0x80, b"x")].concat(),
            1002,
            CONTINUATION,
        ),
        attack("one byte over the limit", long_header(0x81, 65_537), 1009, TOO_BIG),
        attack("a fragment over the limit", long_header(0x01, 65_537), 1009, TOO_BIG),
        attack("the longest allowed length", long_header(0x81, u64::MAX >> 1), 1009, TOO_BIG),
        attack(
            "fragments over the limit together",
            [frame(0x01, &[b' '; 40_000]), medium_header(0x80, 25_537)].concat(),
            1009,
            TOO_BIG,
        ),
        attack(
            "a ping between fragments over the limit together",
            [frame(0x01, &[b' '; 65_000]), frame(0x89, b"p"), medium_header(0x00, 537)].concat(),
            1009,
            TOO_BIG,
        ),
    ];
    for second in [0x01, 0x02, 0x81, 0x82] {
        let name = format!("start {second:#x} inside a message");
        let bytes = [start.clone(), frame(second, b"}")].concat();
        attacks.push(attack(name, bytes, 1002, START_INSIDE));
    }
    for count in [64, 500_000] {
        let name = format!("{count} empty continuations");
        let bytes = [start.clone(), frame(0x00, b"").repeat(count)].concat();
        attacks.push(attack(name, bytes, 1008, FRAGMENTS));
    }
    for (name, first) in [("binary", 0x82), ("fragmented binary", 0x02)] {
        let bytes = [frame(first, b"{"), frame(0x80, b"}")].concat();
        attacks.push(attack(name, bytes, 1003, BINARY));
    }
    attacks.push(attack("empty binary", frame(0x82, b""), 1003, BINARY));
    attacks
}

fn bad_text() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (name, bytes) in [
        ("a lone 0xff", &b"\xff"[..]),
        ("a continuation byte alone", b"{\x80}"),
        ("an overlong slash", b"\xc0\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("past the last code point", b"\xf4\x90\x80\x80"),
        ("a character cut at the end", b"{}\xe2\x82"),
    ] {
        attacks.push(attack(name, frame(0x81, bytes), 1007, INVALID_UTF8));
        for split in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(split);
            let fragments = [frame(0x01, head), frame(0x80, tail)].concat();
            let name = format!("{name}, in fragments of {split} and the rest");
            attacks.push(attack(name, fragments, 1007, INVALID_UTF8));
        }
    }
    let fragments = [frame(0x01, b"{}\xe2\x82"), frame(0x80, b"x")].concat();
    let name = "invalid only where the fragments meet";
    attacks.push(attack(name, fragments, 1007, INVALID_UTF8));
    attacks
}

fn close_frames() -> Vec<Attack> {
    let close = |name: String, bytes, code| Attack { name, bytes, code, reason: None };
    let mut attacks = vec![
        close("empty close".into(), frame(0x88, b""), 1000),
        close("close of one byte".into(), frame(0x88, b"\x03"), 1002),
        close("close with a broken reason".into(), close_frame(1000, b"\xff\xfe"), 1007),
        close("close with the longest reason".into(), close_frame(1000, &[b'x'; 123]), 1000),
    ];
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        attacks.push(close(format!("close {code}"), close_frame(code, b""), 1002));
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999] {
        attacks.push(close(format!("close {code}"), close_frame(code, b"why"), 1000));
    }
    attacks
}

async fn run(scene: &mut Scene, attacks: Vec<Attack>) {
    for Attack { name, bytes, code, reason } in attacks {
        let mut socket = RawSocket::connected(scene.public()).await;
        socket.write(&bytes).await;
        let end = next_without_pongs(&mut socket).await;
        let ServerFrame::Close(got, said) = end else { panic!("{name}: {end:?}") };
        assert_eq!(got, code, "{name}: {said}");
        if let Some(reason) = reason {
            assert_eq!(said, reason, "{name}");
        }
        assert_eq!(socket.next().await, ServerFrame::Ended, "{name}: nothing follows a close");
        scene.innocent_is_fine(&name).await;
    }
}

async fn next_without_pongs(socket: &mut RawSocket) -> ServerFrame {
    loop {
        match socket.next().await {
            ServerFrame::Pong(_) => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn malformed_frames_close_their_sender_alone() {
    let mut scene = Scene::start(|_| {}).await;
    run(&mut scene, bad_headers()).await;
    run(&mut scene, bad_messages()).await;
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn bad_text_and_close_frames_close_their_sender_alone() {
    let mut scene = Scene::start(|_| {}).await;
    run(&mut scene, bad_text()).await;
    run(&mut scene, close_frames()).await;
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn good_commands_ahead_of_a_bad_frame_in_one_write_are_answered_first() {
    let mut scene = Scene::start(|_| {}).await;
    for Attack { name, bytes, code, .. } in
        bad_headers().into_iter().chain(bad_messages()).filter(|attack| attack.bytes.len() < 500)
    {
        let mut socket = RawSocket::connected(scene.public()).await;
        let good = [2, 3].map(|id| frame(0x81, padded_publish(id, 0).as_bytes())).concat();
        // A reply that needs no round trip to NATS: a close overtakes the others.
        let quick = frame(0x81, br#"{"id":4,"unsubscribe":{"i":9}}"#);
        socket.write(&[good, quick, frame(0x89, b"alive"), bytes].concat()).await;
        let answer = socket.next_text().await;
        assert!(answer.contains(r#""id":4"#) && answer.contains("107"), "{name}: {answer}");
        assert_eq!(socket.next().await, ServerFrame::Pong(b"alive".to_vec()), "{name}");
        assert_eq!(socket.close_code().await, Some(code), "{name}");
        scene.innocent_is_fine(&name).await;
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn messages_at_the_limits_are_accepted() {
    let mut scene = Scene::start(|_| {}).await;
    let mut socket = RawSocket::connected(scene.public()).await;
    let text = padded_publish(2, MESSAGE_BYTES_MAX);
    socket.send_text(&text).await;
    assert_eq!(socket.next_text().await, acknowledged(2), "64 KiB in one frame");

    let text = padded_publish(3, MESSAGE_BYTES_MAX);
    let (head, tail) = text.split_at(1);
    socket.send_frame(0x01, head.as_bytes()).await;
    socket.send_frame(0x80, tail.as_bytes()).await;
    assert_eq!(socket.next_text().await, acknowledged(3), "64 KiB in two fragments");

    let text = padded_publish(4, 0);
    socket.send_frame(0x01, text.as_bytes()).await;
    socket.write(&frame(0x00, b"").repeat(62)).await;
    socket.send_frame(0x89, b"between").await;
    assert_eq!(socket.next().await, ServerFrame::Pong(b"between".to_vec()));
    socket.send_frame(0x80, b"").await;
    assert_eq!(socket.next_text().await, acknowledged(4), "64 fragments");

    socket.send_frame(0x89, &[b'p'; 125]).await;
    assert_eq!(socket.next().await, ServerFrame::Pong(vec![b'p'; 125]), "a ping of 125 bytes");

    let text = r#"{"id":5,"publish":{"s":"demo.€","t":"€"}}"#;
    let inside = text.find('€').unwrap() + 1;
    socket.send_frame(0x01, &text.as_bytes()[..inside]).await;
    socket.send_frame(0x80, &text.as_bytes()[inside..]).await;
    assert_eq!(socket.next_text().await, acknowledged(5), "a character in two fragments");
    scene.innocent_is_fine("messages at the limits").await;
}

async fn both_are_acknowledged(socket: &mut RawSocket, id: u32, what: &str) {
    let mut lines: Vec<String> = Vec::new();
    while lines.len() < 2 {
        lines.extend(socket.next_text().await.lines().map(str::to_owned));
    }
    assert_eq!(lines, [acknowledged(id), acknowledged(id + 1)], "{what}");
}

#[tokio::test]
async fn frames_arrive_whole_however_the_network_cuts_them() {
    let mut scene = Scene::start(|_| {}).await;
    let mut socket = RawSocket::connected(scene.public()).await;
    // Not a wait for an outcome: the pauses keep the pieces apart on their way.
    let pause = Duration::from_millis(1);
    // The second is longer, so that cuts go through a longer header too.
    let pair = |id| {
        let (short, long) = (padded_publish(id, 0), padded_publish(id + 1, 126));
        [frame(0x81, short.as_bytes()), frame(0x81, long.as_bytes())].concat()
    };
    for byte in pair(2) {
        socket.write(&[byte]).await;
        tokio::time::sleep(pause).await;
    }
    both_are_acknowledged(&mut socket, 2, "byte by byte").await;
    let length = pair(1000).len();
    for cut in 1..length {
        if cut % 40 == 0 {
            // A connection may send 100 commands at once.
            socket = RawSocket::connected(scene.public()).await;
        }
        let (id, name) = (1000 + 2 * cut as u32, format!("cut at {cut}"));
        let bytes = pair(id);
        socket.write(&bytes[..cut]).await;
        tokio::time::sleep(pause).await;
        socket.write(&bytes[cut..]).await;
        both_are_acknowledged(&mut socket, id, &name).await;
    }
    scene.innocent_is_fine("frames in pieces").await;
}

#[tokio::test]
async fn message_that_takes_too_long_is_closed_though_pings_go_on() {
    let mut scene = Scene::start(|_| {}).await;
    let mut stalled = RawSocket::connected(scene.public()).await;
    stalled.write(&[medium_header(0x81, 65_535), b"\x01\x02\x03\x04{".to_vec()].concat()).await;
    let mut half_header = RawSocket::connected(scene.public()).await;
    half_header.write(&[0x81]).await;
    let mut pinging = RawSocket::connected(scene.public()).await;
    pinging.send_frame(0x01, b"{").await;
    let pings = async {
        loop {
            pinging.send_frame(0x89, b"still here").await;
            match pinging.next().await {
                ServerFrame::Close(code, _) => return Some(code),
                ServerFrame::Ended => return None,
                _ => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    };
    let (payload, header, fragment) =
        tokio::join!(stalled.close_code(), half_header.close_code(), within("a close", pings));
    drop((stalled, half_header, pinging));
    assert_eq!(payload, Some(1008), "a payload that does not come");
    assert_eq!(header, Some(1008), "a header that does not come");
    assert_eq!(fragment, Some(1008), "a last fragment that does not come, with pings between");
    scene.innocent_is_fine("stalled messages").await;
    scene.nothing_is_left().await;
    eventually("nobody was slow", async || {
        scene.edge().stats().await["numbers"]["slow_closes"] == 0
    })
    .await;
}
