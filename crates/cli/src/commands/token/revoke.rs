//! `meridian token revoke`: one message to every edge of the mesh, kept in a stream for those that
//! start later.

use crate::exit::{Error, Exit};
use crate::signals::Signals;
use crate::terminal::{talk, talk_error};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meridian_edge::Config;
use meridian_edge::auth::unix_time_s;
use meridian_edge::revocations::{Revocation, RevokedKind, subject};
use meridian_nats::{ConnectOptions, Control, ControlOptions, Error as NatsError, ServerUrl};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

/// How the connection is called in the server's monitoring.
const CONNECTION_NAME: &str = "meridian-token";

/// How often it is looked whether the connection stands.
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    what: What,
    /// Of this tenant only. Without it, of every tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// An edge's TOML file: its NATS servers, and how long revocations are kept.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The NATS server to tell, instead of the file's first.
    #[arg(long, value_name = "URL")]
    nats: Option<ServerUrl>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Every token of a user that was issued until now, and those that do not say when.
    #[arg(long)]
    user: Option<String>,
    /// Every token of a session (`sid`), or the connection with this `cid`.
    #[arg(long)]
    session: Option<String>,
    /// The token with this id (`jti`).
    #[arg(long)]
    token_id: Option<String>,
    /// This token. It is read for its id and not verified.
    #[arg(long)]
    token: Option<String>,
}

pub(super) async fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let config = Config::load(Some(&arguments.config)).map_err(Error::Config)?;
    let revocation = revocation(arguments, config.auth.revocations.keep_s, unix_time_s())?;
    let mut signals = Signals::listen()?;
    let control = signals.race(connect(arguments, &config)).await?;
    let is_kept = config.revocations().is_some();
    let exit = signals.race(tell(&control, &revocation, is_kept)).await;
    control.drain().await;
    exit
}

fn revocation(arguments: &Arguments, keep_s: u64, now_s: u64) -> Result<Revocation, Error> {
    let What { user, session, token_id, token } = &arguments.what;
    let (kind, name) = match (user, session, token_id, token) {
        (Some(user), ..) => (RevokedKind::User, user.clone()),
        (_, Some(session), ..) => (RevokedKind::Session, session.clone()),
        (_, _, Some(id), _) => (RevokedKind::Token, id.clone()),
        (.., Some(token)) => (RevokedKind::Token, id_of(token)?),
        _ => return Err(Error::Usage("name a user, a session or a token".into())),
    };
    let tenant = arguments.tenant.clone();
    Ok(Revocation { kind, name, tenant, at: now_s, until: now_s.saturating_add(keep_s) })
}

/// The id that a token says it has.
fn id_of(token: &str) -> Result<String, Error> {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let id = claims.as_ref().and_then(|claims| claims["jti"].as_str());
    id.map(str::to_owned).ok_or_else(|| {
        Error::Usage("the token has no id (jti): revoke its session or its user".into())
    })
}

async fn connect(arguments: &Arguments, config: &Config) -> Result<Control, Error> {
    let failed = |error: NatsError| Error::Streams(error.into());
    // The configuration has been checked: there is one.
    let mut servers = config.nats_servers().map_err(failed)?;
    servers.truncate(1);
    if let Some(named) = &arguments.nats {
        let tls = servers.first().and_then(|first| first.tls().cloned());
        servers = vec![named.clone().with_tls(tls)];
    }
    // Once by hand, because that says at once and exactly what is wrong.
    let options = ConnectOptions::new(servers.clone(), CONNECTION_NAME);
    for server in &servers {
        meridian_nats::dial(server, &options).await.map_err(failed)?;
    }
    let (name, edge_id) = (CONNECTION_NAME.to_owned(), CONNECTION_NAME.to_owned());
    let options = ControlOptions { servers, name, edge_id };
    let control = Control::connect(options).await.map_err(failed)?;
    while !control.is_connected() {
        sleep(POLL).await;
    }
    Ok(control)
}

async fn tell(control: &Control, revocation: &Revocation, is_kept: bool) -> Result<Exit, Error> {
    let failed = |error: NatsError| Error::Streams(error.into());
    let payload = serde_json::to_vec(revocation).expect("a plain struct serializes");
    let subject = subject(revocation);
    if !is_kept {
        control.publish(&subject, payload).await.map_err(failed)?;
        talk("told to every edge that runs; auth.revocations.home is empty, so it is not kept");
        return Ok(Exit::Ok);
    }
    match control.publish_stored(&subject, payload).await {
        Ok(stream) => {
            talk(&format!("revoked, and kept in {stream}"));
            Ok(Exit::Ok)
        }
        Err(error) => {
            talk_error(&format!(
                "told to every edge that runs, but not kept: {error}: run it again when the \
                 stream's home is well"
            ));
            Ok(Exit::Timeout)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn made(more: &[&str]) -> Result<Revocation, String> {
        let line = ["revoke", "--config", "edge.toml"].iter().chain(more);
        let arguments = Line::try_parse_from(line).map_err(|error| error.to_string())?.arguments;
        revocation(&arguments, 1_000, 5).map_err(|error| error.to_string())
    }

    #[test]
    fn one_thing_is_revoked_at_a_time() {
        let revocation = made(&["--user", "ann", "--tenant", "acme"]).unwrap();
        assert_eq!((revocation.kind, revocation.name.as_str()), (RevokedKind::User, "ann"));
        assert_eq!((revocation.tenant.as_deref(), revocation.at), (Some("acme"), 5));
        assert_eq!(revocation.until, 1_005);
        assert!(made(&[]).is_err());
        assert!(made(&["--user", "ann", "--session", "s"]).is_err());
    }

    #[test]
    fn a_token_is_revoked_by_the_id_that_it_says() {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let token = |claims: &str| format!("{}.{}.x", part("{}"), part(claims));
        let revocation = made(&["--token", &token(r#"{"jti":"t1"}"#)]).unwrap();
        assert_eq!((revocation.kind, revocation.name.as_str()), (RevokedKind::Token, "t1"));
        assert!(made(&["--token", &token("{}")]).unwrap_err().contains("no id"));
        assert!(made(&["--token", "nonsense"]).is_err());
    }
}
