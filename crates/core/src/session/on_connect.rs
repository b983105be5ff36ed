//! `connect`: a client identifies itself, or is refused. Makes the session.

use super::rights::Rights;
use super::{MeshNotices, Moment, Session};
use crate::permission::Grant;
use crate::policy::Tenants;
use crate::rate::{ByteLevel, TokenBucket};
use crate::tenant::Scope;
use meridian_proto::command::{Body, Command, Connect};
use meridian_proto::item::{ConnectReply, Failure, Item, Limits, Reply};
use meridian_proto::limits::{
    COMMANDS_PER_FRAME_MAX, PING_S_DEFAULT, PING_S_RANGE, TOKEN_BYTES_MAX,
};
use meridian_proto::{CloseCode, ErrorCode};

/// Optional pushes that this edge can send.
const FEATURES: [&str; 3] = ["gap", "goaway", "mesh"];

/// What a first command leads to.
#[derive(Debug)]
pub enum Greeting {
    /// A session, and the reply to send.
    Welcome(Box<Session>, Item),
    /// The empty object before `connect`: nothing to do.
    Ignored,
    /// Send the item, then close.
    Refused(Item, CloseCode),
    /// Send the item, then close with this code and reason.
    NotAdmitted(Item, CloseCode, String),
}

/// What a client's token came to.
#[derive(Debug)]
pub enum Credentials {
    /// No tokens are asked for: everybody may do everything that namespaces offer.
    NotAsked,
    /// The token was taken.
    Granted(Box<Grant>),
    /// It was not: close with this code, for this reason.
    Refused(CloseCode, String),
}

/// Decides the first command of a connection. `cid` becomes the connection's id. `admit` is asked
/// only about a well-formed `connect`.
#[must_use]
pub fn greet(
    command: Command,
    cid: String,
    admit: impl FnOnce(&Connect) -> Credentials,
    moment: &Moment<'_>,
) -> Greeting {
    let id = command.id;
    let refuse = |code, msg: &str| {
        Greeting::Refused(Item::Error(id, Failure::new(code, msg)), CloseCode::BadProtocol)
    };
    match (command.body, id) {
        (Body::Heartbeat, _) => Greeting::Ignored,
        (Body::Connect(body), Some(_)) if is_too_long(&body) => {
            let msg = format!("token, name or ver over {TOKEN_BYTES_MAX} bytes");
            refuse(ErrorCode::BadRequest, &msg)
        }
        (Body::Connect(body), Some(id)) => match admit(&body) {
            Credentials::NotAsked => welcome(id, &body, cid, None, Scope::default(), moment),
            Credentials::Granted(grant) => match scope_of(&grant, &moment.policy.tenants) {
                Ok(scope) => welcome(id, &body, cid, Some(grant), scope, moment),
                Err(reason) => not_admitted(id, CloseCode::InvalidToken, reason),
            },
            Credentials::Refused(code, reason) => not_admitted(id, code, reason),
        },
        (Body::Connect(_), None) => refuse(ErrorCode::BadRequest, "connect without an id"),
        _ => refuse(ErrorCode::Unauthorized, "the first command must be connect"),
    }
}

fn not_admitted(id: u32, code: CloseCode, reason: String) -> Greeting {
    let error = match code {
        CloseCode::Internal | CloseCode::Overloaded => ErrorCode::Internal,
        _ => ErrorCode::Unauthorized,
    };
    Greeting::NotAdmitted(Item::Error(Some(id), Failure::new(error, &reason)), code, reason)
}

/// Where the subjects of a grant's tenant lie, if the edge serves it.
fn scope_of(grant: &Grant, tenants: &Tenants) -> Result<Scope, String> {
    let tenant = grant.identity.tenant.as_deref();
    match tenants {
        Tenants::Together => Ok(Scope::default()),
        Tenants::Prefixed(prefix) => prefix.scope(tenant).map_err(|error| error.to_string()),
        Tenants::Only(only) if tenant == Some(only) => Ok(Scope::default()),
        Tenants::Only(_) => Err("this edge serves another tenant".into()),
    }
}

fn is_too_long(body: &Connect) -> bool {
    let texts = [&body.token, &body.name, &body.ver];
    texts.into_iter().flatten().any(|text| text.len() > TOKEN_BYTES_MAX)
}

fn welcome(
    id: u32,
    body: &Connect,
    cid: String,
    grant: Option<Box<Grant>>,
    scope: Scope,
    moment: &Moment<'_>,
) -> Greeting {
    let policy = moment.policy;
    let asked = FEATURES.into_iter().filter(|feature| body.feat.iter().any(|f| f == feature));
    let feat: Vec<String> = asked.map(String::from).collect();
    let wants_mesh = feat.iter().any(|feature| feature == "mesh");
    let ping = body.ping.unwrap_or(PING_S_DEFAULT).clamp(PING_S_RANGE.0, PING_S_RANGE.1);
    let user = grant.as_ref().map(|grant| grant.identity.user.clone());
    let expires = grant.as_ref().map(|grant| grant.expires_at_s);
    let session = Session {
        rights: grant.map(|grant| Rights::new(&cid, grant, moment.unix_s)),
        scope,
        subscriptions: Vec::new(),
        unanswered: Vec::new(),
        budget: TokenBucket::full(policy.limits.commands_burst, moment.now_ms),
        controls: TokenBucket::full(policy.limits.commands_burst, moment.now_ms),
        publishes: TokenBucket::full(policy.limits.publishes().1, moment.now_ms),
        publish_bytes: ByteLevel::empty(moment.now_ms),
        ping_s: ping as u16,
        mesh_notices: if wants_mesh { MeshNotices::Wanted } else { MeshNotices::Unwanted },
    };
    let reply = ConnectReply {
        cid,
        node: policy.node.clone(),
        region: policy.region.clone(),
        ver: policy.version.clone(),
        ping,
        user,
        expires,
        limits: Limits {
            frame: policy.limits.message_bytes_max,
            subs: policy.limits.filters_max,
            cmds: COMMANDS_PER_FRAME_MAX,
        },
        alt: policy.alternates.clone(),
        feat,
    };
    Greeting::Welcome(Box::new(session), Item::Reply(id, Reply::Connect(reply)))
}
