//! A site without a wire to its sender: the same handoff, with files in between.

use api::{
    handoff::v1::{AcceptHandoffResponse, GetOfferRequest, GetOfferResponse},
    lot::v1::{AcceptOfferRequest, LotState, OpenLotRequest},
    order::v1::CreateOrderRequest,
};
use simulator::BRAND;

use crate::{
    brand::order_ca::judged,
    custody::{Custody, draft, offer, routes},
    devices::{Device, Line},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

const FACTORY_SENDS: (Who, At) = (Who::FactoryOperator, At::FactoryCa);
const BRAND_SENDS: (Who, At) = (Who::Alice, At::RootCa);

/// An offer to technician-z as the sender's operator exports it.
async fn exported(custody: &Custody, (who, at): (Who, At), source: &str, lot: &str, units: u32) -> GetOfferResponse {
    let mut sender = custody.chain.handoffs(who, at);
    sender.offer_handoff(offer(source, TECHNICIAN, lot, units)).await.unwrap();
    sender.get_offer(GetOfferRequest { lot: lot.to_owned() }).await.unwrap().into_inner()
}

fn accept(offer: &GetOfferResponse) -> AcceptOfferRequest {
    AcceptOfferRequest { request_id: fresh_id(), offer: Some(offer.clone()) }
}

fn open(lot: &str, answer: &AcceptHandoffResponse) -> OpenLotRequest {
    OpenLotRequest { request_id: fresh_id(), lot: lot.to_owned(), answer: Some(answer.clone()) }
}

#[tokio::test]
async fn three_files_hand_a_lot_over_and_each_can_be_carried_twice() {
    let custody = Custody::ordered("day-files", 9).await;
    let chain = custody.chain;
    custody.hand_to_factory("d-fil", 9).await;
    let offer = exported(&custody, FACTORY_SENDS, "d-fil", "d-fil1", 5).await;
    let mut receiver = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let acceptance = receiver.accept_offer(accept(&offer)).await.unwrap().into_inner().acceptance.unwrap();
    let repeated = receiver.accept_offer(accept(&offer)).await.unwrap().into_inner().acceptance.unwrap();
    assert_eq!(repeated, acceptance);
    let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let answer = sender.accept_handoff(acceptance.clone()).await.unwrap().into_inner();
    assert_eq!(sender.accept_handoff(acceptance).await.unwrap().into_inner(), answer);
    for _ in 0..2 {
        let lot = receiver.open_lot(open("d-fil1", &answer)).await.unwrap().into_inner().lot.unwrap();
        assert_eq!((lot.state(), lot.tally.unwrap().remaining), (LotState::Open, Some(5)));
    }
    custody.written("d-fil1", "d-fil-sn1").await;
}

#[tokio::test]
async fn one_order_goes_two_ways_and_each_device_tells_its_own() {
    let chain = Chain::shared().await;
    let mut both = draft("day-ways", 5);
    both.routes.extend(routes(&[BRAND, TECHNICIAN]));
    let create = CreateOrderRequest { request_id: fresh_id(), draft: Some(both) };
    chain.orders(Who::Alice).create_order(create).await.unwrap();
    let custody = Custody { chain, order: "day-ways".to_owned() };
    for who in [Who::Alice, Who::Bob] {
        custody.approve(who).await;
    }
    custody.hand_to_factory("d-way-f", 3).await;
    custody.hand_to_technician("d-way-f", "d-way-2", 3).await;
    // The brand and technician-z have no wire between them.
    let offer = exported(&custody, BRAND_SENDS, "day-ways", "d-way-1", 2).await;
    let mut receiver = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let acceptance = receiver.accept_offer(accept(&offer)).await.unwrap().into_inner().acceptance.unwrap();
    let answer = chain.handoffs(Who::Alice, At::RootCa).accept_handoff(acceptance).await.unwrap().into_inner();
    receiver.open_lot(open("d-way-1", &answer)).await.unwrap();
    assert_eq!(custody.on_record().await.tally.unwrap().remaining, Some(0));

    let line = Line::of(chain);
    let hop = |to: &str| (to.to_owned(), "proven");
    for (lot, journey) in [("d-way-2", vec![hop(FACTORY), hop(TECHNICIAN)]), ("d-way-1", vec![hop(TECHNICIAN)])] {
        let unit = line.provision(&Device::new(&format!("{lot}-sn")).at_line(Some(lot))).await;
        assert_eq!(judged(chain, &unit).await, (journey.len(), journey));
    }
}
