//! A hostile client: each attack of the threat model for some time, over and over, and what became
//! of whoever attacked. Whether anybody else noticed is for the test to find out.

use crate::raw_socket::{RawSocket, ServerFrame};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Between two bytes of a client that sends as slowly as it dares.
const DRIP: Duration = Duration::from_millis(100);

/// How long an attacker waits for its fate before it tries anew.
const FATE_PATIENCE: Duration = Duration::from_secs(15);

/// What a client can try. RELIABILITY.md's table and SECURITY.md say what each is called there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Request heads that never end.
    Slowloris,
    /// Sockets that are upgraded and dropped as fast as they come.
    HandshakeFlood,
    /// Messages that announce more than the limit.
    HugeMessages,
    /// A message that announces the most that is allowed, of which one byte comes.
    ClaimedLengths,
    /// Empty continuations without end.
    TinyFragments,
    /// Pings, none of whose pongs are read.
    PingFlood,
    /// Commands at line rate, none of whose answers are read.
    CommandFlood,
    /// Publishes at line rate.
    PublishFlood,
    /// As many filters as go, and more.
    SubscriptionBomb,
    /// Nothing of a busy subject is read.
    DeafSubscriber,
    /// Bytes that are no frames.
    Noise,
}

impl Attack {
    pub const ALL: [Self; 11] = [
        Self::Slowloris,
        Self::HandshakeFlood,
        Self::HugeMessages,
        Self::ClaimedLengths,
        Self::TinyFragments,
        Self::PingFlood,
        Self::CommandFlood,
        Self::PublishFlood,
        Self::SubscriptionBomb,
        Self::DeafSubscriber,
        Self::Noise,
    ];
}

/// What became of the attackers of one attack.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Attempts in all.
    pub attempts: usize,
    /// Sockets that were refused, by HTTP status.
    pub refused: BTreeMap<String, usize>,
    /// Connections that were closed, by code.
    pub closed: BTreeMap<u16, usize>,
    /// Sockets that were cut without a word.
    pub cut: usize,
    /// Commands that were refused, by code of the error.
    pub errors: BTreeMap<u64, usize>,
    /// Attackers that were still connected at the end.
    pub left: usize,
}

impl Fate {
    fn add(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.cut += other.cut;
        self.left += other.left;
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        for (code, count) in other.closed {
            *self.closed.entry(code).or_default() += count;
        }
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
    }

    fn end(&mut self, frame: &ServerFrame) {
        match frame {
            ServerFrame::Close(code, _) => *self.closed.entry(*code).or_default() += 1,
            _ => self.cut += 1,
        }
    }
}

/// Attacks for a while, with so many attackers at once; each tries again when it has met its fate.
pub async fn attack(edge: SocketAddr, attack: Attack, attackers: usize, span: Duration) -> Fate {
    let until = Instant::now() + span;
    let mut running = JoinSet::new();
    for number in 0..attackers {
        running.spawn(async move {
            let mut fate = Fate::default();
            while Instant::now() < until {
                fate.attempts += 1;
                once(edge, attack, number, until, &mut fate).await;
            }
            fate
        });
    }
    let mut all = Fate::default();
    while let Some(fate) = running.join_next().await {
        all.add(fate.expect("an attacker does not fail"));
    }
    all
}

async fn once(edge: SocketAddr, attack: Attack, number: usize, until: Instant, fate: &mut Fate) {
    if attack == Attack::Slowloris {
        return drip(edge, until, fate).await;
    }
    let Some(mut socket) = upgraded(edge, attack, fate).await else { return };
    let command = |text: &str| RawSocket::frame(0x81, text.as_bytes());
    let flood = match attack {
        Attack::Slowloris | Attack::HandshakeFlood => return,
        Attack::HugeMessages => [&[0x81, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat(),
        Attack::ClaimedLengths => vec![0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0, b'{'],
        Attack::TinyFragments => {
            [RawSocket::frame(0x01, b""), RawSocket::frame(0x00, b"").repeat(1_000)].concat()
        }
        Attack::PingFlood => RawSocket::frame(0x89, b"flood").repeat(2_000),
        Attack::CommandFlood => {
            let lines = "{\"id\":7,\"unsubscribe\":{\"i\":9}}\n".repeat(64);
            command(&lines).repeat(40)
        }
        Attack::PublishFlood => {
            command(r#"{"id":7,"publish":{"s":"demo.flood","t":"x"}}"#).repeat(500)
        }
        Attack::SubscriptionBomb => (0..400)
            .flat_map(|id| {
                let body = format!(r#"{{"f":"demo.bomb.{number}.{id}"}}"#);
                command(&format!(r#"{{"id":{},"subscribe":{body}}}"#, id + 2))
            })
            .collect(),
        Attack::DeafSubscriber => command(r#"{"id":2,"subscribe":{"f":"demo.busy"}}"#),
        Attack::Noise => (0_u8..=255).cycle().take(4_096).collect(),
    };
    let reads = matches!(attack, Attack::PublishFlood | Attack::SubscriptionBomb);
    let repeats = if attack == Attack::CommandFlood { 200 } else { 1 };
    let writing = async {
        for _ in 0..repeats {
            socket.write(&flood).await;
        }
    };
    // An edge that does not read any more is not waited for.
    drop(timeout(Duration::from_secs(2), writing).await);
    if attack == Attack::DeafSubscriber {
        let rest = until.saturating_duration_since(Instant::now());
        sleep(rest).await;
    }
    meet(&mut socket, reads, until, fate).await;
}

/// Reads until the connection ends, or the attack is over.
async fn meet(socket: &mut RawSocket, reads: bool, until: Instant, fate: &mut Fate) {
    let patience =
        if reads { until.saturating_duration_since(Instant::now()) } else { FATE_PATIENCE };
    let end = timeout(patience, async {
        loop {
            match socket.next().await {
                ServerFrame::Text(text) => {
                    for code in text.match_indices("\"code\":").filter_map(|(at, _)| {
                        text[at + 7..].split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
                    }) {
                        *fate.errors.entry(code).or_default() += 1;
                    }
                }
                end @ (ServerFrame::Close(..) | ServerFrame::Ended) => return end,
                _ => {}
            }
        }
    });
    match end.await {
        Ok(end) => fate.end(&end),
        Err(_) => fate.left += 1,
    }
}

/// A head, byte by byte, that never ends.
async fn drip(edge: SocketAddr, until: Instant, fate: &mut Fate) {
    let mut socket = RawSocket::tcp(edge).await;
    socket.write(b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    let dripping = async {
        loop {
            socket.write(b"x").await;
            if let Ok(end) = timeout(DRIP, socket.next()).await {
                return end;
            }
        }
    };
    let rest = until.saturating_duration_since(Instant::now()) + FATE_PATIENCE;
    match timeout(rest, dripping).await {
        Ok(_) => fate.cut += 1,
        Err(_) => fate.left += 1,
    }
}

async fn upgraded(edge: SocketAddr, attack: Attack, fate: &mut Fate) -> Option<RawSocket> {
    let is_deaf = attack == Attack::DeafSubscriber;
    let mut socket =
        if is_deaf { RawSocket::narrow_tcp(edge).await } else { RawSocket::tcp(edge).await };
    let head = socket.request_upgrade("").await;
    let status = head.split(' ').nth(1).unwrap_or("cut").to_owned();
    if status != "101" {
        *fate.refused.entry(status).or_default() += 1;
        return None;
    }
    if attack != Attack::HandshakeFlood {
        socket.send_text(r#"{"id":1,"connect":{}}"#).await;
        drop(socket.next().await);
    }
    Some(socket)
}
