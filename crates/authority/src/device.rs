//! One device certificate: from the request to the intent, and from the records back to the certificate.

mod finish;
mod on_record;

use std::sync::Arc;

use api::{
    Refusal,
    issuance::v1::Occasion as WireOccasion,
    journal::v1::{DeviceIntent, record::Fact},
};
use bytes::Bytes;
use issuance::{AskedFor, DeviceRequest, SubjectKey, gate};
use mfg::{DeviceEvent, DeviceId, Generation, Movement};
use pki::Sha256;
use records::{Act, keys, named, refuse_store, reused, wire};
use store::{Claim, Key, Position, Rule, Store, TallyMove};

use crate::{
    authority::Authority,
    lots::Lot,
    signing::{Prepared, Subject},
};

pub use finish::{InDoubt, Written, check_why};
pub(crate) use on_record::{Certified, OnRecord, Rework, Standing, at_device_key, on_record};

/// A request for a device certificate.
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
    /// What for.
    pub occasion: Occasion,
}

/// What a device certificate is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The device's first: spends a unit.
    First,
    /// In place of one that was issued and never written: same generation, spends nothing, capped.
    Replacement,
    /// In place of a written one: next generation, spends nothing, allowed by an operator, capped.
    Rework,
}

impl Occasion {
    /// From the wire.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` for a number that is no occasion.
    pub fn read(number: i32) -> Result<Self, Refusal> {
        match WireOccasion::try_from(number) {
            Ok(WireOccasion::Unspecified | WireOccasion::First) => Ok(Self::First),
            Ok(WireOccasion::Replacement) => Ok(Self::Replacement),
            Ok(WireOccasion::Rework) => Ok(Self::Rework),
            Err(_) => Err(Refusal::malformed("occasion", format!("{number} is no occasion"))),
        }
    }

    /// As it stands in the journal: a first certificate is the unmarked case.
    fn recorded(self) -> u32 {
        let number = match self {
            Self::First => WireOccasion::Unspecified,
            Self::Replacement => WireOccasion::Replacement,
            Self::Rework => WireOccasion::Rework,
        };
        i32::from(number).cast_unsigned()
    }

    fn of(intent: &DeviceIntent) -> Self {
        Self::read(intent.occasion.cast_signed()).unwrap_or(Self::First)
    }

    /// What the lot's tally does with it.
    pub(crate) fn movement(self) -> Option<Movement> {
        match self {
            Self::First => Some(Movement::Provision),
            Self::Replacement => None,
            Self::Rework => Some(Movement::Rework),
        }
    }

    /// What the lot's tally does when the intent is voided.
    pub(crate) fn undo(intent: &DeviceIntent) -> Option<Movement> {
        match Self::of(intent) {
            Self::First => Some(Movement::UnProvision),
            Self::Replacement => None,
            Self::Rework => Some(Movement::Write),
        }
    }
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
    /// Where its signature is on record.
    pub recorded_at: Position,
}

/// What came of preparing a request that was not refused.
#[derive(Debug)]
pub(crate) enum Preparation {
    /// It can be recorded.
    Ready(Box<Prepared>),
    /// The same was asked before: what is on record under this key is the answer.
    OnRecord { key: Key, key_digest: Sha256 },
}

/// Checks a request and drafts its certificate. Nothing is recorded yet.
///
/// # Errors
/// `LOT_UNKNOWN`, `LOT_NOT_OPEN`, `DEVICE_ISSUER_NOT_ALLOWED`, `DEVICE_ID_TOO_LONG`, the gate's `CSR_...`, the issuer's refusals; for
/// a replacement or rework also `DEVICE_UNKNOWN`, `DEVICE_ID_TAKEN`, the device's state, `REPLACEMENT_CAP_SPENT`,
/// `REWORK_CAP_SPENT`, `REWORK_NOT_ALLOWED`.
pub(crate) fn prepare(authority: &Authority, order: &DeviceOrder) -> Result<Preparation, Refusal> {
    prepare_against(authority, order, Against::Nothing)
}

