//! The optional online CA under an offline root.

use mfg::OidArc;
use mfg::depth::MAX_INTERMEDIATES;
use mfg::terms::NameConstraintsProfile;
use pki::path::Purpose;
use pki::{DnsName, PublicKey, Sha256, oid};
use rcgen::CertificateParams;
use serde::{Deserialize, Serialize};

use super::sample::{Criticality, Expected, prove_issued};
use super::{Period, ProfileRefusal, Stage, ca_params, check_name, check_period, hash, name};
use crate::extension;
use crate::signatory::Signatory;

/// An order CA as a ceremony's input states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderCaProfileDocument {
    /// Subject O: the brand owner's name.
    pub organization: String,
    /// Subject CN.
    pub common_name: String,
    /// The program's base name: its permitted subtree.
    pub base_name: String,
    /// Handoffs that fit below, 0 to 5.
    pub path_length: u8,
    /// Its validity.
    pub validity: Period,
    /// When it may sign.
    pub signing_window: Period,
    /// How it carries its name constraint.
    pub name_constraints: NameConstraintsProfile,
    /// The program's arc, for the certificate policy.
    pub oid_arc: OidArc,
}

/// A checked order CA profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderCaProfile {
    document: OrderCaProfileDocument,
    base_name: DnsName,
    hash: Sha256,
}

impl OrderCaProfileDocument {
    /// Checks and proves the profile.
    ///
    /// # Errors
    /// Every [`ProfileRefusal`] that concerns an order CA.
    pub fn check(self, stage: Stage) -> Result<OrderCaProfile, ProfileRefusal> {
        check_name("organization", &self.organization)?;
        check_name("common_name", &self.common_name)?;
        check_period(&self.validity)?;
        check_period(&self.signing_window)?;
        stage.check_arc(&self.oid_arc)?;
        if !self.validity.encloses(&self.signing_window) {
            return Err(ProfileRefusal::WindowNotNested);
        }
        // The order CA counts as one of the intermediates itself.
        if self.path_length >= MAX_INTERMEDIATES {
            return Err(ProfileRefusal::PathLength(self.path_length));
        }
        let base_name =
            DnsName::parse(&self.base_name).map_err(|_| ProfileRefusal::BaseName(self.base_name.clone()))?;
        let hash = hash("order-ca", &self)?;
        let profile = OrderCaProfile { document: self, base_name, hash };
        profile.prove()?;
        Ok(profile)
    }
}

impl OrderCaProfile {
    /// The profile's digest, for the record.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        self.hash
    }

    /// What it was made of.
    #[must_use]
    pub fn document(&self) -> &OrderCaProfileDocument {
        &self.document
    }

    /// Its permitted subtree.
    #[must_use]
    pub fn base_name(&self) -> &DnsName {
        &self.base_name
    }

    pub(crate) fn params(&self, key: &PublicKey, issuer: &Signatory) -> CertificateParams {
        let document = &self.document;
        let name = name(Some(&document.organization), &document.common_name);
        let mut params = ca_params(name, &document.validity, Some(document.path_length), key);
        params.custom_extensions = vec![
            issuer.authority_key_id(),
            extension::permitted_subtree(&self.base_name, document.name_constraints),
            extension::signing_window(&document.signing_window),
            extension::policy(document.oid_arc.policy()),
        ];
        params
    }

    fn prove(&self) -> Result<(), ProfileRefusal> {
        let constraints = super::handoff::criticality(self.document.name_constraints);
        let expected = Expected {
            validity: &self.document.validity,
            purpose: Purpose::Any,
            extensions: &[
                (oid::SUBJECT_KEY_ID, Criticality::Plain),
                (oid::AUTHORITY_KEY_ID, Criticality::Plain),
                (oid::BASIC_CONSTRAINTS, Criticality::Critical),
                (oid::KEY_USAGE, Criticality::Critical),
                (oid::NAME_CONSTRAINTS, constraints),
                (oid::PRIVATE_KEY_USAGE_PERIOD, Criticality::Plain),
                (oid::CERTIFICATE_POLICIES, Criticality::Plain),
            ],
        };
        prove_issued(|key, issuer| Ok(self.params(key, issuer)), &expected)
    }
}
