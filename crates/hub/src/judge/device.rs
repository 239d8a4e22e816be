//! A verdict against what the hub knows of the device.

use api::{
    Refusal,
    hub::v1::{Binding, Device, DeviceStatus},
};

use super::{chain::Verdict, view::Whose};

/// What the hub has to do before a device that may come in is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entitlement {
    /// Nothing: this certificate is the one that the device is bound to.
    AsBound,
    /// The device is bound to no certificate yet, or the line has not yet told of a newer one.
    Bind,
}

/// Whether a chain that holds is this device's, now.
///
/// # Errors
/// `DEVICE_DISABLED`, `DEVICE_SCRAPPED`, `WRONG_LOT`, `CERTIFICATE_SUPERSEDED`.
pub(crate) fn entitle(verdict: &Verdict, device: &Device) -> Result<Entitlement, Refusal> {
    status_refusal(device)?;
    let Some(bound) = &device.binding else { return Ok(Entitlement::Bind) };
    // The same certificate is the same binding: nothing that it says can differ.
    if bound.certificate_sha256 == verdict.certificate().as_bytes().as_slice() {
        return Ok(Entitlement::AsBound);
    }
    // Other makers' CAs name devices as they like: there is no lot to be wrong, and no generation to be behind.
    if bound.dns_name.is_empty() && verdict.whose == Whose::Plain {
        return Ok(Entitlement::AsBound);
    }
    if bound.issuer_key_sha256 != verdict.issuer_key.as_bytes().as_slice() || bound.dns_name != verdict.dns_name {
        return Err(wrong_lot(verdict, device, bound));
    }
    if verdict.generation > bound.generation {
        return Ok(Entitlement::Bind);
    }
    let message = format!(
        "device {} is bound to another certificate of generation {}, and presents one of generation {}",
        device.device_id, bound.generation, verdict.generation
    );
    Err(Refusal::new("CERTIFICATE_SUPERSEDED", message)
        .with("device_id", &device.device_id)
        .with("bound_generation", bound.generation)
        .with("presented_generation", verdict.generation))
}

/// Whether a device may connect at all.
///
/// # Errors
/// `DEVICE_DISABLED`, `DEVICE_SCRAPPED`.
pub(crate) fn status_refusal(device: &Device) -> Result<(), Refusal> {
    let id = &device.device_id;
    match device.status() {
        DeviceStatus::Enabled => Ok(()),
        DeviceStatus::Scrapped => {
            Err(Refusal::new("DEVICE_SCRAPPED", format!("device {id} was scrapped")).with("device_id", id))
        }
        DeviceStatus::Unspecified | DeviceStatus::Disabled => {
            let message = format!("device {id} is disabled: {}", device.status_reason);
            Err(Refusal::new("DEVICE_DISABLED", message).with("device_id", id).with("why", &device.status_reason))
        }
    }
}

fn wrong_lot(verdict: &Verdict, device: &Device, bound: &Binding) -> Refusal {
    let bound_key = pki::hex::encode(&bound.issuer_key_sha256);
    let message = format!(
        "device {} is bound to {} by the key {bound_key}, and presents {} by the key {}",
        device.device_id,
        shown(&bound.dns_name),
        shown(&verdict.dns_name),
        verdict.issuer_key
    );
    Refusal::new("WRONG_LOT", message)
        .with("device_id", &device.device_id)
        .with("bound_name", &bound.dns_name)
        .with("presented_name", &verdict.dns_name)
        .with("bound_key_sha256", bound_key)
        .with("presented_key_sha256", verdict.issuer_key)
}

fn shown(name: &str) -> &str {
    if name.is_empty() { "no dns name" } else { name }
}