/// As [`prepare`], for a first certificate that ran into a voided intent: what that named is taken over.
pub(crate) fn prepare_again(authority: &Authority, order: &DeviceOrder) -> Result<Preparation, Refusal> {
    prepare_against(authority, order, Against::Voided)
}

/// What a first certificate is recorded against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Nothing,
    Voided,
}

fn prepare_against(authority: &Authority, order: &DeviceOrder, against: Against) -> Result<Preparation, Refusal> {
    let lot = authority.lots.get(&order.lot)?;
    let terms = lot.terms.terms();
    terms.check_device(&authority.manufacturer, &order.device_id).map_err(named(mfg::TermsRefusal::reason))?;
    let key = gate(&order.csr, lot.profiles.device_keys(), AskedFor::Device(&order.device_id))
        .map_err(named(issuance::CsrRefusal::reason))?;
    let key_digest = key.public_key().sha256();
    let drafted = authority.check_manifest(&lot, &order.device_id).and_then(|()| {
        let predecessor = match order.occasion {
            Occasion::First => None,
            Occasion::Replacement | Occasion::Rework => Some(predecessor(authority, order, &lot)?),
        };
        draft(authority, order, lot, &key, predecessor.as_ref(), against)
    });
    // Whether the same was asked before is looked for once it cannot be made, not sooner: another try may have been recorded since,
    // and be why. What can be made and was made before runs into its own keys when it is recorded. So a lot that is closed, or past
    // its window, still answers what it issued.
    match drafted {
        Ok(prepared) => Ok(Preparation::Ready(Box::new(prepared))),
        Err(refusal) => match repeated(authority.store(), order, &key_digest)? {
            Some(key) => Ok(Preparation::OnRecord { key, key_digest }),
            None => Err(refusal),
        },
    }
}

/// The certificate that another takes the place of.
struct Predecessor {
    at: Position,
    replacements: u32,
    next_generation: Generation,
}

/// The key under which the very same was asked before, if it was.
fn repeated(store: &dyn Store, order: &DeviceOrder, key_digest: &Sha256) -> Result<Option<Key>, Refusal> {
    let request = order.act.request.map(|r| keys::request(&order.act.caller.manufacturer, r));
    for key in request.into_iter().chain([keys::public_key(key_digest)]) {
        let Some(record) = store.get(&key).map_err(|e| refuse_store(&e))? else { continue };
        match on_record(store, &record, order.device_id.as_str())? {
            Some(OnRecord { standing: Standing::Free, .. }) => {}
            Some(_) | None => return Ok(Some(key)),
        }
    }
    Ok(None)
}

fn predecessor(authority: &Authority, order: &DeviceOrder, lot: &Lot) -> Result<Predecessor, Refusal> {
    let (at, certified, state, rework) = on_record::device(authority.store(), &order.device_id)?;
    let intent = &certified.intent;
    if intent.lot != order.lot {
        return Err(taken(intent, "lot"));
    }
    if certified.signature.is_none() {
        return Err(in_progress(&order.device_id));
    }
    let generation = Generation::of(intent.generation).map_err(named(mfg::device::GenerationRefusal::reason))?;
    let document = lot.terms.terms().document();
    let capped = |reason: &str, what: &str, cap: u32| {
        let message = format!("device {} had {cap} of {cap} {what} that the terms allow", order.device_id);
        Refusal::new(reason, message).with("device_id", &order.device_id).with("cap", cap)
    };
    let after = |event| state.after(event).map_err(named(mfg::TransitionRefusal::reason));
    match order.occasion {
        Occasion::First => Err(taken(intent, "occasion")),
        Occasion::Replacement => {
            after(DeviceEvent::Replace)?;
            if intent.replacements >= document.replacement_cap {
                return Err(capped("REPLACEMENT_CAP_SPENT", "replacements", document.replacement_cap));
            }
            let replacements = intent.replacements.saturating_add(1);
            Ok(Predecessor { at, replacements, next_generation: generation })
        }
        Occasion::Rework => {
            after(DeviceEvent::Rework)?;
            if generation.get() > document.rework_cap {
                return Err(capped("REWORK_CAP_SPENT", "reworks", document.rework_cap));
            }
            if rework == Rework::NotAllowed {
                return Err(Refusal::new(
                    "REWORK_NOT_ALLOWED",
                    format!("no operator has allowed a rework of device {}", order.device_id),
                )
                .with("device_id", &order.device_id));
            }
            let next_generation = generation.next().map_err(named(mfg::device::GenerationRefusal::reason))?;
            Ok(Predecessor { at, replacements: intent.replacements, next_generation })
        }
    }
}

