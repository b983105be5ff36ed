//! Clients that do in each region what dashboards look at: publish, receive, come back.

use meridian_client::{Client, Event, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_testkit::{TestMesh, next_event, subscribe_durable};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How often each client acts.
const PACE: Duration = Duration::from_millis(200);

/// Runs until it is dropped.
pub(crate) struct Load {
    _tasks: JoinSet<()>,
}

impl Load {
    pub(crate) async fn start(mesh: &TestMesh, regions: &[String]) -> Self {
        let mut tasks = JoinSet::new();
        for region in regions {
            let (publisher, listener) = (mesh.client(region).await, mesh.client(region).await);
            let options = SubscribeOptions::default();
            let mut live = listener.subscribe("demo.>", options.clone()).await.unwrap();
            let mut stored = subscribe_durable(&listener, "orders.>", options).await;
            tasks.spawn(publish(publisher));
            tasks.spawn(async move {
                loop {
                    next_event(&mut live).await;
                }
            });
            let url = mesh.edge(region).url();
            tasks.spawn(async move {
                // A mark may come first.
                while !matches!(next_event(&mut stored).await, Event::Message(_)) {}
                come_back(&url, stored.resume_point()).await;
                drop(listener);
            });
        }
        Self { _tasks: tasks }
    }
}

async fn publish(client: Client) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        for subject in ["demo.load", "orders.load"] {
            let payload = PayloadBuf::text("some text of some length");
            // The first may come before gateways know who stores it; then there is a next one.
            let published = client.publish(subject, payload, PublishOptions::default());
            drop(published.await);
        }
    }
}

/// Resumes from the same position again and again.
async fn come_back(url: &str, resume: Option<meridian_client::ResumePoint>) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let client = Client::connect(url, Options::default()).await.unwrap();
        let options = SubscribeOptions { resume: resume.clone(), ..SubscribeOptions::default() };
        let mut again = client.subscribe("orders.>", options).await.unwrap();
        next_event(&mut again).await;
        client.close().await;
    }
}
