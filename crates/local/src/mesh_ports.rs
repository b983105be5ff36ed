//! Which port of a mesh has which role: the one place where the layout is written down.
//!
//! Development layout; region `i` (from 0) owns the hundred ports from `base + 100 * i`:
//!
//! | offset      | role                                                       |
//! |-------------|------------------------------------------------------------|
//! | `+0`        | NATS clients                                               |
//! | `+1`        | NATS routes within the region                              |
//! | `+2`        | NATS gateway                                               |
//! | `+3`        | NATS monitor (HTTP)                                        |
//! | `+4`        | NATS WebSocket, when asked for                             |
//! | `+5`        | gateway dead end: advertised, held, never listened on      |
//! | `+6`        | orders to `meridian dev`; the first region's alone is used |
//! | `+10 + 2k`  | edge `k`, public                                           |
//! | `+11 + 2k`  | edge `k`, admin                                            |
//! | `+60 + j`   | link proxy from this region towards region `j`             |
//!
//! Tests use the same roles on whatever ports they could claim, densely packed.

use std::sync::Arc;

use crate::ports::taken_ports;
use crate::{Error, PortBlock};

/// Ports of one region in the development layout.
const REGION_STRIDE: usize = 100;
const EDGE_OFFSET: usize = 10;
const LINK_OFFSET: usize = 60;

/// Most edges of a region: offsets 10 to 59 hold two ports for each.
pub const EDGES_MAX: usize = (LINK_OFFSET - EDGE_OFFSET) / 2;

/// Most regions of a mesh: offsets 60 to 99 hold one link for each.
pub const REGIONS_MAX: usize = REGION_STRIDE - LINK_OFFSET;

/// The ports of one edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgePorts {
    /// Browsers and clients.
    pub public: u16,
    /// Health, readiness, metrics.
    pub admin: u16,
}

/// The ports of one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionPorts {
    /// NATS clients.
    pub nats_client: u16,
    /// NATS routes.
    pub nats_route: u16,
    /// NATS gateway.
    pub nats_gateway: u16,
    /// NATS monitor over HTTP.
    pub nats_monitor: u16,
    /// NATS WebSocket listener.
    pub nats_websocket: u16,
    /// Advertised by the gateway and never listened on, so that gossip opens no way around links.
    pub gateway_dead_end: u16,
    /// Orders to `meridian dev`, which takes the first region's.
    pub dev_control: u16,
    /// One entry for each edge.
    pub edges: Vec<EdgePorts>,
    /// Link proxies by the index of the target region; the own index stays unused.
    pub links: Vec<u16>,
}

/// The ports of a mesh. Clones share the claim, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct MeshPorts {
    regions: Vec<RegionPorts>,
    _claims: Arc<Vec<PortBlock>>,
}

impl MeshPorts {
    /// The development layout from `base`, all of whose ports must be free.
    ///
    /// # Errors
    /// `PortsTaken` with every taken port; `InvalidMesh` when the layout does not fit.
    pub fn dev(base: u16, regions: usize, edges: usize) -> Result<Self, Error> {
        check_limits(regions, edges)?;
        let last = usize::from(base) + regions * REGION_STRIDE - 1;
        if last > usize::from(u16::MAX) {
            return Err(Error::InvalidMesh {
                reason: format!("base port {base} leaves no room for {regions} regions"),
            });
        }
        let regions: Vec<_> = (0..regions)
            .map(|index| {
                let first = base + u16::try_from(index * REGION_STRIDE).expect("checked above");
                layout(regions, edges, |offset| {
                    first + u16::try_from(offset).expect("an offset is below the stride")
                })
            })
            .collect();
        let taken = taken_ports(regions.iter().flat_map(RegionPorts::all));
        if !taken.is_empty() {
            return Err(Error::PortsTaken { ports: taken });
        }
        Ok(Self { regions, _claims: Arc::default() })
    }

