//! The self-signed root: the one issuer that certifies itself.

use std::marker::PhantomData;
use std::sync::Arc;

use pki::{CertificateSerial, Sha256};

use crate::csr::{CsrRefusal, KeyPolicy, SubjectKey};
use crate::cycle::{CycleRefusal, Draft, Kind, Receipt, Recorded, SelfCheck, Signed};
use crate::encode::{self, EncodeRefusal};
use crate::extension;
use crate::key::SigningKey;
use crate::profile::RootProfile;
use crate::signatory::Signatory;

/// A root key before it has a certificate. The same cycle as everywhere: draft, record, sign.
pub struct RootMaker<R: Receipt> {
    signatory: Signatory,
    profile: RootProfile,
    receipt: PhantomData<fn(R)>,
}

/// Why no root was drafted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootRefusal {
    /// The key policy does not allow the key.
    #[error("the root key may not be certified")]
    Key(#[from] CsrRefusal),
    /// The encoder failed.
    #[error("the root could not be encoded")]
    Encode(#[from] EncodeRefusal),
    /// The recorded TBS is not of this root.
    #[error("the recorded certificate does not name this root")]
    IssuerMismatch,
}

impl RootRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Key(cause) => cause.reason(),
            Self::Encode(cause) => cause.reason(),
            Self::IssuerMismatch => "ISSUER_MISMATCH",
        }
    }
}

impl<R: Receipt> RootMaker<R> {
    /// Joins key and profile.
    ///
    /// # Errors
    /// When the policy does not allow the key.
    pub fn new(key: Arc<dyn SigningKey>, policy: &KeyPolicy, profile: RootProfile) -> Result<Self, RootRefusal> {
        SubjectKey::held(key.as_ref(), policy)?;
        let params = profile.params(key.public_key());
        let name = encode::name(&params.distinguished_name)?;
        let key_id = extension::key_id(key.public_key());
        Ok(Self { signatory: Signatory::new(key, name, key_id), profile, receipt: PhantomData })
    }

    /// Drafts the root certificate.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn draft(&self, serial: CertificateSerial) -> Result<Draft, RootRefusal> {
        let key = self.signatory.public_key();
        let params = self.profile.params(key);
        Ok(self.signatory.draft(params, key, serial, self.profile.hash(), Kind::Ca)?)
    }

    /// Makes the draft of a record again, after a crash.
    ///
    /// # Errors
    /// `ISSUER_MISMATCH`.
    pub fn resume(&self, tbs: Vec<u8>, profile: Sha256) -> Result<Draft, RootRefusal> {
        self.signatory.resume(tbs, profile).ok_or(RootRefusal::IssuerMismatch)
    }

    /// Signs what is recorded, and verifies it.
    ///
    /// # Errors
    /// As [`Issuer::sign`](crate::Issuer::sign).
    pub fn sign(&self, recorded: Recorded<R>) -> Result<Signed, CycleRefusal> {
        self.signatory.sign(recorded, SelfCheck::Verify)
    }
}
