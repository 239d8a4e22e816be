//! The key spaces: every way in which a record can be found.
//!
//! A service has one store, so a key needs the ids that are unique there and no more. Lots are named differently by their sender
//! (`handoff`) and by their receiver (`lot`): the same id may stand on both sides of one intermediate-ca.

use api::RequestId;
use pki::{CertificateSerial, Sha256};
use store::Key;

/// A request of one manufacturer's people or services.
#[must_use]
pub fn request(manufacturer: &str, id: RequestId) -> Key {
    Key::new("request", &[manufacturer.as_bytes(), id.as_bytes()])
}

/// A program at the root-ca.
#[must_use]
pub fn program(id: &str) -> Key {
    Key::new("program", &[id.as_bytes()])
}

/// A manufacturer at the root-ca.
#[must_use]
pub fn manufacturer(id: &str) -> Key {
    Key::new("manufacturer", &[id.as_bytes()])
}

/// An identity key at the root-ca: it is one manufacturer's.
#[must_use]
pub fn identity_key(spki_digest: &Sha256) -> Key {
    Key::new("identity-key", &[spki_digest.as_bytes()])
}

/// A production order at the root-ca.
#[must_use]
pub fn order(id: &str) -> Key {
    Key::new("order", &[id.as_bytes()])
}

/// The newest offer that takes from a lot or, at the root-ca, from a production order.
#[must_use]
pub fn offers(source: &str) -> Key {
    Key::new("offers", &[source.as_bytes()])
}

/// A lot at its receiver; also the name of its tally. At the root-ca a production order is the lot that handoffs are taken from.
#[must_use]
pub fn lot(id: &str) -> Key {
    Key::new("lot", &[id.as_bytes()])
}

/// A lot at its sender.
#[must_use]
pub fn handoff(lot: &str) -> Key {
    Key::new("handoff", &[lot.as_bytes()])
}

/// A device at a signer.
#[must_use]
pub fn device(id: &str) -> Key {
    Key::new("device", &[id.as_bytes()])
}

/// A part of a manifest.
#[must_use]
pub fn manifest(sha256: &Sha256, part: u32) -> Key {
    Key::new("manifest", &[sha256.as_bytes(), &part.to_be_bytes()])
}

/// What a lot's receiver last reported, at its sender.
#[must_use]
pub fn tally_report(lot: &str) -> Key {
    Key::new("tally-report", &[lot.as_bytes()])
}

/// The newest permission that scrapped units of a lot come back, as its sender gave it.
#[must_use]
pub fn reinstatement_approved(lot: &str) -> Key {
    Key::new("reinstatement-approved", &[lot.as_bytes()])
}

/// The newest permission that scrapped units of a lot come back, as its receiver used it.
#[must_use]
pub fn reinstatement_used(lot: &str) -> Key {
    Key::new("reinstatement-used", &[lot.as_bytes()])
}

/// A certified public key at a signer: one device per public key.
#[must_use]
pub fn public_key(spki_digest: &Sha256) -> Key {
    Key::new("public-key", &[spki_digest.as_bytes()])
}

/// A certificate at its signer.
#[must_use]
pub fn certificate(serial: &CertificateSerial) -> Key {
    Key::new("certificate", &[serial.as_bytes()])
}

/// Whether the clock is behind the journal.
#[must_use]
pub fn clock() -> Key {
    Key::new("clock", &[])
}

/// What a service of another manufacturer last showed of its journal.
#[must_use]
pub fn seen_journal(manufacturer: &str, service: &str) -> Key {
    Key::new("seen-journal", &[manufacturer.as_bytes(), service.as_bytes()])
}

/// The reconciliation after a restore.
#[must_use]
pub fn reconciled(restored_at: u64) -> Key {
    Key::new("reconciled", &[&restored_at.to_be_bytes()])
}

/// A unit at a provisioner.
#[must_use]
pub fn unit(device_id: &str) -> Key {
    Key::new("unit", &[device_id.as_bytes()])
}

/// How far the deliveries to a destination came, at a provisioner.
#[must_use]
pub fn outbox(destination: &str) -> Key {
    Key::new("outbox", &[destination.as_bytes()])
}

/// The latest request that what was set aside for a destination is sent again, or that this was done.
#[must_use]
pub fn send_again(destination: &str) -> Key {
    Key::new("send-again", &[destination.as_bytes()])
}

/// A lot's chain at a provisioner.
#[must_use]
pub fn lot_chain(lot: &str) -> Key {
    Key::new("lot-chain", &[lot.as_bytes()])
}
