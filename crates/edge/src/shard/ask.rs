//! Clients about whom an authorization service is asked. While it is asked who a client is, what
//! the client has sent behind its `connect` is held, and nothing more is read of it: little waits.

use super::connection::Connection;
use super::{Shard, commands};
use crate::auth::{Desk, Question};
use crate::config::{AuthMode, AuthSection};
use meridian_core::session::Credentials;
use meridian_proto::command::{Body, Command, Subscribe};
use meridian_proto::item::Failure;
use meridian_proto::{CloseCode, DecodeError, ErrorCode, Filter};
use std::rc::Rc;
use tokio::sync::Notify;

/// Whom to ask, and about what. Owned by the shard.
pub(crate) struct Asking {
    desk: Desk,
    /// Whether the service decides who may connect.
    connects: bool,
    /// Whether it is asked about filters that permissions do not allow.
    subscribes: bool,
}

/// Owned by the connection, while its `connect` is not decided.
#[derive(Default)]
pub(crate) struct Held {
    commands: Vec<Result<Command, DecodeError>>,
    decided: Rc<Notify>,
}

impl Asking {
    pub(crate) fn new(auth: &AuthSection, desk: Desk) -> Self {
        let (connects, subscribes) = (auth.mode == AuthMode::Service, auth.service.subscribe);
        Self { desk, connects, subscribes }
    }
}

impl Connection {
    /// Whether its `connect` is not decided yet.
    pub(super) fn is_asking(&self) -> bool {
        self.asking.borrow().is_some()
    }

    /// Waits until it is.
    pub(super) async fn decided(&self) {
        loop {
            let decided = match &*self.asking.borrow() {
                Some(held) => Rc::clone(&held.decided),
                None => return,
            };
            decided.notified().await;
        }
    }

    /// Keeps what came behind a `connect` that is not decided yet: the rest of one frame.
    pub(super) fn hold(&self, decoded: Result<Command, DecodeError>) {
        if let Some(held) = self.asking.borrow_mut().as_mut() {
            held.commands.push(decoded);
        }
    }
}

impl Shard {
    /// What a token comes to, by whoever decides.
    pub(super) async fn decide(&self, token: Option<&str>) -> Credentials {
        if !self.asking.connects {
            return self.credentials(token);
        }
        let question = Question::Connect { token: token.map(str::to_owned) };
        match self.asking.desk.ask(question).await {
            Ok(answer) => match answer.grant() {
                Ok(grant) => self.unless_revoked(grant),
                Err(reason) => Credentials::Refused(CloseCode::InvalidToken, reason),
            },
            Err(reason) => Credentials::Refused(CloseCode::Internal, reason),
        }
    }

    /// Asks about a `connect`, if somebody else decides. False if the shard decides itself.
    pub(super) fn asks_about(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        command: &Command,
    ) -> bool {
        let (true, Body::Connect(body)) = (self.asking.connects, &command.body) else {
            return false;
        };
        let token = body.token.clone().or_else(|| connection.token.take().map(String::from));
        *connection.asking.borrow_mut() = Some(Box::default());
        let (shard, connection, command) =
            (Rc::clone(self), Rc::clone(connection), command.clone());
        tokio::task::spawn_local(async move {
            let credentials = shard.decide(token.as_deref()).await;
            let held = connection.asking.take();
            if connection.is_open() {
                // The client has been told of a refusal, and what follows finds it closed.
                drop(commands::greeted(&shard, &connection, command, credentials));
                let held = held.map(|held| {
                    held.decided.notify_waiters();
                    held.commands
                });
                commands::perform(&shard, &connection, held.unwrap_or_default().into_iter());
            } else if let Some(held) = held {
                held.decided.notify_waiters();
            }
        });
        true
    }

    /// Asks about a subscribe that the connection's permissions do not allow. Gives it back if
    /// nobody is to be asked.
    pub(super) fn asks_about_filter(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<u32>,
        body: Subscribe,
    ) -> Option<Subscribe> {
        let identity = {
            let session = connection.session.borrow();
            let session = session.as_ref().filter(|_| self.asking.subscribes);
            session.and_then(|session| session.would_ask(&body, &self.moment()))
        };
        let (Some((identity, until_s)), Ok(filter)) = (identity, Filter::parse(&body.f)) else {
            return Some(body);
        };
        let question = Question::Subscribe {
            user: identity.user.clone(),
            tenant: identity.tenant.clone(),
            filter: body.f.clone(),
        };
        let (shard, connection) = (Rc::clone(self), Rc::clone(connection));
        tokio::task::spawn_local(async move {
            let offered = match shard.asking.desk.ask(question).await {
                Ok(answer) => answer
                    .filter_grant(identity, filter, until_s)
                    .map(Box::new)
                    .map_err(|why| Failure::new(ErrorCode::Forbidden, why)),
                Err(why) => Err(unanswered(why)),
            };
            if connection.is_open() {
                commands::subscribe_with(&shard, &connection, id, body, offered);
            }
        });
        None
    }
}

/// A subscribe about which nobody could be asked.
fn unanswered(why: String) -> Failure {
    Failure::new(ErrorCode::Internal, why)
}
