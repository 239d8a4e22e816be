//! A private key in this process's memory.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use der::Decode;
use pkcs8::PrivateKeyInfoRef;
use pki::encrypted_key::{self, Nonces, Passphrase};
use pki::{ObjectIdentifier, PublicKey};
use zeroize::Zeroizing;

use super::{KeyError, SigningKey};
use crate::entropy::Entropy;

/// id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1 (RFC 5480 section 2.1.1.1).
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// secp384r1.
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// id-Ed25519 (RFC 8410 section 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The kinds of key that are made here. A CA or a device may bring others (see the CSR gate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256; the default everywhere.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
    /// Ed25519.
    Ed25519,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key in memory. aws-lc wipes it when it is dropped.
pub struct SoftwareKey {
    pair: Pair,
    kind: KeyKind,
    public_key: PublicKey,
}

impl std::fmt::Debug for SoftwareKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SoftwareKey").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

impl SoftwareKey {
    /// A fresh key. Always from the system's generator: keys have no seam for seeded randomness.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] when the library fails.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let pair = match kind {
            KeyKind::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::Ecdsa),
            KeyKind::P384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Pair::Ecdsa),
            KeyKind::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
        };
        Self::of(pair.map_err(|_| KeyError::Unavailable)?, kind)
    }

    /// Reads a DER PKCS#8 key. The algorithm is the one it names, never a guess.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] or [`KeyError::AlgorithmUnsupported`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let kind = kind_named_in(der)?;
        let ecdsa =
            |algorithm: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).map(Pair::Ecdsa);
        let pair = match kind {
            KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            // RFC 8410 section 7: version 1 has no public key to compare with.
            KeyKind::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519),
        };
        Self::of(pair.map_err(|_| KeyError::Malformed)?, kind)
    }

    /// Reads the content of a key file: PKCS#8, DER or PEM.
    ///
    /// # Errors
    /// As [`from_pkcs8`](Self::from_pkcs8); [`KeyError::Malformed`] for PEM without exactly one `PRIVATE KEY`.
    pub fn from_file(octets: &[u8]) -> Result<Self, KeyError> {
        match std::str::from_utf8(octets) {
            Ok(text) if text.contains("-----BEGIN ") => {
                let block = pki::pem::single(text, "PRIVATE KEY").map_err(|_| KeyError::Malformed)?;
                Self::from_pkcs8(block.der())
            }
            Ok(_) | Err(_) => Self::from_pkcs8(octets),
        }
    }

    /// Opens a DER EncryptedPrivateKeyInfo (RFC 5958 section 3) with its passphrase.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`], and those of [`from_pkcs8`](Self::from_pkcs8).
    pub fn from_encrypted_pkcs8(der: &[u8], passphrase: &Passphrase) -> Result<Self, KeyError> {
        Self::from_pkcs8(&encrypted_key::open(der, passphrase)?)
    }

    /// The key as DER PKCS#8 version 1, which every tool reads. Wiped when dropped.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] when the library fails.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
        };
        let document = document.map_err(|_| KeyError::Unavailable)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The key as DER EncryptedPrivateKeyInfo: PBES2, PBKDF2 with HMAC-SHA-256, AES-256-CBC.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`] for an empty passphrase, or [`KeyError::Unavailable`] when the library or the randomness fails.
    pub fn to_encrypted_pkcs8(&self, passphrase: &Passphrase, entropy: &dyn Entropy) -> Result<Vec<u8>, KeyError> {
        let mut nonces = Nonces::default();
        entropy
            .fill(&mut nonces.salt)
            .and_then(|()| entropy.fill(&mut nonces.iv))
            .map_err(|_| KeyError::Unavailable)?;
        Ok(encrypted_key::seal(&self.to_pkcs8()?, passphrase, &nonces)?)
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    fn of(pair: Pair, kind: KeyKind) -> Result<Self, KeyError> {
        let spki = match &pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        };
        let spki = spki.map_err(|_| KeyError::Unavailable)?;
        let public_key = PublicKey::parse(spki.as_ref()).map_err(|_| KeyError::Malformed)?;
        Ok(Self { pair, kind, public_key })
    }
}

impl SigningKey for SoftwareKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Unavailable),
            Pair::Ed25519(pair) => {
                pair.try_sign(message).map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyError::Unavailable)
            }
        }
    }
}

fn kind_named_in(der: &[u8]) -> Result<KeyKind, KeyError> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
    match info.algorithm.oid {
        ED25519 if info.algorithm.parameters.is_none() => Ok(KeyKind::Ed25519),
        EC_PUBLIC_KEY => match info.algorithm.parameters_oid() {
            Ok(SECP256R1) => Ok(KeyKind::P256),
            Ok(SECP384R1) => Ok(KeyKind::P384),
            Ok(_) | Err(_) => Err(KeyError::AlgorithmUnsupported),
        },
        _ => Err(KeyError::AlgorithmUnsupported),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::entropy::SystemEntropy;

    const KINDS: [KeyKind; 3] = [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519];

    #[test]
    fn every_kind_signs_and_survives_both_files() {
        let passphrase = Passphrase::new("correct horse");
        for kind in KINDS {
            let key = SoftwareKey::generate(kind).unwrap();
            let plain = SoftwareKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
            let sealed = key.to_encrypted_pkcs8(&passphrase, &SystemEntropy).unwrap();
            let opened = SoftwareKey::from_encrypted_pkcs8(&sealed, &passphrase).unwrap();
            for again in [plain, opened] {
                assert_eq!(again.kind(), kind);
                assert_eq!(again.public_key(), key.public_key());
                let signature = again.sign(b"message").unwrap();
                key.public_key().verify(key.algorithm(), b"message", &signature).unwrap();
            }
        }
    }

    #[test]
    fn no_octet_of_a_key_file_panics_the_reader() {
        let key = SoftwareKey::generate(KeyKind::P256).unwrap();
        let plain = key.to_pkcs8().unwrap();
        for at in 0..plain.len() {
            let mut broken = plain.to_vec();
            broken[at] ^= 0x11;
            let _ = SoftwareKey::from_pkcs8(&broken);
            let _ = SoftwareKey::from_pkcs8(&plain[..at]);
        }
    }

    #[test]
    fn the_algorithm_is_the_one_named() {
        // A P-256 key that calls itself P-384 is refused, not guessed at.
        let key = SoftwareKey::generate(KeyKind::P384).unwrap();
        assert_eq!(kind_named_in(&key.to_pkcs8().unwrap()), Ok(KeyKind::P384));
        let rsa = b"\x30\x14\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x00";
        assert_eq!(SoftwareKey::from_pkcs8(rsa).unwrap_err().reason(), "KEY_ALGORITHM_UNSUPPORTED");
        assert_eq!(SoftwareKey::from_pkcs8(b"").unwrap_err().reason(), "KEY_MALFORMED");
    }

    #[test]
    fn debug_shows_the_public_key_only() {
        let key = SoftwareKey::generate(KeyKind::Ed25519).unwrap();
        let shown = format!("{key:?} {:?}", Passphrase::new("correct horse"));
        let seed = pki::hex::encode(&key.to_pkcs8().unwrap()[16..]);
        assert!(!shown.contains(&seed) && !shown.contains("horse"));
    }
}
