//! The nats-server configuration of one region's server, as text. Pure.
//!
//! Passwords are public on purpose: everything here listens on loopback only. Ping and write
//! deadlines stay at nats-server's defaults, because with them a gateway link that is silent for
//! some seconds loses nothing, and with shorter ones it does.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::edge_permissions::{EdgeSpace, edge_permissions};

/// The account of edges and services.
pub const ACCOUNT: &str = "MESH";
/// The account of nats-server's own events.
pub const SYSTEM_ACCOUNT: &str = "SYS";
/// User and password of plain NATS clients.
pub const APP_USER: (&str, &str) = ("app", "app");
/// User and password of edges.
pub const EDGE_USER: (&str, &str) = ("edge", "edge-secret");
/// User and password of the system account.
pub const SYSTEM_USER: (&str, &str) = ("sys", "sys");

/// A laptop's share: enough for tests and a demonstration, never the whole disk.
const JETSTREAM_MEMORY_MAX: &str = "256M";
const JETSTREAM_FILE_MAX: &str = "2G";

/// How to reach another region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteGateway {
    /// The region's name.
    pub region: String,
    /// The loopback port to dial: a link proxy, or the remote gateway itself.
    pub port: u16,
}

/// An edge as a user of NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeUser {
    /// The user's name; the password is that of [`EDGE_USER`].
    pub name: String,
    /// What it may do, as nats-server reads it; empty: everything.
    pub permissions: String,
}

impl EdgeUser {
    /// The one user of all edges.
    pub(crate) fn open() -> Self {
        Self { name: EDGE_USER.0.into(), permissions: String::new() }
    }

    /// The user of an edge, called as the edge is.
    pub(crate) fn confined(edge: &str, region: &str, spaces: &[EdgeSpace]) -> Self {
        Self { name: edge.into(), permissions: edge_permissions(edge, region, spaces) }
    }

    fn render(&self) -> String {
        let Self { name, permissions } = self;
        format!("{{ user: \"{name}\", password: \"{}\"\n{permissions} }}", EDGE_USER.1)
    }
}

/// What one region's server is told. Names must be plain tokens; `Supercluster` checks that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// Region, cluster and gateway name.
    pub region: String,
    /// Unique in the mesh.
    pub server_name: String,
    /// Port for NATS clients.
    pub client_port: u16,
    /// Port for routes.
    pub route_port: u16,
    /// Port for other regions' gateways.
    pub gateway_port: u16,
    /// What the gateway says its own port is; other regions learn it by gossip and dial it too.
    pub gateway_advertise_port: u16,
    /// Port for the HTTP monitor.
    pub monitor_port: u16,
    /// The other regions; empty means a single region without gateways.
    pub remotes: Vec<RemoteGateway>,
    /// Directory of JetStream.
    pub store_dir: PathBuf,
    /// Its edges' users.
    pub edges: Vec<EdgeUser>,
    /// Port for nats-server's own WebSocket listener, without TLS or compression, if wanted.
    pub websocket_port: Option<u16>,
}

/// Renders the configuration file.
pub fn render(config: &NatsConfig) -> String {
    let NatsConfig { region, server_name, client_port, monitor_port, edges, .. } = config;
    let store_dir = quoted(&config.store_dir.to_string_lossy());
    let mut text = format!(
        r#"# Written by meridian at each start; edits are lost.
server_name: "{server_name}"
listen: "127.0.0.1:{client_port}"
http: "127.0.0.1:{monitor_port}"
server_tags: ["region:{region}"]
jetstream {{
  store_dir: {store_dir}
  max_mem: {JETSTREAM_MEMORY_MAX}
  max_file: {JETSTREAM_FILE_MAX}
}}
accounts {{
  {SYSTEM_ACCOUNT}: {{ users: [ {system} ] }}
  {ACCOUNT}: {{
    jetstream: enabled
    users: [ {app}, {edges} ]
    msg_trace: {{ dest: "_mrd.trace.{region}", sampling: "100%" }}
  }}
}}
system_account: {SYSTEM_ACCOUNT}
"#,
        system = user(SYSTEM_USER),
        app = user(APP_USER),
        edges = edges.iter().map(EdgeUser::render).collect::<Vec<_>>().join(", "),
    );
    if !config.remotes.is_empty() {
        render_cluster_and_gateway(config, &mut text);
    }
    if let Some(port) = config.websocket_port {
        write!(
            text,
            r#"websocket {{
  listen: "127.0.0.1:{port}"
  no_tls: true
  compression: false
}}
"#
        )
        .expect("writing to a string cannot fail");
    }
    text
}

