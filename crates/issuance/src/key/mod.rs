//! Keys that sign. A seam: a software key here, a key in a hardware module elsewhere.

mod encrypted;
mod software;

use pki::{PublicKey, SignatureAlgorithm};

pub use encrypted::Passphrase;
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
    /// The octets are no encrypted private key.
    #[error("the octets are not an encrypted pkcs#8 private key")]
    EncryptedMalformed,
    /// The encryption is not PBES2 with PBKDF2 (HMAC-SHA-2) and AES-CBC, or its cost is out of bounds.
    #[error("the private key's encryption is not pbkdf2 with hmac-sha-2 and aes-cbc within bounds")]
    EncryptionUnsupported,
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the private key")]
    PassphraseWrong,
    /// Nothing to encrypt under.
    #[error("an empty passphrase protects nothing")]
    PassphraseEmpty,
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
            Self::EncryptedMalformed => "ENCRYPTED_KEY_MALFORMED",
            Self::EncryptionUnsupported => "KEY_ENCRYPTION_UNSUPPORTED",
            Self::PassphraseWrong => "PASSPHRASE_WRONG",
            Self::PassphraseEmpty => "PASSPHRASE_EMPTY",
            Self::Unavailable => "KEY_UNAVAILABLE",
        }
    }
}
