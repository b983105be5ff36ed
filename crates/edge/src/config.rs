//! The edge's configuration: defaults, then a TOML file, then `MERIDIAN__…` environment variables.
//!
//! Unknown keys are refused, and every mistake is reported at once, before a port is bound. The
//! sections are documented here; `config/edge.toml` at the top of the tree shows them all.

mod auth;
mod check;
mod limits;
mod load;
mod metrics;
mod nats;
mod proxies;
#[cfg(test)]
mod tests;
mod tracing;

pub use auth::{AuthMode, AuthSection, IssuerSection, RevocationsSection, ServiceSection};
pub(crate) use check::is_name;
pub use limits::LimitsSection;
pub use load::ConfigErrors;
pub use metrics::{MetricsSection, OtlpProtocol};
pub use nats::NatsSection;
pub use proxies::ClientAddress;
pub use tracing::TracingSection;

use crate::auth::Authenticator;
use meridian_core::Policy;
use meridian_nats::streams::DurableNamespace;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that an operator decides about one edge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this edge is.
    pub edge: EdgeSection,
    /// Where it listens.
    pub listen: ListenSection,
    /// Its region's NATS servers.
    pub nats: NatsSection,
    /// The other regions.
    pub mesh: MeshSection,
    /// Who may connect.
    pub auth: AuthSection,
    /// What one client, and all of them, may use.
    pub limits: LimitsSection,
    /// How it stops.
    pub drain: DrainSection,
    /// How it logs.
    pub log: LogSection,
    /// Which messages are traced.
    pub tracing: TracingSection,
    /// What it is measured against, and where metrics go.
    pub metrics: MetricsSection,
    /// The demo page.
    pub demo: DemoSection,
    /// What is reachable at all.
    pub namespaces: Vec<NamespaceSection>,
}

/// Who this edge is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeSection {
    /// Unique in the mesh; letters, digits, `-` and `_`, at most 64.
    #[serde(deserialize_with = "load::text")]
    pub id: String,
    /// The public WebSocket URL of this edge, as other regions' clients are sent to it. Empty: the
    /// address that it listens on.
    pub url: String,
    /// The region it serves; letters, digits, `-` and `_`, at most 64.
    #[serde(deserialize_with = "load::text")]
    pub region: String,
    /// Shards, each a thread; 0 means one a core.
    pub shards: usize,
    /// Public URLs of other edges that clients may try, in order.
    pub alternates: Vec<String>,
}

/// Where the edge listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSection {
    /// For clients: WebSocket and HTTP.
    pub public: SocketAddr,
    /// For operators: `/healthz`, `/readyz`, `/stats`. Unauthenticated, so keep it private.
    pub admin: SocketAddr,
    /// The certificate chain in PEM, for TLS on the public address. Empty: no TLS.
    pub tls_certificate: PathBuf,
    /// Its private key in PEM.
    pub tls_key: PathBuf,
    /// Origins, beside the edge's own, whose pages may use the HTTP transports: `https://host`,
    /// with `:port` where it is not the default, or `*` for all. In `dev` mode loopback origins may
    /// too.
    pub origins: Vec<String>,
    /// Where a client's address stands, for limits by address.
    pub client_address: ClientAddress,
    /// Whose word for it is taken: addresses and blocks of them.
    pub trusted_proxies: Vec<String>,
}

/// The other regions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeshSection {
    /// Every region of the mesh, for the watch over silent ones. Empty: nothing is watched.
    pub regions: Vec<String>,
    /// How long a region may be silent before clients are told, in ms. Heartbeats come each
    /// second, so less than 1,500 would raise false alarms.
    pub silence_ms: u64,
}

/// How the edge stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainSection {
    /// Clients have half of this many ms to leave; closes are spread over the other half.
    pub window_ms: u64,
}

/// How the edge logs, to stderr.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A `tracing` directive: `info`, or `info,meridian_edge=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The demo page at `/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoSection {
    /// Whether to serve it.
    pub page: bool,
    /// What it offers to connect to.
    pub regions: Vec<DemoRegion>,
    /// Round trip between any two regions that `meridian dev` adds, in ms, for the map.
    pub rtt_ms: u64,
    /// Where `meridian dev` takes the page's orders to kill and revive regions; empty elsewhere.
    /// The edge only tells it to the page.
    pub control: String,
    /// What those orders must carry.
    pub control_token: String,
}

/// A region on the demo page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoRegion {
    /// Its name.
    pub name: String,
    /// An edge's WebSocket URL.
    pub url: String,
    /// The URL of its NATS server, for the commands that the page shows; empty where nobody may
    /// know it.
    #[serde(default)]
    pub nats: String,
}

/// One declared subject space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSection {
    /// For logs and metrics.
    pub name: String,
    /// The subjects it covers, such as `orders.>`. The first token is no wildcard.
    pub pattern: String,
    /// How its messages are delivered.
    #[serde(default)]
    pub class: ClassName,
    /// Whether clients may publish.
    #[serde(default)]
    pub publish: bool,
    /// Whether clients may send requests.
    #[serde(default)]
    pub request: bool,
    /// Headers that pass between clients and NATS, beside `content-type`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// What happens to its messages for a client that reads too slowly.
    #[serde(default)]
    pub slow_client: SlowClientName,
    /// The stream of a durable namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamSection>,
}

