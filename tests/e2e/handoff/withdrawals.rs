//! Offers that come to nothing: cancelled or out of time, they give back exactly what they held, and cannot be accepted.

use std::time::Duration;

use api::{
    custody::v1::{Handoff, HandoffState, Tally},
    handoff::v1::{CancelHandoffRequest, CancelHandoffResponse, GetHandoffRequest, OfferHandoffRequest},
    lot::v1::ReceiveLotRequest,
    order::v1::GetOrderRequest,
    reason::v1::Reason,
};
use issuance::{KeyKind, SoftwareKey};
use simulator::{BRAND, ORDER};
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{Custody, acceptance, offer},
    world::{At, Chain, FACTORY, Who, fresh_id},
};

async fn cancel(custody: &Custody, lot: &str) -> Result<Response<CancelHandoffResponse>, Status> {
    let request = CancelHandoffRequest { request_id: fresh_id(), lot: lot.to_owned() };
    custody.chain.handoffs(Who::Alice, At::RootCa).cancel_handoff(request).await
}

async fn handoff(custody: &Custody, lot: &str) -> Handoff {
    let request = GetHandoffRequest { lot: lot.to_owned() };
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    handoffs.get_handoff(request).await.unwrap().into_inner().handoff.unwrap()
}

async fn tally(custody: &Custody) -> Tally {
    custody.on_record().await.tally.unwrap()
}

/// Neither the receiver's service nor its operator can have the lot any more.
async fn cannot_be_received(custody: &Custody, request: api::handoff::v1::AcceptHandoffRequest) {
    let before = custody.picture().await;
    let lot = request.lot.clone();
    let answer = custody.chain.handoffs(Who::FactoryCa, At::RootCa).accept_handoff(request).await;
    refused(answer, Reason::HandoffWithdrawn, Code::FailedPrecondition);
    let receive = ReceiveLotRequest { request_id: fresh_id(), lot, from: BRAND.to_owned() };
    let answer = custody.chain.lots(Who::FactoryOperator, At::FactoryCa).receive_lot(receive).await;
    refused(answer, Reason::HandoffWithdrawn, Code::FailedPrecondition);
    custody.unchanged(&before).await;
}

#[tokio::test]
async fn a_cancelled_offer_gives_back_exactly_what_it_held() {
    let custody = Custody::ordered("cancels", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let untouched = tally(&custody).await;
    handoffs.offer_handoff(offer(&custody.order, FACTORY, "cancel-1", 4)).await.unwrap();
    let other = tally(&custody).await;
    handoffs.offer_handoff(offer(&custody.order, FACTORY, "cancel-2", 6)).await.unwrap();
    let keys = [SoftwareKey::generate(KeyKind::P256).unwrap(), custody.chain.identity_key(FACTORY)];
    let accept = acceptance(custody.chain, (Who::FactoryCa, At::RootCa), "cancel-2", &keys[0], &keys[1]).await;

    let cancelled = cancel(&custody, "cancel-2").await.unwrap().into_inner().handoff.unwrap();
    assert_eq!(cancelled.state(), HandoffState::Cancelled);
    assert_eq!(tally(&custody).await, other);
    cannot_be_received(&custody, accept).await;
    refused(cancel(&custody, "cancel-2").await, Reason::HandoffWithdrawn, Code::FailedPrecondition);
    // The name stays used: the journal tells of that lot.
    let again = handoffs.offer_handoff(offer(&custody.order, FACTORY, "cancel-2", 1)).await;
    refused(again, Reason::LotExists, Code::AlreadyExists);

    cancel(&custody, "cancel-1").await.unwrap();
    assert_eq!(tally(&custody).await, untouched);
    handoffs.offer_handoff(offer(&custody.order, FACTORY, "cancel-3", 10)).await.unwrap();
}

#[tokio::test]
async fn an_offer_out_of_time_gives_back_exactly_what_it_held_without_anybody_asking() {
    let custody = Custody::ordered("expires", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let untouched = tally(&custody).await;
    let soon = OfferHandoffRequest { ttl_seconds: 1, ..offer(&custody.order, FACTORY, "expire-1", 10) };
    let offered = handoffs.offer_handoff(soon.clone()).await.unwrap().into_inner().handoff.unwrap();
    assert_eq!(offered.expires_at.unwrap().seconds - offered.offered_at.unwrap().seconds, 1);
    assert_eq!(tally(&custody).await.reserved, 10);
    let keys = [SoftwareKey::generate(KeyKind::P256).unwrap(), custody.chain.identity_key(FACTORY)];
    let accept = acceptance(custody.chain, (Who::FactoryCa, At::RootCa), "expire-1", &keys[0], &keys[1]).await;

    // The event is the tally's: only the order is read, which does not touch the offer.
    let given_back = async { while tally(&custody).await != untouched {} };
    tokio::time::timeout(Duration::from_secs(20), given_back).await.expect("the units come back by themselves");
    assert_eq!(handoff(&custody, "expire-1").await.state(), HandoffState::Expired);
    cannot_be_received(&custody, accept).await;
    refused(cancel(&custody, "expire-1").await, Reason::HandoffWithdrawn, Code::FailedPrecondition);
    // The repeated offer is answered as it stands now; it does not come back to life.
    let repeated = handoffs.offer_handoff(soon).await.unwrap().into_inner().handoff.unwrap();
    assert_eq!(repeated.state(), HandoffState::Expired);
    assert_eq!(tally(&custody).await, untouched);
    custody.hand_to_factory("expire-2", 10).await;
}

#[tokio::test]
async fn an_offer_that_runs_out_while_the_service_is_down_gives_its_units_back_too() {
    let (mut chain, _folder) = Chain::alone().await;
    let tally = async |chain: &Chain| {
        let request = GetOrderRequest { order: ORDER.to_owned(), version: None };
        chain.orders(Who::Alice).get_order(request).await.unwrap().into_inner().order.unwrap().tally.unwrap()
    };
    let untouched = tally(&chain).await;
    let soon = OfferHandoffRequest { ttl_seconds: 1, ..offer(ORDER, FACTORY, "down-1", 7) };
    chain.handoffs(Who::Alice, At::RootCa).offer_handoff(soon).await.unwrap();
    chain.restart().await;
    let given_back = async { while tally(&chain).await != untouched {} };
    tokio::time::timeout(Duration::from_secs(20), given_back).await.expect("the units come back by themselves");
}
