//! A device's journey, read from a certificate path that RFC 5280 already accepts.
//!
//! [`read`] applies the rules that are Countersign's own: which names, which links between hops, which limits, and
//! whether each receiver accepted. It refuses rather than guess, so that what it says is what was signed.

mod acceptance;
mod hops;
mod leaf;
mod reason;

use std::collections::HashSet;

use pki::path::Path;
use pki::{Certificate, DnsName, PublicKey, Sha256};

pub use reason::{JourneyReason, JourneyRefusal};

use crate::bundle::Bundle;
use crate::depth::{self, OrderCa};
use crate::device::Generation;
use crate::handoff::Handoff;
use crate::id::{DeviceId, LotId, ManufacturerId, OrderId, ProgramId};
use crate::oid::OidArc;
use crate::quantity::Quantity;

/// Through whose hands a device passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journey {
    /// What the hub knows the device by.
    pub device_id: DeviceId,
    /// Which certificate of the device this is.
    pub generation: Generation,
    /// The program.
    pub program: ProgramId,
    /// The arc of the program's extensions.
    pub oid_arc: OidArc,
    /// The production order.
    pub order: OrderId,
    /// SHA-256 of the order's terms, the same at every hop.
    pub terms_digest: Sha256,
    /// The handoffs, the brand's first. If the trust anchor is itself a lot's CA, its handoff stands first.
    pub hops: Vec<Hop>,
}

/// One handoff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The sender.
    pub from: ManufacturerId,
    /// The receiver.
    pub to: ManufacturerId,
    /// The lot.
    pub lot: LotId,
    /// How many units.
    pub quantity: Quantity,
    /// Under which name the lot's CA may name devices.
    pub subtree: DnsName,
    /// SHA-256 of the lot's CA certificate.
    pub certificate_sha256: Sha256,
    /// Whether the receiver is known to have accepted.
    pub accepted: Accepted,
}

/// Whose custody a lot's CA tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custody {
    /// The lot key.
    pub public_key: PublicKey,
    /// The handoff that made it.
    pub handoff: Handoff,
    /// Under which name it may name devices.
    pub subtree: DnsName,
    /// The arc of the program's extensions.
    pub oid_arc: OidArc,
    /// The handoffs so far, this one last.
    pub hops: Vec<Hop>,
}

/// What is known of a receiver's acceptance. One that is known to be wrong is refused instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// Signed by an identity key that the bundle registers for the receiver.
    Proven,
    /// No identity key of the receiver is at hand.
    NotChecked,
}

impl Accepted {
    /// As `verify` prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::NotChecked => "not checked",
        }
    }
}

/// Reads the journey from a path that `pki` verified.
///
/// # Errors
/// Every [`JourneyReason`].
pub fn read(path: &Path, bundle: Option<&Bundle>) -> Result<Journey, JourneyRefusal> {
    read_with(path, &Witness { bundle, proven: &HashSet::new() })
}

/// As [`read`], for whoever reads many journeys through the same lots.
///
/// # Errors
/// Every [`JourneyReason`].
pub fn read_with(path: &Path, witness: &Witness<'_>) -> Result<Journey, JourneyRefusal> {
    // Root first: each rule compares a certificate with the one above it.
    let intermediates: Vec<&Certificate> = path.intermediates().iter().rev().collect();
    read_certificates(path.leaf(), &intermediates, path.anchor(), witness)
}

/// What acceptances are held to.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// Identity keys and programs; None: nothing is known of them.
    pub bundle: Option<&'a Bundle>,
    /// SHA-256 of handoff certificates whose acceptances this very bundle proved before ([`Hop::certificate_sha256`]): an acceptance is in
    /// its certificate, and is proven for as long as the bundle stays the same.
    pub proven: &'a HashSet<Sha256>,
}

/// Reads whose custody a lot's CA tells of, from a path that `pki` verified and whose leaf is that CA.
///
/// # Errors
/// Every [`JourneyReason`] that is not about a device certificate.
pub fn read_custody(path: &Path, bundle: Option<&Bundle>) -> Result<Custody, JourneyRefusal> {
    read_issuer(path, bundle)?.ok_or_else(no_handoff)
}

/// The same for any CA that may sign handoffs or devices: none when it is an order CA directly under the anchor.
///
/// # Errors
/// Every [`JourneyReason`] that is not about a device certificate.
pub fn read_issuer(path: &Path, bundle: Option<&Bundle>) -> Result<Option<Custody>, JourneyRefusal> {
    let cas: Vec<&Certificate> = path.intermediates().iter().rev().chain([path.leaf()]).collect();
    let witness = Witness { bundle, proven: &HashSet::new() };
    let Some((route, hops)) = read_hops(&cas, path.anchor(), &witness)? else { return Ok(None) };
    let last = route.hops.into_iter().next_back();
    Ok(last.map(|last| Custody {
        public_key: last.certificate.public_key().clone(),
        handoff: last.handoff,
        subtree: last.subtree,
        oid_arc: route.arc,
        hops,
    }))
}

fn read_certificates(
    leaf: &Certificate,
    intermediates: &[&Certificate],
    anchor: &Certificate,
    witness: &Witness<'_>,
) -> Result<Journey, JourneyRefusal> {
    let (route, hops) = read_hops(intermediates, anchor, witness)?.ok_or_else(no_handoff)?;
    let last = route.hops.last().ok_or_else(no_handoff)?;
    hops::nested_validity(leaf, last.certificate)?;
    let (device_id, generation) = leaf::read(leaf, &last.subtree, &route.arc)?;
    let consignment = &last.handoff.consignment;
    Ok(Journey {
        device_id,
        generation,
        program: consignment.program.clone(),
        oid_arc: route.arc,
        order: consignment.order.clone(),
        terms_digest: consignment.terms_digest,
        hops,
    })
}

/// The handoffs of CAs given root first, each held to every rule; none when there is at most an order CA.
fn read_hops<'a>(
    cas: &[&'a Certificate],
    anchor: &'a Certificate,
    witness: &Witness<'_>,
) -> Result<Option<(hops::Route<'a>, Vec<Hop>)>, JourneyRefusal> {
    depth::check(cas.len(), OrderCa::Absent)
        .map_err(|cause| JourneyRefusal::new(JourneyReason::ChainTooDeep, cause.to_string()))?;
    let Some(route) = hops::read(cas, anchor)? else { return Ok(None) };
    if let Some(bundle) = witness.bundle {
        hops::known_program(&route, bundle)?;
    }
    let hops = route.hops.iter().map(|hop| accepted_hop(hop, witness)).collect::<Result<_, _>>()?;
    Ok(Some((route, hops)))
}

fn no_handoff() -> JourneyRefusal {
    JourneyRefusal::new(JourneyReason::HandoffMissing, "no certificate of this path carries a handoff extension")
}

fn accepted_hop(hop: &hops::ReadHop<'_>, witness: &Witness<'_>) -> Result<Hop, JourneyRefusal> {
    let consignment = &hop.handoff.consignment;
    Ok(Hop {
        from: consignment.from.clone(),
        to: consignment.to.clone(),
        lot: consignment.lot.clone(),
        quantity: consignment.quantity,
        subtree: hop.subtree.clone(),
        certificate_sha256: hop.certificate.sha256(),
        accepted: acceptance::check(hop, witness)?,
    })
}

#[cfg(test)]
mod tests;
