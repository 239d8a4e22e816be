//! A CA of the device PKI: what it may sign is checked here, before its key is touched.

mod draft;
mod load;
mod refusal;

use std::marker::PhantomData;
use std::sync::Arc;

use mfg::Handoff;
use pki::{Certificate, DnsName, PublicKey, Sha256, UnixTime};

pub use draft::{DeviceRequest, HandoffRequest, OrderCaRequest};
pub use load::LoadOptions;
pub use refusal::{IssueRefusal, LoadRefusal};

use crate::cycle::{CycleRefusal, Draft, Receipt, Recorded, SelfCheck, Signed};
use crate::key::SigningKey;
use crate::profile::Period;
use crate::signatory::Signatory;

/// A CA certificate with its key and everything that the chain above allows it. `R` is the receipt of the one store
/// that records its intents.
///
/// Cheap to keep, made once per CA certificate: what is constant in all that it issues is computed here.
pub struct Issuer<R: Receipt> {
    signatory: Signatory,
    standing: Standing,
    receipt: PhantomData<fn(R)>,
}

/// What the chain says about its first certificate.
pub(crate) struct Standing {
    /// Itself first, the anchor last.
    chain: Vec<Certificate>,
    /// CA certificates that fit below on one path; None: no limit.
    path_length_left: Option<u32>,
    /// Where every certificate of the chain is valid.
    validity: Period,
    /// Where every key of the chain may sign; None: no limit.
    window: Option<Period>,
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
        let (signatory, standing) = load::load(chain, key, options)?;
        Ok(Self { signatory, standing, receipt: PhantomData })
    }

    /// Makes the draft of a record again, after a crash: same TBS, same digest. `profile` is the recorded hash.
    ///
    /// # Errors
    /// `ISSUER_MISMATCH` when the TBS is not strict DER, or names another issuer.
    pub fn resume(&self, tbs: Vec<u8>, profile: Sha256) -> Result<Draft, IssueRefusal> {
        self.signatory.resume(tbs, profile).ok_or(IssueRefusal::IssuerMismatch)
    }

    /// Signs what is recorded. CA certificates are always verified afterwards, device certificates when asked to.
    ///
    /// # Errors
    /// `ISSUER_KEY_MISMATCH`, `SIGNATURE_INVALID`, and the key's own. The record then decides: the intent is resumed
    /// or voided.
    pub fn sign(&self, recorded: Recorded<R>, check: SelfCheck) -> Result<Signed, CycleRefusal> {
        self.signatory.sign(recorded, check)
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
        self.signatory.public_key()
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
        self.standing.window
    }

    /// Whether it may sign at this moment.
    ///
    /// # Errors
    /// `SIGNING_WINDOW_CLOSED` or `ISSUER_EXPIRED`.
    pub fn check_window(&self, now: UnixTime) -> Result<(), IssueRefusal> {
        if !self.standing.validity.contains(now) {
            return Err(IssueRefusal::IssuerExpired(now));
        }
        match self.standing.window {
            Some(window) if !window.contains(now) => Err(IssueRefusal::WindowClosed(now)),
            Some(_) | None => Ok(()),
        }
    }
}

impl<R: Receipt> std::fmt::Debug for Issuer<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Issuer").field("certificate", &self.certificate()).finish_non_exhaustive()
    }
}
