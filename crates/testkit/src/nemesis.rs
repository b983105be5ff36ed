//! The nemesis: faults in an order that a seed decides, each kind as often as the others, with the
//! times that recovery is measured from.

use crate::process_mesh::ProcessMesh;
use crate::stage::Stage;
use fastrand::Rng;
use std::ops::Range;
use std::time::Duration;
use tokio::time::sleep;

/// Where the streams' home is: `orders.>` of the test mesh.
const HOME: &str = "eu";

/// Long enough that the others notice: a dead server is replaced by an operator's supervisor in
/// this time.
const DEAD_MS: Range<u64> = 200..1_500;

/// Short of, and beyond, the time after which edges and regions call a peer silent (2.5 s).
const FROZEN_MS: Range<u64> = 300..4_000;

/// So long that what an edge holds for one client is full before it ends.
const NAP_MS: Range<u64> = 3_000..6_000;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    EdgeKilled,
    EdgePaused,
    EdgeCutOff,
    ServerKilled,
    HomeServerKilled,
    ServerPaused,
    RegionKilled,
    LinkCut,
    LinkSevered,
    ClientsMoved,
    ReadersSlow,
}

/// A fault that was.
#[derive(Debug, Clone)]
pub struct Struck {
    pub fault: Fault,
    /// What it hit.
    pub at: String,
    /// In ms of the run's clock.
    pub began_ms: u64,
    pub ended_ms: u64,
}

/// Owned by its test.
#[derive(Debug)]
pub struct Nemesis {
    rng: Rng,
    /// What is left of each kind once, shuffled.
    deck: Vec<Fault>,
    pub struck: Vec<Struck>,
}

impl Fault {
    const ALL: [Self; 11] = [
        Self::EdgeKilled,
        Self::EdgePaused,
        Self::EdgeCutOff,
        Self::ServerKilled,
        Self::HomeServerKilled,
        Self::ServerPaused,
        Self::RegionKilled,
        Self::LinkCut,
        Self::LinkSevered,
        Self::ClientsMoved,
        Self::ReadersSlow,
    ];

    /// For the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdgeKilled => "edge killed",
            Self::EdgePaused => "edge paused",
            Self::EdgeCutOff => "edges cut off from NATS",
            Self::ServerKilled => "nats-server killed",
            Self::HomeServerKilled => "home's nats-server killed",
            Self::ServerPaused => "nats-server paused",
            Self::RegionKilled => "region killed",
            Self::LinkCut => "gateway link cut",
            Self::LinkSevered => "gateway link severed",
            Self::ClientsMoved => "all clients moved",
            Self::ReadersSlow => "slow readers",
        }
    }
}

impl Nemesis {
    pub fn new(rng: Rng) -> Self {
        Self { rng, deck: Vec::new(), struck: Vec::new() }
    }

    /// The next fault, from its beginning to its end. Processes that it killed run again when this
    /// returns, though the mesh may still be recovering.
    pub async fn strike(&mut self, mesh: &mut ProcessMesh, stage: &Stage) -> &Struck {
        if self.deck.is_empty() {
            self.deck = Fault::ALL.to_vec();
            self.rng.shuffle(&mut self.deck);
        }
        let fault = self.deck.pop().expect("it was filled");
        let began_ms = stage.now_ms();
        let at = self.perform(fault, mesh, stage).await;
        self.struck.push(Struck { fault, at, began_ms, ended_ms: stage.now_ms() });
        self.struck.last().expect("it was pushed")
    }

    async fn perform(&mut self, fault: Fault, mesh: &mut ProcessMesh, stage: &Stage) -> String {
        let names = mesh.region_names();
        let region = names[self.rng.usize(..names.len())].clone();
        let away: Vec<&String> = names.iter().filter(|name| *name != HOME).collect();
        let away = away[self.rng.usize(..away.len())].clone();
        let edge = self.rng.usize(..mesh.edges_per_region());
        match fault {
            Fault::EdgeKilled => {
                mesh.edge_mut(&region, edge).kill().await.unwrap();
                self.wait(DEAD_MS).await;
                mesh.edge_mut(&region, edge).restart().await.unwrap();
                return format!("{region}-{}", edge + 1);
            }
            Fault::EdgePaused => {
                mesh.edge_mut(&region, edge).pause().unwrap();
                self.wait(FROZEN_MS).await;
                mesh.edge_mut(&region, edge).resume().unwrap();
                return format!("{region}-{}", edge + 1);
            }
            Fault::EdgeCutOff => {
                mesh.edge_link(&region).sever();
                self.wait(DEAD_MS).await;
                mesh.edge_link(&region).heal();
            }
            Fault::ServerKilled => {
                self.kill_server(&away, mesh).await;
                return away;
            }
            Fault::HomeServerKilled => {
                self.kill_server(HOME, mesh).await;
                return HOME.into();
            }
            Fault::ServerPaused => {
                mesh.nats.region(&region).unwrap().server().pause().unwrap();
                self.wait(FROZEN_MS).await;
                mesh.nats.region(&region).unwrap().server().resume().unwrap();
            }
            Fault::RegionKilled => {
                mesh.kill_region(&region).await;
                self.wait(DEAD_MS).await;
                mesh.restart_region(&region).await;
            }
            Fault::LinkCut | Fault::LinkSevered => {
                return self.part(fault, HOME, &away, mesh).await;
            }
            Fault::ClientsMoved => {
                stage.scatter();
                return "everywhere".into();
            }
            Fault::ReadersSlow => {
                let nap = Duration::from_millis(self.rng.u64(NAP_MS));
                stage.nap(nap);
                sleep(nap).await;
                return "everywhere".into();
            }
        }
        region
    }

    async fn kill_server(&mut self, region: &str, mesh: &mut ProcessMesh) {
        mesh.nats.kill_region(region).await.unwrap();
        self.wait(DEAD_MS).await;
        mesh.nats.restart_region(region).await.unwrap();
    }

    async fn part(&mut self, fault: Fault, one: &str, other: &str, mesh: &ProcessMesh) -> String {
        match fault {
            Fault::LinkCut => mesh.nats.cut_between(one, other).unwrap(),
            _ => mesh.nats.sever_between(one, other).unwrap(),
        }
        self.wait(FROZEN_MS).await;
        mesh.nats.heal_between(one, other).unwrap();
        format!("{one}-{other}")
    }

    async fn wait(&mut self, ms: Range<u64>) {
        sleep(Duration::from_millis(self.rng.u64(ms))).await;
    }
}
