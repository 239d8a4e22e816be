//! What the journal says about a device: its newest certificate, where that stands, and what happened before.

use api::{
    Refusal,
    issuance::v1 as wire_issuance,
    journal::v1::{self as journal, DeviceIntent, IntentVoided, record::Fact},
};
use bytes::Bytes;
use mfg::{DeviceId, DeviceState};
use pki::{Certificate, UnixTime};
use records::{keys, read, read_at, refuse_store, wire};
use store::{Position, Record, Store};

/// Most events of one device in one answer.
const HISTORY: usize = 100;

/// An intent to sign a device certificate, signed or not yet.
#[derive(Debug, Clone)]
pub(crate) struct Certified {
    pub(crate) intent_at: Position,
    pub(crate) intent: DeviceIntent,
    /// The signature, once it is durable.
    pub(crate) signature: Option<SignatureOnRecord>,
}

/// A durable signature.
#[derive(Debug, Clone)]
pub(crate) struct SignatureOnRecord {
    pub(crate) at: Position,
    pub(crate) octets: Bytes,
}

/// A device as the record says that its key points to.
#[derive(Debug)]
pub(crate) struct OnRecord {
    /// Where the key points: what a change must be made against.
    pub(crate) at: Position,
    pub(crate) standing: Standing,
}

/// Where a device stands.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It has a certificate, or is about to.
    Certified { certified: Box<Certified>, state: DeviceState, rework: Rework },
    /// The intent was voided: what it named is free again.
    Free,
}

/// Whether an operator has allowed a rework that was not used yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rework {
    Allowed,
    NotAllowed,
}

/// The device with this id.
///
/// # Errors
/// `DEVICE_UNKNOWN`, also when its only intent was voided; what the store says.
pub(crate) fn device(store: &dyn Store, id: &DeviceId) -> Result<(Position, Certified, DeviceState, Rework), Refusal> {
    let unknown = || {
        Refusal::new("DEVICE_UNKNOWN", format!("device {id} has no certificate here")).with("device_id", id.as_str())
    };
    let record = store.get(&keys::device(id.as_str())).map_err(|e| refuse_store(&e))?.ok_or_else(unknown)?;
    let current = at_device_key(store, &record, id.as_str())?.ok_or_else(unknown)?;
    match current.standing {
        Standing::Certified { certified, state, rework } => Ok((current.at, *certified, state, rework)),
        Standing::Free => Err(unknown()),
    }
}

/// As [`on_record`], of the record that a device's key points to: a voided replacement or rework leaves the device where it stood.
///
/// # Errors
/// As [`on_record`].
pub(crate) fn at_device_key(store: &dyn Store, record: &Record, device_id: &str) -> Result<Option<OnRecord>, Refusal> {
    let (mut before, at) = (record.clone(), record.position);
    while let Fact::IntentVoided(IntentVoided { restores_at: Some(restored), .. }) = read(&before)?.1 {
        before = read_at(store, restored)?.0;
    }
    Ok(on_record(store, &before, device_id)?.map(|current| OnRecord { at, standing: current.standing }))
}

/// Reads what a device's, a request's or a public key's record is about. `device_id` is whose part of the record is meant, where it
/// is about several.
///
/// # Errors
/// `None` in the result when the record is about no device certificate; what the store says.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub(crate) fn on_record(store: &dyn Store, record: &Record, device_id: &str) -> Result<Option<OnRecord>, Refusal> {
    let certified = |certified: Certified, state: DeviceState, rework: Rework| Standing::Certified {
        certified: Box::new(certified),
        state,
        rework,
    };
    let standing = match read(record)?.1 {
        Fact::DeviceIntent(intent) => {
            let intent = Certified { intent_at: record.position, intent, signature: None };
            certified(intent, DeviceState::Issued, Rework::NotAllowed)
        }
        Fact::DeviceSigned(signed) => {
            certified(of_signature(store, record.position, signed)?, DeviceState::Issued, Rework::NotAllowed)
        }
        Fact::DeviceWritten(written) => {
            certified(signed_at(store, written.signed_at)?, DeviceState::Written, Rework::NotAllowed)
        }
        Fact::ReworkAllowed(allowed) => {
            certified(signed_at(store, allowed.signed_at)?, DeviceState::Written, Rework::Allowed)
        }
        Fact::DeviceScrapped(scrapped) => {
            certified(signed_at(store, scrapped.signed_at)?, DeviceState::Scrapped, Rework::NotAllowed)
        }
        Fact::UnitsReinstated(back) => {
            let own = back.device_ids.iter().zip(&back.signed_at).find(|(id, _)| *id == device_id);
            let Some((_, signature_at)) = own else { return Ok(None) };
            certified(signed_at(store, *signature_at)?, DeviceState::Issued, Rework::NotAllowed)
        }
        Fact::IntentVoided(_) => Standing::Free,
        _ => return Ok(None),
    };
    Ok(Some(OnRecord { at: record.position, standing }))
}

