//! File descriptors: a socket each, so the limit decides how many sockets a process can hold.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::Error;

/// What a run needs besides its sockets: epoll, the publisher, `/proc`, logs, and room.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one; child processes inherit it.
///
/// # Errors
/// [`Error::Options`] when `sockets` do not fit even so.
pub fn make_room_for(sockets: usize) -> Result<(), Error> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where the system refuses, the check below says whether it matters.
    let _refused = setrlimit(Resource::Nofile, limit);
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < sockets as u64 + OTHERS => Err(Error::Options(format!(
            "{sockets} sockets need {} descriptors and the limit is {most}: raise `ulimit -n`",
            sockets as u64 + OTHERS
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_sockets_than_descriptors_are_refused_with_the_limit() {
        assert!(make_room_for(1).is_ok());
        if getrlimit(Resource::Nofile).current.is_some() {
            assert!(make_room_for(usize::MAX / 2).unwrap_err().to_string().contains("ulimit -n"));
        }
    }
}
