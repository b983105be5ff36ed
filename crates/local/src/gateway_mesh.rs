//! The lines between the regions of one mesh: a link proxy for each directed pair, and the dead
//! ends that keep gossip from finding a way around them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::net::TcpSocket;

use crate::link::reserve;
use crate::nats_config::RemoteGateway;
use crate::region::loopback;
use crate::supercluster::{Links, SuperclusterOptions};
use crate::{Error, Link, LinkHandle};

/// Owned by the `Supercluster`; empty when regions dial each other directly.
#[derive(Debug)]
pub(crate) struct GatewayMesh {
    /// By index of the dialling and of the dialled region.
    pub(crate) links: BTreeMap<(usize, usize), Link>,
    /// Bound and never listened on, so that nobody else listens there either.
    _dead_ends: Vec<TcpSocket>,
}

impl GatewayMesh {
    /// Starts every proxy. They need no target yet, so servers may start in any order later.
    pub(crate) fn start(options: &SuperclusterOptions) -> Result<Self, Error> {
        let mut links = BTreeMap::new();
        let mut dead_ends = Vec::new();
        if options.links == Links::Proxied {
            for to in 0..options.regions.len() {
                let dead_end = loopback(options.ports.regions()[to].gateway_dead_end);
                dead_ends.push(reserve(dead_end).map_err(Error::io(format!("hold {dead_end}")))?);
                start_towards(to, options, &mut links)?;
            }
        }
        Ok(Self { links, _dead_ends: dead_ends })
    }
}

fn start_towards(
    to: usize,
    options: &SuperclusterOptions,
    links: &mut BTreeMap<(usize, usize), Link>,
) -> Result<(), Error> {
    let ports = options.ports.regions();
    let mut diallers = BTreeMap::new();
    for (_, region) in options.regions.iter().enumerate().filter(|&(from, _)| from != to) {
        // Half of the round trip each way.
        diallers.insert(region.clone(), LinkHandle::new(options.rtt_ms.div_ceil(2))?);
    }
    let diallers = Arc::new(diallers);
    for (from, region) in options.regions.iter().enumerate().filter(|&(from, _)| from != to) {
        let listen = loopback(ports[from].links[to]);
        let target = loopback(ports[to].nats_gateway);
        let handle = diallers[region].clone();
        links.insert((from, to), Link::start_with(listen, target, handle, diallers.clone())?);
    }
    Ok(())
}

/// What region `from` dials to reach each other region.
pub(crate) fn remotes(options: &SuperclusterOptions, from: usize) -> Vec<RemoteGateway> {
    let ports = options.ports.regions();
    let others = options.regions.iter().enumerate().filter(|&(to, _)| to != from);
    others
        .map(|(to, region)| RemoteGateway {
            region: region.clone(),
            port: match options.links {
                Links::Direct => ports[to].nats_gateway,
                Links::Proxied => ports[from].links[to],
            },
        })
        .collect()
}
