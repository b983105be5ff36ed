//! The authorization service: somebody else decides who a client is, or whether it may subscribe,
//! asked by a NATS request or a webhook.
//!
//! One desk an edge, on the control plane: shards hand it questions by a bounded channel. It asks
//! each question once at a time and keeps answers for a while, so that a storm of reconnects does
//! not become one of questions. What an answer allows, the session decides.

use crate::auth::unix_time_s;
use crate::config::{Config, ServiceSection};
use crate::web::WebAddress;
use futures_util::stream::{FuturesUnordered, StreamExt};
use meridian_core::flights::{Entered, Flights};
use meridian_core::permission::{
    FilterGrant, Grant, Identity, PermissionTexts, Permissions, TokenFacts,
};
use meridian_nats::{Control, ControlOptions, subjects};
use meridian_proto::Filter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval};
use tracing::{debug, warn};

/// Questions that wait for the desk, of all shards: beyond it clients are told to come again.
const QUESTIONS_MAX: usize = 4_096;

/// Who waits for answers at once.
const WAITING_MAX: usize = 16_384;

/// Questions under way at once: more would only queue at the service.
const IN_FLIGHT_MAX: usize = 256;

/// Answers kept: a few hundred bytes each.
const KEPT_MAX: usize = 50_000;

/// How often answers that are too old are forgotten.
const EXPIRE: Duration = Duration::from_secs(10);

/// What `ask` says for NATS requests. Anything else is a webhook's address.
pub(crate) const BY_NATS: &str = "nats";

/// What is asked, as the service reads it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Question {
    /// Who is this?
    Connect {
        /// What the client showed; none if it showed nothing.
        token: Option<String>,
    },
    /// May this client subscribe to this?
    Subscribe {
        /// Who it is.
        user: String,
        /// Of which tenant.
        tenant: Option<String>,
        /// What it wants.
        filter: String,
    },
}

/// What the service says. Fields of the other question are not looked at.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    /// Why not. Whatever else stands here, it is a no.
    error: Option<String>,
    /// To `connect`: who it is.
    user: Option<String>,
    tenant: Option<String>,
    permissions: PermissionTexts,
    session: Option<String>,
    token_id: Option<String>,
    /// To `subscribe`: whether it may.
    allow: bool,
    /// Until when, in s of Unix time.
    expires: Option<u64>,
}

/// An answer, or that there is none.
pub(crate) type Reply = Result<Arc<Answer>, String>;

/// Where shards ask. Clones lead to the same desk.
#[derive(Debug, Clone)]
pub(crate) struct Desk(mpsc::Sender<Asked>);

#[derive(Debug)]
pub(crate) struct Asked {
    question: Question,
    done: oneshot::Sender<Reply>,
}

impl Desk {
    /// A desk, and what it has to be served with.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        (Self(questions), asked)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, question: Question) -> Reply {
        let (done, reply) = oneshot::channel();
        if self.0.try_send(Asked { question, done }).is_err() {
            return Err("too many questions wait for the authorization service".into());
        }
        reply.await.unwrap_or_else(|_| Err("the authorization service is not asked".into()))
    }
}

impl Answer {
    /// What an answer to `connect` comes to. Without `expires` it holds for a day.
    ///
    /// # Errors
    /// Why the client is not let in.
    pub(crate) fn grant(&self) -> Result<Grant, String> {
        /// Long enough for nobody to notice, and short enough that nobody stays for ever.
        const LIFE_S: u64 = 24 * 3_600;
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let user = self.user.clone().ok_or("the authorization service names no user")?;
        let identity = Identity { user, tenant: self.tenant.clone() };
        let permissions =
            Permissions::new(&self.permissions, &identity).map_err(|error| error.to_string())?;
        let now_s = unix_time_s();
        let expires_at_s = self.expires.unwrap_or(now_s + LIFE_S);
        if expires_at_s <= now_s {
            return Err("token expired: get a new one".into());
        }
        let facts = TokenFacts {
            token_id: self.token_id.clone(),
            session_id: self.session.clone(),
            issued_at_s: None,
        };
        Ok(Grant { identity, permissions, expires_at_s, is_followed: false, facts })
    }

    /// What an answer to `subscribe` comes to.
    ///
    /// # Errors
    /// Why the client may not.
    pub(crate) fn filter_grant(
        &self,
        identity: Identity,
        filter: Filter,
        until_s: u64,
    ) -> Result<FilterGrant, String> {
        match (&self.error, self.allow) {
            (Some(error), _) => Err(error.clone()),
            (None, false) => Err("the authorization service does not allow it".into()),
            (None, true) => {
                let expires_at_s = self.expires.unwrap_or(until_s);
                Ok(FilterGrant { identity, filter, expires_at_s, facts: TokenFacts::default() })
            }
        }
    }
}

/// Whom the desk asks.
enum Service {
    Nats(Control),
    Web(WebAddress),
}

