//! Certificate serials: one octet that names the instance, then 128 random bits.
//!
//! 17 octets, so within the 20 of RFC 5280 section 4.1.2.2. The instance octet keeps two replicas of
//! one issuer apart whatever their generators do; it is 0x01..=0x7f, so that the number is positive and
//! has no leading zero octet.

use std::sync::Arc;

use pki::CertificateSerial;

use crate::entropy::{Entropy, EntropyRefusal};

/// Octets of a certificate serial made here.
pub const SERIAL_LENGTH: usize = 17;

/// The octet that names one instance of an issuer: 1 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance(u8);

impl Instance {
    /// The usual instance, when an issuer has only one.
    pub const ONLY: Self = Self(1);

    /// Checks that the number can lead a positive serial.
    ///
    /// # Errors
    /// [`SerialRefusal::InstanceOutOfRange`] outside 1 to 127.
    pub fn of(number: u8) -> Result<Self, SerialRefusal> {
        match number {
            1..=0x7f => Ok(Self(number)),
            0 | 0x80..=0xff => Err(SerialRefusal::InstanceOutOfRange(number)),
        }
    }
}

/// Why no certificate serial was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SerialRefusal {
    /// The instance number is not 1 to 127.
    #[error("instance {0} is not between 1 and 127")]
    InstanceOutOfRange(u8),
    /// No randomness.
    #[error("making a certificate serial failed")]
    Entropy(#[from] EntropyRefusal),
    /// The octets did not make a serial; cannot happen with an instance octet in its range.
    #[error("random octets did not make a certificate serial")]
    NotASerial,
}

impl SerialRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InstanceOutOfRange(_) => "INSTANCE_OUT_OF_RANGE",
            Self::Entropy(cause) => cause.reason(),
            Self::NotASerial => "SERIAL_INVALID",
        }
    }
}

/// Makes certificate serials for one instance. Uniqueness on record is the store's precondition.
#[derive(Clone)]
pub struct SerialSource {
    instance: Instance,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for SerialSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SerialSource").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl SerialSource {
    /// A source for this instance.
    #[must_use]
    pub fn new(instance: Instance, entropy: Arc<dyn Entropy>) -> Self {
        Self { instance, entropy }
    }

    /// The next certificate serial.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn next_serial(&self) -> Result<CertificateSerial, SerialRefusal> {
        let mut octets = [self.instance.0; SERIAL_LENGTH];
        let [_, random @ ..] = &mut octets;
        self.entropy.fill(random)?;
        CertificateSerial::from_bytes(&octets).ok_or(SerialRefusal::NotASerial)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::entropy::SystemEntropy;

    struct Dry;

    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyRefusal> {
            Err(EntropyRefusal)
        }
    }

    #[test]
    fn without_randomness_there_is_no_serial() {
        let refusal = SerialSource::new(Instance::ONLY, Arc::new(Dry)).next_serial().unwrap_err();
        assert_eq!(refusal.reason(), "ENTROPY_UNAVAILABLE");
    }

    #[test]
    fn serials_are_17_octets_positive_and_lead_with_their_instance() {
        for instance in [1, 0x7f] {
            let source = SerialSource::new(Instance::of(instance).unwrap(), Arc::new(SystemEntropy));
            let (one, two) = (source.next_serial().unwrap(), source.next_serial().unwrap());
            assert_eq!(one.as_bytes().len(), SERIAL_LENGTH);
            assert_eq!(one.as_bytes()[0], instance);
            assert_ne!(one, two);
        }
    }

    #[test]
    fn instance_out_of_range() {
        for number in [0, 0x80, 0xff] {
            assert_eq!(Instance::of(number).unwrap_err().reason(), "INSTANCE_OUT_OF_RANGE");
        }
    }
}
