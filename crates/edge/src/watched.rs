//! Files that may change while the edge runs: keys and certificates. The one loop that looks at
//! them.
//!
//! Their bytes are compared and not their times, which a symbolic link or a restored file can keep;
//! what they mean is read only when they have changed. Small files: a look costs some reads.

use sha1::{Digest, Sha1};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

/// How often files are looked at: what was renewed is in use within seconds.
const LOOK: Duration = Duration::from_secs(2);

/// Owned by the task that watches them.
pub(crate) struct WatchedFiles {
    paths: Vec<PathBuf>,
    seen: Fingerprint,
}

/// Tells whether the files hold something else than before, one that cannot be read included.
type Fingerprint = [u8; 20];

impl WatchedFiles {
    /// Files as they are now.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let seen = fingerprint(&paths);
        Self { paths, seen }
    }

    /// Waits until the files have changed. They may be in the middle of being written: what cannot
    /// be read is looked at again when it changes again. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        if self.paths.is_empty() {
            return std::future::pending().await;
        }
        loop {
            sleep(LOOK).await;
            if self.has_changed() {
                return;
            }
        }
    }

    fn has_changed(&mut self) -> bool {
        let now = fingerprint(&self.paths);
        std::mem::replace(&mut self.seen, now) != now
    }
}

fn fingerprint(paths: &[PathBuf]) -> Fingerprint {
    let mut hash = Sha1::new();
    for path in paths {
        match std::fs::read(path) {
            Ok(bytes) => {
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
            Err(_) => hash.update(u64::MAX.to_be_bytes()),
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_counts_and_not_when_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        std::fs::write(&one, "1").unwrap();
        let mut files = WatchedFiles::new(vec![one.clone(), two.clone()]);
        assert!(!files.has_changed());
        std::fs::write(&one, "1").unwrap();
        assert!(!files.has_changed(), "the same again");
        std::fs::write(&two, "").unwrap();
        assert!(files.has_changed(), "it is there, and empty");
        assert!(!files.has_changed());
        // What moves from one file to the next is a change too.
        std::fs::write(&one, "").unwrap();
        std::fs::write(&two, "1").unwrap();
        assert!(files.has_changed());
        std::fs::remove_file(&two).unwrap();
        assert!(files.has_changed());
    }
}
