//! Whatever stands where a token is expected: it is refused, or its grant is what its claims say.
//!
//! The input is a header and claims, a line each. It is read as it is, with the parts in base64url
//! and without a signature, and, where the claims are JSON, with a good signature: so what comes
//! behind the signature is reached too.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use meridian_edge::auth::{Authenticator, KeyAlgorithm, Signer};
use meridian_edge::config::{AuthMode, AuthSection, IssuerSection};
use serde_json::Value;
use std::sync::LazyLock;

const SECRET: &str = "a secret of at least thirty-two bytes";
const NOW_S: u64 = 1_800_000_000;

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("meridian-fuzz-token-{}", std::process::id()));
    std::fs::write(&path, SECRET).expect("a key file can be written");
    let issuer = IssuerSection {
        issuer: "i".into(),
        audience: "a".into(),
        algorithm: Some(KeyAlgorithm::Hs256),
        key_file: Some(path.display().to_string()),
        ..IssuerSection::default()
    };
    let section = AuthSection {
        mode: AuthMode::Token,
        clock_skew_s: 0,
        issuers: vec![issuer],
        ..AuthSection::default()
    };
    Authenticator::new(&section).expect("the key is good")
});

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    assert!(AUTHENTICATOR.check(text, NOW_S).is_err(), "nobody signed {text}");
    let (header, claims) = text.split_once('\n').unwrap_or((text, ""));
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    for signature in ["", "AAAA", &parts[0]] {
        let token = format!("{}.{}.{signature}", parts[0], parts[1]);
        assert!(AUTHENTICATOR.check(&token, NOW_S).is_err(), "nobody signed {text}");
    }
    let Ok(claims) = serde_json::from_str::<Value>(claims) else { return };
    let signer = Signer::new(None, KeyAlgorithm::Hs256, SECRET.as_bytes()).expect("a secret");
    let Ok(token) = signer.sign(&claims) else { return };
    let Ok(grant) = AUTHENTICATOR.check(&token, NOW_S) else { return };
    assert_eq!(claims["iss"].as_str(), Some("i"));
    assert_eq!(claims["sub"].as_str(), Some(grant.identity.user.as_str()));
    assert!(grant.expires_at_s > NOW_S, "{claims}");
    assert!(claims["exp"].as_f64().is_some_and(|exp| exp >= NOW_S as f64), "{claims}");
    assert_eq!(claims["tenant"].as_str(), grant.identity.tenant.as_deref());
});
