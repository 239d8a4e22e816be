//! Whether the receiver of a hop countersigned it.

use crate::journey::hops::ReadHop;
use crate::journey::{Accepted, JourneyReason, JourneyRefusal, Witness};

/// Checks a hop's acceptance against the identity keys that the bundle registers for the receiver.
///
/// A sender can name any receiver in a certificate it signs; only the receiver's identity key can sign for this lot key
/// and these limits. So with the receiver's keys at hand an invented hop is refused, never merely unproven.
pub(super) fn check(hop: &ReadHop<'_>, witness: &Witness<'_>) -> Result<Accepted, JourneyRefusal> {
    if witness.proven.contains(&hop.certificate.sha256()) {
        return Ok(Accepted::Proven);
    }
    let consignment = &hop.handoff.consignment;
    let acceptance = &hop.handoff.acceptance;
    let mut registered =
        witness.bundle.into_iter().flat_map(|bundle| bundle.identity_keys_of(&consignment.to)).peekable();
    if registered.peek().is_none() {
        return Ok(Accepted::NotChecked);
    }
    let key = registered.find(|key| key.sha256() == acceptance.identity_key_digest).ok_or_else(|| {
        let detail = format!(
            "hop {}: accepted by an identity key {} that is not registered for {}",
            consignment.hop, acceptance.identity_key_digest, consignment.to
        );
        JourneyRefusal::new(JourneyReason::AcceptanceKeyUnknown, detail)
    })?;
    let lot_key = hop.certificate.public_key();
    acceptance.verify(lot_key.spki(), consignment, key).map_err(|_| {
        let detail = format!("hop {}: {} did not sign for this lot and key", consignment.hop, consignment.to);
        JourneyRefusal::new(JourneyReason::AcceptanceInvalid, detail)
    })?;
    Ok(Accepted::Proven)
}
