//! What is taken as a token, and all that is not. The keys in `test_keys` open nothing else.

use super::*;
use crate::config::IssuerSection;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meridian_core::permission::Verb;
use meridian_proto::Subject;
use meridian_proto::limits::TOKEN_BYTES_MAX;
use serde_json::{Value, json};
use std::path::PathBuf;

const NOW_S: u64 = 1_800_000_000;
const SECRET: &str = "a secret of more than thirty-two bytes";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/auth/test_keys").join(name)
}

fn issuer(name: &str) -> IssuerSection {
    IssuerSection { issuer: name.into(), audience: "mesh".into(), ..IssuerSection::default() }
}

/// Issuer `pem` with one key of this algorithm.
fn with_pem(algorithm: KeyAlgorithm, file: &str) -> IssuerSection {
    let key_file = Some(path(file).display().to_string());
    IssuerSection { algorithm: Some(algorithm), key_file, ..issuer("pem") }
}

fn authenticator(issuers: Vec<IssuerSection>) -> Result<Authenticator, Vec<String>> {
    Authenticator::new(&AuthSection { issuers, ..AuthSection::default() })
}

fn jwks() -> Authenticator {
    let jwks_file = Some(path("jwks.json").display().to_string());
    authenticator(vec![IssuerSection { jwks_file, ..issuer("jwks") }]).unwrap()
}

fn signer(id: Option<&str>, algorithm: KeyAlgorithm) -> Signer {
    let material = match algorithm {
        KeyAlgorithm::Hs256 => SECRET.as_bytes().to_vec(),
        KeyAlgorithm::Rs256 => std::fs::read(path("rs256.pem")).unwrap(),
        KeyAlgorithm::Es256 => std::fs::read(path("es256.pem")).unwrap(),
        KeyAlgorithm::EdDsa => std::fs::read(path("eddsa.pem")).unwrap(),
    };
    Signer::new(id.map(Into::into), algorithm, &material).unwrap()
}

fn claims(iss: &str) -> Value {
    json!({"iss": iss, "aud": "mesh", "sub": "ann", "exp": NOW_S + 60, "tenant": "acme",
           "permissions": {"sub": {"allow": ["{tenant}.>"]}}})
}

/// The claims of `jwks`, with these fields in place.
fn changed(fields: Value) -> Value {
    let mut claims = claims("jwks");
    for (key, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(key)),
            value => claims[key] = value.clone(),
        }
    }
    claims
}

/// What the issuer `jwks` says to these claims, well signed.
fn said_to(claims: &Value) -> Result<Grant, TokenError> {
    let token = signer(Some("d1"), KeyAlgorithm::EdDsa).sign(claims).unwrap();
    jwks().check(&token, NOW_S)
}