fn of_signature(store: &dyn Store, at: Position, signed: journal::Signed) -> Result<Certified, Refusal> {
    let (intent_record, _, fact) = read_at(store, signed.intent_at)?;
    let Fact::DeviceIntent(intent) = fact else {
        return Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {at} completes no device intent")));
    };
    let signature = Some(SignatureOnRecord { at, octets: signed.signature });
    Ok(Certified { intent_at: intent_record.position, intent, signature })
}

/// The certificate whose signature is recorded at `at`.
///
/// # Errors
/// `JOURNAL_DAMAGED` when no device signature is there.
fn signed_at(store: &dyn Store, at: u64) -> Result<Certified, Refusal> {
    let (record, _, fact) = read_at(store, at)?;
    let Fact::DeviceSigned(signed) = fact else {
        return Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {at} is no device's signature")));
    };
    of_signature(store, record.position, signed)
}

impl Certified {
    /// The certificate, DER; none while it is unsigned.
    ///
    /// # Errors
    /// `JOURNAL_DAMAGED` when the records do not assemble.
    pub(crate) fn certificate(&self) -> Result<Option<Bytes>, Refusal> {
        let Some(signature) = &self.signature else { return Ok(None) };
        let certificate = issuance::assemble(&self.intent.tbs, &signature.octets)
            .map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e).with("intent_at", self.intent_at))?;
        Ok(Some(Bytes::from(certificate)))
    }
}

/// What happened to a device, newest first, from its newest record on.
///
/// # Errors
/// What the store says.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub(crate) fn history(
    store: &dyn Store,
    from: Position,
    device_id: &str,
) -> Result<Vec<wire_issuance::DeviceEvent>, Refusal> {
    use wire_issuance::device_event::What;
    let mut events = Vec::new();
    let mut next = Some(from.as_u64());
    while let Some(at) = next.filter(|_| events.len() < HISTORY) {
        let (record, entry, fact) = read_at(store, at)?;
        let (what, certified, before) = match fact {
            Fact::DeviceIntent(intent) => {
                let (occasion, before) = (intent.occasion, intent.replaces_at);
                let intent = Certified { intent_at: record.position, intent, signature: None };
                (What::Issued(occasion.cast_signed().max(wire_issuance::Occasion::First.into())), intent, before)
            }
            Fact::DeviceSigned(signed) => {
                let certified = of_signature(store, record.position, signed)?;
                let (occasion, before) = (certified.intent.occasion, certified.intent.replaces_at);
                (What::Issued(occasion.cast_signed().max(wire_issuance::Occasion::First.into())), certified, before)
            }
            Fact::DeviceWritten(written) => {
                let certified = signed_at(store, written.signed_at)?;
                (What::Written(written.certificate_sha256), certified, Some(written.before_at))
            }
            Fact::ReworkAllowed(allowed) => {
                (What::ReworkAllowed(true), signed_at(store, allowed.signed_at)?, Some(allowed.before_at))
            }
            Fact::DeviceScrapped(scrapped) => {
                (What::Scrapped(scrapped.why), signed_at(store, scrapped.signed_at)?, Some(scrapped.before_at))
            }
            Fact::UnitsReinstated(back) => {
                let places = back.signed_at.iter().zip(&back.before_at);
                let own = back.device_ids.iter().zip(places).find(|(id, _)| *id == device_id);
                let Some((_, (signature_at, before))) = own else { break };
                (What::Reinstated(true), signed_at(store, *signature_at)?, Some(*before))
            }
            Fact::IntentVoided(voided) => {
                next = voided.restores_at;
                continue;
            }
            _ => break,
        };
        events.push(wire_issuance::DeviceEvent {
            at: Some(wire::timestamp(UnixTime::new(entry.at))),
            by: entry.by,
            certificate_serial: certified.serial(),
            generation: certified.intent.generation,
            what: Some(what),
        });
        next = before;
    }
    Ok(events)
}

impl Certified {
    /// The certificate serial's octets; none while it is unsigned.
    fn serial(&self) -> Bytes {
        let certificate = self.certificate().ok().flatten().and_then(|der| Certificate::parse(&der).ok());
        certificate.map(|c| Bytes::copy_from_slice(c.serial().as_bytes())).unwrap_or_default()
    }
}
