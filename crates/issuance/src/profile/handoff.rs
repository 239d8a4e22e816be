//! The handoff certificate.

use mfg::terms::NameConstraintsProfile;
use mfg::{OidArc, Terms};
use pki::path::Purpose;
use pki::{DnsName, PublicKey, Sha256, oid};
use rcgen::CertificateParams;
use serde::{Deserialize, Serialize};

use super::sample::{Criticality, Expected, prove_issued};
use super::{Period, ProfileRefusal, Stage, ca_params, check_period, hash, name};
use crate::extension;
use crate::signatory::Signatory;

/// What is the same in all handoff certificates of an order, or of one offer within it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoffProfileDocument {
    /// At least as long as the devices'.
    pub validity: Period,
    /// When the lot key may sign.
    pub signing_window: Period,
    /// How the name constraint is carried.
    pub name_constraints: NameConstraintsProfile,
    /// The program's arc.
    pub oid_arc: OidArc,
}

/// A checked handoff profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffProfile {
    document: HandoffProfileDocument,
    hash: Sha256,
}

/// What differs from one handoff certificate to the next.
pub(crate) struct HandoffFields<'a> {
    pub(crate) organization: &'a str,
    pub(crate) common_name: &'a str,
    pub(crate) path_length: u8,
    pub(crate) subtree: &'a DnsName,
    /// The DER of the handoff extension's value.
    pub(crate) handoff: Vec<u8>,
}

impl HandoffProfileDocument {
    /// What the terms say.
    #[must_use]
    pub fn of_terms(terms: &Terms) -> Self {
        let document = terms.document();
        Self {
            validity: document.validity.cas,
            signing_window: document.signing_window,
            name_constraints: document.name_constraints,
            oid_arc: document.program.oid_arc,
        }
    }

    /// Checks and proves the profile.
    ///
    /// # Errors
    /// Every [`ProfileRefusal`] that concerns a handoff.
    pub fn check(self, stage: Stage) -> Result<HandoffProfile, ProfileRefusal> {
        check_period(&self.validity)?;
        check_period(&self.signing_window)?;
        stage.check_arc(&self.oid_arc)?;
        if !self.validity.encloses(&self.signing_window) {
            return Err(ProfileRefusal::WindowNotNested);
        }
        let hash = hash("handoff", &self)?;
        let profile = HandoffProfile { document: self, hash };
        profile.prove()?;
        Ok(profile)
    }
}

impl HandoffProfile {
    /// The profile's digest, for the record.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        self.hash
    }

    /// What it was made of.
    #[must_use]
    pub fn document(&self) -> &HandoffProfileDocument {
        &self.document
    }

    pub(crate) fn params(&self, fields: HandoffFields<'_>, key: &PublicKey, issuer: &Signatory) -> CertificateParams {
        let document = &self.document;
        let name = name(Some(fields.organization), fields.common_name);
        let mut params = ca_params(name, &document.validity, Some(fields.path_length), key);
        params.custom_extensions = vec![
            issuer.authority_key_id(),
            extension::permitted_subtree(fields.subtree, document.name_constraints),
            extension::signing_window(&document.signing_window),
            extension::policy(document.oid_arc.policy()),
            extension::plain(document.oid_arc.handoff(), fields.handoff),
        ];
        params
    }

    fn prove(&self) -> Result<(), ProfileRefusal> {
        let subtree =
            DnsName::parse("lot.maker.sample.example").map_err(|cause| ProfileRefusal::Sample(cause.to_string()))?;
        let expected = Expected {
            validity: &self.document.validity,
            purpose: Purpose::Any,
            extensions: &[
                (oid::SUBJECT_KEY_ID, Criticality::Plain),
                (oid::AUTHORITY_KEY_ID, Criticality::Plain),
                (oid::BASIC_CONSTRAINTS, Criticality::Critical),
                (oid::KEY_USAGE, Criticality::Critical),
                (oid::NAME_CONSTRAINTS, criticality(self.document.name_constraints)),
                (oid::PRIVATE_KEY_USAGE_PERIOD, Criticality::Plain),
                (oid::CERTIFICATE_POLICIES, Criticality::Plain),
                (self.document.oid_arc.handoff(), Criticality::Plain),
            ],
        };
        let build = |key: &PublicKey, issuer: &Signatory| {
            let fields = HandoffFields {
                organization: "sample",
                common_name: "lot.maker 000000000000",
                path_length: 0,
                subtree: &subtree,
                handoff: vec![0x30, 0],
            };
            Ok(self.params(fields, key, issuer))
        };
        prove_issued(build, &expected)
    }
}

pub(super) fn criticality(constraints: NameConstraintsProfile) -> Criticality {
    match constraints {
        NameConstraintsProfile::Critical => Criticality::Critical,
        NameConstraintsProfile::Compatible => Criticality::Plain,
    }
}
