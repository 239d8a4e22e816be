//! The verification certificate: what a hub takes as proof that a CA's key is held. It is good for nothing else.
//!
//! Two things keep it from passing as a device certificate wherever it is shown: neither its keyUsage nor its extKeyUsage lets its key
//! take part in TLS, and nobody has that key. Under Countersign's rules its missing DNS name would refuse it a third time.

use std::sync::LazyLock;

use mfg::terms::TermsTime;
use mfg::{CodeRefusal, VerificationCode};
use pki::path::Purpose;
use pki::{PublicKey, Sha256, UnixTime, oid};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose};
use serde::Serialize;

use super::sample::{Criticality, Expected, prove_issued};
use super::{Period, ProfileRefusal, hash, name, params};
use crate::extension;
use crate::signatory::Signatory;

/// How long it is valid: a hub looks at it once.
pub(crate) const VALID_SECONDS: i64 = 86_400;
/// How far the clock of the hub may be behind.
pub(crate) const CLOCK_DIFFERENCE_SECONDS: i64 = 300;
/// id-kp-documentSigning (RFC 9336): a purpose without TLS, code, mail, time or revocation in it.
const DOCUMENT_SIGNING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 36];

/// What is the same in all verification certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Constants {
    valid_seconds: i64,
    clock_difference_seconds: i64,
    extended_key_usage: [u64; 9],
}

/// The profile of verification certificates; there is one, and nothing to configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PossessionProfile {
    hash: Sha256,
}

impl PossessionProfile {
    /// The profile, proved when it is first asked for.
    ///
    /// # Errors
    /// `PROFILE_SAMPLE_WRONG`.
    pub(crate) fn proven() -> Result<&'static Self, ProfileRefusal> {
        static PROVEN: LazyLock<Result<PossessionProfile, ProfileRefusal>> = LazyLock::new(PossessionProfile::prove);
        PROVEN.as_ref().map_err(Clone::clone)
    }

    /// The profile's digest, for the record.
    pub(crate) fn hash(&self) -> Sha256 {
        self.hash
    }

    /// When a certificate made at `now` is valid, inside the validity of its issuer.
    pub(crate) fn validity(now: UnixTime, issuer: &Period) -> Period {
        let begin = now.checked_add(-CLOCK_DIFFERENCE_SECONDS).unwrap_or(now);
        let end = begin.checked_add(VALID_SECONDS).unwrap_or(now);
        Period {
            not_before: TermsTime(begin.max(issuer.not_before.0)),
            not_after: TermsTime(end.min(issuer.not_after.0)),
        }
    }

    pub(crate) fn params(
        &self,
        code: &VerificationCode,
        validity: &Period,
        key: &PublicKey,
        issuer: &Signatory,
    ) -> CertificateParams {
        let mut params = params(name(None, code.as_str()), validity);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::ContentCommitment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(DOCUMENT_SIGNING.to_vec())];
        params.key_identifier_method = KeyIdMethod::PreSpecified(extension::key_id(key));
        params.custom_extensions = vec![issuer.authority_key_id()];
        params
    }

    fn prove() -> Result<Self, ProfileRefusal> {
        let constants = Constants {
            valid_seconds: VALID_SECONDS,
            clock_difference_seconds: CLOCK_DIFFERENCE_SECONDS,
            extended_key_usage: DOCUMENT_SIGNING,
        };
        let profile = Self { hash: hash("possession", &constants)? };
        let code = VerificationCode::parse(&"0".repeat(mfg::possession::CODE_LENGTH))
            .map_err(|cause: CodeRefusal| ProfileRefusal::Sample(cause.to_string()))?;
        let begin = UnixTime::new(1_800_000_000);
        let end = begin.checked_add(VALID_SECONDS).unwrap_or(begin);
        let validity = Period { not_before: TermsTime(begin), not_after: TermsTime(end) };
        let expected = Expected {
            validity: &validity,
            purpose: Purpose::Any,
            extensions: &[
                (oid::SUBJECT_KEY_ID, Criticality::Plain),
                (oid::AUTHORITY_KEY_ID, Criticality::Plain),
                (oid::BASIC_CONSTRAINTS, Criticality::Critical),
                (oid::KEY_USAGE, Criticality::Critical),
                (oid::EXTENDED_KEY_USAGE, Criticality::Plain),
            ],
        };
        prove_issued(|key, issuer| Ok(profile.params(&code, &validity, key, issuer)), &expected)?;
        Ok(profile)
    }
}