/// Answers shards until the edge ends.
pub(crate) async fn run(config: Arc<Config>, mut asked: mpsc::Receiver<Asked>) {
    let section = &config.auth.service;
    let service = match service(&config).await {
        Ok(service) => service,
        Err(error) => {
            warn!(error, "the authorization service cannot be asked");
            return;
        }
    };
    let started = Instant::now();
    let now_ms = || started.elapsed().as_millis() as u64;
    let mut flights = Flights::new(KEPT_MAX, WAITING_MAX);
    let mut in_flight = FuturesUnordered::new();
    let mut expire = interval(EXPIRE);
    loop {
        tokio::select! {
            biased;
            // Answers make room. Cancel-safe.
            Some((question, reply)) = in_flight.next() => {
                let reply: Reply = reply;
                let until_ms = kept_until_ms(section, &reply, now_ms());
                for done in flights.land(&question, reply.clone(), until_ms, now_ms()) {
                    let done: oneshot::Sender<Reply> = done;
                    // Whoever asked may have gone.
                    drop(done.send(reply.clone()));
                }
            }
            // Cancel-safe.
            next = asked.recv(), if in_flight.len() < IN_FLIGHT_MAX => {
                let Some(Asked { question, done }) = next else { return };
                match flights.enter(&question, done, now_ms()) {
                    Entered::Kept(reply, done) => drop(done.send(reply)),
                    Entered::Joined => {}
                    Entered::Full(done) => {
                        drop(done.send(Err("too many wait for the authorization service".into())));
                    }
                    Entered::First => in_flight.push(ask(&service, section, question)),
                }
            }
            // Cancel-safe.
            _ = expire.tick() => flights.expire(now_ms()),
        }
    }
}

/// An answer is kept for `cache_s`, and none longer than it holds; that there was none is not.
fn kept_until_ms(section: &ServiceSection, reply: &Reply, now_ms: u64) -> u64 {
    let Ok(answer) = reply else { return now_ms };
    let holds_s = answer.expires.map_or(u64::MAX, |end_s| end_s.saturating_sub(unix_time_s()));
    now_ms + section.cache_s.min(holds_s) * 1_000
}

async fn service(config: &Config) -> Result<Service, String> {
    if config.auth.service.ask != BY_NATS {
        return Ok(Service::Web(WebAddress::parse(&config.auth.service.ask)?));
    }
    let servers = config.nats_servers();
    let control = Control::connect(ControlOptions {
        servers: servers.map_err(|error| error.to_string())?,
        name: format!("meridian edge {} auth", config.edge.id),
        edge_id: config.edge.id.clone(),
    });
    control.await.map(Service::Nats).map_err(|error| error.to_string())
}

async fn ask(service: &Service, section: &ServiceSection, question: Question) -> (Question, Reply) {
    let patience = Duration::from_millis(section.timeout_ms);
    let json = serde_json::to_vec(&question).expect("plain strings serialize");
    let body = match service {
        Service::Nats(control) => {
            let subject = match question {
                Question::Connect { .. } => subjects::AUTH_CONNECT,
                Question::Subscribe { .. } => subjects::AUTH_SUBSCRIBE,
            };
            control.ask(subject, json, patience).await.map_err(|error| error.to_string())
        }
        Service::Web(address) => match address.post(json.into(), patience).await {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(format!("status {}", answer.status)),
            Err(error) => Err(error),
        },
    };
    let reply = body.and_then(|body| {
        serde_json::from_slice::<Answer>(&body).map(Arc::new).map_err(|error| error.to_string())
    });
    let reply = reply.map_err(|error| {
        debug!(error, "the authorization service does not answer");
        "the authorization service does not answer".to_owned()
    });
    (question, reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_core::permission::Verb;
    use serde_json::json;

    fn answer(json: serde_json::Value) -> Answer {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn questions_are_spelled_as_the_documentation_says() {
        let spelled = |question: &Question| serde_json::to_value(question).unwrap();
        let connect = Question::Connect { token: Some("x".into()) };
        assert_eq!(spelled(&connect), json!({"connect": {"token": "x"}}));
        let subscribe =
            Question::Subscribe { user: "ann".into(), tenant: None, filter: "a.>".into() };
        let expected = json!({"subscribe": {"user": "ann", "tenant": null, "filter": "a.>"}});
        assert_eq!(spelled(&subscribe), expected);
    }

    #[test]
    fn what_the_service_does_not_say_is_not_given() {
        let grant = answer(json!({"user": "ann"})).grant().unwrap();
        let subject = meridian_proto::Subject::parse("demo.a").unwrap();
        assert!(!grant.permissions.of_subject(Verb::Pub, &subject).is_allowed());
        assert!(answer(json!({})).grant().is_err());
        assert_eq!(answer(json!({"user": "ann", "error": "no"})).grant(), Err("no".into()));
        assert!(answer(json!({"user": "ann", "expires": 1})).grant().is_err());
        let filter = || Filter::parse("a.b").unwrap();
        let asked = |json| answer(json).filter_grant(Identity::default(), filter(), 9);
        assert_eq!(asked(json!({"allow": true})).unwrap().expires_at_s, 9);
        assert!(asked(json!({})).is_err());
        assert!(asked(json!({"allow": true, "error": "no"})).is_err());
    }
}
