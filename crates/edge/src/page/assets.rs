//! The one list of files in the binary that the public listener serves, and how their names come
//! to hold their contents' hash, so that browsers and CDNs may keep them for ever.

use bytes::Bytes;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// Of what is made when the edge starts.
pub(super) const JSON: &str = "application/json";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Where every file but the page itself is.
pub(super) const ROOT: &str = "/assets/";

/// Digits of the hash in a name: 48 bits, to tell a handful of versions apart.
const HASH_DIGITS: usize = 12;

/// Whom a file is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// The demo page, and nobody where that is off.
    Demo,
    /// Every page that wants to be a client: the SDK is served by every edge.
    Everybody,
}

/// A file as it stands in the source tree. It names others as `/assets/<name>`.
struct Source {
    of: For,
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

/// Every file. One that names another stands behind it, because its own hash covers the name.
const SOURCES: [Source; 5] = [
    demo("icon.svg", SVG, include_str!("built/icon.svg")),
    demo("demo.css", CSS, include_str!("built/demo.css")),
    demo("demo.js", JAVASCRIPT, include_str!("built/demo.js")),
    client("client.js", include_str!("built/client.js")),
    client("worker.js", include_str!("built/worker.js")),
];

/// The page at `/`, which names the others.
const INDEX: Source = demo("index.html", HTML, include_str!("built/index.html"));

const fn demo(name: &'static str, content_type: &'static str, text: &'static str) -> Source {
    Source { of: For::Demo, name, content_type, text }
}

const fn client(name: &'static str, text: &'static str) -> Source {
    Source { of: For::Everybody, name, content_type: JAVASCRIPT, text }
}

/// Where it stands which name holds which hash, for those who cannot read it off the page.
const NAMES: &str = "/assets/names.json";

/// A file as it is served. Immutable.
pub(super) struct Asset {
    /// `/assets/<stem>.<hash>.<ending>`; `/` and others have no hash.
    pub(super) path: String,
    /// `/assets/<name>`, for pages elsewhere that cannot know the hash; None where
    /// `path` has none either.
    pub(super) plain_path: Option<String>,
    pub(super) content_type: &'static str,
    /// The entity tag: the hash in quotes.
    pub(super) etag: String,
    pub(super) body: Bytes,
}

/// The files that an edge serves; with the demo page last, if that is on.
pub(super) fn all(has_demo: bool) -> Vec<Asset> {
    let mut assets: Vec<Asset> = Vec::new();
    for source in SOURCES.iter().filter(|source| has_demo || source.of == For::Everybody) {
        let body = with_hashes(source.text, &assets);
        let hash = hash(body.as_bytes());
        let (stem, ending) = source.name.rsplit_once('.').unwrap_or((source.name, ""));
        assets.push(Asset {
            path: format!("{ROOT}{stem}.{hash}.{ending}"),
            plain_path: Some(format!("{ROOT}{}", source.name)),
            content_type: source.content_type,
            etag: format!("\"{hash}\""),
            body: body.into(),
        });
    }
    assets.push(names(&assets));
    if has_demo {
        let body = with_hashes(INDEX.text, &assets).into();
        assets.push(Asset::without_hash("/", INDEX.content_type, body));
    }
    assets
}

/// Each file's name with the path that may be kept for ever.
fn names(assets: &[Asset]) -> Asset {
    let pairs = assets.iter().filter_map(|asset| {
        let name = asset.plain_path.as_deref()?.strip_prefix(ROOT)?;
        Some((name, asset.path.as_str()))
    });
    let pairs: BTreeMap<&str, &str> = pairs.collect();
    let body = serde_json::to_vec(&pairs).expect("a map of strings serializes");
    Asset::without_hash(NAMES, JSON, body.into())
}

impl Asset {
    /// One that is asked for again each time.
    pub(super) fn without_hash(path: &str, content_type: &'static str, body: Bytes) -> Self {
        let etag = format!("\"{}\"", hash(&body));
        Self { path: path.into(), plain_path: None, content_type, etag, body }
    }
}

/// A text in which the names of earlier files hold their hashes.
fn with_hashes(text: &str, assets: &[Asset]) -> String {
    assets.iter().fold(text.to_owned(), |text, asset| {
        let Some(plain) = asset.plain_path.as_deref() else { return text };
        text.replace(&format!("\"{plain}\""), &format!("\"{}\"", asset.path))
    })
}

/// The hash of some contents, in hex. It names a version and secures nothing.
fn hash(contents: &[u8]) -> String {
    let digest = Sha1::digest(contents);
    digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(HASH_DIGITS).map(digit).collect()
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).expect("half a byte is a hex digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_file_holds_the_hash_of_what_it_leads_to() {
        let assets = all(true);
        for asset in &assets {
            let text = std::str::from_utf8(&asset.body).unwrap();
            for quoted in text.split('"').filter(|quoted| quoted.starts_with(ROOT)) {
                let found = assets.iter().find(|other| other.path == quoted);
                let found = found.unwrap_or_else(|| panic!("{} names {quoted}", asset.path));
                assert!(quoted.contains(&hash(&found.body)), "{quoted}");
            }
        }
        let page = assets.last().unwrap();
        assert_eq!(page.path, "/");
        assert!(String::from_utf8_lossy(&page.body).contains("/assets/demo."));
    }

    #[test]
    fn without_the_demo_there_is_the_client_and_where_to_find_it() {
        let assets = all(false);
        let [client, worker, names] = assets.as_slice() else { panic!("{}", assets.len()) };
        assert_eq!(client.plain_path.as_deref(), Some("/assets/client.js"));
        assert_eq!(worker.plain_path.as_deref(), Some("/assets/worker.js"));
        let names: BTreeMap<String, String> = serde_json::from_slice(&names.body).unwrap();
        assert_eq!(names["client.js"], client.path);
        assert_eq!(names.len(), 2);
    }
}
