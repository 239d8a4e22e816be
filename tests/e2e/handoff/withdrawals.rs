//! Offers that come to nothing: cancelled or out of time, they give back exactly what they held.

use std::time::Duration;

use api::{
    custody::v1::{Handoff, HandoffState, Tally},
    handoff::v1::{CancelHandoffRequest, CancelHandoffResponse, GetHandoffRequest, OfferHandoffRequest},
    order::v1::GetOrderRequest,
};
use simulator::ORDER;
use tonic::{Response, Status};

use crate::{
    custody::{Custody, offer},
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

#[tokio::test]
async fn a_cancelled_offer_gives_back_exactly_what_it_held() {
    let custody = Custody::ordered("cancels", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let untouched = tally(&custody).await;
    handoffs.offer_handoff(offer(&custody.order, FACTORY, "cancel-1", 4)).await.unwrap();
    let other = tally(&custody).await;
    handoffs.offer_handoff(offer(&custody.order, FACTORY, "cancel-2", 6)).await.unwrap();

    let cancelled = cancel(&custody, "cancel-2").await.unwrap().into_inner().handoff.unwrap();
    assert_eq!(cancelled.state(), HandoffState::Cancelled);
    assert_eq!(tally(&custody).await, other);

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

    // The event is the tally's: only the order is read, which does not touch the offer.
    let given_back = async { while tally(&custody).await != untouched {} };
    tokio::time::timeout(Duration::from_secs(20), given_back).await.expect("the units come back by themselves");
    assert_eq!(handoff(&custody, "expire-1").await.state(), HandoffState::Expired);
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
