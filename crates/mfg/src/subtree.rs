//! Names: the DNS name under which a lot's CA may name devices, and the names of certificates.

use pki::{DnsName, Sha256};

use crate::id::{DeviceId, LotId, ManufacturerId};
use crate::room::{self, RoomRefusal};

/// The subtree of a lot: `<lot>.<to>.<the issuer's subtree>`.
///
/// # Errors
/// `DNS_NAME_TOO_LONG`.
pub fn subtree(issuer: &DnsName, lot: &LotId, to: &ManufacturerId) -> Result<DnsName, RoomRefusal> {
    join(&format!("{lot}.{to}"), issuer)
}

/// A device's DNS name, the one SAN of its certificate: `<device-id>.<the issuer's subtree>`.
///
/// # Errors
/// `DNS_NAME_TOO_LONG`.
pub fn device_name(device: &DeviceId, issuer: &DnsName) -> Result<DnsName, RoomRefusal> {
    join(device.as_str(), issuer)
}

/// CN of a handoff certificate: `<lot>.<manufacturer> <12 hex of SHA-256 of the subtree>`.
///
/// At most 24 + 1 + 24 + 1 + 12 = 62 characters, within ub-common-name (RFC 5280 appendix A.1: 64).
#[must_use]
pub fn handoff_common_name(lot: &LotId, to: &ManufacturerId, subtree: &DnsName) -> String {
    let digest = Sha256::of(subtree.as_str().as_bytes()).to_string();
    let short: String = digest.chars().take(12).collect();
    format!("{lot}.{to} {short}")
}

fn join(labels: &str, parent: &DnsName) -> Result<DnsName, RoomRefusal> {
    let name = format!("{labels}.{}", parent.as_str());
    // The labels are identities, hence well-formed: only the length can be wrong.
    DnsName::parse(&name).map_err(|_| RoomRefusal::NameTooLong { octets: name.len(), limit: room::MAX_NAME_LENGTH })
}
