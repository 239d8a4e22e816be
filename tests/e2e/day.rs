//! A working day at the line and around it: certificates that are replaced and reworked, scrap, lots that close, sites without a wire.

mod files;
mod lots;
mod manifests;
mod units;
mod windows;

use std::time::Duration;

use api::{
    issuance::v1::Occasion,
    lot::v1::{CloseLotRequest, GetLotRequest, Lot},
    provisioning::v1::UnitRequest,
};

use crate::{
    custody::Custody,
    devices::{Device, Line, confirmation},
    world::{At, Who, fresh_id},
};

/// The same device asks again, with the key that it has now.
fn again(device: &Device, occasion: Occasion) -> UnitRequest {
    UnitRequest { occasion: occasion.into(), ..device.at_line(None) }
}

fn closing(lot: &str) -> CloseLotRequest {
    CloseLotRequest { request_id: fresh_id(), lot: lot.to_owned() }
}

impl Custody {
    /// technician-z's lot, as its signer has it.
    async fn lot(&self, lot: &str) -> Lot {
        let request = GetLotRequest { lot: lot.to_owned() };
        let mut lots = self.chain.lots(Who::TechnicianOperator, At::TechnicianCa);
        lots.get_lot(request).await.unwrap().into_inner().lot.unwrap()
    }

    /// Provisions and confirms a device of a lot.
    async fn written(&self, lot: &str, id: &str) -> Device {
        let device = Device::new(id);
        let line = Line::of(self.chain);
        let unit = line.provision(&device.at_line(Some(lot))).await;
        line.confirm(&confirmation(id, &unit.chain[0])).await.unwrap();
        device
    }

    /// Waits until the signer has heard of so many confirmed units of a lot: the line tells it in its own time.
    async fn until_written(&self, lot: &str, units: u64) {
        let heard = async {
            while self.lot(lot).await.tally.unwrap().written != units {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the confirmations arrive");
    }
}