/// A token by hand: whatever header, whatever signature.
fn by_hand(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_token_of_each_algorithm_becomes_a_grant() {
    let pem = [
        (KeyAlgorithm::Rs256, "rs256.pub.pem", "r1"),
        (KeyAlgorithm::Es256, "es256.pub.pem", "e1"),
        (KeyAlgorithm::EdDsa, "eddsa.pub.pem", "d1"),
    ];
    for (algorithm, file, kid) in pem {
        let of_file = authenticator(vec![with_pem(algorithm, file)]).unwrap();
        let token = signer(None, algorithm).sign(&claims("pem")).unwrap();
        let grant = of_file.check(&token, NOW_S).unwrap();
        assert_eq!(grant.identity.user, "ann", "{algorithm:?}");
        for kid in [Some(kid), None] {
            let token = signer(kid, algorithm).sign(&claims("jwks")).unwrap();
            let grant = jwks().check(&token, NOW_S).unwrap();
            assert_eq!(grant.expires_at_s, NOW_S + 60 + 30, "{algorithm:?}");
            let subject = Subject::parse("acme.a").unwrap();
            assert!(grant.permissions.of_subject(Verb::Sub, &subject).is_allowed());
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    let shared = with_pem(KeyAlgorithm::Hs256, &file.path().display().to_string());
    let shared = authenticator(vec![shared]).unwrap();
    let token = signer(None, KeyAlgorithm::Hs256).sign(&claims("pem")).unwrap();
    assert!(shared.check(&token, NOW_S).is_ok());
    assert!(!format!("{shared:?}").contains("secret"), "{shared:?}");
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    let public = std::fs::read(path("rs256.pub.pem")).unwrap();
    let of_file = authenticator(vec![with_pem(KeyAlgorithm::Rs256, "rs256.pub.pem")]).unwrap();
    let confused = Signer::new(None, KeyAlgorithm::Hs256, &public).unwrap();
    let confused = confused.sign(&claims("pem")).unwrap();
    assert_eq!(of_file.check(&confused, NOW_S), Err(TokenError::UnknownKey));
    for alg in ["none", "None", "HS256", "ES256", "RS512", "PS256", ""] {
        let token = by_hand(&json!({"alg": alg}), &claims("pem"), b"");
        assert_eq!(of_file.check(&token, NOW_S), Err(TokenError::UnknownKey), "{alg}");
    }
    let unsigned = by_hand(&json!({"alg": "RS256"}), &claims("pem"), b"");
    assert_eq!(of_file.check(&unsigned, NOW_S), Err(TokenError::Signature));
    let as_secret = with_pem(KeyAlgorithm::Hs256, "rs256.pub.pem");
    assert!(authenticator(vec![as_secret]).unwrap_err()[0].contains("HS256 with a PEM file"));
}

#[test]
fn what_stands_in_a_header_leads_nowhere() {
    for kid in ["r2", "../../etc/passwd", "' OR 1=1", ""] {
        let token = signer(Some(kid), KeyAlgorithm::EdDsa).sign(&claims("jwks")).unwrap();
        assert_eq!(jwks().check(&token, NOW_S), Err(TokenError::UnknownKey), "{kid}");
    }
    // The right id of a key for another algorithm.
    let token = signer(Some("r1"), KeyAlgorithm::EdDsa).sign(&claims("jwks")).unwrap();
    assert_eq!(jwks().check(&token, NOW_S), Err(TokenError::UnknownKey));
    let malformed = |header: Value| {
        let said = jwks().check(&by_hand(&header, &claims("jwks"), b"x"), NOW_S);
        assert!(matches!(said, Err(TokenError::Malformed(_))), "{header}: {said:?}");
    };
    malformed(json!({"alg": "EdDSA", "crit": ["exp"]}));
    malformed(json!({"alg": "EdDSA", "kid": "x".repeat(129)}));
    malformed(json!({"alg": "EdDSA", "kid": 1}));
    malformed(json!({"kid": "d1"}));
}

#[test]
fn another_signature_or_another_text_is_not_taken() {
    let token = signer(Some("e1"), KeyAlgorithm::Es256).sign(&claims("jwks")).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let admin = URL_SAFE_NO_PAD.encode(changed(json!({"sub": "admin"})).to_string());
    let forged = format!("{header}.{admin}.{signature}");
    assert_eq!(jwks().check(&forged, NOW_S), Err(TokenError::Signature));
    let zero = format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
    assert_eq!(jwks().check(&zero, NOW_S), Err(TokenError::Signature));
    for text in ["", ".", "..", "...", "a.b.c", message, "ä.ö.ü"] {
        let said = jwks().check(text, NOW_S);
        assert!(matches!(said, Err(TokenError::Malformed(_))), "{text}: {said:?}");
    }
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(jwks().check(&long, NOW_S), Err(TokenError::TooLong));
    assert!(matches!(jwks().check(&long[1..], NOW_S), Err(TokenError::Malformed(_))));
}

#[test]
fn a_token_is_for_one_issuer_one_audience_and_a_time() {
    let said = |fields: Value| said_to(&changed(fields)).map(|grant| grant.expires_at_s);
    assert_eq!(said(json!({"iss": "other"})), Err(TokenError::UnknownIssuer));
    assert_eq!(said(json!({"aud": "other"})), Err(TokenError::Audience));
    assert_eq!(said(json!({"aud": []})), Err(TokenError::Audience));
    assert!(said(json!({"aud": ["other", "mesh"]})).is_ok());
    // The clocks may differ by 30 s.
    assert_eq!(said(json!({"exp": NOW_S - 29})), Ok(NOW_S + 1));
    assert_eq!(said(json!({"exp": NOW_S - 30})), Err(TokenError::Expired));
    assert_eq!(said(json!({"exp": -1})), Err(TokenError::Expired));
    assert_eq!(said(json!({"exp": 1e300})), Ok(u64::MAX));
    assert!(said(json!({"nbf": NOW_S + 30})).is_ok());
    assert_eq!(said(json!({"nbf": NOW_S + 31})), Err(TokenError::NotYet));
    assert_eq!(said(json!({"nbf": 1e300})), Err(TokenError::NotYet));
    // A claim of another type is not a claim that is absent.
    for fields in [
        json!({"exp": null}),
        json!({"exp": "2100000000"}),
        json!({"nbf": "2100000000"}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": "a\nb"}),
        json!({"sub": "x".repeat(129)}),
        json!({"iss": ["jwks"]}),
        json!({"aud": null}),
        json!({"permissions": {"subscribe": {}}}),
    ] {
        let said = said(fields.clone());
        assert!(matches!(said, Err(TokenError::Malformed(_))), "{fields}: {said:?}");
    }
}

#[test]
fn a_rule_that_nobody_can_go_by_refuses_the_token() {
    let claims = changed(json!({"sub": "ann.b", "permissions": {"pub": {"deny": ["x.{user}"]}}}));
    let said = said_to(&claims).unwrap_err().to_string();
    assert!(
        said.starts_with("pub rule \"x.{user}\": the user is no single subject token"),
        "{said}"
    );
    let nothing = said_to(&changed(json!({"permissions": null}))).unwrap();
    let subject = Subject::parse("acme.a").unwrap();
    assert!(!nothing.permissions.of_subject(Verb::Sub, &subject).is_allowed());
}

#[test]
fn every_mistake_with_keys_is_reported_at_once_and_none_shows_a_secret() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2").unwrap();
    let short = file.path().display().to_string();
    let both = IssuerSection { key_env: Some("X".into()), ..with_pem(KeyAlgorithm::Rs256, "x") };
    let mistakes = authenticator(vec![
        with_pem(KeyAlgorithm::Hs256, &short),
        with_pem(KeyAlgorithm::Es256, "rs256.pub.pem"),
        issuer("none"),
        IssuerSection { issuer: "both".into(), ..both },
        IssuerSection { key_env: Some("MERIDIAN_NO_SUCH_KEY".into()), ..issuer("") },
        IssuerSection { key_file: Some(short.clone()), ..issuer("what for") },
        IssuerSection { jwks_file: Some(short), ..issuer("no set") },
    ])
    .unwrap_err();
    for part in [
        "issuers[0].key_file: a secret of under 32 bytes",
        "issuers[1].key_file: no ES256 public key",
        "issuers[2]: name one of",
        "issuers[3]: name one of",
        "issuers[4].issuer: empty",
        "issuers[4].key_env: MERIDIAN_NO_SUCH_KEY is not set",
        "issuers[5].algorithm: missing",
        "issuers[6].jwks_file: no JWK set",
    ] {
        assert!(mistakes.iter().any(|mistake| mistake.contains(part)), "{part}: {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 8, "{mistakes:#?}");
    assert!(!mistakes.join(" ").contains("hunter2"), "{mistakes:#?}");
}

#[test]
fn a_file_that_is_broken_or_the_same_replaces_no_keys() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(path("jwks.json"), file.path()).unwrap();
    let jwks_file = Some(file.path().display().to_string());
    let issuers = vec![IssuerSection { jwks_file, ..issuer("jwks") }];
    let section = AuthSection { issuers, ..AuthSection::default() };
    let newer =
        |known: &Authenticator| reload::newer(&section, &issuer::Fetched::new(), Some(known));
    let known = Authenticator::new(&section).unwrap();
    assert!(newer(&known).unwrap().is_none());
    std::fs::write(file.path(), "{\"keys\":[]}").unwrap();
    assert!(newer(&known).is_err());
    std::fs::write(file.path(), "half a fi").unwrap();
    assert!(newer(&known).is_err());
    let copied = std::fs::read_to_string(path("jwks.json")).unwrap();
    std::fs::write(file.path(), copied.replace("\"d1\"", "\"d2\"")).unwrap();
    assert!(newer(&known).unwrap().is_some());
}