/// The stream of a durable namespace: one in the home region, a mirror in every other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSection {
    /// The stem of the streams' names. Default: the namespace's name in upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Counted up to begin anew.
    #[serde(default = "one")]
    pub epoch: u32,
    /// The region that writes go to.
    pub home: String,
    /// The home stream's name, if a mirror was promoted. Default: name and epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_stream: Option<String>,
    /// Servers of a region that store each message: 1, 3 or 5.
    #[serde(default = "one_replica")]
    pub replicas: usize,
    /// Messages are deleted when they are this old, in s; 0 means never.
    #[serde(default)]
    pub max_age_s: u64,
    /// The oldest message of a subject is deleted when there are more; 0 means no limit.
    #[serde(default)]
    pub max_messages_per_subject: i64,
    /// The oldest messages are deleted when the stream is larger, in bytes; 0 means no limit.
    #[serde(default)]
    pub max_bytes: i64,
    /// How long a `Nats-Msg-Id` is remembered, in s; 0 means the server's default of 120.
    #[serde(default)]
    pub duplicate_window_s: u64,
}

fn one() -> u32 {
    1
}

fn one_replica() -> usize {
    1
}

/// How messages of a namespace are delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassName {
    /// Core NATS: lowest latency, at most once.
    #[default]
    Ephemeral,
    /// Stored, in order, with positions to resume from.
    Durable,
}

/// What happens to live messages for a client that reads too slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlowClientName {
    /// The client is closed with 3003.
    #[default]
    Disconnect,
    /// The oldest that wait are dropped, and a gap tells it.
    DropOldest,
    /// Of each subject only the newest waits, and a gap tells it.
    Conflate,
}

impl Config {
    /// The durable namespaces' streams, and that of revocations, for creation and for the edges of
    /// this region.
    #[must_use]
    pub fn durable_namespaces(&self) -> Vec<DurableNamespace> {
        let prefix = check::tenant_prefix(&self.auth);
        let durables = self.namespaces.iter().filter_map(|section| {
            check::durable(section, prefix.as_ref().ok().and_then(Option::as_ref))
        });
        durables.chain(check::revocations(&self.auth)).collect()
    }

    /// The stream that revocations are kept in, if they are.
    #[must_use]
    pub fn revocations(&self) -> Option<DurableNamespace> {
        check::revocations(&self.auth)
    }

    /// Reads defaults, then `file`, then the environment, and checks the whole.
    ///
    /// # Errors
    /// Every mistake, see [`ConfigErrors`].
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        load::load(file)
    }

    /// The whole configuration as TOML, passwords hidden.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut shown = self.clone();
        for server in &mut shown.nats.servers {
            *server = load::hide_password(server);
        }
        for region in &mut shown.demo.regions {
            region.nats = load::hide_password(&region.nats);
        }
        if !shown.demo.control_token.is_empty() {
            shown.demo.control_token = load::HIDDEN.into();
        }
        toml::to_string_pretty(&shown).expect("plain tables of strings and numbers serialize")
    }

    /// What the sessions go by. The configuration has been checked, so this cannot fail.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            node: self.edge.id.clone(),
            region: self.edge.region.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            alternates: self.edge.alternates.clone(),
            namespaces: check::namespaces(self).unwrap_or_default(),
            tenants: check::tenants(&self.auth).unwrap_or_default(),
            limits: self.limits.of_session(),
        }
    }

    /// What verifies tokens, in `token` mode. Reads the keys.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn authenticator(&self) -> Result<Option<Authenticator>, Vec<String>> {
        match self.auth.mode {
            AuthMode::Dev | AuthMode::Service => Ok(None),
            AuthMode::Token => Authenticator::new(&self.auth).map(Some),
        }
    }

    /// Where clients of other regions are sent to reach this edge.
    #[must_use]
    pub(crate) fn public_url(&self) -> String {
        if self.edge.url.is_empty() {
            return format!("ws://{}/v1/ws", self.listen.public);
        }
        self.edge.url.clone()
    }

    /// How many shards to run.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        match self.edge.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }
}

impl Default for EdgeSection {
    fn default() -> Self {
        Self {
            id: "edge-1".into(),
            url: String::new(),
            region: "local".into(),
            shards: 0,
            alternates: Vec::new(),
        }
    }
}

impl Default for ListenSection {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([127, 0, 0, 1], 7410)),
            admin: SocketAddr::from(([127, 0, 0, 1], 7411)),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            origins: Vec::new(),
            client_address: ClientAddress::Socket,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for MeshSection {
    fn default() -> Self {
        // Two heartbeats lost and half a second of delay: clients know within 3 s of a cut.
        Self { regions: Vec::new(), silence_ms: 2_500 }
    }
}

impl Default for DrainSection {
    fn default() -> Self {
        Self { window_ms: 10_000 }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}
