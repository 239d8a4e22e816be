//! Confirmations for the signer: a lot can be closed only when none of its units is in doubt there.

use api::{
    Refusal,
    issuance::v1::{
        ConfirmDevicesRequest, ConfirmDevicesResponse, WrittenDevice, issuance_service_client::IssuanceServiceClient,
    },
    journal::v1::record::Fact,
};
use bytes::Bytes;
use mfg::DeviceState;
use records::{read, read_at};
use service::client::PeerChannel;
use store::{Record, Store};

use crate::unit::{Stage, UnitOnRecord};

use super::{Answered, Delivery, Destination, Outcome, may_pass};

/// The signer as a destination.
pub(crate) struct ToSigner(pub(crate) IssuanceServiceClient<PeerChannel>);

#[tonic::async_trait]
impl Destination for ToSigner {
    /// SHA-256 of the certificate on the device.
    type Content = Bytes;

    const NAME: &'static str = "signer";

    fn delivery(&self, store: &dyn Store, record: &Record) -> Result<Option<Delivery<Bytes>>, Refusal> {
        let Fact::UnitWritten(written) = read(record)?.1 else { return Ok(None) };
        let Fact::UnitIssued(issued) = read_at(store, written.issued_at)?.2 else { return Ok(None) };
        if is_overtaken(store, &issued.device_id, written.issued_at)? {
            return Ok(None);
        }
        let content = written.certificate_sha256;
        Ok(Some(Delivery { position: record.position, device_id: issued.device_id, content }))
    }

    /// What is overtaken is no delivery in the first place.
    fn is_overtaken(&self, _: &dyn Store, _: &Record) -> Result<bool, Refusal> {
        Ok(false)
    }

    async fn deliver(&self, _feed: &str, batch: &[Delivery<Bytes>]) -> Result<Answered, Refusal> {
        let written = |delivery: &Delivery<Bytes>| WrittenDevice {
            device_id: delivery.device_id.clone(),
            certificate_sha256: delivery.content.clone(),
        };
        let request = ConfirmDevicesRequest { devices: batch.iter().map(written).collect() };
        let answer = self.0.clone().confirm_devices(request).await.map_err(|s| Refusal::from_status(&s))?;
        let outcome = |refusal: Option<Refusal>| match refusal {
            None => Outcome::Arrived(Vec::new()),
            // Overtaken: what became of the unit since says more.
            Some(refusal) if matches!(refusal.reason(), "DEVICE_SCRAPPED" | "CERTIFICATE_SUPERSEDED") => {
                Outcome::Arrived(Vec::new())
            }
            Some(refusal) if may_pass(&refusal) => Outcome::Later(refusal),
            Some(refusal) => Outcome::Refused(refusal),
        };
        let ConfirmDevicesResponse { devices, restored_at } = answer.into_inner();
        let outcomes = devices.into_iter().map(|device| outcome(device.refusal.map(Refusal::from_wire)));
        Ok(Answered { outcomes: outcomes.collect(), restored_at })
    }
}

/// Whether the unit was scrapped, and perhaps came back, since its certificate was confirmed: told late, the confirmation would say of a
/// unit in doubt that it is written.
fn is_overtaken(store: &dyn Store, device_id: &str, issued_at: u64) -> Result<bool, Refusal> {
    let Some(Stage::Issued(stands)) = UnitOnRecord::newest(store, device_id)?.map(|unit| unit.stage) else {
        return Ok(false);
    };
    Ok(stands.at == issued_at
        && match stands.state {
            DeviceState::Scrapped | DeviceState::Issued => true,
            DeviceState::Written | DeviceState::Registered | DeviceState::Superseded => false,
        })
}
