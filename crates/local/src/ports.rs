//! Loopback ports that are free: a probe, and a block of them claimed across processes.
//!
//! Not for the layout of a mesh, which is `mesh_ports`. Tests claim blocks so that parallel test
//! processes never meet.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::Error;

/// Below 32768, where Linux begins to hand out ephemeral ports: a block that is free now is not
/// taken by an outgoing connection a moment later.
const BLOCK_RANGE: Range<u16> = 20_000..32_000;

/// Room for three regions with several edges each.
const BLOCK_PORTS: u16 = 100;

/// A block of consecutive free loopback ports. The lock file is held until this is dropped.
#[derive(Debug)]
pub struct PortBlock {
    base: u16,
    _lock: File,
}

impl PortBlock {
    /// How many consecutive ports a block has.
    pub const COUNT: u16 = BLOCK_PORTS;

    /// Claims a block that no other process holds and whose ports can all be bound.
    ///
    /// # Errors
    /// `NoFreePorts` when all blocks are claimed, `Io` when lock files cannot be made.
    pub fn claim() -> Result<Self, Error> {
        let directory = lock_directory();
        fs::create_dir_all(&directory)
            .map_err(Error::io(format!("create {}", directory.display())))?;
        let blocks = BLOCK_RANGE.len() / usize::from(BLOCK_PORTS);
        // Each process begins elsewhere, so that parallel tests seldom meet at a lock.
        let first = std::process::id() as usize % blocks;
        for index in (0..blocks).map(|step| (first + step) % blocks) {
            let base = BLOCK_RANGE.start + u16::try_from(index).expect("few blocks") * BLOCK_PORTS;
            let path = lock_path(&directory, base);
            let lock = File::create(&path)
                .map_err(Error::io(format!("create lock file {}", path.display())))?;
            if lock.try_lock().is_ok() && taken_ports(base..base + BLOCK_PORTS).is_empty() {
                return Ok(Self { base, _lock: lock });
            }
        }
        Err(Error::NoFreePorts { count: BLOCK_PORTS })
    }

    /// The ports, ascending.
    pub fn ports(&self) -> Range<u16> {
        self.base..self.base + BLOCK_PORTS
    }
}

/// One directory a user: another user's lock files could not be opened, and the bind probe still
/// keeps the two apart.
fn lock_directory() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("meridian-ports-{user}"))
}

fn lock_path(directory: &Path, base: u16) -> PathBuf {
    directory.join(format!("{base}.lock"))
}

/// Which of these loopback ports cannot be bound now, in the order given.
pub(crate) fn taken_ports(ports: impl IntoIterator<Item = u16>) -> Vec<u16> {
    ports
        .into_iter()
        .filter(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_never_share_a_port() {
        let one = PortBlock::claim().unwrap();
        let two = PortBlock::claim().unwrap();
        assert!(one.ports().all(|port| !two.ports().contains(&port)));
        assert_eq!(one.ports().len(), usize::from(PortBlock::COUNT));
    }

    #[test]
    fn block_is_locked_while_held_and_free_afterwards() {
        let block = PortBlock::claim().unwrap();
        let again = File::create(lock_path(&lock_directory(), block.base)).unwrap();
        assert!(again.try_lock().is_err());
        drop(block);
        // Another test process may be quicker; its claim ends too.
        again.lock().unwrap();
    }

    #[test]
    fn a_listening_port_counts_as_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(taken_ports([port]), [port]);
        drop(listener);
        assert!(taken_ports([port]).is_empty());
    }
}
