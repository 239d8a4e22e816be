//! A key with the name it signs under: what a self-signed root and every other issuer have in common.

use std::sync::Arc;

use pki::{Certificate, CertificateSerial, PublicKey, Sha256};
use rcgen::CertificateParams;

use crate::cycle::{CycleRefusal, Draft, Kind, Parts, Receipt, Recorded, SelfCheck, Signed};
use crate::encode::{self, EncodeRefusal, IssuerOctets};
use crate::extension;
use crate::key::SigningKey;

pub(crate) struct Signatory {
    key: Arc<dyn SigningKey>,
    octets: IssuerOctets,
    key_id: Vec<u8>,
}

impl Signatory {
    /// The holder of `key`, under the DER name `name`, with the key identifier that its own certificate states.
    pub(crate) fn new(key: Arc<dyn SigningKey>, name: Vec<u8>, key_id: Vec<u8>) -> Self {
        let algorithm = key.algorithm();
        Self { key, octets: IssuerOctets { name, algorithm }, key_id }
    }

    /// The key that signs.
    pub(crate) fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// authorityKeyIdentifier for everything that it issues.
    pub(crate) fn authority_key_id(&self) -> rcgen::CustomExtension {
        extension::authority_key_id(&self.key_id)
    }

    /// The content of that extension.
    pub(crate) fn authority_key_id_value(&self) -> Vec<u8> {
        extension::authority_key_id_value(&self.key_id)
    }

    /// Its name and algorithm, as they stand in everything that it issues.
    pub(crate) fn octets(&self) -> &IssuerOctets {
        &self.octets
    }

    pub(crate) fn draft(
        &self,
        params: CertificateParams,
        key: &PublicKey,
        serial: CertificateSerial,
        profile: Sha256,
        kind: Kind,
    ) -> Result<Draft, EncodeRefusal> {
        let tbs = self.tbs(params, key, &serial)?;
        Ok(self.draft_of(tbs, key, serial, profile, kind))
    }

    /// The TBSCertificate, written by rcgen.
    pub(crate) fn tbs(
        &self,
        mut params: CertificateParams,
        key: &PublicKey,
        serial: &CertificateSerial,
    ) -> Result<Vec<u8>, EncodeRefusal> {
        params.serial_number = Some(rcgen::SerialNumber::from_slice(serial.as_bytes()));
        encode::tbs(&params, key, &self.octets)
    }

    /// A draft whose TBS was written before; None unless the TBS is one of this issuer's, in strict DER.
    pub(crate) fn resume(&self, tbs: Vec<u8>, profile: Sha256) -> Option<Draft> {
        // A TBS becomes readable as a certificate; the placeholder signature is never looked at.
        let readable = Certificate::parse(&encode::certificate(&tbs, self.octets.algorithm, &[0])).ok()?;
        let named_key = readable.authority_key_id().and_then(|id| id.key_id.clone());
        let same_key = named_key.is_some_and(|id| id == self.key_id) || readable.public_key() == self.public_key();
        let same_algorithm = encode::names_algorithm(&tbs, self.octets.algorithm);
        if readable.issuer().der() != self.octets.name || !same_key || !same_algorithm {
            return None;
        }
        let kind = if readable.is_ca() { Kind::Ca } else { Kind::EndEntity };
        let (key, serial) = (readable.public_key(), readable.serial().clone());
        Some(self.draft_of(tbs, key, serial, profile, kind))
    }

    /// The one place where a key of the device PKI signs.
    pub(crate) fn sign<R: Receipt>(&self, recorded: Recorded<R>, check: SelfCheck) -> Result<Signed, CycleRefusal> {
        let Recorded { parts, .. } = recorded;
        self.complete(parts, check)
    }

    /// Signs without a record: throw-away samples and the service PKI only.
    pub(crate) fn sign_unrecorded(&self, draft: Draft) -> Result<Signed, CycleRefusal> {
        self.complete(draft.parts, SelfCheck::Verify)
    }

    fn complete(&self, parts: Parts, check: SelfCheck) -> Result<Signed, CycleRefusal> {
        if parts.issuer_key != self.public_key().sha256() {
            return Err(CycleRefusal::IssuerKeyMismatch);
        }
        let signature = self.key.sign(&parts.tbs)?;
        if check == SelfCheck::Verify || parts.kind == Kind::Ca {
            self.public_key()
                .verify(self.octets.algorithm, &parts.tbs, &signature)
                .map_err(|_| CycleRefusal::SignatureInvalid)?;
        }
        Ok(Signed { der: encode::certificate(&parts.tbs, self.octets.algorithm, &signature), signature, parts })
    }

    /// The draft with this TBSCertificate, which says the same as the other arguments.
    pub(crate) fn draft_of(
        &self,
        tbs: Vec<u8>,
        key: &PublicKey,
        serial: CertificateSerial,
        profile: Sha256,
        kind: Kind,
    ) -> Draft {
        let (tbs_digest, subject_key) = (Sha256::of(&tbs), key.sha256());
        let issuer_key = self.public_key().sha256();
        Draft { parts: Parts { tbs, tbs_digest, serial, subject_key, profile, issuer_key, kind } }
    }
}
