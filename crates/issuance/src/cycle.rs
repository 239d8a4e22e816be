//! One certificate's way: [`Draft`] -> [`Recorded`] -> [`Signed`] -> certificate.
//!
//! Each step consumes the one before, none can be cloned, and only a [`Recorded`] can be signed. What survives a crash:
//!
//! - before the record: nothing; no signature can exist, the caller was told nothing;
//! - after the record, before the signature or before its record: the record has the exact TBS, from which
//!   [`Issuer::resume`](crate::Issuer::resume) makes the same draft again, to be signed or voided;
//! - after the signature's record: the certificate.
//!
//! Signing what is not recorded does not compile:
//!
//! ```compile_fail,E0308
//! # use issuance::{cycle::{Draft, Receipt, SelfCheck, Signed}, Issuer};
//! fn hasty<R: Receipt>(issuer: &Issuer<R>, draft: Draft) -> Option<Signed> {
//!     issuer.sign(draft, SelfCheck::Verify).ok()
//! }
//! ```
//!
//! Nor does signing twice:
//!
//! ```compile_fail,E0382
//! # use issuance::{cycle::{Receipt, Recorded, SelfCheck, Signed}, Issuer};
//! fn twice<R: Receipt>(issuer: &Issuer<R>, recorded: Recorded<R>) -> (Option<Signed>, Option<Signed>) {
//!     (issuer.sign(recorded, SelfCheck::Skip).ok(), issuer.sign(recorded, SelfCheck::Skip).ok())
//! }
//! ```
//!
//! Nor does using one receipt for two drafts, or one receipt of another store:
//!
//! ```compile_fail,E0382
//! # use issuance::cycle::{Draft, Receipt};
//! fn reuse<R: Receipt>(one: Draft, two: Draft, receipt: R) {
//!     let _ = (one.recorded(receipt), two.recorded(receipt));
//! }
//! ```
//!
//! As it is meant:
//!
//! ```
//! # use issuance::{cycle::{Draft, Receipt, SelfCheck}, Issuer};
//! fn issue<R: Receipt>(issuer: &Issuer<R>, draft: Draft, receipt: R) -> Option<Vec<u8>> {
//!     let recorded = draft.recorded(receipt).ok()?;
//!     Some(issuer.sign(recorded, SelfCheck::Verify).ok()?.into_der())
//! }
//! ```

use pki::{CertificateSerial, ParseError, Sha256};

use crate::key::KeyError;

/// Proof that an intent is on record, durably. In production only the store can make one.
///
/// Contract: `covers` answers true only for the digest of a TBS from which that very certificate can be found
/// again after a crash or a power cut.
pub trait Receipt {
    /// Whether the record is of the TBS with this SHA-256.
    fn covers(&self, tbs_digest: &Sha256) -> bool;
}

/// A certificate that is complete but for its signature. Nobody has promised it to anyone.
#[derive(Debug)]
#[must_use = "a draft is worth nothing until it is recorded"]
pub struct Draft {
    pub(crate) parts: Parts,
}

/// A draft whose record is durable: the key may now sign it, once.
#[derive(Debug)]
#[must_use = "a recorded draft must be signed, or voided on record"]
pub struct Recorded<R: Receipt> {
    pub(crate) parts: Parts,
    receipt: R,
}

/// A certificate, signed just now. Its result must be on record before anyone is told.
#[derive(Debug)]
#[must_use = "a signed certificate must be recorded before it is told"]
pub struct Signed {
    pub(crate) der: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) parts: Parts,
}

/// What all three stages know.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) tbs: Vec<u8>,
    pub(crate) tbs_digest: Sha256,
    pub(crate) serial: CertificateSerial,
    pub(crate) subject_key: Sha256,
    pub(crate) profile: Sha256,
    pub(crate) issuer_key: Sha256,
    pub(crate) kind: Kind,
}

/// CA certificates are few and are always checked after signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ca,
    EndEntity,
}

/// Whether a device certificate's signature is verified before it leaves. CA certificates' always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfCheck {
    /// One more verification (65 us on P-256): against faults of hardware and key modules.
    Verify,
    /// Trust the key.
    Skip,
}

/// Why a draft was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CycleRefusal {
    /// The receipt is of another TBS.
    #[error("the receipt does not cover this draft")]
    ReceiptDoesNotCover,
    /// The draft was made for another issuer's key.
    #[error("the draft belongs to another issuer's key")]
    IssuerKeyMismatch,
    /// The key did not sign.
    #[error("signing the certificate failed")]
    Key(#[from] KeyError),
    /// The key signed wrongly.
    #[error("the key made a signature that does not verify")]
    SignatureInvalid,
}

impl CycleRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ReceiptDoesNotCover => "RECEIPT_DOES_NOT_COVER",
            Self::IssuerKeyMismatch => "ISSUER_KEY_MISMATCH",
            Self::Key(cause) => cause.reason(),
            Self::SignatureInvalid => "SIGNATURE_INVALID",
        }
    }
}

impl Draft {
    /// Joins the draft with the receipt for its record; both are used up.
    ///
    /// # Errors
    /// `RECEIPT_DOES_NOT_COVER`; the draft is then gone, and the record decides what becomes of its intent.
    pub fn recorded<R: Receipt>(self, receipt: R) -> Result<Recorded<R>, CycleRefusal> {
        if receipt.covers(&self.parts.tbs_digest) {
            Ok(Recorded { parts: self.parts, receipt })
        } else {
            Err(CycleRefusal::ReceiptDoesNotCover)
        }
    }

    /// The exact DER TBSCertificate that will be signed: what the record must hold.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.parts.tbs
    }

    /// SHA-256 of the TBS.
    #[must_use]
    pub fn tbs_digest(&self) -> Sha256 {
        self.parts.tbs_digest
    }

    /// The certificate's serial.
    #[must_use]
    pub fn serial(&self) -> &CertificateSerial {
        &self.parts.serial
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn subject_key_digest(&self) -> Sha256 {
        self.parts.subject_key
    }

    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    #[must_use]
    pub fn issuer_key_digest(&self) -> Sha256 {
        self.parts.issuer_key
    }

    /// Digest of the profile that made it.
    #[must_use]
    pub fn profile_hash(&self) -> Sha256 {
        self.parts.profile
    }
}

impl<R: Receipt> Recorded<R> {
    /// The receipt.
    #[must_use]
    pub fn receipt(&self) -> &R {
        &self.receipt
    }

    /// The certificate's serial.
    #[must_use]
    pub fn serial(&self) -> &CertificateSerial {
        &self.parts.serial
    }

    /// SHA-256 of the TBS.
    #[must_use]
    pub fn tbs_digest(&self) -> Sha256 {
        self.parts.tbs_digest
    }
}

impl Signed {
    /// The DER certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate's serial.
    #[must_use]
    pub fn serial(&self) -> &CertificateSerial {
        &self.parts.serial
    }

    /// SHA-256 of the TBS, by which the record of the intent is found.
    #[must_use]
    pub fn tbs_digest(&self) -> Sha256 {
        self.parts.tbs_digest
    }

    /// The signature value, without the BIT STRING's header: with the TBS on record it is the whole certificate.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The DER certificate, moved out.
    #[must_use]
    pub fn into_der(self) -> Vec<u8> {
        self.der
    }

    /// The certificate, read back strictly.
    ///
    /// # Errors
    /// Never for what was drafted here.
    pub fn into_certificate(self) -> Result<pki::Certificate, ParseError> {
        pki::Certificate::parse(&self.der)
    }
}
