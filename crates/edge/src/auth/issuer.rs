//! One issuer of tokens: its name, whom its tokens are for, and its keys.

use super::jwks;
use super::key::Key;
use super::token::{Token, TokenError};
use crate::config::IssuerSection;
use crate::web::WebAddress;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Largest key file in bytes: a JWK set of 16 keys with certificates stays under it.
const KEY_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Key sets that were fetched, by their addresses. Good ones only.
pub(super) type Fetched = BTreeMap<String, Vec<u8>>;

/// Owned by the authenticator.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) audience: String,
    keys: Vec<Key>,
}

impl Issuer {
    /// Reads the issuer's keys, and returns the material beside them, for its fingerprint.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub(super) fn load(
        section: &IssuerSection,
        fetched: &Fetched,
        place: &str,
    ) -> Result<(Self, Vec<u8>), Vec<String>> {
        let mut mistakes = Vec::new();
        for (key, text) in [("issuer", &section.issuer), ("audience", &section.audience)] {
            if text.is_empty() {
                mistakes.push(format!("{place}.{key}: empty: tokens must name it"));
            }
        }
        let loaded =
            load_keys(section, fetched).map_err(|(key, what)| format!("{place}{key}: {what}"));
        match loaded {
            Ok((keys, material)) if mistakes.is_empty() => {
                let (name, audience) = (section.issuer.clone(), section.audience.clone());
                Ok((Self { name, audience, keys }, material))
            }
            Ok(_) => Err(mistakes),
            Err(mistake) => {
                mistakes.push(mistake);
                Err(mistakes)
            }
        }
    }

    /// Whether a key of the issuer signed the token.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), TokenError> {
        if self.keys.is_empty() {
            return Err(TokenError::KeysUnknown);
        }
        let header = &token.header;
        let is_for = |key: &&Key| key.is_for(&header.alg, header.kid.as_deref());
        let mut keys = self.keys.iter().filter(is_for).peekable();
        keys.peek().ok_or(TokenError::UnknownKey)?;
        let is_signed = keys.any(|key| key.verifies(token.message, token.signature));
        is_signed.then_some(()).ok_or(TokenError::Signature)
    }
}

/// The key of the configuration that is wrong, with a dot, and what is wrong.
type Mistake = (&'static str, String);

/// The keys and their material.
fn load_keys(section: &IssuerSection, fetched: &Fetched) -> Result<(Vec<Key>, Vec<u8>), Mistake> {
    if let Some(url) = &section.jwks_url {
        return load_fetched(section, url, fetched);
    }
    if section.jwks_copy.is_some() {
        return Err((".jwks_copy", "only for what jwks_url brings".into()));
    }
    let IssuerSection { algorithm, key_id, key_file, key_env, jwks_file, .. } = section;
    let (place, material) = match (key_file, key_env, jwks_file) {
        (Some(path), None, None) => (".key_file", read(Path::new(path))),
        (None, Some(name), None) => {
            let value = std::env::var(name).map(String::into_bytes);
            (".key_env", value.map_err(|_| format!("{name} is not set")))
        }
        (None, None, Some(path)) => (".jwks_file", read(Path::new(path))),
        _ => {
            let what = "name one of key_file, key_env, jwks_file and jwks_url";
            return Err(("", what.into()));
        }
    };
    let material = material.map_err(|what| (place, what))?;
    let keys = match (jwks_file, algorithm) {
        (Some(_), None) if key_id.is_none() => jwks::keys(&material),
        (Some(_), _) => return Err((place, "a JWK set names algorithm and key_id itself".into())),
        (None, Some(algorithm)) => {
            Key::from_material(key_id.clone(), *algorithm, &material).map(|key| vec![key])
        }
        (None, None) => return Err((".algorithm", "missing: what is the key for?".into())),
    };
    Ok((keys.map_err(|what| (place, what))?, material))
}

/// The keys of an address: as they were fetched, or else as they were kept; none before that.
fn load_fetched(
    section: &IssuerSection,
    url: &str,
    fetched: &Fetched,
) -> Result<(Vec<Key>, Vec<u8>), Mistake> {
    let IssuerSection { algorithm, key_id, key_file, key_env, jwks_file, .. } = section;
    let others = [key_file, key_env, jwks_file, key_id];
    if others.into_iter().any(Option::is_some) || algorithm.is_some() {
        return Err((
            ".jwks_url",
            "a JWK set brings its keys with all that is said of them".into(),
        ));
    }
    WebAddress::parse(url).map_err(|what| (".jwks_url", what.to_owned()))?;
    let kept = || section.jwks_copy.as_ref().and_then(|copy| read(Path::new(copy)).ok());
    let Some(material) = fetched.get(url).cloned().or_else(kept) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let keys = jwks::keys(&material).map_err(|what| (".jwks_copy", what))?;
    Ok((keys, material))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(KEY_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(format!("{}: over {KEY_FILE_BYTES_MAX} bytes", path.display()));
    }
    Ok(bytes)
}
