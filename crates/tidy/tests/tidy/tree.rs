//! The files of this repository that people write code in.

use std::fs;
use std::path::{Path, PathBuf};

/// Where code is. Prose, vectors and corpora are elsewhere, or are told apart by their ending.
const FOLDERS: [&str; 6] = [".ci", "config", "crates", "fuzz", "scripts", "sdk"];

/// Made by tools.
const SKIPPED: [&str; 8] =
    [".build", "artifacts", "built", "corpus", "coverage", "dist", "node_modules", "target"];

/// What is read. Files without an ending are scripts, such as `.ci/run`.
const ENDINGS: [&str; 9] = ["", "css", "html", "js", "mjs", "rs", "sh", "toml", "ts"];

/// One file.
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let tidy = Path::new(env!("CARGO_MANIFEST_DIR"));
    tidy.ancestors().nth(2).expect("crates/tidy is two folders down").to_owned()
}

/// Every file, sorted by path.
pub(crate) fn sources() -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    FOLDERS.iter().for_each(|folder| walk(&root.join(folder), &mut paths));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("walked from the root").to_string_lossy();
        let text = fs::read_to_string(&path).expect("sources are UTF-8 files");
        Source { path: name.replace('\\', "/"), text }
    };
    paths.into_iter().map(read).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
            walk(&path, paths);
        } else if path.is_file() && ENDINGS.contains(&ending.as_str()) && !name.starts_with('.') {
            paths.push(path);
        }
    }
}

#[test]
fn the_walk_finds_sources_of_every_kind() {
    let sources = sources();
    for path in [
        ".ci/run",
        "config/edge.toml",
        "crates/edge/src/page/assets.rs",
        "crates/tidy/tests/tidy/tree.rs",
        "fuzz/fuzz_targets/filter.rs",
        "scripts/fetch-nats-server.sh",
        "sdk/js/demo/demo.css",
        "sdk/js/scripts/size.mjs",
        "sdk/js/src/mesh.ts",
    ] {
        assert!(sources.iter().any(|source| source.path == path), "{path}");
    }
    for made in ["/target/", "/node_modules/", "/dist/"] {
        assert!(sources.iter().all(|source| !source.path.contains(made)), "{made}");
    }
}
