//! Keys that sign. A seam: a software key here, a key in a hardware module elsewhere.

mod software;

use pki::{PublicKey, SignatureAlgorithm, encrypted_key::EncryptedKeyError};

pub use pki::encrypted_key::Passphrase;
pub use software::{KeyKind, SoftwareKey};

/// A key that signs.
///
/// Contract: [`sign`](SigningKey::sign) makes signatures of exactly [`algorithm`](SigningKey::algorithm) that
/// verify under [`public_key`](SigningKey::public_key), in X.509's encoding (DER for ECDSA, also when the module
/// behind it answers with raw r and s). Calls may come from several threads, and may block.
pub trait SigningKey: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// What its signatures are.
    fn algorithm(&self) -> SignatureAlgorithm {
        self.public_key().default_signature_algorithm()
    }

    /// Signs the message (not its digest).
    ///
    /// # Errors
    /// When the key cannot be reached or refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// Why a key could not be made, read, written or used. Names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The octets are no PKCS#8 (RFC 5208) private key, or its parts disagree.
    #[error("the octets are not a pkcs#8 private key")]
    Malformed,
    /// The algorithm is none of P-256, P-384, Ed25519.
    #[error("the private key is none of P-256, P-384, Ed25519")]
    AlgorithmUnsupported,
    /// It is under a passphrase, and was not taken from there or put there.
    #[error(transparent)]
    Encrypted(#[from] EncryptedKeyError),
    /// The library or the module failed.
    #[error("the key could not be used")]
    Unavailable,
}

impl KeyError {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "KEY_MALFORMED",
            Self::AlgorithmUnsupported => "KEY_ALGORITHM_UNSUPPORTED",
            Self::Encrypted(error) => error.reason(),
            Self::Unavailable => "KEY_UNAVAILABLE",
        }
    }
}
