//! How one copy is.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::Streams;
use super::error::Error;
use super::existing::ExistingStream;

const NS_PER_MS: i64 = 1_000_000;

/// What a copy holds and how far it is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyStatus {
    /// Its name.
    pub stream: String,
    /// Where it is placed; empty if anywhere.
    pub region: String,
    /// What its sequences belong to; `None` if Meridian did not make it.
    pub epoch: Option<String>,
    /// The oldest message's sequence; one more than the last if there is none.
    pub first_seq: u64,
    /// The newest message's sequence, also after it was deleted.
    pub last_seq: u64,
    /// How many messages it holds.
    pub messages: u64,
    /// Sequences between first and last that it does not hold.
    pub num_deleted: u64,
    /// How many messages the home stream has more; `None` for the home stream.
    pub mirror_lag: Option<u64>,
    /// Since the mirror heard of home, in ms; `None` if it never did, and for the home stream.
    pub mirror_active_ms: Option<u64>,
    /// The stream that it mirrors.
    pub mirror_of: Option<String>,
    /// Whether it is the home stream: it takes what is published.
    pub takes_writes: bool,
    /// JetStream consumers, a mirror's own included, since it reads by one.
    pub consumers: usize,
}

impl Streams {
    /// Asks for one copy. The stream's own leader answers, so it works without a meta leader too.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Unanswered`] after 30 s when the copy's servers are down.
    pub async fn copy_status(&self, stream: &str) -> Result<CopyStatus, Error> {
        Ok(CopyStatus::of(&self.info(stream).await?))
    }

    /// Sequences between a copy's oldest and newest message that it does not hold, ascending.
    ///
    /// # Errors
    /// As for [`Streams::copy_status`].
    pub async fn missing_sequences(&self, stream: &str) -> Result<Vec<u64>, Error> {
        #[derive(Default, Deserialize)]
        struct Details {
            #[serde(default)]
            deleted: Vec<u64>,
        }
        #[derive(Deserialize)]
        struct Info {
            state: Details,
        }
        let what = format!("STREAM.INFO.{stream}");
        let info: Info = self.call_for(&what, &json!({"deleted_details": true})).await?;
        Ok(info.state.deleted)
    }

    /// Whether JetStream has a meta leader: without one no stream can be made or changed, while
    /// those that exist go on. Only a meta leader answers this request, and a server that knows of
    /// none says so (measured; a leader that has lost the others notices after some 10 s).
    ///
    /// # Errors
    /// [`Error::NoJetStream`], [`Error::Connection`].
    pub async fn has_meta_leader(&self) -> Result<bool, Error> {
        match self.call("INFO", &json!({})).await {
            Ok(_) => Ok(true),
            Err(Error::NoMetaLeader { .. } | Error::Unanswered { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl CopyStatus {
    fn of(stream: &ExistingStream) -> Self {
        // -1 divided would be 0: just now.
        let active_ns = stream.mirror.as_ref().map(|mirror| mirror.active).filter(|ns| *ns >= 0);
        Self {
            stream: stream.name().to_owned(),
            region: stream.region().to_owned(),
            epoch: stream.epoch().map(str::to_owned),
            first_seq: stream.state.first_seq,
            last_seq: stream.state.last_seq,
            messages: stream.state.messages,
            num_deleted: stream.state.num_deleted,
            mirror_lag: stream.mirror.as_ref().map(|mirror| mirror.lag),
            mirror_active_ms: active_ns.and_then(|ns| u64::try_from(ns / NS_PER_MS).ok()),
            mirror_of: stream.mirror_of().map(str::to_owned),
            takes_writes: stream.takes_writes(),
            consumers: stream.state.consumer_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_never_heard_of_home_is_not_active() {
        let status = |active: i64| {
            let info = json!({
                "config": {
                    "name": "ORDERS_1_us",
                    "placement": {"cluster": "us"},
                    "mirror": {"name": "ORDERS_1"},
                },
                "state": {"messages": 1, "first_seq": 2, "last_seq": 2},
                "mirror": {"name": "ORDERS_1", "lag": 3, "active": active},
            });
            CopyStatus::of(&serde_json::from_value(info).unwrap())
        };
        let heard = status(5_000_000);
        assert_eq!((heard.mirror_lag, heard.mirror_active_ms), (Some(3), Some(5)));
        assert_eq!((heard.region.as_str(), heard.epoch), ("us", None));
        assert_eq!((heard.mirror_of.as_deref(), heard.takes_writes), (Some("ORDERS_1"), false));
        assert_eq!(status(-1).mirror_active_ms, None);
    }
}
