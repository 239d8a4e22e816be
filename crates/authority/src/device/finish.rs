//! What happens to a device after its certificate: confirmed, allowed to be reworked, scrapped, brought back.

use api::{
    Refusal,
    issuance::v1 as wire_issuance,
    journal::v1::{DeviceScrapped, DeviceWritten, ReworkAllowed, UnitsReinstated, record::Fact},
};
use mfg::{DeviceEvent, DeviceId, DeviceState, Movement, Tally};
use pki::{Sha256, UnixTime};
use records::{Act, Attempt, keys, named, once, read, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Position, Record, Rule, TallyMove, Unit};

use super::{
    Certified, Standing, in_progress,
    on_record::{self, history},
};
use crate::authority::Authority;

/// Most octets of an operator's words in the journal.
const MAX_WHY: usize = 200;
/// Most attempts at a step that others come in between of.
const MOST_TRIES: usize = 8;

/// One device as the line read it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The device.
    pub device_id: DeviceId,
    /// SHA-256 of the certificate on it.
    pub certificate: Sha256,
}

/// A page of devices that nobody has confirmed, and the journal position at which the next page goes on.
pub type InDoubt = (Vec<wire_issuance::DeviceInDoubt>, Option<Position>);

/// A step that is to be recorded, or was before.
enum Step {
    Record(Box<Unit>, String),
    Done,
}

