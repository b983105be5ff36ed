//! `meridian token`: makes tokens for tests and services, says what an edge would say to one and
//! why, and revokes.

mod issue;
mod revoke;

use crate::exit::{Error, Exit};
use crate::terminal;
use meridian_edge::Config;
use meridian_edge::auth::{Authenticator, Explanation, explain, unix_time_s};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Make, check, explain and revoke tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Sign a token with a private key or a shared secret, and print it.
    New(issue::Arguments),
    /// Say whether an edge takes a token, whose it is, and until when. Ends with 4 if it does not.
    Check {
        #[command(flatten)]
        token: TokenArgument,
        #[command(flatten)]
        source: Source,
    },
    /// Say which rule allows or denies a subject or filter. Ends with 4 if it is denied.
    Explain {
        /// sub, pub, req, hist or pres.
        verb: String,
        /// The filter of sub, hist and pres; the subject of pub and req.
        subject: String,
        #[command(flatten)]
        token: TokenArgument,
        #[command(flatten)]
        source: Source,
    },
    /// Make tokens worthless in all regions before their time, and close their connections.
    Revoke(revoke::Arguments),
}

/// A token, which is a secret as long as it lives.
#[derive(Debug, clap::Args)]
struct TokenArgument {
    /// The token, or `-` to read it from standard input. Better given that way or by the
    /// environment: arguments are visible to every user of the machine.
    #[arg(long, env = "MERIDIAN_TOKEN", hide_env_values = true)]
    token: String,
}

#[derive(Debug, clap::Args)]
struct Source {
    /// An edge's TOML file: its issuers, namespaces and tenants.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    match arguments.action {
        Action::New(arguments) => issue::run(&arguments),
        Action::Check { token, source } => check(&token, &source),
        Action::Explain { verb, subject, token, source } => {
            explain_one(&verb, &subject, &token, &source)
        }
        Action::Revoke(arguments) => revoke::run(&arguments).await,
    }
}

impl TokenArgument {
    fn read(&self) -> Result<String, Error> {
        if self.token != "-" {
            return Ok(self.token.clone());
        }
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|source| Error::Pipe { action: "read the token", source })?;
        Ok(text.trim().to_owned())
    }
}

fn load(path: &Path) -> Result<(Config, Authenticator), Error> {
    let config = Config::load(Some(path)).map_err(Error::Config)?;
    let authenticator = config.authenticator();
    let authenticator = authenticator
        .map_err(|mistakes| Error::Usage(mistakes.join("; ")))?
        .ok_or_else(|| Error::Usage("auth.mode is \"dev\": this edge takes no tokens".into()))?;
    Ok((config, authenticator))
}

fn check(token: &TokenArgument, source: &Source) -> Result<Exit, Error> {
    let (_, authenticator) = load(&source.config)?;
    let now_s = unix_time_s();
    let grant = match authenticator.check(&token.read()?, now_s) {
        Ok(grant) => grant,
        Err(error) => {
            let text = if source.json {
                json!({"taken": false, "why": error.to_string()}).to_string()
            } else {
                format!("not taken: {error}")
            };
            terminal::data(format!("{text}\n").as_bytes())?;
            return Ok(Exit::Forbidden);
        }
    };
    let (identity, facts) = (&grant.identity, &grant.facts);
    let left_s = grant.expires_at_s.saturating_sub(now_s);
    let text = if source.json {
        json!({"taken": true, "user": identity.user, "tenant": identity.tenant,
               "expires": grant.expires_at_s, "session": facts.session_id,
               "token_id": facts.token_id})
        .to_string()
    } else {
        let tenant = identity.tenant.as_ref().map(|tenant| format!(" of tenant {tenant}"));
        let user = &identity.user;
        format!("taken: {user}{} for {left_s} s more", tenant.unwrap_or_default())
    };
    terminal::data(format!("{text}\n").as_bytes())?;
    Ok(Exit::Ok)
}

fn explain_one(
    verb: &str,
    subject: &str,
    token: &TokenArgument,
    source: &Source,
) -> Result<Exit, Error> {
    let (config, authenticator) = load(&source.config)?;
    let grant = authenticator.check(&token.read()?, unix_time_s());
    let grant = match grant {
        Ok(grant) => grant,
        Err(error) => return Err(Error::Usage(format!("the token is not taken: {error}"))),
    };
    let Explanation { is_allowed, why, namespace, upstream } =
        explain(&config, &grant, verb, subject);
    let text = if source.json {
        json!({"allowed": is_allowed, "why": why, "namespace": namespace, "nats": upstream})
            .to_string()
    } else {
        let answer = if is_allowed { "yes" } else { "no" };
        let namespace = namespace.map(|name| format!("\n  namespace: {name}"));
        let upstream = upstream.map(|upstream| format!("\n  in NATS: {upstream}"));
        let (namespace, upstream) = (namespace.unwrap_or_default(), upstream.unwrap_or_default());
        format!("{answer}, {verb} {subject}: {why}{namespace}{upstream}")
    };
    terminal::data(format!("{text}\n").as_bytes())?;
    Ok(if is_allowed { Exit::Ok } else { Exit::Forbidden })
}