/// A region of one server must name itself as a route, or JetStream refuses gateways. Without
/// gateways it must not: a group of one that routes to itself never elects a meta leader.
fn render_cluster_and_gateway(config: &NatsConfig, text: &mut String) {
    let NatsConfig { region, route_port, .. } = config;
    let own = RemoteGateway { region: config.region.clone(), port: config.gateway_port };
    let gateways: String = std::iter::once(&own)
        .chain(&config.remotes)
        .map(|remote| {
            let RemoteGateway { region, port } = remote;
            format!("    {{ name: \"{region}\", urls: [\"nats://127.0.0.1:{port}\"] }}\n")
        })
        .collect();
    write!(
        text,
        r#"cluster {{
  name: "{region}"
  listen: "127.0.0.1:{route_port}"
  routes: ["nats-route://127.0.0.1:{route_port}"]
}}
gateway {{
  name: "{region}"
  listen: "127.0.0.1:{}"
  advertise: "127.0.0.1:{}"
  reject_unknown_cluster: true
  gateways: [
{gateways}  ]
}}
"#,
        config.gateway_port, config.gateway_advertise_port,
    )
    .expect("writing to a string cannot fail");
}

fn user((name, password): (&str, &str)) -> String {
    format!("{{ user: \"{name}\", password: \"{password}\" }}")
}

/// nats-server reads `\\` and `\"` in a quoted string as JSON does.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NatsConfig {
        NatsConfig {
            region: "eu".into(),
            server_name: "eu-1".into(),
            client_port: 1000,
            route_port: 1001,
            gateway_port: 1002,
            gateway_advertise_port: 1005,
            monitor_port: 1003,
            remotes: vec![
                RemoteGateway { region: "us".into(), port: 1061 },
                RemoteGateway { region: "ap".into(), port: 1062 },
            ],
            store_dir: PathBuf::from("/srv/a \"b\"/jetstream"),
            edges: vec![EdgeUser::open()],
            websocket_port: None,
        }
    }

    #[test]
    fn gateways_are_a_full_mesh_that_refuses_strangers() {
        let text = render(&config());
        assert!(text.contains(r#"{ name: "eu", urls: ["nats://127.0.0.1:1002"] }"#), "{text}");
        assert!(text.contains(r#"{ name: "us", urls: ["nats://127.0.0.1:1061"] }"#), "{text}");
        assert!(text.contains(r#"{ name: "ap", urls: ["nats://127.0.0.1:1062"] }"#), "{text}");
        assert!(text.contains("reject_unknown_cluster: true"), "{text}");
        assert!(text.contains(r#"advertise: "127.0.0.1:1005""#), "{text}");
    }

    #[test]
    fn messages_with_a_sampled_traceparent_are_traced_by_the_servers() {
        let text = render(&config());
        let traced = r#"msg_trace: { dest: "_mrd.trace.eu", sampling: "100%" }"#;
        assert!(text.contains(traced), "{text}");
    }

    #[test]
    fn one_region_has_neither_gateway_nor_route() {
        let text = render(&NatsConfig { remotes: vec![], ..config() });
        assert!(!text.contains("gateway {"), "{text}");
        assert!(!text.contains("cluster {"), "{text}");
        assert!(render(&config()).contains(r#"routes: ["nats-route://127.0.0.1:1001"]"#));
    }

    #[test]
    fn websocket_is_rendered_only_when_asked_for() {
        assert!(!render(&config()).contains("websocket"));
        let text = render(&NatsConfig { websocket_port: Some(1004), ..config() });
        assert!(text.contains("websocket {\n  listen: \"127.0.0.1:1004\""), "{text}");
    }

    #[test]
    fn quotes_in_the_store_directory_are_escaped() {
        let text = render(&config());
        assert!(text.contains(r#"store_dir: "/srv/a \"b\"/jetstream""#), "{text}");
    }

    #[test]
    fn every_listener_is_loopback_and_deadlines_stay_default() {
        let text = render(&NatsConfig { websocket_port: Some(1004), ..config() });
        let listeners: Vec<_> = text
            .lines()
            .filter(|line| line.contains("listen:") || line.contains("http:"))
            .collect();
        assert_eq!(listeners.len(), 5, "{text}");
        assert!(listeners.iter().all(|line| line.contains("\"127.0.0.1:")), "{text}");
        assert!(!text.contains("ping") && !text.contains("write_deadline"), "{text}");
    }
}
