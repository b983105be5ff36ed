//! One region of a local mesh: its name, its addresses, its nats-server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::http_get::http_get;
use crate::nats_config::{APP_USER, EDGE_USER};
use crate::{Error, NatsServer, RegionPorts};

/// A region. Owned by its `Supercluster`.
#[derive(Debug)]
pub struct Region {
    pub(crate) name: String,
    pub(crate) ports: RegionPorts,
    pub(crate) directory: PathBuf,
    pub(crate) server: NatsServer,
}

impl Region {
    /// The region's name, as given in the options.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All ports, also those of its edges.
    pub fn ports(&self) -> &RegionPorts {
        &self.ports
    }

    /// Configuration, log and JetStream files of the region; edges may put theirs here too.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// URL for plain NATS clients.
    pub fn nats_url(&self) -> String {
        self.url_for(APP_USER)
    }

    /// URL for edges.
    pub fn nats_edge_url(&self) -> String {
        self.url_for(EDGE_USER)
    }

    /// URL for one edge, where each has a user of its own.
    pub fn nats_url_of_edge(&self, edge: &str) -> String {
        self.url_for((edge, EDGE_USER.1))
    }

    /// Address for NATS clients, without credentials.
    pub fn nats_address(&self) -> SocketAddr {
        loopback(self.ports.nats_client)
    }

    /// Address of nats-server's HTTP monitor.
    pub fn monitor_address(&self) -> SocketAddr {
        loopback(self.ports.nats_monitor)
    }

    /// The region's nats-server.
    pub fn server(&self) -> &NatsServer {
        &self.server
    }

    /// The region's nats-server, to stop or restart it.
    pub fn server_mut(&mut self) -> &mut NatsServer {
        &mut self.server
    }

    /// Names of the regions that this one has a gateway connection *to*, from `/gatewayz`.
    ///
    /// # Errors
    /// `Io` if the monitor does not answer.
    pub async fn outbound_gateways(&self) -> Result<BTreeSet<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Gateways {
            #[serde(default)]
            outbound_gateways: BTreeMap<String, serde::de::IgnoredAny>,
        }
        let asked = || Error::io(format!("read /gatewayz of {}", self.name));
        let response = http_get(self.monitor_address(), "/gatewayz").await.map_err(asked())?;
        let gateways: Gateways = serde_json::from_slice(&response.body)
            .map_err(|error| asked()(std::io::Error::other(error)))?;
        Ok(gateways.outbound_gateways.into_keys().collect())
    }

    /// Whether `/healthz` is 200: JetStream runs and knows its meta leader.
    pub(crate) async fn is_healthy(&self) -> bool {
        http_get(self.monitor_address(), "/healthz")
            .await
            .is_ok_and(|response| response.status == 200)
    }

    fn url_for(&self, (user, password): (&str, &str)) -> String {
        format!("nats://{user}:{password}@{}", self.nats_address())
    }
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
