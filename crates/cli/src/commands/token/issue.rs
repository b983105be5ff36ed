//! `meridian token new`: signs claims. For tests, services and people; the tokens of users come
//! from an identity provider.

use crate::exit::{Error, Exit};
use crate::terminal;
use meridian_edge::auth::{KeyAlgorithm, Signer, unix_time_s};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Bytes of a token's id: nobody meets another's by chance.
const ID_BYTES: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A file with the private key in PEM (PKCS #8), or with the shared secret of HS256.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What the key is for: HS256, RS256, ES256 or EdDSA.
    #[arg(long, value_parser = algorithm)]
    algorithm: KeyAlgorithm,
    /// The key's id, `kid`.
    #[arg(long)]
    key_id: Option<String>,
    /// `iss`.
    #[arg(long)]
    issuer: String,
    /// `aud`.
    #[arg(long)]
    audience: String,
    /// The user, `sub`.
    #[arg(long)]
    user: String,
    /// The tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// The session, `sid`, for revocations.
    #[arg(long)]
    session: Option<String>,
    /// How long it lives, in s.
    #[arg(long, default_value_t = 3_600)]
    life_s: u64,
    /// A rule, as verb:pattern, for instance sub:orders.{user}.>. May be repeated.
    #[arg(long, value_name = "VERB:PATTERN", value_parser = rule)]
    allow: Vec<(String, String)>,
    /// A rule that denies. May be repeated.
    #[arg(long, value_name = "VERB:PATTERN", value_parser = rule)]
    deny: Vec<(String, String)>,
    /// Make a subscription token for this filter instead of a connection's.
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["allow", "deny"])]
    filter: Option<String>,
}

fn algorithm(name: &str) -> Result<KeyAlgorithm, String> {
    serde_json::from_value(json!(name)).map_err(|_| "HS256, RS256, ES256 or EdDSA".into())
}

fn rule(text: &str) -> Result<(String, String), String> {
    let (verb, pattern) = text.split_once(':').ok_or("write verb:pattern, as in sub:orders.>")?;
    if !["sub", "pub", "req", "hist", "pres"].contains(&verb) {
        return Err(format!("{verb:?} is none of sub, pub, req, hist and pres"));
    }
    Ok((verb.into(), pattern.into()))
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let key = std::fs::read(&arguments.key).map_err(|error| {
        Error::Usage(format!("{}: {error}: name a readable file", arguments.key.display()))
    })?;
    let signer = Signer::new(arguments.key_id.clone(), arguments.algorithm, &key);
    let signer = signer.map_err(|what| Error::Usage(format!("--key: {what}")))?;
    let token = signer.sign(&claims(arguments, unix_time_s(), &token_id()?));
    let token = token.map_err(|what| Error::Usage(format!("--key: {what}")))?;
    terminal::data(format!("{token}\n").as_bytes())?;
    Ok(Exit::Ok)
}

fn token_id() -> Result<String, Error> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::Runtime(std::io::Error::other(error)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn claims(arguments: &Arguments, now_s: u64, id: &str) -> Value {
    let mut claims = json!({
        "iss": arguments.issuer, "aud": arguments.audience, "sub": arguments.user,
        "iat": now_s, "exp": now_s.saturating_add(arguments.life_s), "jti": id,
    });
    for (name, value) in [("tenant", &arguments.tenant), ("sid", &arguments.session)] {
        if let Some(value) = value {
            claims[name] = json!(value);
        }
    }
    if let Some(filter) = &arguments.filter {
        claims["filter"] = json!(filter);
        return claims;
    }
    for (list, rules) in [("allow", &arguments.allow), ("deny", &arguments.deny)] {
        for (verb, pattern) in rules {
            let rules = &mut claims["permissions"][verb][list];
            match rules.as_array_mut() {
                Some(rules) => rules.push(json!(pattern)),
                None => *rules = json!([pattern]),
            }
        }
    }
    claims
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

    const LEAST: [&str; 11] = [
        "new",
        "--key",
        "k",
        "--algorithm",
        "EdDSA",
        "--issuer",
        "i",
        "--audience",
        "a",
        "--user",
        "ann",
    ];

    fn parsed(more: &[&str]) -> Result<Arguments, clap::Error> {
        let line = LEAST.iter().chain(more);
        Line::try_parse_from(line).map(|line| line.arguments)
    }

    #[test]
    fn rules_come_under_their_verbs_in_order() {
        let rules = ["--allow", "sub:a.>", "--allow", "sub:b", "--deny", "pub:c.{user}"];
        let claims = claims(&parsed(&rules).unwrap(), 100, "x");
        let expected = json!({"sub": {"allow": ["a.>", "b"]}, "pub": {"deny": ["c.{user}"]}});
        assert_eq!(claims["permissions"], expected);
        assert_eq!((claims["exp"].as_u64(), claims["jti"].as_str()), (Some(3_700), Some("x")));
    }

    #[test]
    fn what_is_no_rule_or_contradicts_itself_is_refused() {
        for wrong in [
            &["--allow", "a.>"][..],
            &["--allow", "read:a.>"],
            &["--filter", "a", "--allow", "sub:a"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
        let subscription = claims(&parsed(&["--filter", "a.b"]).unwrap(), 1, "x");
        assert_eq!(subscription["filter"], "a.b");
        assert!(subscription["permissions"].is_null());
    }
}
