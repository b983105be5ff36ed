//! What one message costs the reader: 128-byte messages from a second thread, plain ones first,
//! then with two headers; the first thread's own CPU time is divided by their number.
//!
//! `cargo run --release -p meridian-nats --example reader_cost -- nats://127.0.0.1:4222`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program for one's own hands"
)]

use meridian_nats::{ConnectOptions, Flush, Op, Reader, ServerUrl, Writer, dial};

const MESSAGES: u64 = 3_000_000;

const HEADERS: [(&str, &str); 2] = [
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("Nats-Sequence", "123456"),
];

fn main() {
    let url: ServerUrl = std::env::args().nth(1).expect("a nats:// address").parse().unwrap();
    for (name, headers) in [("MSG", &HEADERS[..0]), ("HMSG, two look-ups", &HEADERS[..])] {
        let target = url.clone();
        let run = async move {
            let (mut reader, mut writer) = connected(&target).await;
            writer.subscribe(1, "bench.a.b").unwrap();
            pong(&mut reader, &mut writer).await;
            let publisher = std::thread::spawn(move || on_a_runtime(publish(target, headers)));
            let before_ns = cpu_ns();
            let fills = receive(&mut reader).await;
            let each_ns = (cpu_ns() - before_ns) as f64 / MESSAGES as f64;
            println!("{name}: {each_ns:.0} ns CPU a message, {} messages a read", MESSAGES / fills);
            publisher.join().unwrap();
        };
        on_a_runtime(run);
    }
}

fn on_a_runtime(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

async fn connected(url: &ServerUrl) -> (Reader, Writer) {
    let options = ConnectOptions::new(vec![url.clone()], "reader_cost");
    let (reader, writer, _) = dial(url, &options).await.unwrap();
    (reader, writer)
}

async fn publish(url: ServerUrl, headers: &[(&str, &str)]) {
    let (mut reader, mut writer) = connected(&url).await;
    for at in 0..MESSAGES {
        writer.publish("bench.a.b", None, headers, &[b'x'; 128]).unwrap();
        if at % 256 == 255 || at + 1 == MESSAGES {
            flush(&mut writer).await;
        }
    }
    // The server has taken everything before the connection is dropped.
    pong(&mut reader, &mut writer).await;
}

/// Gives the number of reads.
async fn receive(reader: &mut Reader) -> u64 {
    let (mut received, mut fills, mut bytes) = (0, 0, 0);
    while received < MESSAGES {
        reader.fill().await.unwrap();
        fills += 1;
        while let Some(op) = reader.next().unwrap() {
            let Op::Message(message) = op else { continue };
            received += 1;
            bytes += message.payload.len();
            for (name, _) in HEADERS {
                bytes += message.headers.get(name).map_or(0, <[u8]>::len);
            }
        }
    }
    assert!(bytes > 0);
    fills
}

async fn flush(writer: &mut Writer) {
    while writer.try_flush().unwrap() == Flush::Blocked {
        writer.writable().await.unwrap();
    }
}

async fn pong(reader: &mut Reader, writer: &mut Writer) {
    writer.ping();
    flush(writer).await;
    loop {
        match reader.next().unwrap() {
            Some(Op::Pong) => return,
            Some(_) => {}
            None => {
                reader.fill().await.unwrap();
            }
        }
    }
}

/// This thread's CPU time, from the scheduler's own account.
fn cpu_ns() -> u64 {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    account.split(' ').next().unwrap().parse().unwrap()
}
