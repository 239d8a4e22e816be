//! Private keys under a passphrase: PKCS#8 EncryptedPrivateKeyInfo (RFC 5958 section 3) with PBES2 (RFC 8018 section 6.2).
//!
//! Here, and not beside the keys that sign, because a service that signs nothing has a TLS key as well. aws-lc does the arithmetic.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_256, Algorithm, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use der::asn1::OctetStringRef;
use der::{Decode, Encode};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Pbkdf2Prf};
use pkcs8::{EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

/// Rounds of PBKDF2 with HMAC-SHA-256 for keys written here.
const ROUNDS: u32 = 600_000;
/// A file that asks for more is an attempt to keep us busy.
const MAX_ROUNDS: u32 = 10_000_000;

/// What a key file is encrypted under. Wiped when dropped, and never shown.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text as it is: no trimming, no normalisation.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The octets that keys are derived from.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase(..)")
    }
}

/// Why a key was not put under a passphrase, or not taken from under it. Names no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptedKeyError {
    /// The octets are no encrypted private key.
    #[error("the octets are not an encrypted pkcs#8 private key")]
    Malformed,
    /// The encryption is not PBES2 with PBKDF2 (HMAC-SHA-2) and AES-CBC, or its cost is out of bounds.
    #[error("the private key's encryption is not pbkdf2 with hmac-sha-2 and aes-cbc within bounds")]
    EncryptionUnsupported,
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the private key")]
    PassphraseWrong,
    /// Nothing to encrypt under.
    #[error("an empty passphrase protects nothing")]
    PassphraseEmpty,
    /// The library failed.
    #[error("the key could not be used")]
    Unavailable,
}

impl EncryptedKeyError {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "ENCRYPTED_KEY_MALFORMED",
            Self::EncryptionUnsupported => "KEY_ENCRYPTION_UNSUPPORTED",
            Self::PassphraseWrong => "PASSPHRASE_WRONG",
            Self::PassphraseEmpty => "PASSPHRASE_EMPTY",
            Self::Unavailable => "KEY_UNAVAILABLE",
        }
    }
}

/// Random octets that a sealed key begins with: never the same ones twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nonces {
    /// Salt of PBKDF2.
    pub salt: [u8; 16],
    /// Initialisation vector of AES-CBC.
    pub iv: [u8; 16],
}

/// Puts a DER PKCS#8 key under a passphrase: DER EncryptedPrivateKeyInfo, PBKDF2 with HMAC-SHA-256, AES-256-CBC.
///
/// # Errors
/// [`EncryptedKeyError::PassphraseEmpty`], or [`EncryptedKeyError::Unavailable`] when the library fails.
pub fn seal(plain: &[u8], passphrase: &Passphrase, nonces: &Nonces) -> Result<Vec<u8>, EncryptedKeyError> {
    if passphrase.0.is_empty() {
        return Err(EncryptedKeyError::PassphraseEmpty);
    }
    let failed = |_| EncryptedKeyError::Unavailable;
    let scheme =
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &nonces.salt, nonces.iv).map_err(failed)?;
    let key = cipher_key(&scheme, passphrase)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| EncryptedKeyError::Unavailable)?;
    // Enough room for the padding, so that the plain key is not left behind by a reallocation.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
    buffer.extend_from_slice(plain);
    key.less_safe_encrypt(&mut *buffer, EncryptionContext::Iv128(FixedLength::from(nonces.iv)))
        .map_err(|_| EncryptedKeyError::Unavailable)?;
    let encrypted_data = OctetStringRef::new(&buffer).map_err(|_| EncryptedKeyError::Unavailable)?;
    EncryptedPrivateKeyInfo { encryption_algorithm: EncryptionScheme::Pbes2(scheme), encrypted_data }
        .to_der()
        .map_err(|_| EncryptedKeyError::Unavailable)
}

/// Takes a DER EncryptedPrivateKeyInfo from under its passphrase: DER PKCS#8.
///
/// # Errors
/// [`EncryptedKeyError::Malformed`], [`EncryptedKeyError::EncryptionUnsupported`], [`EncryptedKeyError::PassphraseWrong`].
pub fn open(der: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, EncryptedKeyError> {
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| EncryptedKeyError::Malformed)?;
    let EncryptionScheme::Pbes2(scheme) = &info.encryption_algorithm else {
        return Err(EncryptedKeyError::EncryptionUnsupported);
    };
    let (pbes2::EncryptionScheme::Aes128Cbc { iv } | pbes2::EncryptionScheme::Aes256Cbc { iv }) = scheme.encryption
    else {
        return Err(EncryptedKeyError::EncryptionUnsupported);
    };
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(cipher_key(scheme, passphrase)?)
        .map_err(|_| EncryptedKeyError::Unavailable)?;
    let mut buffer = Zeroizing::new(info.encrypted_data.as_bytes().to_vec());
    let plain = key
        .decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(|_| EncryptedKeyError::PassphraseWrong)?;
    // One wrong passphrase in 256 leaves a good padding; what it leaves before it is no key.
    PrivateKeyInfoRef::from_der(plain).map_err(|_| EncryptedKeyError::PassphraseWrong)?;
    Ok(Zeroizing::new(plain.to_vec()))
}

