//! When and where a message was published, as its headers say: for the measurement of latency.
//!
//! A message of a durable namespace carries the time at which home stored it (`Nats-Time-Stamp`).
//! A message of core NATS carries nothing of the kind, so edges stamp what their clients publish,
//! and other publishers may: [`HEADER`] holds the region and Unix time in µs.
//!
//! Not for: anything that must be right. The stamp is the publisher's word, by its clock.

/// `Meridian-Sent: eu 1764000000123456`.
pub const HEADER: &str = "Meridian-Sent";

/// What the store calls the time at which it stored a message, in RFC 3339.
pub const STORED_HEADER: &str = "Nats-Time-Stamp";

/// The value of [`HEADER`].
#[must_use]
pub fn stamp(region: &str, unix_us: u64) -> String {
    format!("{region} {unix_us}")
}

/// Reads a value of [`HEADER`]: the region and Unix time in µs.
#[must_use]
pub fn read_stamp(value: &[u8]) -> Option<(&str, u64)> {
    let (region, unix_us) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some((region, unix_us.parse().ok()?))
}

/// Reads a time in RFC 3339 and UTC, as nats-server writes it, as Unix time in µs.
#[must_use]
pub fn read_stored(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut clock = clock.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = u64::try_from(days(year, month, day)).ok()? * 86_400;
    let seconds = seconds + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + micros(fraction)?)
}

/// Days since 1970 of a date in the Gregorian calendar (Hinnant, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The digits behind a second's dot, as µs. Further digits are cut off.
fn micros(fraction: &str) -> Option<u64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some(digits.fold(0, |micros, digit| micros * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_time_is_read_to_the_microsecond() {
        for (text, unix_us) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56.5Z", 951_827_696_500_000),
            ("2026-11-28T08:41:47.123456789Z", 1_795_855_307_123_456),
            ("2100-03-01T00:00:00.000001Z", 4_107_542_400_000_001),
        ] {
            assert_eq!(read_stored(text.as_bytes()), Some(unix_us), "{text}");
        }
        for wrong in [
            "",
            "Z",
            "2026-11-28T08:41:47",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-28T08:41:47.1x3Z",
            "2026-11-28T24:00:00Z",
            "\u{fffd}Z",
        ] {
            assert_eq!(read_stored(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_stamp_comes_back() {
        assert_eq!(read_stamp(stamp("eu", 17).as_bytes()), Some(("eu", 17)));
        for wrong in ["", "eu", "eu ", "eu -1", "17", "eu 1 2"] {
            assert_eq!(read_stamp(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
