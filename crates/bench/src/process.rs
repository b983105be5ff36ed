//! What a process has used so far, from `/proc`: the whole process, so that no thread is forgotten.
//!
//! CPU time comes in clock ticks (10 ms on Linux), so a difference means something only over
//! seconds of CPU. Linux scales the user and system parts to the precise sum; the split between
//! them is itself sampled at ticks.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::Error;

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSample {
    /// CPU time in user mode, in µs, in steps of a clock tick.
    pub user_us: u64,
    /// CPU time in the kernel on the process's behalf, in µs.
    pub system_us: u64,
    /// Resident memory, in KiB.
    pub rss_kb: u64,
    /// Threads.
    pub threads: u64,
}

impl ProcessSample {
    /// Samples process `pid`.
    ///
    /// # Errors
    /// [`Error::Process`] when it has ended or `/proc` is not what Linux documents (proc(5)).
    pub fn take(pid: u32) -> Result<Self, Error> {
        let refuse = |why: String| Error::Process { pid, why };
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|e| refuse(e.to_string()))
        };
        let stat = read("stat")?;
        let (user_ticks, system_ticks) =
            cpu_ticks(&stat).ok_or_else(|| refuse("stat has no CPU times".into()))?;
        let status = read("status")?;
        let field = |name: &str| {
            status_number(&status, name).ok_or_else(|| refuse(format!("status has no {name}")))
        };
        let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
        Ok(Self {
            user_us: user_ticks * tick_us,
            system_us: system_ticks * tick_us,
            rss_kb: field("VmRSS")?,
            threads: field("Threads")?,
        })
    }
}

/// Fields 14 and 15 of `/proc/<pid>/stat`, counted after the command, which may itself hold spaces
/// and brackets.
fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn status_number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_with_brackets_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 111 222 0 0 20 0 1 0";
        assert_eq!(cpu_ticks(stat), Some((111, 222)));
    }

    #[test]
    fn own_process_has_memory_and_threads() {
        let sample = ProcessSample::take(std::process::id()).unwrap();
        assert!(sample.rss_kb > 100 && sample.threads >= 1);
    }

    #[test]
    fn ended_process_is_an_error_that_names_it() {
        let error = ProcessSample::take(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("/proc/4294967295"));
    }
}
