//! The regions of a development mesh: how many, and what they are called.

/// Names by number; more than these are numbered.
const NAMES: [&str; 6] = ["eu", "us", "ap", "sa", "af", "oc"];

/// More nats-servers than this are no pleasure on one machine.
const REGIONS_MAX: usize = 9;

/// Longest name: it becomes a subject token and a file name.
const NAME_BYTES_MAX: usize = 32;

/// Distinct region names, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Regions(pub(crate) Vec<String>);

/// Reads `3` or `eu,us,ap`, as clap wants it.
pub(crate) fn parse(text: &str) -> Result<Regions, String> {
    let names: Vec<String> = match text.parse::<usize>() {
        Ok(count) => (1..=count.min(REGIONS_MAX + 1)).map(name).collect(),
        Err(_) => text.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    if !(1..=REGIONS_MAX).contains(&names.len()) {
        return Err(format!("1 to {REGIONS_MAX} regions are possible"));
    }
    for (index, name) in names.iter().enumerate() {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(format!("{name:?} is no region name: use 1 to 32 of a-z, 0-9 and -"));
        }
        if names[..index].contains(name) {
            return Err(format!("{name:?} stands twice"));
        }
    }
    Ok(Regions(names))
}

fn name(number: usize) -> String {
    NAMES.get(number - 1).map_or_else(|| format!("r{number}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text).unwrap().0
    }

    #[test]
    fn a_number_gives_the_usual_names() {
        assert_eq!(names("1"), ["eu"]);
        assert_eq!(names("3"), ["eu", "us", "ap"]);
        assert_eq!(names("9"), ["eu", "us", "ap", "sa", "af", "oc", "r7", "r8", "r9"]);
    }

    #[test]
    fn names_can_be_given() {
        assert_eq!(names("eu-west, us"), ["eu-west", "us"]);
    }

    #[test]
    fn impossible_regions_are_refused() {
        for text in ["0", "10", "4000000000", "", "eu,,us", "eu,eu", "EU", "a.b", "-1,€"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