fn draft(
    authority: &Authority,
    order: &DeviceOrder,
    lot: Arc<Lot>,
    key: &SubjectKey,
    predecessor: Option<&Predecessor>,
    against: Against,
) -> Result<Prepared, Refusal> {
    let now = authority.check_may_issue()?;
    let generation = predecessor.map_or(Generation::FIRST, |p| p.next_generation);
    let against = if predecessor.is_some() { Against::Voided } else { against };
    let request = DeviceRequest {
        key,
        device: &order.device_id,
        generation,
        serial: authority.serials.next_serial().map_err(named(issuance::SerialRefusal::reason))?,
        now,
    };
    let draft = lot.issuer()?.draft_device(&lot.profiles, request).map_err(named(issuance::IssueRefusal::reason))?;
    authority.note_time(&order.act);
    let key_digest = draft.subject_key_digest();
    let device_key = keys::device(order.device_id.as_str());
    let found_by = vec![device_key, keys::public_key(&key_digest), keys::certificate(draft.serial())];
    let found_by = with_request(&order.act, found_by);
    let mut unit = order.act.unit(Fact::DeviceIntent(DeviceIntent {
        lot: lot.id.clone(),
        device_id: order.device_id.to_string(),
        key_digest: wire::digest(&key_digest),
        generation: generation.get(),
        tbs: Bytes::copy_from_slice(draft.tbs()),
        profile_digest: wire::digest(&draft.profile_hash()),
        occasion: order.occasion.recorded(),
        replaces_at: predecessor.map(|p| p.at.as_u64()),
        replacements: predecessor.map(|p| p.replacements).unwrap_or_default(),
    }));
    for key in &found_by {
        let rule = match predecessor {
            Some(p) if *key == device_key => Rule::At(p.at),
            Some(_) | None => free(authority.store(), key, order, against)?,
        };
        unit.claims.push(Claim { key: *key, rule });
    }
    unit.moves = order.occasion.movement().map(|movement| TallyMove { lot: lot.tally, movement }).into_iter().collect();
    unit.intent = Some(draft.tbs_digest());
    Ok(Prepared { lot, subject: Subject::Device, act: order.act.clone(), draft, unit, found_by, generation })
}

/// What must hold at a key that nothing else may stand at: nothing, or a voided intent.
fn free(store: &dyn Store, key: &Key, order: &DeviceOrder, against: Against) -> Result<Rule, Refusal> {
    if against == Against::Nothing {
        return Ok(Rule::Absent);
    }
    let Some(record) = store.get(key).map_err(|e| refuse_store(&e))? else { return Ok(Rule::Absent) };
    match on_record(store, &record, order.device_id.as_str())? {
        Some(OnRecord { at, standing: Standing::Free }) => Ok(Rule::At(at)),
        Some(_) | None => Ok(Rule::Absent),
    }
}

/// The request's key in front: a repetition is recognised before anything else is.
fn with_request(act: &Act, mut found_by: Vec<Key>) -> Vec<Key> {
    if let Some(request) = act.request {
        found_by.insert(0, keys::request(&act.caller.manufacturer, request));
    }
    found_by
}

fn in_progress(device_id: &DeviceId) -> Refusal {
    Refusal::new("IN_PROGRESS", format!("the certificate of {device_id} is being signed"))
        .retry_after(std::time::Duration::from_millis(50))
}

