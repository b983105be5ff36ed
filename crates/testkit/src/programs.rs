//! Programs that tests run beside nats-server and that `make tools-monitoring` installs: on PATH,
//! or in `.tools/`.

use std::env;
use std::path::PathBuf;

/// The path of a program. Panics, saying what to do, when it is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let search_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&search_path).map(|directory| directory.join(name));
    let directory = env::current_dir().unwrap();
    let tools = directory.ancestors().flat_map(|above| {
        let tools = above.join(".tools");
        [tools.join(name), tools.join("monitoring/usr/bin").join(name)]
    });
    let found = on_path.chain(tools).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run `make tools-monitoring`"))
}
