//! A CA's key and the time in which it may sign: what a root, an order CA and a lot's CA have in common.

use std::marker::PhantomData;
use std::sync::Arc;

use mfg::VerificationCode;
use pki::{Certificate, CertificateSerial, PublicKey, Sha256, UnixTime};

use super::{IssueRefusal, LoadRefusal, load};
use crate::cycle::{CycleRefusal, Draft, Kind, Receipt, Recorded, SelfCheck, Signed};
use crate::key::{KeyKind, SigningKey, SoftwareKey};
use crate::profile::{Period, PossessionProfile, Stage};
use crate::signatory::Signatory;

/// A CA that can resume, sign and prove that its key is held. What it may issue below itself is [`Issuer`](super::Issuer)'s to know.
pub struct CaKey<R: Receipt> {
    pub(super) signatory: Signatory,
    certificate: Certificate,
    /// Where every certificate of the chain is valid.
    pub(super) validity: Period,
    /// Where every key of the chain may sign; None: no limit.
    pub(super) window: Option<Period>,
    receipt: PhantomData<fn(R)>,
}

impl<R: Receipt> CaKey<R> {
    /// Takes a CA's key into service. `chain` is its certificate, then each issuer, the trust anchor last.
    ///
    /// # Errors
    /// Every [`LoadRefusal`] that does not concern a handoff.
    pub fn load(
        chain: &[Certificate],
        key: Arc<dyn SigningKey>,
        stage: Stage,
        now: UnixTime,
    ) -> Result<Self, LoadRefusal> {
        load::ca_key(chain, key, stage, now).map(|(key, _)| key)
    }

    pub(super) fn new(
        signatory: Signatory,
        certificate: Certificate,
        validity: Period,
        window: Option<Period>,
    ) -> Self {
        Self { signatory, certificate, validity, window, receipt: PhantomData }
    }

    /// The CA's certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key that it signs with.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.signatory.public_key()
    }

    /// Drafts the certificate by which a hub sees that this key is held: the code as its common name, for a key that is thrown away
    /// here. It names no device and takes no unit.
    ///
    /// # Errors
    /// `ISSUER_EXPIRED`, `SIGNING_WINDOW_CLOSED`, `KEY_UNAVAILABLE`.
    pub fn draft_possession(
        &self,
        code: &VerificationCode,
        serial: CertificateSerial,
        now: UnixTime,
    ) -> Result<Draft, IssueRefusal> {
        self.check_window(now)?;
        let profile = PossessionProfile::proven()?;
        let nobodys = SoftwareKey::generate(KeyKind::P256)?;
        let validity = PossessionProfile::validity(now, &self.validity);
        let params = profile.params(code, &validity, nobodys.public_key(), &self.signatory);
        Ok(self.signatory.draft(params, nobodys.public_key(), serial, profile.hash(), Kind::EndEntity)?)
    }

    /// Makes the draft of a record again, after a crash: same TBS, same digest. `profile` is the recorded hash.
    ///
    /// # Errors
    /// `ISSUER_MISMATCH` when the TBS is not strict DER, or names another issuer.
    pub fn resume(&self, tbs: Vec<u8>, profile: Sha256) -> Result<Draft, IssueRefusal> {
        self.signatory.resume(tbs, profile).ok_or(IssueRefusal::IssuerMismatch)
    }

    /// Signs what is recorded. CA certificates are always verified afterwards, others when asked to.
    ///
    /// # Errors
    /// `ISSUER_KEY_MISMATCH`, `SIGNATURE_INVALID`, and the key's own. The record then decides: the intent is resumed
    /// or voided.
    pub fn sign(&self, recorded: Recorded<R>, check: SelfCheck) -> Result<Signed, CycleRefusal> {
        self.signatory.sign(recorded, check)
    }

    /// Whether it may sign at this moment.
    ///
    /// # Errors
    /// `SIGNING_WINDOW_CLOSED` or `ISSUER_EXPIRED`.
    pub fn check_window(&self, now: UnixTime) -> Result<(), IssueRefusal> {
        if !self.validity.contains(now) {
            return Err(IssueRefusal::IssuerExpired(now));
        }
        match self.window {
            Some(window) if !window.contains(now) => Err(IssueRefusal::WindowClosed(now)),
            Some(_) | None => Ok(()),
        }
    }
}

impl<R: Receipt> std::fmt::Debug for CaKey<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CaKey").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
