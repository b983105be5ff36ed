//! The floor as a process of its own, so that `/proc` tells its cost and nothing else's.
//!
//! Prints one JSON line with its two addresses, then obeys orders until its standard input ends,
//! which is how it notices that whoever started it is gone. Started by `meridian-bench-suite`.

use std::io::{Read, Write};

use meridian_bench::floor::Floor;

fn main() -> std::io::Result<()> {
    let floor = Floor::bind()?;
    let (sockets, control) = floor.addresses()?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::json!({"sockets": sockets, "control": control}))?;
    out.flush()?;
    std::thread::Builder::new().name("floor-parent".into()).spawn(|| {
        let mut ignored = [0; 64];
        while std::io::stdin().read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
        std::process::exit(0);
    })?;
    floor.serve()
}
