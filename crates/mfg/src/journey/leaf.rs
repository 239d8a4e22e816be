//! What a device certificate must say.

use pki::{Certificate, DnsName, GeneralName};

use crate::device::Generation;
use crate::id::DeviceId;
use crate::journey::{JourneyReason, JourneyRefusal};
use crate::oid::OidArc;
use crate::subtree::device_name;

/// Reads device id and generation from a leaf issued under `subtree`.
pub(super) fn read(
    leaf: &Certificate,
    subtree: &DnsName,
    arc: &OidArc,
) -> Result<(DeviceId, Generation), JourneyRefusal> {
    usages(leaf)?;
    if leaf.extension(&arc.handoff()).is_some() {
        return refused(JourneyReason::HandoffMisplaced, "the leaf carries a handoff extension");
    }
    let device_id = device_id(leaf)?;
    // Several verifiers let a leaf without any dNSName pass under dNSName constraints; so exactly one is required.
    let expected = device_name(&device_id, subtree).map_err(|cause| {
        JourneyRefusal::new(JourneyReason::DeviceNameInvalid, format!("the device's name does not fit: {cause}"))
    })?;
    match leaf.subject_alt_names() {
        [GeneralName::Dns(name)] if name == expected.as_str() => {}
        _ => {
            let detail = format!("the leaf's alternative names are not exactly the dns name {expected}");
            return refused(JourneyReason::DeviceNameInvalid, detail);
        }
    }
    Ok((device_id, generation(leaf, arc)?))
}

fn usages(leaf: &Certificate) -> Result<(), JourneyRefusal> {
    let usage = leaf.key_usage();
    if leaf.is_ca() || usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign()) {
        return refused(JourneyReason::DeviceIsCa, "the leaf is a ca or may sign certificates or revocation lists");
    }
    if usage.map(pki::KeyUsage::names).as_deref() != Some(&["digitalSignature"]) {
        return refused(JourneyReason::DeviceUsageInvalid, "the leaf's key usage is not exactly digitalSignature");
    }
    match leaf.extended_key_usage() {
        Some(purposes) if purposes.client_auth() && purposes.count() == 1 => Ok(()),
        Some(_) | None => {
            refused(JourneyReason::DeviceUsageInvalid, "the leaf's extended key usage is not exactly clientAuth")
        }
    }
}

fn device_id(leaf: &Certificate) -> Result<DeviceId, JourneyRefusal> {
    if let [name] = leaf.subject().common_names().as_slice()
        && let Ok(device_id) = DeviceId::parse(name)
        && device_id.as_str() == name
    {
        return Ok(device_id);
    }
    refused(JourneyReason::DeviceIdInvalid, "the leaf's subject has not exactly one common name that is a device id")
}

fn generation(leaf: &Certificate, arc: &OidArc) -> Result<Generation, JourneyRefusal> {
    let Some(extension) = leaf.extension(&arc.generation()) else {
        return refused(JourneyReason::GenerationMissing, format!("the leaf has no extension {}", arc.generation()));
    };
    if extension.critical {
        return refused(JourneyReason::PrivateExtensionCritical, "the leaf's generation extension is critical");
    }
    Generation::from_der(extension.value)
        .map_err(|cause| JourneyRefusal::new(JourneyReason::GenerationInvalid, cause.to_string()))
}

fn refused<T>(reason: JourneyReason, detail: impl Into<String>) -> Result<T, JourneyRefusal> {
    Err(JourneyRefusal::new(reason, detail))
}