fn cipher_key(scheme: &pbes2::Parameters, passphrase: &Passphrase) -> Result<UnboundCipherKey, EncryptedKeyError> {
    let Kdf::Pbkdf2(parameters) = &scheme.kdf else {
        return Err(EncryptedKeyError::EncryptionUnsupported);
    };
    // HMAC-SHA-1 and all else that pkcs5 can name is left out.
    let prf = [
        (Pbkdf2Prf::HmacWithSha256, pbkdf2::PBKDF2_HMAC_SHA256),
        (Pbkdf2Prf::HmacWithSha384, pbkdf2::PBKDF2_HMAC_SHA384),
        (Pbkdf2Prf::HmacWithSha512, pbkdf2::PBKDF2_HMAC_SHA512),
    ];
    let prf = prf.into_iter().find(|(named, _)| *named == parameters.prf).map(|(_, prf)| prf);
    let prf = prf.ok_or(EncryptedKeyError::EncryptionUnsupported)?;
    let algorithm: &'static Algorithm = match scheme.encryption.key_size() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(EncryptedKeyError::EncryptionUnsupported),
    };
    let length = scheme.encryption.key_size();
    let rounds = NonZeroU32::new(parameters.iteration_count)
        .filter(|rounds| rounds.get() <= MAX_ROUNDS)
        .ok_or(EncryptedKeyError::EncryptionUnsupported)?;
    if parameters.key_length.is_some_and(|stated| usize::from(stated) != length) {
        return Err(EncryptedKeyError::EncryptionUnsupported);
    }
    let mut key = Zeroizing::new(vec![0_u8; length]);
    pbkdf2::derive(prf, rounds, parameters.salt.as_ref(), passphrase.expose(), &mut key);
    UnboundCipherKey::new(algorithm, &key).map_err(|_| EncryptedKeyError::Unavailable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// RFC 8410 section 10.3.
    const KEY: [u8; 48] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20\
        \xd4\xee\x72\xdb\xf9\x13\x58\x4a\xd5\xb6\xd8\xf1\xf7\x69\xf8\xad\
        \x3a\xfe\x7c\x28\xcb\xf1\xd4\xfb\xe0\x97\xa8\x8f\x44\x75\x58\x42";

    fn nonces(iv: u8) -> Nonces {
        Nonces { salt: [7; 16], iv: [iv; 16] }
    }

    #[test]
    fn what_is_sealed_is_opened_with_its_passphrase_alone() {
        let sealed = seal(&KEY, &Passphrase::new("right"), &nonces(1)).unwrap();
        assert_eq!(*open(&sealed, &Passphrase::new("right")).unwrap(), KEY);
        for wrong in ["wrong", "right ", ""] {
            assert_eq!(open(&sealed, &Passphrase::new(wrong)).unwrap_err().reason(), "PASSPHRASE_WRONG");
        }
        assert_eq!(seal(&KEY, &Passphrase::new(""), &nonces(1)).unwrap_err().reason(), "PASSPHRASE_EMPTY");
        assert_eq!(open(&KEY, &Passphrase::new("right")).unwrap_err().reason(), "ENCRYPTED_KEY_MALFORMED");
    }

    #[test]
    fn a_scheme_or_a_cost_that_is_not_ours_is_named() {
        let right = Passphrase::new("right");
        // RFC 8018 appendix B.1: hmacWithSHA256 becomes hmacWithSHA1.
        let mut sha1 = seal(&KEY, &right, &nonces(3)).unwrap();
        let hmac = b"\x2a\x86\x48\x86\xf7\x0d\x02\x09";
        let at = sha1.windows(hmac.len()).position(|window| window == hmac).unwrap() + hmac.len() - 1;
        *sha1.get_mut(at).unwrap() = 7;
        let Nonces { salt, iv } = nonces(3);
        let scheme = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(MAX_ROUNDS + 1, &salt, iv).unwrap();
        let encrypted_data = OctetStringRef::new(&[7; 64]).unwrap();
        let costly = EncryptedPrivateKeyInfo { encryption_algorithm: EncryptionScheme::Pbes2(scheme), encrypted_data };
        for der in [sha1, costly.to_der().unwrap()] {
            assert_eq!(open(&der, &right).unwrap_err().reason(), "KEY_ENCRYPTION_UNSUPPORTED");
        }
    }

    /// What decrypts to something else than a key was not decrypted with the right passphrase, whatever its padding says.
    #[test]
    fn octets_that_are_no_key_are_never_given_out() {
        let sealed = seal(b"not a key", &Passphrase::new("right"), &nonces(2)).unwrap();
        assert_eq!(open(&sealed, &Passphrase::new("right")).unwrap_err().reason(), "PASSPHRASE_WRONG");
    }
}
