//! What certificates of each kind look like: written down, checked once at start, then trusted.
//!
//! A document is what configuration or the terms say. Its `check` makes the profile, and proves it: it issues a sample
//! with a throw-away key, reads that back strictly, verifies its path, and compares every extension and its
//! criticality with the design. So a profile that would issue something else cannot start.

mod device;
mod device_template;
mod handoff;
mod order;
mod order_ca;
mod possession;
mod refusal;
mod root;
mod sample;

use mfg::OidArc;
use pki::{PublicKey, Sha256, UnixTime};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyIdMethod, KeyUsagePurpose};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use device::{DeviceProfile, DeviceProfileDocument};
pub(crate) use device_template::Device;
pub(crate) use handoff::HandoffFields;
pub use handoff::{HandoffProfile, HandoffProfileDocument};
pub use mfg::terms::Period;
pub use order::OrderProfiles;
pub use order_ca::{OrderCaProfile, OrderCaProfileDocument};
pub(crate) use possession::PossessionProfile;
pub use refusal::ProfileRefusal;
pub use root::{RootProfile, RootProfileDocument};

use crate::extension;

/// Whether certificates are for real devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Anchors carry the development marker; the documentation arc is allowed.
    Development,
    /// Neither is.
    Production,
}

impl Stage {
    pub(crate) fn check_arc(self, arc: &OidArc) -> Result<(), ProfileRefusal> {
        match self {
            Self::Production if arc.is_documentation() => Err(ProfileRefusal::DocumentationArc),
            Self::Production | Self::Development => Ok(()),
        }
    }
}

/// RFC 5280 appendix A.1: ub-organization-name and ub-common-name are 64 characters.
pub(crate) fn check_name(field: &'static str, text: &str) -> Result<(), ProfileRefusal> {
    let length = text.chars().count();
    if !(1..=64).contains(&length) || text.chars().any(char::is_control) || text.trim() != text {
        return Err(ProfileRefusal::Name { field, text: text.chars().take(80).collect() });
    }
    Ok(())
}

fn check_period(period: &Period) -> Result<(), ProfileRefusal> {
    if period.is_ordered() { Ok(()) } else { Err(ProfileRefusal::NotOrdered) }
}

/// A profile's digest: of its kind and of its document as JSON, whose fields stand in the order of the structure. So it
/// can be computed again from a recorded document, by anyone.
fn hash(kind: &str, document: &impl Serialize) -> Result<Sha256, ProfileRefusal> {
    let json = serde_json::to_string(document).map_err(|cause| ProfileRefusal::Sample(cause.to_string()))?;
    Ok(Sha256::of(format!("countersign/profile/{kind}/v1\0{json}").as_bytes()))
}

pub(crate) fn name(organization: Option<&str>, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

/// What every certificate has.
pub(crate) fn params(name: DistinguishedName, validity: &Period) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = date_time(validity.not_before.0);
    params.not_after = date_time(validity.not_after.0);
    params
}

/// What every CA certificate has: SKI, critical basicConstraints, critical keyUsage.
pub(crate) fn ca_params(
    name: DistinguishedName,
    validity: &Period,
    path_length: Option<u8>,
    key: &PublicKey,
) -> CertificateParams {
    let mut params = params(name, validity);
    params.is_ca = IsCa::Ca(path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::PreSpecified(extension::key_id(key));
    params
}

fn date_time(time: UnixTime) -> OffsetDateTime {
    // UnixTime stays within the years 0 to 9999, which OffsetDateTime holds.
    OffsetDateTime::from_unix_timestamp(time.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
