//! What operators ask of an edge over NATS, and what it answers: who it is, and to send its clients
//! elsewhere. `meridian drain` asks; the control plane answers; the shards move (ADR 0026).
//!
//! The subjects are internal, and an edge's NATS user may hear them and not publish on them.

use crate::config::Config;
use crate::shard::{Move, Orders, Report};
use meridian_nats::{Control, Error, Question, Questions, subjects};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::watch;
use tracing::{info, warn};

/// Most addresses that clients are sent to.
const SERVERS_MAX: usize = 64;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Who are you?
    Who {},
    /// Send your clients to these WebSocket URLs, so many a second, and whoever comes after them.
    Move {
        /// In turn.
        servers: Vec<String>,
        /// Of this edge, at least one.
        per_second: u32,
    },
    /// Send nobody away any more.
    Stay {},
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The edge's id.
    pub edge: String,
    /// Its region.
    pub region: String,
    /// Where clients connect to it.
    pub url: String,
    /// Connections that it holds.
    pub clients: usize,
    /// Whether it sends its clients away.
    pub moving: bool,
    /// Why it does not do what it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Owned by the control plane's conversation.
pub(crate) struct Operators<'a> {
    control: &'a Control,
    config: &'a Config,
    orders: &'a watch::Sender<Orders>,
    reports: &'a [Arc<Report>],
    of_edge: Questions,
    of_region: Questions,
}

impl<'a> Operators<'a> {
    /// Listens to what is asked of this edge, and of its region.
    pub(crate) async fn listen(
        control: &'a Control,
        config: &'a Config,
        orders: &'a watch::Sender<Orders>,
        reports: &'a [Arc<Report>],
    ) -> Result<Self, Error> {
        let of_edge = control.hear_questions(&subjects::edge_orders(&config.edge.id)).await?;
        let region = subjects::region_orders(&config.edge.region);
        let of_region = control.hear_questions(&region).await?;
        Ok(Self { control, config, orders, reports, of_edge, of_region })
    }

    /// Answers until the connection ends.
    pub(crate) async fn run(&mut self) {
        loop {
            let question = tokio::select! {
                biased;
                // Neither waits long behind the other: both are rare. Cancel-safe.
                question = self.of_edge.next() => question,
                question = self.of_region.next() => question,
            };
            let Some(question) = question else { return };
            if let Err(error) = self.answer(&question).await {
                warn!(%error, "cannot answer an operator");
            }
        }
    }

    async fn answer(&self, question: &Question) -> Result<(), Error> {
        let refused = match serde_json::from_slice::<Order>(&question.body) {
            Ok(order) => self.obey(order).err(),
            Err(error) => Some(error.to_string()),
        };
        let answer = Answered {
            edge: self.config.edge.id.clone(),
            region: self.config.edge.region.clone(),
            url: self.config.public_url(),
            clients: self.reports.iter().map(|report| report.numbers().connections).sum(),
            moving: self.orders.borrow().moving.is_some(),
            refused,
        };
        let body = serde_json::to_vec(&answer).expect("plain texts and numbers serialize");
        self.control.answer(question, body.into()).await
    }

    /// Does what is asked, or says why not.
    fn obey(&self, order: Order) -> Result<(), String> {
        let moving = match order {
            Order::Who {} => return Ok(()),
            Order::Stay {} => None,
            Order::Move { servers, per_second } => Some(checked(servers, per_second)?),
        };
        info!(moving = ?moving, "an operator's order");
        self.orders.send_modify(|orders| orders.moving = moving);
        Ok(())
    }
}

/// A move that clients can follow.
fn checked(servers: Vec<String>, per_second: u32) -> Result<Move, String> {
    if servers.is_empty() || servers.len() > SERVERS_MAX {
        return Err(format!("name 1 to {SERVERS_MAX} servers"));
    }
    let is_url = |url: &String| {
        let rest = url.strip_prefix("wss://").or_else(|| url.strip_prefix("ws://"));
        rest.is_some_and(|rest| !rest.is_empty()) && url.len() <= 512
    };
    if let Some(wrong) = servers.iter().find(|url| !is_url(url)) {
        return Err(format!("{wrong:?} is no WebSocket URL"));
    }
    if per_second == 0 {
        return Err("per_second is 0: nobody would move".into());
    }
    Ok(Move { servers: servers.into(), per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_clients_cannot_follow_is_refused() {
        let good = || vec!["wss://us.example.com/v1/ws".to_owned()];
        assert!(checked(good(), 1).is_ok());
        assert!(checked(good(), 0).is_err());
        assert!(checked(Vec::new(), 1).is_err());
        assert!(checked(vec!["https://us.example.com".into()], 1).is_err());
        assert!(checked(vec!["wss://".into()], 1).is_err());
        assert!(checked(vec![good().remove(0); SERVERS_MAX + 1], 1).is_err());
    }

    #[test]
    fn orders_are_spelled_as_they_are_documented() {
        let spelled = |order: &Order| serde_json::to_string(order).unwrap();
        assert_eq!(spelled(&Order::Who {}), r#"{"who":{}}"#);
        let order = Order::Move { servers: vec!["ws://a".into()], per_second: 5 };
        assert_eq!(spelled(&order), r#"{"move":{"servers":["ws://a"],"per_second":5}}"#);
        assert!(serde_json::from_str::<Order>(r#"{"halt":{}}"#).is_err());
    }
}
