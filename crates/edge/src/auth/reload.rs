//! Keys rotate: their files are read again and again, and the last good ones stay in use.

use super::Authenticator;
use crate::config::AuthSection;
use crate::shard::Orders;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

/// How soon new keys are in use. Issuers publish them minutes before they sign with them.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until the edge ends.
pub(crate) async fn keep_fresh(section: AuthSection, orders: watch::Sender<Orders>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Vec<String> = Vec::new();
    loop {
        looks.tick().await;
        let known = orders.borrow().authenticator.clone();
        match newer(&section, known.as_deref()) {
            Ok(newer) => {
                told.clear();
                if let Some(newer) = newer {
                    info!("new keys for tokens");
                    orders.send_modify(|orders| orders.authenticator = Some(Arc::new(newer)));
                }
            }
            // Said once, not every few seconds.
            Err(mistakes) if mistakes == told => {}
            Err(mistakes) => {
                warn!(?mistakes, "cannot read keys for tokens: the last good ones stay in use");
                told = mistakes;
            }
        }
    }
}

/// What the files hold now, if that is something else.
pub(super) fn newer(
    section: &AuthSection,
    known: Option<&Authenticator>,
) -> Result<Option<Authenticator>, Vec<String>> {
    let read = Authenticator::new(section)?;
    let is_new = known.is_none_or(|known| known.fingerprint != read.fingerprint);
    Ok(is_new.then_some(read))
}