impl Authority {
    /// Records what the line found on devices, all in one sync; answers each in order.
    ///
    /// # Errors
    /// What the store says. Of each device: `DEVICE_UNKNOWN`, `WRITTEN_CERTIFICATE_DIFFERS`, `CERTIFICATE_SUPERSEDED`,
    /// `DEVICE_SCRAPPED`, `IN_PROGRESS`.
    pub fn confirm(&self, act: &Act, devices: &[Written]) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let mut outcomes: Vec<Result<(), Refusal>> = Vec::with_capacity(devices.len());
        let mut units = Vec::new();
        let mut places = Vec::new();
        for (place, device) in devices.iter().enumerate() {
            match self.confirmation(act, device) {
                Ok(Step::Record(unit, lot)) => {
                    units.push(*unit);
                    places.push((place, lot));
                    outcomes.push(Ok(()));
                }
                Ok(Step::Done) => outcomes.push(Ok(())),
                Err(refusal) => outcomes.push(Err(refusal)),
            }
        }
        if units.is_empty() {
            return Ok(outcomes);
        }
        let committed = self.store().commit(units).map_err(|e| refuse_store(&e))?;
        for ((place, lot), outcome) in places.into_iter().zip(committed) {
            if let (Err(conflict), Some(answer)) = (outcome, outcomes.get_mut(place)) {
                *answer = Err(refuse_conflict(&conflict, &lot));
            }
        }
        Ok(outcomes)
    }

    fn confirmation(&self, act: &Act, device: &Written) -> Result<Step, Refusal> {
        let (at, certified, state, _) = on_record::device(self.store(), &device.device_id)?;
        let (certificate, signed_at) = signed(&certified, &device.device_id)?;
        let expected = Sha256::of(&certificate);
        if expected != device.certificate {
            return Err(Refusal::new(
                "WRITTEN_CERTIFICATE_DIFFERS",
                format!("device {} has certificate {expected}, it carries {}", device.device_id, device.certificate),
            )
            .with("expected_sha256", expected));
        }
        if state.after(DeviceEvent::Confirm).map_err(named(mfg::TransitionRefusal::reason))? == state {
            return Ok(Step::Done);
        }
        let mut unit = act.unit(Fact::DeviceWritten(DeviceWritten {
            device_id: device.device_id.to_string(),
            before_at: at.as_u64(),
            signed_at: signed_at.as_u64(),
            certificate_sha256: wire::digest(&device.certificate),
        }));
        unit.claims = vec![Claim { key: keys::device(device.device_id.as_str()), rule: Rule::At(at) }];
        unit.moves = vec![TallyMove { lot: keys::lot(&certified.intent.lot), movement: Movement::Write }];
        Ok(Step::Record(Box::new(unit), certified.intent.lot))
    }

    /// An operator allows one rework of a written device; answers the generation that it will have.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, the device's state, `REWORK_CAP_SPENT`, `REQUEST_ID_REUSED`.
    pub fn allow_rework(&self, act: &Act, device_id: &DeviceId) -> Result<u32, Refusal> {
        let before = |record: &Record| self.repeated_permission(act, device_id, record);
        settled(|| once(self.store(), act, before, |attempt| self.try_allow_rework(act, device_id, attempt)))
    }

    fn repeated_permission(&self, act: &Act, device_id: &DeviceId, before: &Record) -> Result<u32, Refusal> {
        let Fact::ReworkAllowed(allowed) = read(before)?.1 else { return Err(reused(act, "kind of request")) };
        if allowed.device_id != device_id.as_str() {
            return Err(reused(act, "device id"));
        }
        let (record, ..) = records::read_at(self.store(), allowed.signed_at)?;
        let generation = match on_record::on_record(self.store(), &record, device_id.as_str())?.map(|d| d.standing) {
            Some(Standing::Certified { certified, .. }) => certified.intent.generation,
            Some(Standing::Free) | None => 0,
        };
        Ok(generation.saturating_add(1))
    }

    fn try_allow_rework(&self, act: &Act, device_id: &DeviceId, attempt: Attempt<'_>) -> Result<u32, Refusal> {
        let (at, certified, state, _) = on_record::device(self.store(), device_id)?;
        let (_, signed_at) = signed(&certified, device_id)?;
        state.after(DeviceEvent::Rework).map_err(named(mfg::TransitionRefusal::reason))?;
        let generation = certified.intent.generation;
        let lot = self.lots.get(&certified.intent.lot)?;
        let cap = lot.terms.terms().document().rework_cap;
        if generation > cap {
            let message = format!("device {device_id} had {cap} of {cap} reworks that the terms allow");
            return Err(Refusal::new("REWORK_CAP_SPENT", message).with("cap", cap));
        }
        // Also when it is allowed already: a request that is answered is on record, so that its repetition gets the same answer.
        let mut unit = act.unit(Fact::ReworkAllowed(ReworkAllowed {
            device_id: device_id.to_string(),
            before_at: at.as_u64(),
            signed_at: signed_at.as_u64(),
        }));
        unit.claims = vec![Claim { key: keys::device(device_id.as_str()), rule: Rule::At(at) }];
        attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, &lot.id))?;
        Ok(generation.saturating_add(1))
    }

    /// Scraps a unit that has a certificate; answers its lot's tally. Another request with the same words is answered the same.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `DEVICE_SCRAPPED` (for another cause), the device's state, `REQUEST_MALFORMED`, `REQUEST_ID_REUSED`.
    pub fn scrap_device(&self, act: &Act, device_id: &DeviceId, why: &str) -> Result<Tally, Refusal> {
        check_why(why)?;
        let before = |record: &Record| {
            let Fact::DeviceScrapped(scrapped) = read(record)?.1 else { return Err(reused(act, "kind of request")) };
            if scrapped.device_id != device_id.as_str() || scrapped.why != why {
                return Err(reused(act, "content"));
            }
            // Done before, also when the unit came back since.
            self.tally(&on_record::device(self.store(), device_id)?.1.intent.lot)
        };
        settled(|| once(self.store(), act, before, |attempt| self.try_scrap_device(act, device_id, why, attempt)))
    }

    fn try_scrap_device(
        &self,
        act: &Act,
        device_id: &DeviceId,
        why: &str,
        attempt: Attempt<'_>,
    ) -> Result<Tally, Refusal> {
        let (at, certified, state, _) = on_record::device(self.store(), device_id)?;
        let lot = &certified.intent.lot;
        let (_, signed_at) = signed(&certified, device_id)?;
        state.after(DeviceEvent::Scrap).map_err(named(mfg::TransitionRefusal::reason))?;
        self.check_same_cause(at, device_id, why)?;
        // Recorded also when it is scrapped already: else a repetition would scrap it again after it came back.
        let mut unit = act.unit(Fact::DeviceScrapped(DeviceScrapped {
            device_id: device_id.to_string(),
            before_at: at.as_u64(),
            signed_at: signed_at.as_u64(),
            why: why.to_owned(),
        }));
        unit.claims = vec![Claim { key: keys::device(device_id.as_str()), rule: Rule::At(at) }];
        let movement = match state {
            DeviceState::Issued => Some(Movement::ScrapProvisioned),
            DeviceState::Written | DeviceState::Registered => Some(Movement::ScrapWritten),
            DeviceState::Superseded | DeviceState::Scrapped => None,
        };
        unit.moves = movement.map(|movement| TallyMove { lot: keys::lot(lot), movement }).into_iter().collect();
        attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, lot))?;
        self.tally(lot)
    }

    /// What is scrapped is scrapped for one cause.
    fn check_same_cause(&self, at: Position, device_id: &DeviceId, why: &str) -> Result<(), Refusal> {
        if let Fact::DeviceScrapped(before) = records::read_at(self.store(), at.as_u64())?.2
            && before.why != why
        {
            let message = format!("device {device_id} is scrapped already, for another cause: {:?}", before.why);
            return Err(Refusal::new("DEVICE_SCRAPPED", message).with("why", before.why));
        }
        Ok(())
    }

    /// The unit that brings scrapped units back: blanks, and devices in doubt. The permission is the caller's to check.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `NOT_SCRAPPED`, `DEVICE_OF_ANOTHER_LOT`.
    pub fn reinstatement(
        &self,
        act: &Act,
        lot: &str,
        mut back: UnitsReinstated,
        devices: &[DeviceId],
    ) -> Result<Unit, Refusal> {
        let mut claims = Vec::new();
        let mut moves = Vec::new();
        if back.blanks > 0 {
            moves.push(TallyMove { lot: keys::lot(lot), movement: Movement::ReinstateBlank(back.blanks) });
        }
        for device_id in devices {
            let (at, certified, state, _) = on_record::device(self.store(), device_id)?;
            if certified.intent.lot != lot {
                let message = format!("device {device_id} is of lot {}", certified.intent.lot);
                return Err(Refusal::new("DEVICE_OF_ANOTHER_LOT", message).with("lot", &certified.intent.lot));
            }
            let (_, signed_at) = signed(&certified, device_id)?;
            state.after(DeviceEvent::Reinstate).map_err(named(mfg::TransitionRefusal::reason))?;
            back.device_ids.push(device_id.to_string());
            back.signed_at.push(signed_at.as_u64());
            back.before_at.push(at.as_u64());
            claims.push(Claim { key: keys::device(device_id.as_str()), rule: Rule::At(at) });
            moves.push(TallyMove { lot: keys::lot(lot), movement: Movement::ReinstateProvisioned });
        }
        let mut unit = act.unit(Fact::UnitsReinstated(back));
        unit.claims = claims;
        unit.moves = moves;
        Ok(unit)
    }

    /// The newest certificate of a device, where it stands, and what happened to it.
    ///
    /// # Errors
    /// As [`Authority::device`].
    pub fn device_story(&self, device_id: &DeviceId) -> Result<wire_issuance::GetDeviceResponse, Refusal> {
        let (at, certified, state, _) = on_record::device(self.store(), device_id)?;
        let issued = self.answer(&certified)?.ok_or_else(|| in_progress(device_id))?;
        let state = match state {
            DeviceState::Issued | DeviceState::Superseded => wire_issuance::DeviceState::Issued,
            DeviceState::Written | DeviceState::Registered => wire_issuance::DeviceState::Written,
            DeviceState::Scrapped => wire_issuance::DeviceState::Scrapped,
        };
        Ok(wire_issuance::GetDeviceResponse {
            certificate: Some(issued.into()),
            state: state.into(),
            history: history(self.store(), at, device_id.as_str())?,
        })
    }

    /// Devices of a lot, or of every lot, that nobody has confirmed, in the order of issuing from a journal position on. Looks at a bounded part of the
    /// journal, so a page may be short or empty and still have a next one.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`; what the store says.
    pub fn in_doubt(&self, lot: Option<&str>, from: Position, limit: usize) -> Result<InDoubt, Refusal> {
        if let Some(lot) = lot
            && self.tally(lot)?.in_doubt() == 0
        {
            return Ok((Vec::new(), None));
        }
        records::scan(self.store(), from, limit, |record| self.still_in_doubt(lot, record))
    }

    /// The device whose intent is recorded here, if it is of that lot, this is its newest and nobody has confirmed it.
    fn still_in_doubt(
        &self,
        lot: Option<&str>,
        record: &Record,
    ) -> Result<Option<wire_issuance::DeviceInDoubt>, Refusal> {
        let (entry, Fact::DeviceIntent(intent)) = read(record)? else { return Ok(None) };
        if lot.is_some_and(|lot| intent.lot != lot) {
            return Ok(None);
        }
        let id = DeviceId::parse(&intent.device_id).map_err(named(mfg::IdRefusal::reason))?;
        let current = match on_record::device(self.store(), &id) {
            Ok((_, current, DeviceState::Issued, _)) if current.intent_at == record.position => current,
            Ok(_) => return Ok(None),
            // Its only intent was voided.
            Err(refusal) if refusal.reason() == "DEVICE_UNKNOWN" => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        Ok(Some(wire_issuance::DeviceInDoubt {
            device_id: intent.device_id,
            certificate_sha256: current.certificate()?.map(|der| wire::digest(&Sha256::of(&der))),
            issued_at: Some(wire::timestamp(UnixTime::new(entry.at))),
            generation: intent.generation,
            lot: intent.lot,
        }))
    }

    /// A lot's tally.
    ///
    /// # Errors
    /// `LOT_UNKNOWN`, `LOT_NOT_OPEN` (not received yet); what the store says.
    pub fn tally(&self, lot: &str) -> Result<Tally, Refusal> {
        self.store().tally(&keys::lot(lot)).map_err(|e| refuse_store(&e))?.ok_or_else(|| self.lots.missing(lot))
    }
}

/// Tries again while a confirmation or another step of the same device comes in between.
fn settled<T>(step: impl Fn() -> Result<T, Refusal>) -> Result<T, Refusal> {
    for _ in 1..MOST_TRIES {
        match step() {
            Err(refusal) if refusal.reason() == "IN_PROGRESS" => {}
            outcome => return outcome,
        }
    }
    step()
}

/// Checks an operator's words.
///
/// # Errors
/// `REQUEST_MALFORMED`.
pub fn check_why(why: &str) -> Result<(), Refusal> {
    if why.len() > MAX_WHY {
        return Err(Refusal::malformed("why", format!("has {} octets, at most {MAX_WHY} are kept", why.len())));
    }
    Ok(())
}

fn signed(certified: &Certified, device_id: &DeviceId) -> Result<(bytes::Bytes, Position), Refusal> {
    match (certified.certificate()?, &certified.signature) {
        (Some(certificate), Some(signature)) => Ok((certificate, signature.at)),
        (Some(_) | None, _) => Err(in_progress(device_id)),
    }
}
