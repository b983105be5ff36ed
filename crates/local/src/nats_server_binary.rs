//! Finds a nats-server that is new enough: `NATS_SERVER`, then PATH, then `.tools/`.
//! `scripts/fetch-nats-server.sh` follows the same order.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Names the binary to use; when it is set, nothing else is tried.
pub const NATS_SERVER_ENV: &str = "NATS_SERVER";

/// What the mesh was measured with; older ones differ in mirrors and message tracing.
const VERSION_MIN: Version = Version([2, 15, 1]);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u32; 3]);

/// Finds the nats-server to run. It runs `--version` on each candidate, which takes milliseconds.
///
/// # Errors
/// `NatsServerMissing`, which names every candidate that was refused.
pub fn find_nats_server() -> Result<PathBuf, Error> {
    let directory = env::current_dir().map_err(Error::io("read the current directory"))?;
    find(env::var_os(NATS_SERVER_ENV), env::var_os("PATH"), &directory)
}

/// Checks one given binary.
pub(crate) fn check_nats_server(path: &Path) -> Result<(), Error> {
    check(path).map_err(|reason| missing(&[reason]))
}

fn find(
    chosen: Option<OsString>,
    search_path: Option<OsString>,
    directory: &Path,
) -> Result<PathBuf, Error> {
    if let Some(path) = chosen.filter(|value| !value.is_empty()).map(PathBuf::from) {
        let named = |reason| missing(&[format!("{NATS_SERVER_ENV} is set: {reason}")]);
        return check(&path).map(|()| path).map_err(named);
    }
    let on_path = search_path.iter().flat_map(env::split_paths).map(|d| d.join("nats-server"));
    let tools = directory.ancestors().map(|d| d.join(".tools").join("nats-server"));
    let mut refused = Vec::new();
    for path in on_path.chain(tools).filter(|path| path.is_file()) {
        match check(&path) {
            Ok(()) => return Ok(path),
            // An old system package must not hide the pinned one.
            Err(reason) => refused.push(reason),
        }
    }
    Err(missing(&refused))
}

fn check(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let output = Command::new(path)
        .arg("--version")
        .output()
        .map_err(|error| format!("{shown} does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = Version::parse(&text).ok_or_else(|| format!("{shown} tells no version"))?;
    if version < VERSION_MIN {
        return Err(format!("{shown} is {version}"));
    }
    Ok(())
}

fn missing(refused: &[String]) -> Error {
    let seen =
        if refused.is_empty() { String::new() } else { format!(" ({})", refused.join("; ")) };
    Error::NatsServerMissing { wanted: VERSION_MIN.to_string(), seen }
}

impl Version {
    /// Reads `nats-server: v2.15.1`. A pre-release counts as the release before it is one:
    /// `2.15.1-RC.1` is refused, since it may lack what the release has.
    fn parse(text: &str) -> Option<Self> {
        let version = text.trim().strip_prefix("nats-server: v")?;
        let (numbers, pre_release) = match version.split_once('-') {
            Some((numbers, _)) => (numbers, true),
            None => (version, false),
        };
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        let mut found = Self([parts.next()??, parts.next()??, parts.next()??]);
        if pre_release && found == VERSION_MIN {
            found.0[2] = found.0[2].checked_sub(1)?;
        }
        parts.next().is_none().then_some(found)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Writes a program that only tells a version.
    fn install(directory: &Path, version: &str) -> PathBuf {
        fs::create_dir_all(directory).unwrap();
        let path = directory.join("nats-server");
        fs::write(&path, format!("#!/bin/sh\necho 'nats-server: v{version}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn environment_wins_over_path_and_path_over_tools() {
        let root = tempfile::tempdir().unwrap();
        let chosen = install(&root.path().join("chosen"), "2.15.1");
        let on_path = install(&root.path().join("bin"), "2.16.0");
        let tools = install(&root.path().join(".tools"), "2.15.2");
        let below = root.path().join("a/b");
        let search_path = Some(root.path().join("bin").into_os_string());
        let found = find(Some(chosen.clone().into()), search_path.clone(), &below).unwrap();
        assert_eq!(found, chosen);
        assert_eq!(find(Some(OsString::new()), search_path, &below).unwrap(), on_path);
        assert_eq!(find(None, None, &below).unwrap(), tools);
    }

    #[test]
    fn old_server_on_path_does_not_hide_the_pinned_one() {
        let root = tempfile::tempdir().unwrap();
        install(&root.path().join("bin"), "2.9.10");
        let tools = install(&root.path().join(".tools"), "2.15.1");
        let search_path = Some(root.path().join("bin").into_os_string());
        assert_eq!(find(None, search_path, root.path()).unwrap(), tools);
    }

    #[test]
    fn missing_server_says_what_was_seen_and_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let old = install(&root.path().join("bin"), "2.15.0");
        let search_path = Some(root.path().join("bin").into_os_string());
        let text = find(None, search_path, root.path()).unwrap_err().to_string();
        for part in ["2.15.1", "is 2.15.0", "make tools", "NATS_SERVER=", old.to_str().unwrap()] {
            assert!(text.contains(part), "{text}");
        }
        let text = find(Some("/no/such".into()), None, root.path()).unwrap_err().to_string();
        assert!(text.contains("NATS_SERVER is set: /no/such does not run"), "{text}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let at_least = |text: &str| Version::parse(text).is_some_and(|v| v >= VERSION_MIN);
        assert!(at_least("nats-server: v2.15.1\n"));
        assert!(at_least("nats-server: v2.15.10"));
        assert!(at_least("nats-server: v3.0.0-beta.1"));
        assert!(!at_least("nats-server: v2.15.1-RC.2"));
        assert!(!at_least("nats-server: v2.9.99"));
        assert!(!at_least("nats-server version unknown"));
    }
}
