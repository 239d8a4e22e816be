//! A handoff: the sender's operator offers, the receiver's operator has it accepted.

use anyhow::Context as _;
use api::{
    Refusal,
    custody::v1::{Quantity, quantity::Amount},
    handoff::v1::{OfferHandoffRequest, handoff_service_client::HandoffServiceClient},
    lot::v1::{ReceiveLotRequest, lot_service_client::LotServiceClient},
};
use service::identity::Role;
use tonic::transport::Channel;

use super::Journey;
use crate::{clients::Clients, configs::APPROVERS, manifest::HopEntry, organisation::Organisation, plan::Stop};

impl Journey<'_> {
    /// Hands the lot of the stop at `index` over to its manufacturer.
    pub(super) async fn hand_over(&self, index: usize, stop: &Stop) -> anyhow::Result<HopEntry> {
        let sender = match index.checked_sub(1).and_then(|above| self.world.manufacturers.get(above)) {
            Some((_, organisation)) => self.operator_of(organisation)?,
            None => self.operator_of_brand(APPROVERS[0])?,
        };
        let offer = OfferHandoffRequest {
            request_id: self.id(&format!("offer {}", stop.lot)),
            source: stop.source.clone(),
            to: stop.manufacturer.clone(),
            lot: stop.lot.clone(),
            quantity: Some(Quantity { amount: Some(Amount::Units(stop.quantity)) }),
            ttl_seconds: 0,
        };
        HandoffServiceClient::new(sender).offer_handoff(offer).await.map_err(|s| Refusal::from_status(&s))?;

        let (_, receiver) = self.world.manufacturers.get(index).context("no such manufacturer")?;
        let receive = ReceiveLotRequest {
            request_id: self.id(&format!("receive {}", stop.lot)),
            lot: stop.lot.clone(),
            from: stop.from.clone(),
        };
        let mut lots = LotServiceClient::new(self.operator_of(receiver)?);
        let answer = lots.receive_lot(receive).await.map_err(|s| Refusal::from_status(&s))?.into_inner();
        let facts = answer.lot.and_then(|lot| lot.facts).context("the intermediate-ca answered no lot")?;
        let quantity = match facts.quantity.and_then(|q| q.amount) {
            Some(Amount::Units(units)) => Some(units),
            Some(Amount::Unlimited(_)) | None => None,
        };
        Ok(HopEntry { from: facts.from, to: facts.to, lot: facts.lot, quantity, subtree: facts.subtree })
    }

    /// A channel to a manufacturer's intermediate-ca as its operator.
    fn operator_of(&self, organisation: &Organisation) -> anyhow::Result<Channel> {
        let address = &self.world.service(organisation.id(), "intermediate-ca")?.grpc;
        Clients::load(organisation, "operator", &[organisation])?.channel(
            address,
            organisation.id(),
            Role::IntermediateCa,
        )
    }
}
