//! Times as nats-server writes them, in ns since 1970. Not a calendar for anything else.

const NS_PER_S: u64 = 1_000_000_000;

/// Reads RFC 3339 in UTC (`2026-11-24T08:56:37.879549457Z`), years 1970 to 2500. None for anything
/// else: nats-server writes nothing else.
#[must_use]
pub fn unix_ns(text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"Z")?;
    let (whole, fraction) = text.split_at_checked(19)?;
    if [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
        .iter()
        .any(|(at, mark)| whole[*at] != *mark)
    {
        return None;
    }
    let part = |from: usize, to: usize| digits(&whole[from..to]);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let is_date = (1970..=2500).contains(&year) && (1..=12).contains(&month);
    if !is_date || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * NS_PER_S + fraction_ns(fraction)?)
}

fn fraction_ns(fraction: &[u8]) -> Option<u64> {
    if fraction.is_empty() {
        return Some(0);
    }
    let places = fraction.strip_prefix(b".")?;
    let count = u32::try_from(places.len()).ok().filter(|count| (1..=9).contains(count))?;
    Some(digits(places)? * 10_u64.pow(9 - count))
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// Days of the Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_nats_server_are_read_to_the_nanosecond() {
        assert_eq!(unix_ns(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_ns(b"2000-03-01T00:00:00Z"), Some(951_868_800 * NS_PER_S));
        let sample = unix_ns(b"2026-11-24T08:56:37.879549457Z");
        assert_eq!(sample, Some(1_795_510_597 * NS_PER_S + 879_549_457));
        assert_eq!(unix_ns(b"2026-11-24T08:56:37.5Z").unwrap() % NS_PER_S, 500_000_000);
    }

    #[test]
    fn what_is_no_such_time_is_none() {
        for text in [
            "",
            "Z",
            "2026-11-24",
            "2026-11-24T08:56:37",
            "2026-11-24T08:56:37+01:00",
            "2026-13-24T08:56:37Z",
            "2026-11-24T08:56:37.Z",
            "2026-11-24T08:56:37.1234567890Z",
            "2026-11-24 08:56:37Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(unix_ns(text.as_bytes()), None, "{text}");
        }
    }
}
