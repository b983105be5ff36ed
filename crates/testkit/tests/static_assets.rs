//! The files that an edge serves: named by their contents, kept by caches, asked for again cheaply.

#![allow(clippy::unwrap_used)]

use meridian_testkit::{RunningEdge, config_for, curl};
use std::collections::BTreeMap;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// An edge that needs no NATS for what is asked of it.
fn edge_with_page() -> RunningEdge {
    let mut config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    config.demo.page = true;
    RunningEdge::start_unready(config)
}

/// The paths that a page names in quotes.
fn named(page: &str) -> Vec<String> {
    page.split('"').filter(|text| text.starts_with("/assets/")).map(String::from).collect()
}

#[tokio::test]
async fn the_page_is_asked_for_again_and_what_it_names_is_kept_for_ever() {
    let edge = edge_with_page();
    let at = |path: &str| format!("http://{}{path}", edge.public());
    let page = curl(&[&at("/")]).await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-cache"));
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    let names = named(&page.body);
    assert_eq!(names.len(), 3, "{names:?}");
    for name in &names {
        let file = curl(&[&at(name)]).await;
        assert_eq!(file.status, 200, "{name}");
        assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(file.header("access-control-allow-origin"), "*");
        let hash = file.header("etag").trim_matches('"').to_owned();
        assert!(hash.len() == 12 && name.contains(&format!(".{hash}.")), "{name} {hash}");
        // The name without the hash leads to the same bytes, but is not kept.
        let plain = curl(&[&at(&name.replace(&format!(".{hash}"), ""))]).await;
        assert_eq!((plain.status, plain.header("cache-control")), (200, "no-cache"));
        assert_eq!(plain.body, file.body);
        let other = curl(&[&at(&name.replace(&hash, "000000000000"))]).await;
        assert_eq!(other.status, 404, "another version is not there");
        assert!(!other.headers.contains_key("cache-control"));
    }
}

#[tokio::test]
async fn a_known_entity_tag_gets_304_and_head_gets_no_body() {
    let edge = edge_with_page();
    let at = |path: &str| format!("http://{}{path}", edge.public());
    for path in ["/", "/assets/demo.js", "/demo/mesh.json"] {
        let whole = curl(&[&at(path)]).await;
        let etag = whole.header("etag").to_owned();
        for tags in [etag.clone(), format!("\"x\", W/{etag}"), "*".into()] {
            let again = curl(&["-H", &format!("If-None-Match: {tags}"), &at(path)]).await;
            assert_eq!((again.status, again.body.as_str()), (304, ""), "{path} {tags}");
            assert_eq!(again.header("etag"), etag);
        }
        let changed = curl(&["-H", "If-None-Match: \"x\"", &at(path)]).await;
        assert_eq!((changed.status, changed.body.len()), (200, whole.body.len()), "{path}");
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let head = curl(&["-I", version, &at(path)]).await;
            assert_eq!((head.status, head.body.as_str()), (200, ""), "{path} {version}");
            assert_eq!(head.header("content-length"), whole.body.len().to_string(), "{path}");
        }
    }
    let posted = curl(&["-d", "x", &at("/assets/demo.js")]).await;
    assert_eq!(posted.status, 405);
}

#[tokio::test]
async fn every_edge_serves_the_client_and_says_under_which_name_it_may_be_kept() {
    let edge = RunningEdge::start_unready(config_for("eu-1", "eu", &[], "nats://127.0.0.1:9"));
    let at = |path: &str| format!("http://{}{path}", edge.public());
    let names = curl(&[&at("/assets/names.json")]).await;
    assert_eq!((names.status, names.header("cache-control")), (200, "no-cache"));
    assert_eq!(names.header("access-control-allow-origin"), "*");
    let names: BTreeMap<String, String> = serde_json::from_str(&names.body).unwrap();
    for (name, word) in [("client.js", "connectShared"), ("worker.js", "onconnect")] {
        let kept = curl(&[&at(&names[name])]).await;
        assert_eq!((kept.status, kept.header("content-type")), (200, JAVASCRIPT), "{name}");
        assert_eq!(kept.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(kept.header("access-control-allow-origin"), "*");
        assert!(names[name].contains(kept.header("etag").trim_matches('"')), "{}", names[name]);
        assert!(kept.body.contains(word), "{name} holds what it should");
        let plain = curl(&[&at(&format!("/assets/{name}"))]).await;
        assert_eq!(plain.header("cache-control"), "no-cache");
        assert_eq!(plain.body, kept.body);
    }
}

#[tokio::test]
async fn nothing_of_the_demo_is_served_while_the_page_is_off() {
    let config = config_for("eu-1", "eu", &[], "nats://127.0.0.1:9");
    let edge = RunningEdge::start_unready(config);
    for path in ["/", "/assets/demo.js", "/demo/mesh.json"] {
        assert_eq!(curl(&[&format!("http://{}{path}", edge.public())]).await.status, 404, "{path}");
    }
}