fn taken(intent: &DeviceIntent, differs: &str) -> Refusal {
    Refusal::new(
        "DEVICE_ID_TAKEN",
        format!("device {} has a certificate already, with another {differs}", intent.device_id),
    )
    .with("device_id", &intent.device_id)
    .with("differs", differs)
}

/// Answers a request that ran into an earlier one at `key`: the same certificate for the same content, a named conflict otherwise.
///
/// # Errors
/// `REQUEST_ID_REUSED`, `DEVICE_ID_TAKEN`, `PUBLIC_KEY_TAKEN`.
pub(crate) fn same_or_conflict(
    order: &DeviceOrder,
    key_digest: &Sha256,
    key: Key,
    intent: &DeviceIntent,
) -> Result<(), Refusal> {
    let differs = if intent.device_id != order.device_id.as_str() {
        "device id"
    } else if intent.key_digest != key_digest.as_bytes().as_slice() {
        "public key"
    } else if intent.lot != order.lot {
        "lot"
    } else if Occasion::of(intent) != order.occasion {
        "occasion"
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
        taken(intent, differs)
    })
}

/// Whether an intent is about the device, the lot and the occasion that a request names.
pub(crate) fn is_same(order: &DeviceOrder, intent: &DeviceIntent) -> bool {
    intent.device_id == order.device_id.as_str() && intent.lot == order.lot && Occasion::of(intent) == order.occasion
}

impl Authority {
    /// Makes every check of an issuance and spends nothing.
    ///
    /// # Errors
    /// As an issuance, `QUANTITY_SPENT` and `LOT_CLOSED` as far as the tally tells now, and `DEVICE_ID_TAKEN` and
    /// `PUBLIC_KEY_TAKEN` for another content. The same request again is valid.
    pub fn validate(&self, order: &DeviceOrder) -> Result<mfg::Tally, Refusal> {
        let tally = self.tally(&order.lot)?;
        let Preparation::Ready(prepared) = prepare(self, order)? else { return Ok(tally) };
        let key_digest = prepared.draft.subject_key_digest();
        for claim in &prepared.unit.claims {
            let record = match (claim.rule, self.store().get(&claim.key).map_err(|e| refuse_store(&e))?) {
                (Rule::Absent, Some(record)) => record,
                (Rule::Absent | Rule::At(_) | Rule::Any | Rule::Unchanged(_), _) => continue,
            };
            let Some(on_record) = on_record(self.store(), &record, order.device_id.as_str())? else {
                return Err(reused(&order.act, "kind of request"));
            };
            if let Standing::Certified { certified, .. } = on_record.standing {
                same_or_conflict(order, &key_digest, claim.key, &certified.intent)?;
                return Ok(tally);
            }
        }
        if let Some(movement) = order.occasion.movement() {
            tally.apply(movement).map_err(|refusal| {
                Refusal::new(refusal.reason(), format!("lot {}: {refusal}", order.lot)).with("lot", &order.lot)
            })?;
        }
        Ok(tally)
    }

    /// The newest certificate of a device.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`; `IN_PROGRESS` while it is being signed.
    pub fn device(&self, device_id: &DeviceId) -> Result<IssuedDevice, Refusal> {
        let (_, certified, ..) = on_record::device(self.store(), device_id)?;
        self.answer(&certified)?.ok_or_else(|| in_progress(device_id))
    }

    /// A certificate on record with its lot's chain; none while it is unsigned.
    ///
    /// # Errors
    /// `LOT_UNKNOWN` when the lot is gone from this store; `JOURNAL_DAMAGED` when the records do not assemble.
    pub(crate) fn answer(&self, certified: &Certified) -> Result<Option<IssuedDevice>, Refusal> {
        let (Some(certificate), Some(signature)) = (certified.certificate()?, &certified.signature) else {
            return Ok(None);
        };
        Ok(Some(IssuedDevice {
            device_id: certified.intent.device_id.clone(),
            lot: certified.intent.lot.clone(),
            certificate,
            issuer_chain: self.lots.get(&certified.intent.lot)?.chain.clone(),
            generation: certified.intent.generation,
            recorded_at: signature.at,
        }))
    }
}
