//! A unit that has a certificate gets another: in place of one that was never written, or of a written one.

use std::sync::Arc;

use api::{Refusal, issuance::v1::Occasion, provisioning::v1::Unit};
use mfg::{DeviceEvent, DeviceState};
use pki::Sha256;
use records::named;
use store::Rule;

use super::{
    Desk, KeySource, UnitOrder,
    request::{difference, in_progress, named_key, same_request},
};
use crate::unit::{Stage, UnitOnRecord};

impl Desk {
    /// As [`Desk::provision`], for a replacement or a rework: out of the unit's own lot.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `UNIT_NOT_ISSUED`, the unit's state (`ALREADY_WRITTEN`, `NOT_WRITTEN`, `DEVICE_SCRAPPED`), `DEVICE_ID_TAKEN`
    /// for another lot, every refusal of the signer.
    pub(super) async fn provision_again(&self, order: UnitOrder) -> Result<Unit, Refusal> {
        let asked_key = match &order.key {
            KeySource::Device(csr) => Some(named_key(csr)?),
            KeySource::Server(_) => None,
        };
        let before = self.before(&order.act).await?;
        let request_rule = before.as_ref().map_or(Rule::Absent, |before| Rule::At(before.at));
        if let Some(before) = before {
            same_request(&order, asked_key.as_ref(), &before)?;
            match before.stage {
                Stage::Issued(_) => return self.answer(&before).await,
                Stage::Requested => return self.replaced(&order, before).await,
                // Made again, against the unit as it stands.
                Stage::Refused => {}
            }
        }
        let unit = self.stands(&order).await?;
        // The same by another request: the same answer.
        if asked_key.is_some() && difference(&order, asked_key.as_ref(), &unit).is_none() {
            return match unit.stage {
                Stage::Requested => self.replaced(&order, unit).await,
                Stage::Issued(_) | Stage::Refused => self.answer(&unit).await,
            };
        }
        check_step(&order, &unit)?;
        let recorded = self.record_request(&order, asked_key, Rule::At(unit.at), request_rule, Some(&unit)).await?;
        let recorded = recorded.ok_or_else(|| in_progress(order.device_id.as_str()))?;
        self.replaced(&order, recorded).await
    }

    /// The unit, asked of the signer where it is scrapped here: it may have come back there.
    async fn stands(&self, order: &UnitOrder) -> Result<UnitOnRecord, Refusal> {
        let unit = self.unit(&order.device_id).await?;
        match &unit.stage {
            Stage::Issued(issued) if issued.state == DeviceState::Scrapped => {
                self.come_back(&order.act, &order.device_id, unit).await
            }
            Stage::Issued(_) | Stage::Requested | Stage::Refused => Ok(unit),
        }
    }

    async fn replaced(&self, order: &UnitOrder, unit: UnitOnRecord) -> Result<Unit, Refusal> {
        let before_at = unit.requested.before_at;
        let unit = self.certified(order, unit).await?;
        // The key of what was replaced will never be asked for again.
        if let Some(digest) = self.server_made_key_before(before_at).await? {
            self.destroy_key(digest.as_bytes()).await?;
        }
        self.outbox.send_replace(());
        self.answer(&unit).await
    }

    async fn server_made_key_before(&self, before_at: Option<u64>) -> Result<Option<Sha256>, Refusal> {
        let Some(at) = before_at else { return Ok(None) };
        let store = Arc::clone(&self.store);
        self.workers
            .run(move || {
                let (record, ..) = records::read_at(store.as_ref(), at)?;
                let before = UnitOnRecord::from_record(store.as_ref(), &record)?;
                let made_here = before.filter(|before| before.requested.server_made_key);
                Ok(made_here.and_then(|before| Sha256::from_slice(&before.requested.key_digest)))
            })
            .await
    }
}

fn check_step(order: &UnitOrder, unit: &UnitOnRecord) -> Result<(), Refusal> {
    let Stage::Issued(issued) = &unit.stage else {
        return Err(Refusal::new("UNIT_NOT_ISSUED", format!("unit {} has no certificate yet", order.device_id)));
    };
    let event = match order.occasion {
        Occasion::Rework => DeviceEvent::Rework,
        Occasion::Unspecified | Occasion::First | Occasion::Replacement => DeviceEvent::Replace,
    };
    issued.state.after(event).map_err(named(mfg::TransitionRefusal::reason))?;
    if order.lot.as_ref().is_some_and(|lot| *lot != unit.requested.lot) {
        let message = format!("unit {} is of lot {}", order.device_id, unit.requested.lot);
        return Err(Refusal::new("DEVICE_ID_TAKEN", message)
            .with("device_id", &order.device_id)
            .with("differs", "lot"));
    }
    Ok(())
}
