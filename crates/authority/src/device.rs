//! One device certificate: from the request to the intent, and from the records back to the certificate.

use api::{
    Refusal,
    journal::v1::{DeviceIntent, record::Fact},
};
use bytes::Bytes;
use issuance::{AskedFor, DeviceRequest, gate};
use mfg::{DeviceId, Generation, Movement};
use pki::Sha256;
use records::{Act, keys, named, read, read_at, refuse_store, reused, wire};
use store::{Claim, Key, Position, Record, Rule, Store, TallyMove};

use crate::{
    authority::Authority,
    lots::Lot,
    signing::{Prepared, Subject},
};

/// A request for a device's first certificate.
#[derive(Debug, Clone)]
pub struct DeviceOrder {
    /// Who asks, when, under which request id.
    pub act: Act,
    /// Lot id.
    pub lot: String,
    /// The device.
    pub device_id: DeviceId,
    /// PKCS#10, DER.
    pub csr: Bytes,
}

/// An issued device certificate, durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedDevice {
    /// The device.
    pub device_id: String,
    /// Lot id.
    pub lot: String,
    /// The device certificate, DER.
    pub certificate: Bytes,
    /// The CA certificates above it, DER, the lot's first, without the anchor.
    pub issuer_chain: Vec<Bytes>,
    /// 1 for the first certificate of the device.
    pub generation: u32,
}

/// Checks a request and drafts its certificate. Nothing is recorded yet.
///
/// # Errors
/// `LOT_UNKNOWN`, `LOT_NOT_OPEN`, `DEVICE_ISSUER_NOT_ALLOWED`, `DEVICE_ID_TOO_LONG`, the gate's `CSR_...` and the issuer's refusals.
pub(crate) fn prepare(authority: &Authority, order: &DeviceOrder) -> Result<Prepared, Refusal> {
    let lot = authority.lots.get(&order.lot)?;
    let terms = lot.terms.terms();
    terms.check_device(&authority.manufacturer, &order.device_id).map_err(named(mfg::TermsRefusal::reason))?;
    let key = gate(&order.csr, lot.profiles.device_keys(), AskedFor::Device(&order.device_id))
        .map_err(named(issuance::CsrRefusal::reason))?;
    let request = DeviceRequest {
        key: &key,
        device: &order.device_id,
        generation: Generation::FIRST,
        serial: authority.serials.next_serial().map_err(named(issuance::SerialRefusal::reason))?,
        now: authority.now(),
    };
    let draft = lot.issuer()?.draft_device(&lot.profiles, request).map_err(named(issuance::IssueRefusal::reason))?;
    let key_digest = draft.subject_key_digest();

    let found_by =
        vec![keys::device(order.device_id.as_str()), keys::public_key(&key_digest), keys::certificate(draft.serial())];
    let mut unit = order.act.unit(Fact::DeviceIntent(DeviceIntent {
        lot: lot.id.clone(),
        device_id: order.device_id.to_string(),
        key_digest: wire::digest(&key_digest),
        generation: Generation::FIRST.get(),
        tbs: Bytes::copy_from_slice(draft.tbs()),
        profile_digest: wire::digest(&draft.profile_hash()),
    }));
    let found_by = with_request(&order.act, found_by);
    unit.claims = found_by.iter().map(|key| Claim { key: *key, rule: Rule::Absent }).collect();
    unit.moves = vec![TallyMove { lot: lot.tally, movement: Movement::Provision }];
    unit.intent = Some(draft.tbs_digest());
    Ok(Prepared { lot, subject: Subject::Device, act: order.act.clone(), draft, unit, found_by })
}

/// The request's key in front: a repetition is recognised before anything else is.
fn with_request(act: &Act, mut found_by: Vec<Key>) -> Vec<Key> {
    if let Some(request) = act.request {
        found_by.insert(0, keys::request(&act.caller.manufacturer, request));
    }
    found_by
}

/// What stands in the way of a request: an earlier intent, signed or not yet.
#[derive(Debug)]
pub(crate) struct Earlier {
    pub(crate) intent_at: Position,
    pub(crate) intent: DeviceIntent,
    /// The signature, once it is durable.
    pub(crate) signature: Option<Bytes>,
}

