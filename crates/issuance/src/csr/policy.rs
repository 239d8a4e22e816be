//! Which keys may be certified.

use der::{Decode, Header, Reader, SliceReader};
use mfg::Terms;
use mfg::terms::{DeviceKeyAlgorithm, HandoffKeyAlgorithm};
use pki::{KeyAlgorithm, PublicKey};

use super::{CsrRefusal, roca};

/// The kinds and exact sizes of key that may be certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPolicy {
    allowed: Vec<DeviceKeyAlgorithm>,
}

impl KeyPolicy {
    /// Exactly these. An empty list allows nothing.
    #[must_use]
    pub fn of(allowed: &[DeviceKeyAlgorithm]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// What the terms allow devices.
    #[must_use]
    pub fn devices(terms: &Terms) -> Self {
        Self::of(&terms.document().device_keys)
    }

    /// What the terms prescribe for lot keys.
    #[must_use]
    pub fn lots(terms: &Terms) -> Self {
        Self::ca(terms.document().handoff_key)
    }

    /// Exactly this kind of CA key.
    #[must_use]
    pub fn ca(algorithm: HandoffKeyAlgorithm) -> Self {
        Self::of(&[match algorithm {
            HandoffKeyAlgorithm::P256 => DeviceKeyAlgorithm::P256,
            HandoffKeyAlgorithm::P384 => DeviceKeyAlgorithm::P384,
            HandoffKeyAlgorithm::Ed25519 => DeviceKeyAlgorithm::Ed25519,
        }])
    }

    /// Judges one key.
    ///
    /// # Errors
    /// `CSR_KEY_WEAK` or `CSR_KEY_NOT_ALLOWED`.
    pub fn check(&self, key: &PublicKey) -> Result<(), CsrRefusal> {
        if let KeyAlgorithm::Rsa { bits: ..2048 } = key.algorithm() {
            return Err(CsrRefusal::KeyWeak("an rsa modulus of fewer than 2048 bits"));
        }
        self.check_kind(key)?;
        match key.rsa_components() {
            None => Ok(()),
            Some((modulus, exponent)) => check_rsa(modulus, exponent),
        }
    }
}

impl KeyPolicy {
    /// Kind and size alone: for a key that came through the gate under this or another policy.
    pub(crate) fn check_kind(&self, key: &PublicKey) -> Result<(), CsrRefusal> {
        if self.allowed.iter().any(|allowed| allowed.fits(key.algorithm())) {
            Ok(())
        } else {
            Err(CsrRefusal::KeyNotAllowed(key.algorithm().to_string()))
        }
    }
}

/// What SP 800-56B and the CA/Browser Forum's requirements (section 6.1.6) want of an RSA key.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), CsrRefusal> {
    let value =
        exponent.iter().try_fold(0_u64, |sum, octet| sum.checked_mul(256).map(|shifted| shifted | u64::from(*octet)));
    // A value beyond 64 bits is large enough; that it is odd and below the modulus pki has checked.
    if value.is_some_and(|value| value < 65_537 || value % 2 == 0) {
        return Err(CsrRefusal::KeyWeak("an rsa exponent that is even or below 65537"));
    }
    if roca::has_fingerprint(modulus) {
        return Err(CsrRefusal::KeyWeak("an rsa modulus of the form that CVE-2017-15361 breaks"));
    }
    if small_factor(modulus) {
        return Err(CsrRefusal::KeyWeak("an rsa modulus with a small factor"));
    }
    Ok(())
}

/// Whether a prime below 752 divides the modulus (SP 800-89 section 5.3.3).
fn small_factor(modulus: &[u8]) -> bool {
    (3..752_u32).step_by(2).any(|divisor| roca::remainder(modulus, divisor) == 0)
}

/// Whether this is a request whose RSA key is below 2048 bits, although it proves nothing.
pub(super) fn names_short_rsa(request: &[u8]) -> bool {
    fn key(request: &[u8]) -> der::Result<PublicKey> {
        let mut reader = SliceReader::new(request)?;
        Header::decode(&mut reader)?;
        Header::decode(&mut reader)?;
        let (_version, _subject) = (reader.tlv_bytes()?, reader.tlv_bytes()?);
        let spki = reader.tlv_bytes()?;
        PublicKey::parse(spki).map_err(|_| der::Tag::Sequence.value_error().into())
    }
    key(request).is_ok_and(|key| matches!(key.algorithm(), KeyAlgorithm::Rsa { bits: ..2048 }))
}
