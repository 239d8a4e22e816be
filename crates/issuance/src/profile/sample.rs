//! Proving a profile by a certificate that nobody will ever see.

use std::sync::Arc;

use mfg::terms::Period;
use pki::path::{PathOptions, Purpose, verify_path};
use pki::{Certificate, CertificateSerial, ObjectIdentifier, PublicKey, Sha256};
use rcgen::CertificateParams;

use super::{ProfileRefusal, ca_params, name};
use crate::cycle::Kind;
use crate::key::{KeyKind, SigningKey, SoftwareKey};
use crate::signatory::Signatory;

/// Whether an extension must be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Criticality {
    Critical,
    Plain,
}

/// What a sample must turn out to be.
pub(super) struct Expected<'a> {
    pub(super) validity: &'a Period,
    pub(super) purpose: Purpose,
    /// Every extension, in any order, and no other.
    pub(super) extensions: &'a [(ObjectIdentifier, Criticality)],
}

/// Issues a sample under a sample root and compares.
pub(super) fn prove_issued(
    build: impl FnOnce(&PublicKey, &Signatory) -> Result<CertificateParams, ProfileRefusal>,
    expected: &Expected<'_>,
) -> Result<(), ProfileRefusal> {
    let write = |key: &PublicKey, serial: &CertificateSerial, issuer: &Signatory| {
        Ok(issuer.tbs(build(key, issuer)?, key, serial)?)
    };
    prove_written(write, expected)
}

/// The same for a profile that writes its TBSCertificates itself.
pub(super) fn prove_written(
    write: impl FnOnce(&PublicKey, &CertificateSerial, &Signatory) -> Result<Vec<u8>, ProfileRefusal>,
    expected: &Expected<'_>,
) -> Result<(), ProfileRefusal> {
    let (root_key, subject) = (throw_away_key()?, throw_away_key()?);
    let root_params = ca_params(name(None, "sample root"), expected.validity, None, root_key.public_key());
    let root = self_signed(Arc::clone(&root_key), root_params)?;
    let signatory =
        Signatory::new(root_key, root.subject().der().to_vec(), root.subject_key_id().unwrap_or_default().to_vec());
    let serial = sample_serial()?;
    let tbs = write(subject.public_key(), &serial, &signatory)?;
    let sample = sign(&signatory, tbs, subject.public_key(), serial)?;
    compare(&sample, &root, expected)
}

/// Somebody to issue samples that are never signed.
pub(super) fn sample_signatory() -> Result<Signatory, ProfileRefusal> {
    Ok(Signatory::new(throw_away_key()?, crate::encode::name(&name(None, "sample root"))?, vec![0; 20]))
}

/// Signs a sample by its own key and compares.
pub(super) fn prove_self_signed(
    build: impl FnOnce(&PublicKey) -> CertificateParams,
    expected: &Expected<'_>,
) -> Result<(), ProfileRefusal> {
    let key = throw_away_key()?;
    let params = build(key.public_key());
    let sample = self_signed(key, params)?;
    compare(&sample, &sample, expected)
}

fn compare(sample: &Certificate, root: &Certificate, expected: &Expected<'_>) -> Result<(), ProfileRefusal> {
    let at = expected.validity.not_before.0;
    if sample != root {
        verify_path(sample, &[], std::slice::from_ref(root), &PathOptions::new(at, expected.purpose)).map_err(wrong)?;
    }
    if (sample.not_before(), sample.not_after()) != (at, expected.validity.not_after.0) {
        return Err(wrong("it states another validity"));
    }
    let mut missing: Vec<_> = expected.extensions.to_vec();
    for extension in sample.extensions() {
        let found = if extension.critical { Criticality::Critical } else { Criticality::Plain };
        let position = missing
            .iter()
            .position(|(oid, criticality)| oid.as_bytes() == extension.oid_octets && *criticality == found)
            .ok_or_else(|| wrong(format!("extension {} as {found:?} does not belong", extension.dotted())))?;
        missing.swap_remove(position);
    }
    match missing.first() {
        None => Ok(()),
        Some((oid, _)) => Err(wrong(format!("extension {oid} is missing"))),
    }
}

fn self_signed(key: Arc<SoftwareKey>, params: CertificateParams) -> Result<Certificate, ProfileRefusal> {
    let public_key = key.public_key().clone();
    let name = crate::encode::name(&params.distinguished_name)?;
    issue(&Signatory::new(key, name, Vec::new()), params, &public_key)
}

fn issue(signatory: &Signatory, params: CertificateParams, key: &PublicKey) -> Result<Certificate, ProfileRefusal> {
    let serial = sample_serial()?;
    sign(signatory, signatory.tbs(params, key, &serial)?, key, serial)
}

fn sign(
    signatory: &Signatory,
    tbs: Vec<u8>,
    key: &PublicKey,
    serial: CertificateSerial,
) -> Result<Certificate, ProfileRefusal> {
    let draft = signatory.draft_of(tbs, key, serial, Sha256::of(b"sample"), Kind::Ca);
    signatory.sign_unrecorded(draft).map_err(wrong)?.into_certificate().map_err(wrong)
}

fn sample_serial() -> Result<CertificateSerial, ProfileRefusal> {
    CertificateSerial::from_bytes(&[1]).ok_or_else(|| wrong("1 is no serial"))
}

fn throw_away_key() -> Result<Arc<SoftwareKey>, ProfileRefusal> {
    SoftwareKey::generate(KeyKind::P256).map(Arc::new).map_err(wrong)
}

fn wrong(cause: impl ToString) -> ProfileRefusal {
    ProfileRefusal::Sample(cause.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pki::{UnixTime, oid};

    use super::*;
    use mfg::terms::TermsTime;

    #[test]
    fn a_certificate_that_is_not_what_was_meant_is_no_proof() {
        let at = |text| TermsTime(UnixTime::parse(text).unwrap());
        let validity = Period { not_before: at("2026-01-01T00:00:00Z"), not_after: at("2036-01-01T00:00:00Z") };
        let other = Period { not_after: at("2035-01-01T00:00:00Z"), ..validity };
        let build = |key: &PublicKey| ca_params(name(None, "sample root"), &validity, None, key);
        let plain = [(oid::BASIC_CONSTRAINTS, Criticality::Plain)];
        for (validity, extensions) in [(&other, &[][..]), (&validity, &[]), (&validity, &plain)] {
            let expected = Expected { validity, purpose: Purpose::Any, extensions };
            assert_eq!(prove_self_signed(build, &expected).unwrap_err().reason(), "PROFILE_SAMPLE_WRONG");
        }
    }
}
