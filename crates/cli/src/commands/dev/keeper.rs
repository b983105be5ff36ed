//! Keeps the processes of a development mesh as they are wished to be: alive, dead, or ended. One
//! task for each edge and one for all nats-servers. Each task owns its processes.

use super::backoff::Backoff;
use super::wishes::{Census, Hearing, Wish, server_name};
use crate::terminal::{talk, talk_error};
use meridian_local::{EdgeProcess, Error, Region, Supercluster};
use std::sync::Arc;
use tokio::time::sleep;

/// Keeps one edge. Owned by its task.
pub(super) struct EdgeKeeper {
    pub(super) id: String,
    pub(super) region: String,
    pub(super) edge: EdgeProcess,
    pub(super) wishes: Hearing,
    pub(super) census: Arc<Census>,
}

impl EdgeKeeper {
    /// Restarts the edge whenever it dies, unless it is to be dead, and ends it in good order.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            self.census.note(&self.id, self.edge.pid());
            let wish = tokio::select! { biased;
                // An edge that dies while it is being stopped needs no restart.
                wish = self.wishes.other_than(&self.region, Wish::Run) => wish,
                error = self.edge.exited() => {
                    report(&self.id, &error);
                    Wish::Run
                }
            };
            if wish == Wish::Dead {
                self.kill().await;
                // It was no fault of its own.
                backoff = Backoff::new();
            }
            if wish == Wish::End || !self.start_again(&mut backoff).await {
                break;
            }
        }
        if let Err(error) = self.edge.terminate().await {
            report(&self.id, &error);
        }
    }

    /// Starts the edge as soon as it is to run. Answers false if it is to end instead.
    async fn start_again(&mut self, backoff: &mut Backoff) -> bool {
        self.census.note(&self.id, None);
        loop {
            if self.wishes.other_than(&self.region, Wish::Dead).await == Wish::End {
                return false;
            }
            let wait = backoff.on_death();
            talk(&format!("starting {} again in {} ms", self.id, wait.as_millis()));
            tokio::select! { biased;
                // Whatever is wished now, it is no new edge.
                _ = self.wishes.other_than(&self.region, Wish::Run) => continue,
                () = sleep(wait) => {}
            }
            backoff.on_start();
            let restarted = tokio::select! { biased;
                // As above; there is a half-started process to end.
                _ = self.wishes.other_than(&self.region, Wish::Run) => {
                    self.kill().await;
                    continue;
                }
                restarted = self.edge.restart() => restarted,
            };
            match restarted {
                Ok(()) => {
                    talk(&format!("{} is back", self.id));
                    return true;
                }
                Err(error) => report(&self.id, &error),
            }
        }
    }

    async fn kill(&mut self) {
        match self.edge.kill().await {
            Ok(()) => talk(&format!("{} is killed", self.id)),
            Err(error) => report(&self.id, &error),
        }
    }
}

/// Keeps all nats-servers. Owned by its task.
pub(super) struct ServerKeeper {
    pub(super) mesh: Supercluster,
    pub(super) wishes: Hearing,
    pub(super) census: Arc<Census>,
}

impl ServerKeeper {
    /// Restarts nats-servers whenever they die, unless they are to be dead, and ends them in good
    /// order.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut ending = self.wishes.clone();
        loop {
            let is_started = tokio::select! { biased;
                // The half-started process is ended below.
                () = ending.end() => break,
                made = self.make_so(&mut backoff) => made,
            };
            match is_started {
                Ok(true) => talk("all nats-servers run again"),
                Ok(false) => tokio::select! { biased;
                    // A wish first: it may explain a death.
                    () = self.wishes.changed() => {}
                    error = self.mesh.exited() => report("the mesh", &error),
                },
                Err(error) => report("the mesh", &error),
            }
        }
        if let Err(error) = self.mesh.shutdown().await {
            report("the mesh", &error);
        }
    }

    /// Kills what is to be dead, and starts what is to run. Answers whether it started something.
    async fn make_so(&mut self, backoff: &mut Backoff) -> Result<bool, Error> {
        let names: Vec<String> =
            self.mesh.regions().iter().map(Region::name).map(str::to_owned).collect();
        let mut missing = Vec::new();
        for region in &names {
            let wish = self.wishes.now(region);
            let server = self.mesh.region_mut(region)?.server_mut();
            if wish == Wish::Dead && server.is_running() {
                server.kill().await?;
                talk(&format!("{} is killed", server_name(region)));
            } else if wish == Wish::Run && !server.is_running() {
                missing.push(region);
            }
            let pid = server.is_running().then(|| server.pid()).flatten();
            self.census.note(&server_name(region), pid);
        }
        if missing.is_empty() {
            return Ok(false);
        }
        let wait = backoff.on_death();
        talk(&format!("starting what is missing again in {} ms", wait.as_millis()));
        tokio::select! { biased;
            // Somebody else may be wished dead meanwhile.
            () = self.wishes.changed() => return Ok(false),
            () = sleep(wait) => {}
        }
        for region in missing {
            self.mesh.restart_region(region).await?;
            let pid = self.mesh.region(region)?.server().pid();
            self.census.note(&server_name(region), pid);
        }
        backoff.on_start();
        Ok(true)
    }
}

fn report(id: &str, error: &Error) {
    talk_error(&format!("{id}: {error}"));
}
