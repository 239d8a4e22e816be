//! How many devices a lot key may name: its quantity less what it handed on, counted as devices are first let in.
//!
//! The signers keep the same tally, but each manufacturer runs its own. Here it is kept by somebody who gains nothing from one unit
//! more.

use api::{
    Refusal,
    custody::v1::Tally,
    journal::v1::{HubLotAdmitted, record::Fact},
};
use mfg::{Movement, Quantity, Shortage};
use pki::Sha256;
use records::{Act, named, refuse_conflict, refuse_store, wire};
use store::{Claim, Conflict, Entry, Rule, TallyMove, Unit};

use super::{books::Books, keys};
use crate::judge::Verdict;

/// Who was let in under a lot key.
pub(crate) struct LotAdmissions {
    pub(crate) tally: Tally,
    pub(crate) device_ids: Vec<String>,
}

impl Books {
    /// The unit that counts a device under its lot key, and every lot of its journey under the one above; none when the device is
    /// counted already, or stands under no lot.
    pub(super) fn counting(&self, act: &Act, verdict: &Verdict) -> Result<Option<Unit>, Refusal> {
        let Some(last) = verdict.hops.last() else { return Ok(None) };
        let counted = keys::lot_device(&last.key, &verdict.device_id);
        if self.store.get(&counted).map_err(|e| refuse_store(&e))?.is_some() {
            return Ok(None);
        }
        let fact = HubLotAdmitted {
            key_sha256: wire::digest(&last.key),
            device_id: verdict.device_id.clone(),
            certificate_sha256: wire::digest(&verdict.certificate()),
        };
        let mut unit = act.unit(Fact::HubLotAdmitted(fact));
        unit.claims = vec![Claim { key: counted, rule: Rule::Absent }];
        let mut above: Option<&Sha256> = None;
        for hop in &verdict.hops {
            if self.store.tally(&keys::lot(&hop.key)).map_err(|e| refuse_store(&e))?.is_none() {
                unit.moves.push(moved(&hop.key, Movement::Open(hop.quantity)));
            }
            if let Some(above) = above {
                self.hand_on(&mut unit, above, &hop.key, hop.quantity)?;
            }
            above = Some(&hop.key);
        }
        unit.moves.push(moved(&last.key, Movement::Provision));
        let collection = keys::lot_devices(&last.key);
        unit.entry = Some(Entry::new(&collection, &verdict.device_id).map_err(named(store::EntryInvalid::reason))?);
        Ok(Some(unit))
    }

    /// Counts a lot under the one that it was taken from, once for its key: a sender that hands the same units to two keys is found.
    fn hand_on(&self, unit: &mut Unit, above: &Sha256, below: &Sha256, quantity: Quantity) -> Result<(), Refusal> {
        let key = keys::lot_handed_on(above, below);
        if self.store.get(&key).map_err(|e| refuse_store(&e))?.is_some() {
            return Ok(());
        }
        unit.claims.push(Claim { key, rule: Rule::Absent });
        match quantity {
            Quantity::Units(units) => {
                unit.moves.push(moved(above, Movement::Reserve(units.get())));
                unit.moves.push(moved(above, Movement::HandOver(units.get())));
            }
            // Only an unlimited lot can hand on without limit; there is nothing to count.
            Quantity::Unlimited => {}
        }
        Ok(())
    }

    /// Who was let in under a lot key, in the order of their ids after `after`.
    ///
    /// # Errors
    /// `LOT_UNKNOWN` when nobody was.
    pub(crate) fn lot_admissions(
        &self,
        key: &Sha256,
        after: Option<&str>,
        limit: usize,
    ) -> Result<LotAdmissions, Refusal> {
        let Some(tally) = self.store.tally(&keys::lot(key)).map_err(|e| refuse_store(&e))? else {
            let message = format!("nobody was let in under the lot key {key}");
            return Err(Refusal::new("LOT_UNKNOWN", message).with("key_sha256", key));
        };
        let page = self.store.list(&keys::lot_devices(key), after, limit).map_err(|e| refuse_store(&e))?;
        let device_ids = page.into_iter().map(|(name, _)| name).collect();
        Ok(LotAdmissions { tally: wire::tally(&tally), device_ids })
    }
}

/// What a device is told when it could not be counted; none when somebody else was faster and it is to be tried again.
pub(super) fn refuse_counting(conflict: &Conflict, verdict: &Verdict) -> Option<Refusal> {
    let Conflict::Overdrawn { lot, refusal } = conflict else { return None };
    match refusal.shortage {
        Shortage::QuantitySpent => {}
        Shortage::AlreadyOpen => return None,
        Shortage::NotReserved
        | Shortage::NotProvisioned
        | Shortage::NotWritten
        | Shortage::NotScrapped
        | Shortage::UnitsInDoubt
        | Shortage::LotClosed
        | Shortage::OffersOutstanding
        | Shortage::NoUnits
        | Shortage::BelowSpent
        | Shortage::CountOverflow => return Some(refuse_conflict(conflict, &verdict.device_id)),
    }
    let hop = verdict.hops.iter().find(|hop| keys::lot(&hop.key) == *lot);
    let (name, key) = hop.map(|hop| (hop.lot.as_str(), hop.key.to_string())).unwrap_or_default();
    let tally = &refusal.tally;
    let message = format!(
        "device {} is one too many under lot {name}: {} devices were let in and {} units were handed on",
        verdict.device_id,
        tally.provisioned(),
        tally.handed_over()
    );
    Some(
        Refusal::new("LOT_OVERDRAWN", message)
            .with("lot", name)
            .with("key_sha256", key)
            .with("device_id", &verdict.device_id)
            .with("admitted", tally.provisioned())
            .with("handed_over", tally.handed_over()),
    )
}

fn moved(key: &Sha256, movement: Movement) -> TallyMove {
    TallyMove { lot: keys::lot(key), movement }
}
