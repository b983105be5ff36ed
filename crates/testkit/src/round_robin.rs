//! A load balancer without memory: each connection goes to the next edge, whoever makes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Owned by its test; ends with it.
pub struct RoundRobin {
    address: SocketAddr,
    /// Connections that each backend was given.
    counts: Arc<Vec<AtomicUsize>>,
    task: JoinHandle<()>,
}

impl RoundRobin {
    /// Listens on a free port and passes connections on, in turn.
    pub async fn start(backends: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts: Arc<Vec<AtomicUsize>> =
            Arc::new(backends.iter().map(|_| AtomicUsize::new(0)).collect());
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            for turn in (0..backends.len()).cycle() {
                let (mut client, _) = listener.accept().await.unwrap();
                counted[turn].fetch_add(1, Ordering::Relaxed);
                let backend = backends[turn];
                tokio::spawn(async move {
                    // A backend that is gone closes the connection, as a balancer would.
                    if let Ok(mut server) = TcpStream::connect(backend).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { address, counts, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that each backend was given, in the order of the backends.
    pub fn counts(&self) -> Vec<usize> {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.task.abort();
    }
}