    /// Ports for a test, held against all other processes that claim.
    ///
    /// # Errors
    /// `NoFreePorts`, `Io` on lock files, `InvalidMesh` when the layout does not fit.
    pub fn claimed(regions: usize, edges: usize) -> Result<Self, Error> {
        check_limits(regions, edges)?;
        let per_region = EDGE_OFFSET + 2 * edges + regions;
        let blocks = (per_region * regions).div_ceil(usize::from(PortBlock::COUNT));
        let claims = (0..blocks).map(|_| PortBlock::claim()).collect::<Result<Vec<_>, _>>()?;
        let mut free = claims.iter().flat_map(PortBlock::ports);
        let regions = (0..regions)
            .map(|_| {
                layout(regions, edges, |_| free.next().expect("enough blocks were claimed above"))
            })
            .collect();
        drop(free);
        Ok(Self { regions, _claims: Arc::new(claims) })
    }

    /// One entry for each region.
    pub fn regions(&self) -> &[RegionPorts] {
        &self.regions
    }
}

impl RegionPorts {
    /// Every port of the region, by ascending offset.
    fn all(&self) -> Vec<u16> {
        let nats = [
            self.nats_client,
            self.nats_route,
            self.nats_gateway,
            self.nats_monitor,
            self.nats_websocket,
            self.gateway_dead_end,
            self.dev_control,
        ];
        let edges = self.edges.iter().flat_map(|edge| [edge.public, edge.admin]);
        nats.into_iter().chain(edges).chain(self.links.iter().copied()).collect()
    }
}

fn layout(regions: usize, edges: usize, mut port: impl FnMut(usize) -> u16) -> RegionPorts {
    RegionPorts {
        nats_client: port(0),
        nats_route: port(1),
        nats_gateway: port(2),
        nats_monitor: port(3),
        nats_websocket: port(4),
        gateway_dead_end: port(5),
        dev_control: port(6),
        edges: (0..edges)
            .map(|k| EdgePorts {
                public: port(EDGE_OFFSET + 2 * k),
                admin: port(EDGE_OFFSET + 2 * k + 1),
            })
            .collect(),
        links: (0..regions).map(|target| port(LINK_OFFSET + target)).collect(),
    }
}

fn check_limits(regions: usize, edges: usize) -> Result<(), Error> {
    if !(1..=REGIONS_MAX).contains(&regions) {
        return Err(Error::InvalidMesh {
            reason: format!("{regions} regions, where 1 to {REGIONS_MAX} are possible"),
        });
    }
    if edges > EDGES_MAX {
        return Err(Error::InvalidMesh {
            reason: format!("{edges} edges a region, where at most {EDGES_MAX} are possible"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn assert_distinct(mesh: &MeshPorts) {
        let all: Vec<u16> = mesh.regions().iter().flat_map(RegionPorts::all).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn development_layout_is_as_documented() {
        let block = PortBlock::claim().unwrap();
        let base = block.ports().start;
        let mesh = MeshPorts::dev(base, 1, 2).unwrap();
        let region = &mesh.regions()[0];
        assert_eq!(region.nats_client, base);
        assert_eq!(region.nats_monitor, base + 3);
        assert_eq!(region.edges[1], EdgePorts { public: base + 12, admin: base + 13 });
        assert_eq!(region.links, [base + 60]);
        assert_distinct(&mesh);
    }

    #[test]
    fn all_taken_ports_are_reported_together() {
        let block = PortBlock::claim().unwrap();
        let base = block.ports().start;
        let _one = TcpListener::bind((Ipv4Addr::LOCALHOST, base)).unwrap();
        let _two = TcpListener::bind((Ipv4Addr::LOCALHOST, base + 11)).unwrap();
        let error = MeshPorts::dev(base, 1, 1).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("{base}, {}", base + 11)), "{text}");
        assert!(text.contains("--base-port"), "{text}");
    }

    #[test]
    fn claimed_ports_are_distinct_over_several_blocks() {
        let mesh = MeshPorts::claimed(5, 6).unwrap();
        assert_eq!(mesh.regions().len(), 5);
        assert_distinct(&mesh);
    }

    #[test]
    fn limits_hold_at_the_edge_and_one_past_it() {
        assert!(check_limits(REGIONS_MAX, EDGES_MAX).is_ok());
        assert!(check_limits(REGIONS_MAX + 1, 1).is_err());
        assert!(check_limits(0, 1).is_err());
        assert!(check_limits(1, EDGES_MAX + 1).is_err());
        assert!(MeshPorts::dev(65_436, 1, 1).is_ok());
        assert!(MeshPorts::dev(65_437, 1, 1).is_err());
    }
}
