//! Tokens for tests: an issuer whose keys lie in the tree and are worth nothing anywhere else.

use meridian_edge::Config;
use meridian_edge::auth::{KeyAlgorithm, Signer, unix_time_s};
use meridian_edge::config::{AuthMode, AuthSection, IssuerSection};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Signs for the issuer `test` and the audience `mesh`.
pub struct TestIssuer;

/// An edge asks for tokens of [`TestIssuer`], and its clock is taken at its word.
pub fn ask_for_tokens(config: &mut Config) {
    config.auth = AuthSection {
        mode: AuthMode::Token,
        clock_skew_s: 0,
        issuers: vec![IssuerSection {
            issuer: "test".into(),
            audience: "mesh".into(),
            jwks_file: Some(TestIssuer::key_path("jwks.json").display().to_string()),
            ..IssuerSection::default()
        }],
        ..AuthSection::default()
    };
}

impl TestIssuer {
    /// A file of its keys.
    pub fn key_path(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/src/auth/test_keys").join(name)
    }

    /// A token for ten minutes of `sub` with these claims beside the usual ones, or in their place.
    pub fn token(sub: &str, claims: Value) -> String {
        Self::token_for(sub, 600, claims)
    }

    /// The same for so many seconds.
    pub fn token_for(sub: &str, life_s: u64, claims: Value) -> String {
        Self::sign("d1", &Self::claims(sub, life_s, claims))
    }

    /// Signs with the key of this id, `d1` (EdDSA) or `e1` (ES256).
    pub fn sign(kid: &str, claims: &Value) -> String {
        let (algorithm, file) = match kid {
            "d1" => (KeyAlgorithm::EdDsa, "eddsa.pem"),
            _ => (KeyAlgorithm::Es256, "es256.pem"),
        };
        let key = std::fs::read(Self::key_path(file)).unwrap();
        Signer::new(Some(kid.into()), algorithm, &key).unwrap().sign(claims).unwrap()
    }

    fn claims(sub: &str, life_s: u64, more: Value) -> Value {
        let now_s = unix_time_s();
        let mut claims = json!({"iss": "test", "aud": "mesh", "sub": sub, "iat": now_s,
                                "exp": now_s + life_s});
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    }

    /// Permissions for everything on these patterns.
    pub fn all_of(patterns: &[&str]) -> Value {
        let rules = json!({"allow": patterns});
        json!({"sub": rules, "pub": rules, "req": rules, "hist": rules})
    }
}
