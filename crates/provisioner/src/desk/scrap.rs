//! Units that will never leave the factory, and those that come back.

use std::sync::Arc;

use api::{
    Refusal,
    issuance::v1::{DeviceState as SignersState, GetDeviceRequest, ScrapDeviceRequest},
    journal::v1::{UnitReinstated, UnitScrapped, record::Fact},
    provisioning::v1::Unit,
};
use mfg::{DeviceEvent, DeviceId};
use records::{Act, keys, named, reused};
use store::{Claim, Position, Rule};

use super::{Desk, request_key};
use crate::unit::{Stage, UnitOnRecord};

impl Desk {
    /// Scraps a unit that has a certificate: at the signer, who counts, then here. Another request with the same words is answered the
    /// same.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `UNIT_NOT_ISSUED`, `DEVICE_SCRAPPED` (for another cause), `REQUEST_ID_REUSED`, `UPSTREAM_UNREACHABLE`, what the
    /// signer says.
    pub(crate) async fn scrap(&self, act: Act, device_id: &DeviceId, why: &str) -> Result<Unit, Refusal> {
        if let Some(before) = self.before(&act).await? {
            let same_words = matches!(self.fact(before.at).await?, Fact::UnitScrapped(scrapped) if scrapped.why == why);
            if before.requested.device_id != device_id.as_str() || !same_words {
                return Err(reused(&act, "content"));
            }
            return self.done_before(before).await;
        }
        let unit = self.unit(device_id).await?;
        let Stage::Issued(issued) = &unit.stage else {
            return Err(Refusal::new("UNIT_NOT_ISSUED", format!("unit {device_id} has no certificate yet")));
        };
        let after = issued.state.after(DeviceEvent::Scrap).map_err(named(mfg::TransitionRefusal::reason))?;
        if after != issued.state {
            let request = ScrapDeviceRequest {
                request_id: act.request.map(|r| r.to_string()).unwrap_or_default(),
                device_id: device_id.to_string(),
                why: why.to_owned(),
            };
            self.calls.clone().scrap_device(request).await.map_err(|s| Refusal::from_status(&s))?;
            let fact = Fact::UnitScrapped(UnitScrapped { issued_at: issued.at, why: why.to_owned() });
            self.record_step(&act, &unit, fact).await?;
            self.outbox.send_replace(());
        } else if let Fact::UnitScrapped(before) = self.fact(unit.at).await?
            && before.why != why
        {
            let message = format!("unit {device_id} is scrapped already, for another cause: {:?}", before.why);
            return Err(Refusal::new("DEVICE_SCRAPPED", message).with("why", before.why));
        }
        if unit.requested.server_made_key {
            self.destroy_key(&unit.requested.key_digest).await?;
        }
        self.without_key(&self.unit(device_id).await?)
    }

    /// Asks the signer whether a unit that is scrapped here came back there, and puts it on record if so.
    pub(super) async fn come_back(
        &self,
        act: &Act,
        device_id: &DeviceId,
        unit: UnitOnRecord,
    ) -> Result<UnitOnRecord, Refusal> {
        let Stage::Issued(issued) = &unit.stage else { return Ok(unit) };
        let request = GetDeviceRequest { device_id: device_id.to_string() };
        let answer = self.calls.clone().get_device(request).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        match answer.state() {
            SignersState::Issued => {}
            SignersState::Unspecified | SignersState::Written | SignersState::Scrapped => return Ok(unit),
        }
        let own = Act { request: None, ..act.clone() };
        self.record_step(&own, &unit, Fact::UnitReinstated(UnitReinstated { issued_at: issued.at })).await?;
        self.outbox.send_replace(());
        self.unit(device_id).await
    }

    async fn fact(&self, at: Position) -> Result<Fact, Refusal> {
        let store = Arc::clone(&self.store);
        self.workers.run(move || Ok(records::read_at(store.as_ref(), at.as_u64())?.2)).await
    }

    async fn record_step(&self, act: &Act, unit: &UnitOnRecord, fact: Fact) -> Result<(), Refusal> {
        let mut record = act.unit(fact);
        record.claims = vec![Claim { key: keys::unit(&unit.requested.device_id), rule: Rule::At(unit.at) }];
        record.claims.extend(request_key(act).map(|key| Claim { key, rule: Rule::Absent }));
        match self.commits.commit(record).await? {
            Ok(_) => Ok(()),
            Err(conflict) => Err(records::refuse_conflict(&conflict, &unit.requested.lot)),
        }
    }
}
