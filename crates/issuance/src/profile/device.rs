//! The device certificate.

use mfg::{DeviceId, Generation, OidArc, Terms};
use pki::path::Purpose;
use pki::{CertificateSerial, DnsName, PublicKey, Sha256, oid};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use serde::{Deserialize, Serialize};

use super::device_template::{Device, DeviceTemplate};
use super::sample::{Criticality, Expected, prove_written};
use super::{Period, ProfileRefusal, Stage, check_period, hash, name, params};
use crate::encode::EncodeRefusal;
use crate::extension;
use crate::signatory::Signatory;

/// What is the same in all device certificates of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfileDocument {
    /// A constant, so that no station's clock matters.
    pub validity: Period,
    /// The program's arc.
    pub oid_arc: OidArc,
}

/// A checked device profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProfile {
    document: DeviceProfileDocument,
    hash: Sha256,
    template: DeviceTemplate,
}

impl DeviceProfileDocument {
    /// What the terms say.
    #[must_use]
    pub fn of_terms(terms: &Terms) -> Self {
        let document = terms.document();
        Self { validity: document.validity.devices, oid_arc: document.program.oid_arc }
    }

    /// Checks and proves the profile.
    ///
    /// # Errors
    /// Every [`ProfileRefusal`] that concerns a device.
    pub fn check(self, stage: Stage) -> Result<DeviceProfile, ProfileRefusal> {
        check_period(&self.validity)?;
        stage.check_arc(&self.oid_arc)?;
        let hash = hash("device", &self)?;
        let template = DeviceTemplate::of(&self)?;
        let profile = DeviceProfile { document: self, hash, template };
        profile.prove()?;
        Ok(profile)
    }
}

impl DeviceProfileDocument {
    /// What a device's certificate says. Exactly one SAN: a leaf without a DNS name would escape the name constraints above it. No
    /// basicConstraints: RFC 5280 section 4.2.1.9 takes their absence for "no CA".
    pub(super) fn params(&self, device: &Device<'_>, issuer: &Signatory) -> Result<CertificateParams, EncodeRefusal> {
        let mut params = params(name(None, device.id.as_str()), &self.validity);
        let dns_name =
            Ia5String::try_from(device.dns_name.as_str()).map_err(|cause| EncodeRefusal(cause.to_string()))?;
        params.subject_alt_names = vec![SanType::DnsName(dns_name)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions = vec![
            extension::subject_key_id(device.key),
            issuer.authority_key_id(),
            extension::generation(self.oid_arc.generation(), device.generation),
        ];
        Ok(params)
    }
}

impl DeviceProfile {
    /// The profile's digest, for the record.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        self.hash
    }

    /// What it was made of.
    #[must_use]
    pub fn document(&self) -> &DeviceProfileDocument {
        &self.document
    }

    /// The TBSCertificate of a device.
    pub(crate) fn tbs(&self, device: &Device<'_>, issuer: &Signatory) -> Vec<u8> {
        self.template.tbs(device, issuer)
    }

    fn prove(&self) -> Result<(), ProfileRefusal> {
        let wrong = |cause: String| ProfileRefusal::Sample(cause);
        let device = DeviceId::parse("sample").map_err(|cause| wrong(cause.to_string()))?;
        let dns_name = DnsName::parse("sample.lot.maker.example").map_err(|cause| wrong(cause.to_string()))?;
        let expected = Expected {
            validity: &self.document.validity,
            purpose: Purpose::Client,
            extensions: &[
                (oid::SUBJECT_ALT_NAME, Criticality::Plain),
                (oid::KEY_USAGE, Criticality::Critical),
                (oid::EXTENDED_KEY_USAGE, Criticality::Plain),
                (oid::SUBJECT_KEY_ID, Criticality::Plain),
                (oid::AUTHORITY_KEY_ID, Criticality::Plain),
                (self.document.oid_arc.generation(), Criticality::Plain),
            ],
        };
        let build = |key: &PublicKey, serial: &CertificateSerial, issuer: &Signatory| {
            let generation = Generation::FIRST;
            Ok(self.tbs(&Device { id: &device, dns_name: &dns_name, generation, key, serial }, issuer))
        };
        prove_written(build, &expected)
    }
}
