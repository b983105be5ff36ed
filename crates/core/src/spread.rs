//! How many of something are due by now, when they are spread evenly: closes over a window, or
//! moves at a rate. No step makes up for its neighbours, so nothing comes in a burst.

/// Evenly over a window.
///
/// How many of `total` are due after `elapsed_ms` of `window_ms`: none at its beginning, all at its
/// end.
#[must_use]
pub fn due_in_window(total: usize, elapsed_ms: u64, window_ms: u64) -> usize {
    if elapsed_ms >= window_ms {
        return total;
    }
    let due = (total as u128) * u128::from(elapsed_ms) / u128::from(window_ms);
    due as usize
}

/// Evenly at a rate of so many in a thousand seconds: how many are due after `elapsed_ms`, the
/// first at once.
#[must_use]
pub fn due_at_rate(per_1000_s: u64, elapsed_ms: u64) -> usize {
    let due = u128::from(per_1000_s) * u128::from(elapsed_ms) / 1_000_000 + 1;
    usize::try_from(due).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_spread_evenly_over_the_window_however_few_or_many() {
        const WINDOW_MS: u64 = 5_000;
        const PARTS: u64 = 10;
        for total in [1, 7, 10, 250, 251, 19_000] {
            let mut done = 0;
            let mut parts = vec![0_usize; PARTS as usize];
            for elapsed_ms in (0..=WINDOW_MS).step_by(20) {
                let due = due_in_window(total, elapsed_ms, WINDOW_MS);
                assert!(due >= done && due <= total);
                let part = (elapsed_ms.saturating_sub(1)) * PARTS / WINDOW_MS;
                parts[part as usize] += due - done;
                done = due;
            }
            assert_eq!(done, total, "all of them, at the end");
            let fair = total as f64 / PARTS as f64;
            let is_even = |part: &usize| (*part as f64 - fair).abs() <= 1.0 + fair * 0.05;
            assert!(parts.iter().all(is_even), "{total}: {parts:?}");
        }
    }

    #[test]
    fn moves_keep_their_rate_and_the_first_is_at_once() {
        let at_fifty = |elapsed_ms| due_at_rate(50_000, elapsed_ms);
        assert_eq!((at_fifty(0), at_fifty(19), at_fifty(20)), (1, 1, 2));
        assert_eq!(at_fifty(10_000), 501);
        assert_eq!(due_at_rate(500, 1_999), 1, "one in two seconds");
        assert_eq!(due_at_rate(u64::MAX, u64::MAX), usize::MAX);
    }

    #[test]
    fn a_window_of_nothing_is_over() {
        assert_eq!(due_in_window(5, 0, 0), 5);
    }
}
