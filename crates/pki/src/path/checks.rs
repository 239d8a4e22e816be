//! Signature checks: the dear part of judging, so they are counted, bounded and never made twice.

use std::collections::{HashMap, HashSet};

use super::{MAX_SIGNATURE_CHECKS, Path, PathReason};
use crate::certificate::Certificate;
use crate::digest::Sha256;
use crate::key::PublicKey;
use crate::signature::{SignatureAlgorithm, SignatureError};

/// Signatures of CA certificates that were found good before: a signature stays good for ever, whatever becomes of the certificate.
#[derive(Clone, Debug, Default)]
pub struct KnownSignatures {
    /// A certificate with the key that signed it.
    good: HashSet<(Sha256, Sha256)>,
}

impl KnownSignatures {
    /// How many are known.
    pub fn len(&self) -> usize {
        self.good.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.good.is_empty()
    }

    /// Whether the signatures of all CAs of a verified path are known.
    pub fn covers(&self, path: &Path) -> bool {
        signed(path).all(|pair| self.good.contains(&pair))
    }

    /// Learns the signatures of a verified path's CAs. The leaf's is nobody else's, and is not kept.
    pub fn learn(&mut self, path: &Path) {
        self.good.extend(signed(path));
    }
}

/// The CAs of a path, each with the key that signed it.
fn signed(path: &Path) -> impl Iterator<Item = (Sha256, Sha256)> {
    let issuers = path.intermediates().iter().skip(1).chain([path.anchor()]);
    path.intermediates().iter().zip(issuers).map(|(ca, issuer)| (ca.sha256(), issuer.public_key().sha256()))
}

/// The signature checks of one question, or of several about the same certificates: at most [`MAX_SIGNATURE_CHECKS`].
#[derive(Debug, Default)]
pub struct SignatureChecks<'a> {
    known: Option<&'a KnownSignatures>,
    /// What came of checking the signature of a certificate with a key.
    made: HashMap<(Sha256, Sha256), Result<(), PathReason>>,
}

impl<'a> SignatureChecks<'a> {
    /// None was made yet, and nothing is known.
    pub fn new() -> SignatureChecks<'static> {
        SignatureChecks::default()
    }

    /// None was made yet; what is known needs none.
    pub fn beyond(known: &'a KnownSignatures) -> SignatureChecks<'a> {
        SignatureChecks { known: Some(known), made: HashMap::new() }
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
        if self.known.is_some_and(|known| known.good.contains(&pair)) {
            return Ok(());
        }
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
