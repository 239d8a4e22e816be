//! The device trust anchor.

use mfg::oid::{DEVELOPMENT_MARKER, DEVELOPMENT_MARKER_VALUE};
use pki::path::Purpose;
use pki::{PublicKey, Sha256, oid};
use rcgen::CertificateParams;
use serde::{Deserialize, Serialize};

use super::sample::{Criticality, Expected, prove_self_signed};
use super::{Period, ProfileRefusal, Stage, ca_params, check_name, check_period, hash, name};
use crate::extension;

/// A root as a ceremony's input states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootProfileDocument {
    /// Subject O: the brand owner's name.
    pub organization: String,
    /// Subject CN.
    pub common_name: String,
    /// Must outlive every device: an expired anchor is refused everywhere.
    pub validity: Period,
    /// Development roots carry a marker.
    pub stage: Stage,
}

/// A checked root profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootProfile {
    document: RootProfileDocument,
    hash: Sha256,
}

impl RootProfileDocument {
    /// Checks and proves the profile.
    ///
    /// # Errors
    /// Every [`ProfileRefusal`] that concerns a root.
    pub fn check(self) -> Result<RootProfile, ProfileRefusal> {
        check_name("organization", &self.organization)?;
        check_name("common_name", &self.common_name)?;
        check_period(&self.validity)?;
        let hash = hash("root", &self)?;
        let profile = RootProfile { document: self, hash };
        let mut extensions = vec![
            (oid::SUBJECT_KEY_ID, Criticality::Plain),
            (oid::BASIC_CONSTRAINTS, Criticality::Critical),
            (oid::KEY_USAGE, Criticality::Critical),
        ];
        match profile.document.stage {
            Stage::Development => extensions.push((DEVELOPMENT_MARKER, Criticality::Plain)),
            Stage::Production => {}
        }
        let validity = profile.document.validity;
        let expected = Expected { validity: &validity, purpose: Purpose::Any, extensions: &extensions };
        prove_self_signed(|key| profile.params(key), &expected)?;
        Ok(profile)
    }
}

impl RootProfile {
    /// The profile's digest, for the record.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        self.hash
    }

    /// What it was made of.
    #[must_use]
    pub fn document(&self) -> &RootProfileDocument {
        &self.document
    }

    /// Without pathLenConstraint: a root outlives its programs, and depth is limited at each order. Without AKI:
    /// RFC 5280 section 4.2.1.1 lets a self-signed certificate omit it.
    pub(crate) fn params(&self, key: &PublicKey) -> CertificateParams {
        let RootProfileDocument { organization, common_name, validity, stage } = &self.document;
        let mut params = ca_params(name(Some(organization), common_name), validity, None, key);
        match stage {
            Stage::Development => {
                params.custom_extensions.push(extension::plain(DEVELOPMENT_MARKER, DEVELOPMENT_MARKER_VALUE.to_vec()));
            }
            Stage::Production => {}
        }
        params
    }
}
