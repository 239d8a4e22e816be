//! Signature checks: the dear part of judging, so they are counted, bounded and never made twice.

use std::collections::HashMap;

use super::{MAX_SIGNATURE_CHECKS, PathReason};
use crate::certificate::Certificate;
use crate::digest::Sha256;
use crate::key::PublicKey;
use crate::signature::{SignatureAlgorithm, SignatureError};

/// The signature checks of one question, or of several about the same certificates: at most [`MAX_SIGNATURE_CHECKS`].
#[derive(Debug, Default)]
pub struct SignatureChecks {
    /// What came of checking the signature of a certificate with a key.
    made: HashMap<(Sha256, Sha256), Result<(), PathReason>>,
}

impl SignatureChecks {
    /// None was made yet.
    pub fn new() -> SignatureChecks {
        SignatureChecks::default()
    }

    /// How many were made.
    pub fn count(&self) -> usize {
        self.made.len()
    }

    /// Whether the key made the signature of a certificate; [`PathReason::PathSearchExhausted`] when no check is left.
    pub(super) fn check(
        &mut self,
        algorithm: SignatureAlgorithm,
        subject: &Certificate,
        key: &PublicKey,
    ) -> Result<(), PathReason> {
        let pair = (subject.sha256(), key.sha256());
        if let Some(known) = self.made.get(&pair) {
            return *known;
        }
        if self.made.len() >= MAX_SIGNATURE_CHECKS {
            return Err(PathReason::PathSearchExhausted);
        }
        let outcome = key.verify(algorithm, subject.tbs(), subject.signature()).map_err(|error| match error {
            SignatureError::AlgorithmUnfit => PathReason::SignatureAlgorithmNotAllowed,
            SignatureError::Invalid => PathReason::SignatureInvalid,
        });
        self.made.insert(pair, outcome);
        outcome
    }
}
