//! Server-made device keys, wrapped, outside the journal, until their unit is confirmed.

use api::Refusal;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use pki::Sha256;
use records::named;
use service::secret::{SecretDirectory, SecretError};
use zeroize::Zeroizing;

/// Wraps keys with AES-256-GCM under one wrapping key; the unit's key digest is the associated data, so a file put in another's
/// place does not open.
pub(crate) struct Escrow {
    directory: SecretDirectory,
    wrapping: RandomizedNonceKey,
}

impl Escrow {
    /// An escrow in a directory, with a wrapping key of 32 octets.
    ///
    /// # Errors
    /// `KEY_FILE_MALFORMED` for another length.
    pub(crate) fn new(directory: SecretDirectory, wrapping_key: &[u8]) -> Result<Self, Refusal> {
        Ok(Self { directory, wrapping: wrapping(wrapping_key)? })
    }

    /// Whether these octets are a wrapping key.
    ///
    /// # Errors
    /// `KEY_FILE_MALFORMED` for another length.
    pub(crate) fn check(wrapping_key: &[u8]) -> Result<(), Refusal> {
        wrapping(wrapping_key).map(drop)
    }

    /// Keeps a key; durable when this returns.
    ///
    /// # Errors
    /// What the directory says.
    pub(crate) fn keep(&self, key_digest: &Sha256, pkcs8: &[u8]) -> Result<(), Refusal> {
        let mut sealed = Zeroizing::new(pkcs8.to_vec());
        let nonce = self
            .wrapping
            .seal_in_place_append_tag(Aad::from(key_digest.as_bytes()), &mut *sealed)
            .map_err(|_| Refusal::new("INTERNAL", "a server-made key could not be wrapped"))?;
        let file = [nonce.as_ref().as_slice(), sealed.as_slice()].concat();
        self.directory.write(&file_name(key_digest), &file).map_err(named(SecretError::reason))
    }

    /// The key, while it is kept.
    ///
    /// # Errors
    /// `KEY_ESCROW_DAMAGED` when the file does not open under the wrapping key.
    pub(crate) fn open(&self, key_digest: &Sha256) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
        let file = match self.directory.read(&file_name(key_digest)) {
            Ok(file) => file,
            Err(SecretError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(named(SecretError::reason)(error)),
        };
        let damaged = || Refusal::new("KEY_ESCROW_DAMAGED", format!("the wrapped key {key_digest} does not open"));
        let (nonce, sealed) = file.expose().split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut key = Zeroizing::new(sealed.to_vec());
        let opened =
            self.wrapping.open_in_place(nonce, Aad::from(key_digest.as_bytes()), &mut key).map_err(|_| damaged())?;
        let length = opened.len();
        key.truncate(length);
        Ok(Some(key))
    }

    /// Destroys a key; nothing to do when it is gone.
    ///
    /// # Errors
    /// What the directory says; the key may then still be there.
    pub(crate) fn destroy(&self, key_digest: &Sha256) -> Result<(), Refusal> {
        self.directory.destroy(&file_name(key_digest)).map_err(named(SecretError::reason))
    }
}

fn wrapping(key: &[u8]) -> Result<RandomizedNonceKey, Refusal> {
    RandomizedNonceKey::new(&AES_256_GCM, key)
        .map_err(|_| Refusal::new("KEY_FILE_MALFORMED", "the wrapping key has not 32 octets"))
}

fn file_name(key_digest: &Sha256) -> String {
    format!("{key_digest}.wrapped")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_kept_until_it_is_destroyed_and_opens_only_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let directory = SecretDirectory::create(&folder.path().join("escrow")).unwrap();
        let escrow = Escrow::new(directory.clone(), &[7; 32]).unwrap();
        let (mine, other) = (Sha256::of(b"mine"), Sha256::of(b"other"));
        escrow.keep(&mine, b"secret").unwrap();
        assert_eq!(escrow.open(&mine).unwrap().unwrap().as_slice(), b"secret");
        assert!(escrow.open(&other).unwrap().is_none());

        let wrapped = directory.read(&file_name(&mine)).unwrap();
        assert!(!wrapped.expose().windows(6).any(|w| w == b"secret"));
        directory.write(&file_name(&other), wrapped.expose()).unwrap();
        assert_eq!(escrow.open(&other).unwrap_err().reason(), "KEY_ESCROW_DAMAGED");
        let elsewhere = Escrow::new(directory, &[8; 32]).unwrap();
        assert_eq!(elsewhere.open(&mine).unwrap_err().reason(), "KEY_ESCROW_DAMAGED");

        escrow.destroy(&mine).unwrap();
        assert!(escrow.open(&mine).unwrap().is_none());
        escrow.destroy(&mine).unwrap();
    }
}
