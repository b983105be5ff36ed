//! The load that figures share: three regions, clients on exact subjects, services that publish
//! with plain NATS and wait for each acknowledgement.

use crate::figure::Size;
use fastrand::Rng;
use meridian_edge::Config;
use meridian_local::Links;
use meridian_testkit::{
    Door, Follower, Habit, Patience, ProcessMesh, ProcessMeshOptions, Publisher, with_orders,
};
use std::time::Duration;

pub(crate) const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// After the last publish, generously: mirrors hear of a restarted home after 40 s and more.
pub(crate) const QUIET_DEADLINE: Duration = Duration::from_secs(400);

/// From one message to the next of one publisher, which waits for acknowledgements.
const PACE_MS: u64 = 20;

const PADDING_BYTES: usize = 100;

/// What is asked of the mesh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) clients_per_region: usize,
    /// Messages a second in all.
    pub(crate) rate_per_s: usize,
}

impl Load {
    /// 200 clients a region and 2,000 messages a second over 200 subjects: one client of each
    /// region follows each of them, so there are 6,000 deliveries a second.
    pub(crate) fn promised(size: Size) -> Self {
        Self { clients_per_region: size.pick(10, 200), rate_per_s: size.pick(100, 2_000) }
    }

    /// Every client stays at its edge until that is lost, and then tries the next.
    pub(crate) fn followers(self, mesh: &ProcessMesh, habit: &Habit) -> Vec<Follower> {
        let mut rng = Rng::with_seed(1);
        let mut followers = Vec::new();
        for (index, region) in REGIONS.iter().enumerate() {
            for client in 0..self.clients_per_region {
                let mut urls = mesh.urls(region).to_vec();
                // The edges of a region share its clients.
                let first = client % urls.len();
                urls.rotate_left(first);
                // And the regions share the clients of one that is lost.
                let mut others = [REGIONS[(index + 1) % 3], REGIONS[(index + 2) % 3]];
                others.rotate_left(client % 2);
                urls.extend(others.iter().flat_map(|region| mesh.urls(region).to_vec()));
                followers.push(Follower {
                    name: format!("{region} {client}"),
                    filter: subject(client),
                    urls,
                    habit: habit.clone(),
                    rng: rng.fork(),
                });
            }
        }
        followers
    }

    /// Publishers in all regions, each with a share of the subjects.
    pub(crate) async fn publishers(self, mesh: &ProcessMesh) -> Vec<Publisher> {
        let mut clients = Vec::new();
        for region in REGIONS {
            clients.push(mesh.plain_nats(region).await);
        }
        let count = (self.rate_per_s * PACE_MS as usize).div_ceil(1_000);
        let publisher = |index: usize| Publisher {
            name: format!("service {index}"),
            subjects: (index..self.clients_per_region).step_by(count).map(subject).collect(),
            pace: Duration::from_millis(PACE_MS),
            padding_bytes: PADDING_BYTES,
            door: Door::Nats(clients[index % clients.len()].clone()),
            patience: Patience::Stubborn,
        };
        (0..count).map(publisher).collect()
    }
}

fn subject(client: usize) -> String {
    format!("orders.k{client}")
}

/// Three regions.
pub(crate) async fn mesh(edges_per_region: usize, configure: fn(&mut Config)) -> ProcessMesh {
    ProcessMesh::start(ProcessMeshOptions {
        program: env!("CARGO_BIN_EXE_meridian").into(),
        regions: REGIONS.map(String::from).to_vec(),
        edges_per_region,
        links: Links::Direct,
        edge_links: Links::Direct,
        configure,
    })
    .await
}

/// Three regions with `orders.>` and nothing else changed.
pub(crate) fn plain(config: &mut Config) {
    with_orders(config);
}
