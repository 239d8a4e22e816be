//! A site without a wire to its sender: the same handoff, with files in between.

use api::{
    handoff::v1::{AcceptHandoffResponse, GetOfferRequest, GetOfferResponse},
    lot::v1::{AcceptOfferRequest, LotState, OpenLotRequest},
};

use crate::{
    custody::{Custody, offer},
    world::{At, TECHNICIAN, Who, fresh_id},
};

/// An offer as the sender's operator exports it.
async fn exported(custody: &Custody, source: &str, lot: &str, units: u32) -> GetOfferResponse {
    let mut sender = custody.chain.handoffs(Who::FactoryOperator, At::FactoryCa);
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
    let offer = exported(&custody, "d-fil", "d-fil1", 5).await;
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