/// Reads what a device's, request's or public key's record is about.
///
/// # Errors
/// `None` in the result when the record is about no device certificate; what the store says.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub(crate) fn earlier(store: &dyn Store, record: &Record) -> Result<Option<Earlier>, Refusal> {
    match read(record)?.1 {
        Fact::DeviceIntent(intent) => Ok(Some(Earlier { intent_at: record.position, intent, signature: None })),
        Fact::DeviceSigned(signed) => {
            let (at, _, fact) = read_at(store, signed.intent_at)?;
            let Fact::DeviceIntent(intent) = fact else {
                return Err(Refusal::new("JOURNAL_DAMAGED", format!("{} completes no device intent", record.position)));
            };
            Ok(Some(Earlier { intent_at: at.position, intent, signature: Some(signed.signature) }))
        }
        _ => Ok(None),
    }
}

/// Answers a request that ran into an earlier one at `key`: the same certificate for the same content, a named conflict otherwise.
///
/// # Errors
/// `REQUEST_ID_REUSED`, `DEVICE_ID_TAKEN`, `PUBLIC_KEY_TAKEN`.
pub(crate) fn same_or_conflict(
    order: &DeviceOrder,
    key_digest: &Sha256,
    key: Key,
    earlier: &Earlier,
) -> Result<(), Refusal> {
    let intent = &earlier.intent;
    let differs = if intent.device_id != order.device_id.as_str() {
        "device id"
    } else if intent.key_digest != key_digest.as_bytes().as_slice() {
        "public key"
    } else if intent.lot != order.lot {
        "lot"
    } else {
        return Ok(());
    };
    let is_request = order.act.request.is_some_and(|r| keys::request(&order.act.caller.manufacturer, r) == key);
    Err(if is_request {
        reused(&order.act, differs)
    } else if differs == "device id" {
        Refusal::new("PUBLIC_KEY_TAKEN", format!("device {} has a certificate for this public key", intent.device_id))
            .with("device_id", &intent.device_id)
    } else {
        Refusal::new(
            "DEVICE_ID_TAKEN",
            format!("device {} has a certificate already, with another {differs}", intent.device_id),
        )
        .with("device_id", &intent.device_id)
        .with("differs", differs)
    })
}

/// The certificate of a completed intent with its lot's chain.
///
/// # Errors
/// `LOT_UNKNOWN` when the lot is gone from this store; `JOURNAL_DAMAGED` when the record does not assemble.
pub(crate) fn assemble(lot: &Lot, earlier: &Earlier, signature: &[u8]) -> Result<IssuedDevice, Refusal> {
    let certificate = issuance::assemble(&earlier.intent.tbs, signature)
        .map_err(|e| Refusal::from_error("JOURNAL_DAMAGED", &e).with("intent_at", earlier.intent_at))?;
    Ok(issued(lot, &earlier.intent, Bytes::from(certificate)))
}

/// A certificate with its lot's chain.
pub(crate) fn issued(lot: &Lot, intent: &DeviceIntent, certificate: Bytes) -> IssuedDevice {
    IssuedDevice {
        device_id: intent.device_id.clone(),
        lot: intent.lot.clone(),
        certificate,
        issuer_chain: lot.chain.clone(),
        generation: intent.generation,
    }
}

impl Authority {
    /// The newest certificate of a device.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`; `IN_PROGRESS` while the first one is not durable.
    pub fn device(&self, device_id: &DeviceId) -> Result<IssuedDevice, Refusal> {
        let unknown = || Refusal::new("DEVICE_UNKNOWN", format!("device {device_id} has no certificate here"));
        let record =
            self.store().get(&keys::device(device_id.as_str())).map_err(|e| refuse_store(&e))?.ok_or_else(unknown)?;
        let earlier = earlier(self.store(), &record)?.ok_or_else(unknown)?;
        match &earlier.signature {
            Some(signature) => assemble(&*self.lots.get(&earlier.intent.lot)?, &earlier, signature),
            None => Err(Refusal::new("IN_PROGRESS", format!("the certificate of {device_id} is being signed"))),
        }
    }
}
