//! The one list of files in the binary that the public listener serves, and how their names come
//! to hold their contents' hash, so that browsers and CDNs may keep them for ever.

use bytes::Bytes;
use sha1::{Digest, Sha1};

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Where every file but the page itself is.
const ROOT: &str = "/assets/";

/// Digits of the hash in a name: 48 bits, to tell a handful of versions apart.
const HASH_DIGITS: usize = 12;

/// A file as it stands in the source tree. It names others as `/assets/<name>`.
struct Source {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

/// Every file. One that names another stands behind it, because its own hash covers the name.
const SOURCES: [Source; 3] = [
    Source { name: "icon.svg", content_type: SVG, text: include_str!("built/icon.svg") },
    Source { name: "demo.css", content_type: CSS, text: include_str!("built/demo.css") },
    Source { name: "demo.js", content_type: JAVASCRIPT, text: include_str!("built/demo.js") },
];

/// The page at `/`, which names the others.
const INDEX: Source =
    Source { name: "index.html", content_type: HTML, text: include_str!("built/index.html") };

/// A file as it is served. Immutable.
pub(super) struct Asset {
    /// `/assets/<stem>.<hash>.<ending>`; for the page `/`.
    pub(super) path: String,
    /// `/assets/<name>`, for pages elsewhere that cannot know the hash; the page has none.
    pub(super) plain_path: Option<String>,
    pub(super) content_type: &'static str,
    /// The entity tag: the hash in quotes.
    pub(super) etag: String,
    pub(super) body: Bytes,
}

/// All files, the page last.
pub(super) fn all() -> Vec<Asset> {
    let mut assets: Vec<Asset> = Vec::new();
    for source in &SOURCES {
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
    let body = with_hashes(INDEX.text, &assets);
    let etag = format!("\"{}\"", hash(body.as_bytes()));
    let (path, content_type) = ("/".into(), INDEX.content_type);
    assets.push(Asset { path, plain_path: None, content_type, etag, body: body.into() });
    assets
}

/// A text in which the names of earlier files hold their hashes.
fn with_hashes(text: &str, assets: &[Asset]) -> String {
    assets.iter().fold(text.to_owned(), |text, asset| {
        let plain = asset.plain_path.as_deref().unwrap_or_default();
        text.replace(&format!("\"{plain}\""), &format!("\"{}\"", asset.path))
    })
}

/// The hash of some contents, in hex. It names a version and secures nothing.
pub(super) fn hash(contents: &[u8]) -> String {
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
        let assets = all();
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
}
