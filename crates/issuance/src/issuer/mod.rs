//! A CA of the device PKI: what it may sign is checked here, before its key is touched.

mod ca_key;
mod draft;
mod load;
mod refusal;

use std::sync::Arc;

use mfg::Handoff;
use pki::{Certificate, DnsName, PublicKey, Sha256, UnixTime};

pub use ca_key::CaKey;
pub use draft::{DeviceRequest, HandoffRequest, OrderCaRequest};
pub use load::LoadOptions;
pub use refusal::{IssueRefusal, LoadRefusal};

use crate::cycle::{CycleRefusal, Draft, Receipt, Recorded, SelfCheck, Signed};
use crate::key::SigningKey;
use crate::profile::Period;

/// A CA certificate with its key and everything that the chain above allows it. `R` is the receipt of the one store
/// that records its intents.
///
/// Cheap to keep, made once per CA certificate: what is constant in all that it issues is computed here.
pub struct Issuer<R: Receipt> {
    ca: CaKey<R>,
    standing: Standing,
}

/// What the chain says about its first certificate.
pub(crate) struct Standing {
    /// Itself first, the anchor last.
    chain: Vec<Certificate>,
    /// CA certificates that fit below on one path; None: no limit.
    path_length_left: Option<u32>,
    /// The innermost permitted subtree; None: an anchor without constraint.
    subtree: Option<DnsName>,
    /// Its own handoff; None for an anchor and an order CA.
    handoff: Option<Handoff>,
}

impl Standing {
    /// Intermediates from here up, itself included when it is one.
    fn intermediates(&self) -> usize {
        self.chain.len().saturating_sub(1)
    }
}

impl<R: Receipt> Issuer<R> {
    /// Takes a CA into service. `chain` is its certificate, then each issuer, the trust anchor last.
    ///
    /// # Errors
    /// Every [`LoadRefusal`].
    pub fn load(chain: Vec<Certificate>, key: Arc<dyn SigningKey>, options: &LoadOptions) -> Result<Self, LoadRefusal> {
        let (ca, standing) = load::load(chain, key, options)?;
        Ok(Self { ca, standing })
    }

    /// Its key, which can do more than issue.
    #[must_use]
    pub fn ca_key(&self) -> &CaKey<R> {
        &self.ca
    }

    /// [`CaKey::resume`].
    ///
    /// # Errors
    /// As there.
    pub fn resume(&self, tbs: Vec<u8>, profile: Sha256) -> Result<Draft, IssueRefusal> {
        self.ca.resume(tbs, profile)
    }

    /// [`CaKey::sign`].
    ///
    /// # Errors
    /// As there.
    pub fn sign(&self, recorded: Recorded<R>, check: SelfCheck) -> Result<Signed, CycleRefusal> {
        self.ca.sign(recorded, check)
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.standing.chain.first()
    }

    /// What follows a leaf in the chain that a device presents: itself and its intermediates, no anchor.
    #[must_use]
    pub fn intermediates(&self) -> &[Certificate] {
        self.standing.chain.split_last().map_or(&[], |(_, intermediates)| intermediates)
    }

    /// The trust anchor at the top of its chain.
    #[must_use]
    pub fn anchor(&self) -> Option<&Certificate> {
        self.standing.chain.last()
    }

    /// The key that it signs with.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.ca.public_key()
    }

    /// The handoff that made it a CA; none for an anchor or an order CA.
    #[must_use]
    pub fn handoff(&self) -> Option<&Handoff> {
        self.standing.handoff.as_ref()
    }

    /// The subtree under which it may name devices; none for an anchor, which leaves it to each program.
    #[must_use]
    pub fn subtree(&self) -> Option<&DnsName> {
        self.standing.subtree.as_ref()
    }

    /// CA certificates that fit below it on one path; none: no limit.
    #[must_use]
    pub fn path_length_left(&self) -> Option<u32> {
        self.standing.path_length_left
    }

    /// The time in which every key of its chain may sign; none: only validity limits it.
    #[must_use]
    pub fn signing_window(&self) -> Option<Period> {
        self.ca.window
    }

    /// [`CaKey::check_window`].
    ///
    /// # Errors
    /// As there.
    pub fn check_window(&self, now: UnixTime) -> Result<(), IssueRefusal> {
        self.ca.check_window(now)
    }
}

impl<R: Receipt> std::fmt::Debug for Issuer<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Issuer").field("certificate", &self.certificate()).finish_non_exhaustive()
    }
}
