//! What a station reads: a unit with its chain, and with its key as long as the key is kept.

use std::sync::Arc;

use api::{
    Refusal,
    provisioning::v1::{Unit, UnitState},
    reason::v1::Reason,
};
use bytes::Bytes;
use mfg::DeviceState;
use records::wire;

use super::Desk;
use crate::unit::{Stage, UnitOnRecord};

impl Desk {
    /// The unit with its chain, and with a server-made key that is still kept.
    pub(super) async fn answer(&self, unit: &UnitOnRecord) -> Result<Unit, Refusal> {
        let mut answer = self.without_key(unit)?;
        if !unit.requested.server_made_key {
            return Ok(answer);
        }
        let kept = match unit.stage {
            Stage::Issued(ref issued) if issued.state == DeviceState::Issued => {
                let digest = wire::read_digest("key_digest", &unit.requested.key_digest)?;
                let escrow = Arc::clone(&self.escrow);
                match self.workers.run(move || escrow.open(&digest)).await {
                    // Confirmed meanwhile, and the key is being destroyed.
                    Err(_) if self.has_moved_on(unit).await? => None,
                    kept => kept?,
                }
            }
            Stage::Requested | Stage::Refused | Stage::Issued(_) => None,
        };
        match kept {
            Some(key) => answer.private_key = Some(Bytes::copy_from_slice(&key)),
            None => answer.key_withheld = Some(Reason::KeyAlreadyDelivered.into()),
        }
        Ok(answer)
    }

    /// The unit as anybody at the line may read it.
    pub(crate) fn without_key(&self, unit: &UnitOnRecord) -> Result<Unit, Refusal> {
        let (state, issued) = match &unit.stage {
            Stage::Requested | Stage::Refused => (UnitState::Requested, None),
            Stage::Issued(unit) => {
                let state = match unit.state {
                    DeviceState::Issued | DeviceState::Superseded => UnitState::Issued,
                    DeviceState::Written => UnitState::Written,
                    DeviceState::Registered => UnitState::Registered,
                    DeviceState::Scrapped => UnitState::Scrapped,
                };
                (state, Some(&unit.issued))
            }
        };
        let chain = match issued {
            None => Vec::new(),
            Some(issued) => {
                let above = self.lots.chain(&issued.lot)?;
                std::iter::once(issued.certificate.clone()).chain(above).collect()
            }
        };
        Ok(Unit {
            device_id: unit.requested.device_id.clone(),
            lot: unit.requested.lot.clone(),
            state: state.into(),
            chain,
            private_key: None,
            generation: issued.map(|i| i.generation).unwrap_or_default(),
            key_withheld: None,
        })
    }
}
