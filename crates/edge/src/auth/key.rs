//! One key: an id, the one algorithm that it is for, and the material, which is never shown.

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Shortest shared secret in bytes (RFC 7518 section 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Algorithms that tokens may be signed with. A key is for one of them and no other, so that a
/// token cannot choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// HMAC with SHA-256: the edge holds the secret, and could sign.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl KeyAlgorithm {
    /// As `alg` spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(super) const fn of_library(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A key that verifies.
pub(super) struct Key {
    /// Without an id it is for every token of its algorithm.
    pub(super) id: Option<String>,
    pub(super) algorithm: KeyAlgorithm,
    pub(super) material: DecodingKey,
}

impl Key {
    /// A secret, or a public key in PEM, of a configured algorithm. White space around it is no
    /// part of it.
    ///
    /// # Errors
    /// What is wrong, without the material.
    pub(super) fn from_material(
        id: Option<String>,
        algorithm: KeyAlgorithm,
        material: &[u8],
    ) -> Result<Self, String> {
        let material = material.trim_ascii();
        let read = match algorithm {
            KeyAlgorithm::Hs256 if material.len() < SECRET_BYTES_MIN => {
                return Err(format!("a secret of under {SECRET_BYTES_MIN} bytes: make a longer"));
            }
            // The classic confusion: whoever knows the public key could sign.
            KeyAlgorithm::Hs256 if material.starts_with(b"-----BEGIN") => {
                return Err("HS256 with a PEM file: name the key's algorithm".into());
            }
            KeyAlgorithm::Hs256 => Ok(DecodingKey::from_secret(material)),
            KeyAlgorithm::Rs256 => DecodingKey::from_rsa_pem(material),
            KeyAlgorithm::Es256 => DecodingKey::from_ec_pem(material),
            KeyAlgorithm::EdDsa => DecodingKey::from_ed_pem(material),
        };
        let material = read.map_err(|_| format!("no {} public key in PEM", algorithm.name()))?;
        Ok(Self { id, algorithm, material })
    }

    /// Whether the key may verify a token with this header.
    pub(super) fn is_for(&self, alg: &str, kid: Option<&str>) -> bool {
        let is_named = match (&self.id, kid) {
            (Some(id), Some(kid)) => id == kid,
            _ => true,
        };
        is_named && self.algorithm.name() == alg
    }

    /// Whether the signature, in base64url, is this key's over the message.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        let algorithm = self.algorithm.of_library();
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.material, algorithm)
            .unwrap_or(false)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} key {:?}", self.algorithm.name(), self.id)
    }
}
