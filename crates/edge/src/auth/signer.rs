//! Signing tokens: for the command line and for tests. An edge verifies and never signs.

use super::key::KeyAlgorithm;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;
use std::fmt;

/// A key that signs.
pub struct Signer {
    id: Option<String>,
    algorithm: KeyAlgorithm,
    material: EncodingKey,
}

impl Signer {
    /// A shared secret, or a private key in PEM (PKCS #8). White space around it is no part of it.
    ///
    /// # Errors
    /// What is wrong, without the material.
    pub fn new(
        id: Option<String>,
        algorithm: KeyAlgorithm,
        material: &[u8],
    ) -> Result<Self, String> {
        let material = material.trim_ascii();
        let read = match algorithm {
            KeyAlgorithm::Hs256 => Ok(EncodingKey::from_secret(material)),
            KeyAlgorithm::Rs256 => EncodingKey::from_rsa_pem(material),
            KeyAlgorithm::Es256 => EncodingKey::from_ec_pem(material),
            KeyAlgorithm::EdDsa => EncodingKey::from_ed_pem(material),
        };
        let material = read.map_err(|_| format!("no {} private key in PEM", algorithm.name()))?;
        Ok(Self { id, algorithm, material })
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, claims: &Value) -> Result<String, String> {
        let algorithm: Algorithm = self.algorithm.of_library();
        let header = Header { kid: self.id.clone(), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.material).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} signer {:?}", self.algorithm.name(), self.id)
    }
}
