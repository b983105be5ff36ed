//! What end-to-end tests stand on: a real supercluster with edges, a plain NATS client, and a
//! WebSocket peer that may break every rule. For tests only.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod awaited;
mod certified;
pub mod checker;
mod curl;
mod durable;
mod follower;
pub mod hostile;
mod liar;
mod mesh;
mod nemesis;
mod numbered;
mod otlp_receiver;
mod process_mesh;
mod programs;
mod publisher;
mod raw_nats;
mod raw_socket;
mod round_robin;
mod run;
mod run_report;
mod running_edge;
mod scrape;
mod stage;
mod tokens;

pub use awaited::{
    code_of, next_event, next_gap, next_message, next_notice, refusal, round_trip, text_of,
};
pub use certified::certified_nats;
pub use curl::{Answer, LineStream, curl};
pub use durable::{ask, durable_namespace, subscribe_durable, with_orders};
pub use follower::{Follower, Habit, Next, Record, Resume};
pub use liar::{Liar, Tongue};
pub use mesh::{TestMesh, TestMeshOptions};
pub use nemesis::{Fault, Nemesis, Struck};
pub use numbered::{NumberedPublisher, Shown};
pub use otlp_receiver::{Otlp, OtlpReceiver, StoredSpan};
pub use process_mesh::{ProcessMesh, ProcessMeshOptions};
pub use programs::program;
pub use publisher::{Door, Patience, Publisher};
pub use raw_nats::RawNats;
pub use raw_socket::{RawSocket, ServerFrame};
pub use round_robin::RoundRobin;
pub use run::{Outcome, Run};
pub use run_report::{FaultReport, RunReport, Spread};
pub use running_edge::{RunningEdge, config_for};
pub use scrape::Scrape;
pub use stage::Stage;
pub use tokens::{TestIssuer, ask_for_tokens};

use std::future::Future;
use std::time::Duration;

/// Generous: a loaded machine is slow, and a test that waits this long has failed anyway.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a condition, and panics with `what` when it does not come.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "did not happen in {DEADLINE:?}: {what}");
}

/// Bounds a future by the deadline, and panics with `what` when it does not end.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("did not happen in {DEADLINE:?}: {what}"),
    }
}
