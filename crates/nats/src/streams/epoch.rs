//! The epoch of a namespace's copies: what sequence numbers belong to. Pure.
//!
//! Written as `<home stream>@<unix seconds>` into every copy's metadata, where edges read it.
//! Clients see it as an opaque text: a position of another epoch is not resumed.

/// The epoch of a stream that is created now, or whose sequences must not be compared with older
/// ones from now on.
pub(super) fn new(home_stream: &str, now_s: u64) -> String {
    format!("{home_stream}@{now_s}")
}

/// The epoch after `old`. It differs also within one second, and when the clock went back.
pub(super) fn next(home_stream: &str, old: Option<&str>, now_s: u64) -> String {
    let old_s = old.and_then(|old| old.rsplit_once('@')?.1.parse::<u64>().ok());
    new(home_stream, old_s.map_or(now_s, |old_s| now_s.max(old_s.saturating_add(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_epoch_differs_whatever_the_clock_says() {
        assert_eq!(new("ORDERS_1", 5), "ORDERS_1@5");
        for (old, next_s) in [
            (None, 100),
            (Some("ORDERS_1@99"), 100),
            (Some("ORDERS_1@100"), 101),
            (Some("ORDERS_1@200"), 201),
            (Some("unreadable"), 100),
        ] {
            assert_eq!(next("ORDERS_1", old, 100), new("ORDERS_1", next_s), "{old:?}");
        }
    }
}
