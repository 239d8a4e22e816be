//! Private keys under a passphrase: PBES2 (RFC 8018 section 6.2), with aws-lc doing the arithmetic.

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
use pkcs8::{EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::KeyError;
use crate::entropy::Entropy;

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
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase(..)")
    }
}

pub(super) fn seal(
    plain: &Zeroizing<Vec<u8>>,
    passphrase: &Passphrase,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, KeyError> {
    if passphrase.0.is_empty() {
        return Err(KeyError::PassphraseEmpty);
    }
    let (mut salt, mut iv) = ([0_u8; 16], [0_u8; 16]);
    entropy.fill(&mut salt).and_then(|()| entropy.fill(&mut iv)).map_err(|_| KeyError::Unavailable)?;
    let scheme =
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv).map_err(|_| KeyError::Unavailable)?;
    let key = cipher_key(&scheme, passphrase)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| KeyError::Unavailable)?;
    // Enough room for the padding, so that the plain key is not left behind by a reallocation.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
    buffer.extend_from_slice(plain);
    key.less_safe_encrypt(&mut *buffer, EncryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(|_| KeyError::Unavailable)?;
    let encrypted_data = OctetStringRef::new(&buffer).map_err(|_| KeyError::Unavailable)?;
    EncryptedPrivateKeyInfo { encryption_algorithm: EncryptionScheme::Pbes2(scheme), encrypted_data }
        .to_der()
        .map_err(|_| KeyError::Unavailable)
}

pub(super) fn open(der: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::EncryptedMalformed)?;
    let EncryptionScheme::Pbes2(scheme) = &info.encryption_algorithm else {
        return Err(KeyError::EncryptionUnsupported);
    };
    let (pbes2::EncryptionScheme::Aes128Cbc { iv } | pbes2::EncryptionScheme::Aes256Cbc { iv }) = scheme.encryption
    else {
        return Err(KeyError::EncryptionUnsupported);
    };
    let key =
        PaddedBlockDecryptingKey::cbc_pkcs7(cipher_key(scheme, passphrase)?).map_err(|_| KeyError::Unavailable)?;
    let mut buffer = Zeroizing::new(info.encrypted_data.as_bytes().to_vec());
    let plain = key
        .decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(|_| KeyError::PassphraseWrong)?;
    Ok(Zeroizing::new(plain.to_vec()))
}

fn cipher_key(scheme: &pbes2::Parameters, passphrase: &Passphrase) -> Result<UnboundCipherKey, KeyError> {
    let Kdf::Pbkdf2(parameters) = &scheme.kdf else {
        return Err(KeyError::EncryptionUnsupported);
    };
    // HMAC-SHA-1 and all else that pkcs5 can name is left out.
    let prf = [
        (Pbkdf2Prf::HmacWithSha256, pbkdf2::PBKDF2_HMAC_SHA256),
        (Pbkdf2Prf::HmacWithSha384, pbkdf2::PBKDF2_HMAC_SHA384),
        (Pbkdf2Prf::HmacWithSha512, pbkdf2::PBKDF2_HMAC_SHA512),
    ];
    let prf = prf.into_iter().find(|(named, _)| *named == parameters.prf).map(|(_, prf)| prf);
    let prf = prf.ok_or(KeyError::EncryptionUnsupported)?;
    let algorithm: &'static Algorithm = match scheme.encryption.key_size() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(KeyError::EncryptionUnsupported),
    };
    let length = scheme.encryption.key_size();
    let rounds = NonZeroU32::new(parameters.iteration_count)
        .filter(|rounds| rounds.get() <= MAX_ROUNDS)
        .ok_or(KeyError::EncryptionUnsupported)?;
    if parameters.key_length.is_some_and(|stated| usize::from(stated) != length) {
        return Err(KeyError::EncryptionUnsupported);
    }
    let mut key = Zeroizing::new(vec![0_u8; length]);
    pbkdf2::derive(prf, rounds, parameters.salt.as_ref(), passphrase.0.as_bytes(), &mut key);
    UnboundCipherKey::new(algorithm, &key).map_err(|_| KeyError::Unavailable)
}
