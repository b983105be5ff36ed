//! A mesh on loopback: renders nats-server configurations, starts and supervises real
//! nats-servers and edges, and delays or cuts the gateway links between regions.
//!
//! `meridian dev` and the test kit call it. It is not for production: passwords are public, all
//! addresses are loopback, and it knows nothing of what edges and clients say.

mod edge_permissions;
mod edge_process;
mod error;
mod gateway_greeting;
mod gateway_mesh;
mod http_get;
mod link;
mod link_pump;
mod mesh_ports;
mod nats_config;
mod nats_server;
mod nats_server_binary;
mod ports;
mod process;
mod readiness;
mod region;
mod supercluster;

pub use edge_permissions::{EdgeSpace, edge_permissions};
pub use edge_process::EdgeProcess;
pub use error::Error;
pub use http_get::{Response, http_get};
pub use link::{DELAY_MS_MAX, Link, LinkHandle};
pub use mesh_ports::{EDGES_MAX, EdgePorts, MeshPorts, REGIONS_MAX, RegionPorts};
pub use nats_config::{
    ACCOUNT, APP_USER, EDGE_USER, NatsConfig, RemoteGateway, SYSTEM_ACCOUNT, SYSTEM_USER, render,
};
pub use nats_server::{NatsServer, NatsServerOptions};
pub use nats_server_binary::{NATS_SERVER_ENV, find_nats_server};
pub use ports::PortBlock;
pub use region::Region;
pub use supercluster::{EdgeUsers, Links, NatsWebSocket, Supercluster, SuperclusterOptions};
