//! What the kernel says of this process. Read when somebody asks for metrics, and never by a shard.

use std::fs;

/// Ticks a second of `/proc/self/stat`: Linux shows 100 to programs on every machine it runs on.
const TICKS_PER_SECOND: u64 = 100;

/// Resident memory.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// User and system time together, in µs.
pub(crate) fn cpu_us() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some((user + system) * (1_000_000 / TICKS_PER_SECOND))
}

/// Open file descriptors.
pub(crate) fn open_descriptors() -> Option<u64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        assert!(resident_bytes().unwrap() > 1 << 16);
        assert!(open_descriptors().unwrap() >= 3);
        assert!(cpu_us().is_some());
    }
}
