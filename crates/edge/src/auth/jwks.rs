//! Public keys of an issuer in a JWK set (RFC 7517), as identity providers publish them.

use super::key::{Key, KeyAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;

/// Most keys of one issuer: two or three are usual while they rotate, and a token without `kid` is
/// tried against each.
pub(super) const KEYS_MAX: usize = 16;

/// Shortest RSA modulus in bytes (RFC 7518 section 3.3).
const MODULUS_BYTES_MIN: usize = 256;

/// Longest RSA modulus in bytes: verifying with a longer one costs milliseconds of a shard's time.
const MODULUS_BYTES_MAX: usize = 512;

/// Bytes of a P-256 coordinate, and of an Ed25519 key.
const COORDINATE_BYTES: usize = 32;

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Jwk {
    kty: String,
    crv: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    kid: Option<String>,
    n: String,
    e: String,
    x: String,
    y: String,
}

/// The keys of a set that verify by one of our algorithms. Others are left out, because providers
/// publish keys for other purposes beside them. Secrets are none of a set's business.
///
/// # Errors
/// When it is no JWK set, when nothing is left, or when a key lies outside its bounds.
pub(super) fn keys(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet =
        serde_json::from_slice(text).map_err(|error| format!("no JWK set: {error}"))?;
    let keys: Result<Vec<Key>, String> = set.keys.into_iter().filter_map(key).collect();
    let keys = keys?;
    match keys.len() {
        0 => Err("no RS256, ES256 or EdDSA key in it".into()),
        1..=KEYS_MAX => Ok(keys),
        many => Err(format!("{many} keys, over {KEYS_MAX}: remove those out of use")),
    }
}

fn key(jwk: Jwk) -> Option<Result<Key, String>> {
    let algorithm = match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => KeyAlgorithm::Rs256,
        ("EC", "P-256") => KeyAlgorithm::Es256,
        ("OKP", "Ed25519") => KeyAlgorithm::EdDsa,
        _ => return None,
    };
    let is_ours = jwk.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
        && jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
    is_ours.then(|| {
        let wrong = || format!("key {:?} is no {} key", jwk.kid, algorithm.name());
        let material = material(algorithm, &jwk).ok_or_else(wrong)?;
        Ok(Key { id: jwk.kid.clone(), algorithm, material })
    })
}

fn material(algorithm: KeyAlgorithm, jwk: &Jwk) -> Option<DecodingKey> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    let is_coordinate = |text: &str| bytes(text) == COORDINATE_BYTES;
    match algorithm {
        KeyAlgorithm::Rs256 => {
            let is_fit = (MODULUS_BYTES_MIN..=MODULUS_BYTES_MAX).contains(&bytes(&jwk.n));
            is_fit.then(|| DecodingKey::from_rsa_components(&jwk.n, &jwk.e).ok())?
        }
        KeyAlgorithm::Es256 => {
            let is_fit = is_coordinate(&jwk.x) && is_coordinate(&jwk.y);
            is_fit.then(|| DecodingKey::from_ec_components(&jwk.x, &jwk.y).ok())?
        }
        KeyAlgorithm::EdDsa => {
            is_coordinate(&jwk.x).then(|| DecodingKey::from_ed_components(&jwk.x).ok())?
        }
        KeyAlgorithm::Hs256 => None,
    }
}
