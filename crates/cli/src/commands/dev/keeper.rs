//! Keeps the processes of a development mesh alive until they are to stop: one task for each edge
//! and one for all nats-servers. Each task owns its processes.

use super::backoff::Backoff;
use crate::terminal::{talk, talk_error};
use meridian_local::{EdgeProcess, Error, Region, Supercluster};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Tells keepers to stop what they keep.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The order, and how to hear it.
    pub(super) fn channel() -> (watch::Sender<bool>, Self) {
        let (order, heard) = watch::channel(false);
        (order, Self(heard))
    }

    /// Waits for the order. Cancel-safe. Whoever could give it being gone counts as given.
    async fn ordered(&mut self) {
        let _ = self.0.wait_for(|is_ordered| *is_ordered).await;
    }
}

/// Restarts an edge whenever it dies, and ends it in good order.
pub(super) async fn keep_edge(id: String, mut edge: EdgeProcess, mut stop: Stop) {
    let mut backoff = Backoff::new();
    loop {
        tokio::select! { biased;
            // An edge that dies while it is being stopped needs no restart.
            () = stop.ordered() => break,
            error = edge.exited() => report(&id, &error),
        }
        loop {
            let wait = backoff.on_death();
            talk(&format!("starting {id} again in {} ms", wait.as_millis()));
            tokio::select! { biased;
                // Stopping needs no new edge.
                () = stop.ordered() => return,
                () = sleep(wait) => {}
            }
            backoff.on_start();
            let restarted = tokio::select! { biased;
                // The half-started process is ended below.
                () = stop.ordered() => break,
                restarted = edge.restart() => restarted,
            };
            match restarted {
                Ok(()) => {
                    talk(&format!("{id} is back"));
                    break;
                }
                Err(error) => report(&id, &error),
            }
        }
    }
    if let Err(error) = edge.terminate().await {
        report(&id, &error);
    }
}

/// Restarts nats-servers whenever they die, and ends them in good order.
pub(super) async fn keep_servers(mut mesh: Supercluster, mut stop: Stop) {
    let mut backoff = Backoff::new();
    loop {
        tokio::select! { biased;
            // As for edges.
            () = stop.ordered() => break,
            error = mesh.exited() => report("the mesh", &error),
        }
        let wait = backoff.on_death();
        tokio::select! { biased;
            // As for edges.
            () = stop.ordered() => break,
            restarted = restart_dead(&mut mesh, wait) => match restarted {
                Ok(()) => talk("all nats-servers run again"),
                Err(error) => report("the mesh", &error),
            },
        }
        backoff.on_start();
    }
    if let Err(error) = mesh.shutdown().await {
        report("the mesh", &error);
    }
}

async fn restart_dead(mesh: &mut Supercluster, wait: Duration) -> Result<(), Error> {
    talk(&format!("starting what is missing again in {} ms", wait.as_millis()));
    sleep(wait).await;
    let names: Vec<String> = mesh.regions().iter().map(Region::name).map(str::to_owned).collect();
    for name in names {
        if !mesh.region_mut(&name)?.server_mut().is_running() {
            mesh.restart_region(&name).await?;
        }
    }
    Ok(())
}

fn report(id: &str, error: &Error) {
    talk_error(&format!("{id}: {error}"));
}
