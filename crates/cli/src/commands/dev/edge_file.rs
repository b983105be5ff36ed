//! The configuration file of one edge in a development mesh, as text. Pure.

use meridian_local::EdgeSpace;
use std::fmt::Write;

/// A short goodbye: the developer waits for it.
const DRAIN_WINDOW_MS: u64 = 500;

/// What the file says.
#[derive(Debug)]
pub(crate) struct EdgeFile<'a> {
    pub(crate) id: &'a str,
    pub(crate) region: &'a str,
    pub(crate) public_port: u16,
    pub(crate) admin_port: u16,
    /// The region's NATS URL with an edge's credentials.
    pub(crate) nats_url: &'a str,
    /// Every region with the WebSocket URL of its first edge, and the NATS URL for services.
    pub(crate) regions: &'a [(String, String, String)],
    /// Round trip that was added between regions, in ms.
    pub(crate) rtt_ms: u64,
    /// Where the page's orders go, and their token.
    pub(crate) control: (&'a str, &'a str),
}

impl EdgeFile<'_> {
    /// The TOML text. All names in it are plain, so nothing needs escaping.
    pub(crate) fn render(&self) -> String {
        let elsewhere = self.regions.iter().filter(|(name, ..)| name != self.region);
        let elsewhere: Vec<String> = elsewhere.map(|(_, url, _)| format!("{url:?}")).collect();
        let names: Vec<String> =
            self.regions.iter().map(|(name, ..)| format!("{name:?}")).collect();
        let mut text = format!(
            r#"# Written by `meridian dev` at each start; edits are lost.

[edge]
id = "{id}"
region = "{region}"
shards = 1
alternates = [{elsewhere}]

[listen]
public = "127.0.0.1:{public_port}"
admin = "127.0.0.1:{admin_port}"

[nats]
servers = ["{nats_url}"]

[mesh]
regions = [{names}]

[auth]
mode = "dev"

[drain]
window_ms = {DRAIN_WINDOW_MS}

[tracing]
nats_spans = true
live_subject = "traces"
client_per_second = 50

[demo]
page = true
rtt_ms = {rtt_ms}
control = "{control}"
control_token = "{control_token}"
"#,
            id = self.id,
            region = self.region,
            public_port = self.public_port,
            admin_port = self.admin_port,
            nats_url = self.nats_url,
            elsewhere = elsewhere.join(", "),
            names = names.join(", "),
            rtt_ms = self.rtt_ms,
            control = self.control.0,
            control_token = self.control.1,
        );
        for (name, url, nats) in self.regions {
            write!(
                text,
                "\n[[demo.regions]]\nname = \"{name}\"\nurl = \"{url}\"\nnats = \"{nats}\"\n"
            )
            .expect("writing to a string cannot fail");
        }
        let home = self.regions.first().map_or(self.region, |(name, ..)| name);
        text.push_str(NAMESPACES);
        writeln!(text, "home = {home:?}").expect("writing to a string cannot fail");
        text
    }
}

/// What a development mesh serves: one ephemeral subject space in which clients may do everything,
/// and a durable one. The home of its stream follows.
const NAMESPACES: &str = r#"
[[namespaces]]
name = "demo"
pattern = "demo.>"
class = "ephemeral"
publish = true
request = true
headers = ["x-kind"]

# Finished spans, for the demo page and `meridian trace`.
[[namespaces]]
name = "traces"
pattern = "traces.>"
class = "ephemeral"

[[namespaces]]
name = "orders"
pattern = "orders.>"
class = "durable"
publish = true

[namespaces.stream]
max_age_s = 86400
max_bytes = 268435456
"#;

/// The same for the permissions of the edges' NATS users.
pub(crate) fn spaces() -> Vec<EdgeSpace> {
    let space = |name: &str, stream: Option<&str>| EdgeSpace {
        pattern: format!("{name}.>"),
        stream: stream.map(String::from),
        publish: true,
    };
    vec![space("demo", None), space("traces", None), space("orders", Some("ORDERS_1"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_it_was_given() {
        let url = |port| format!("ws://127.0.0.1:{port}/v1/ws");
        let nats = "nats://app:app@127.0.0.1:7500".to_owned();
        let regions = [("eu", 7410), ("us", 7510)]
            .map(|(name, port)| (name.to_owned(), url(port), nats.clone()));
        let text = EdgeFile {
            id: "us-2",
            region: "us",
            public_port: 7512,
            admin_port: 7513,
            nats_url: "nats://edge:edge@127.0.0.1:7500",
            regions: &regions,
            rtt_ms: 80,
            control: ("http://127.0.0.1:7406", "secret"),
        }
        .render();
        let value: toml::Value = toml::from_str(&text).unwrap();
        assert_eq!(value["edge"]["id"].as_str(), Some("us-2"));
        let alternates = value["edge"]["alternates"].as_array().unwrap();
        assert_eq!(alternates.len(), regions.len() - 1, "every region but its own");
        assert_eq!(value["listen"]["admin"].as_str(), Some("127.0.0.1:7513"));
        assert_eq!(value["mesh"]["regions"][1].as_str(), Some("us"));
        assert_eq!(value["demo"]["regions"][0]["url"].as_str(), Some(url(7410).as_str()));
        assert_eq!(value["demo"]["regions"][1]["nats"].as_str(), Some(nats.as_str()));
        assert_eq!(value["demo"]["control_token"].as_str(), Some("secret"));
        assert_eq!(value["namespaces"][0]["pattern"].as_str(), Some("demo.>"));
        assert_eq!(value["namespaces"][2]["stream"]["home"].as_str(), Some("eu"));
        for (namespace, space) in value["namespaces"].as_array().unwrap().iter().zip(spaces()) {
            assert_eq!(namespace["pattern"].as_str(), Some(space.pattern.as_str()));
            assert_eq!(namespace["class"].as_str() == Some("durable"), space.stream.is_some());
            // To traces nobody publishes but the edge.
            let is_edges_own = space.pattern == "traces.>";
            let publish = namespace.get("publish").and_then(toml::Value::as_bool);
            assert_eq!(publish.unwrap_or_default() || is_edges_own, space.publish);
        }
    }
}
