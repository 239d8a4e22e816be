//! A site without a wire to its sender: the same handoff, with files in between.

use api::{
    handoff::v1::{AcceptHandoffRequest, AcceptHandoffResponse, GetOfferRequest, GetOfferResponse},
    lot::v1::{AcceptOfferRequest, LotState, OpenLotRequest},
    reason::v1::Reason,
};
use bytes::Bytes;
use tonic::Code;

use crate::{
    answers::refused,
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

#[tokio::test]
async fn a_file_that_was_changed_cut_short_or_meant_for_another_is_refused() {
    let custody = Custody::ordered("day-forge", 9).await;
    let chain = custody.chain;
    custody.hand_to_factory("d-for", 9).await;
    let offer = exported(&custody, "d-for", "d-for1", 5).await;
    let mut receiver = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let before = custody.picture().await;

    let unsigned = GetOfferResponse { signature: Bytes::new(), ..offer.clone() };
    refused(receiver.accept_offer(accept(&unsigned)).await, Reason::OfferSignatureInvalid, Code::InvalidArgument);
    let mut larger = offer.clone();
    larger.handoff.as_mut().unwrap().facts.as_mut().unwrap().quantity = crate::custody::quantity(9);
    refused(receiver.accept_offer(accept(&larger)).await, Reason::OfferSignatureInvalid, Code::InvalidArgument);
    let mut later = offer.clone();
    later.handoff.as_mut().unwrap().expires_at.as_mut().unwrap().seconds += 86_400;
    refused(receiver.accept_offer(accept(&later)).await, Reason::OfferSignatureInvalid, Code::InvalidArgument);
    let mut terms = offer.clone();
    let changed = terms.terms.as_mut().unwrap();
    changed.terms = changed.terms.slice(..changed.terms.len() - 1);
    refused(receiver.accept_offer(accept(&terms)).await, Reason::TermsMalformed, Code::InvalidArgument);
    let empty = AcceptOfferRequest { request_id: fresh_id(), offer: None };
    refused(receiver.accept_offer(empty).await, Reason::RequestMalformed, Code::InvalidArgument);
    let mut factory = chain.lots(Who::FactoryOperator, At::FactoryCa);
    refused(factory.accept_offer(accept(&offer)).await, Reason::OfferMismatch, Code::FailedPrecondition);
    custody.unchanged(&before).await;

    let acceptance = receiver.accept_offer(accept(&offer)).await.unwrap().into_inner().acceptance.unwrap();
    let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let mut forged = acceptance.clone();
    forged.request_id = fresh_id();
    forged.acceptance.as_mut().unwrap().signature = Bytes::from_static(b"nobody");
    refused(sender.accept_handoff(forged).await, Reason::AcceptanceInvalid, Code::InvalidArgument);
    let elsewhere = AcceptHandoffRequest { request_id: fresh_id(), lot: "d-for".to_owned(), ..acceptance.clone() };
    refused(sender.accept_handoff(elsewhere).await, Reason::LotUnknown, Code::NotFound);
    let answer = sender.accept_handoff(acceptance).await.unwrap().into_inner();

    let short = AcceptHandoffResponse { chain: answer.chain[1..].to_vec(), ..answer.clone() };
    assert!(receiver.open_lot(open("d-for1", &short)).await.is_err());
    let none = AcceptHandoffResponse { chain: Vec::new(), ..answer.clone() };
    refused(receiver.open_lot(open("d-for1", &none)).await, Reason::OfferMismatch, Code::FailedPrecondition);
    refused(receiver.open_lot(open("d-for9", &answer)).await, Reason::LotUnknown, Code::NotFound);
    receiver.open_lot(open("d-for1", &answer)).await.unwrap();
}

#[tokio::test]
async fn an_offer_that_was_cancelled_while_its_file_travelled_hands_nothing_over() {
    let custody = Custody::ordered("day-late", 9).await;
    let chain = custody.chain;
    custody.hand_to_factory("d-lat", 9).await;
    let offer = exported(&custody, "d-lat", "d-lat1", 5).await;
    let mut receiver = chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let acceptance = receiver.accept_offer(accept(&offer)).await.unwrap().into_inner().acceptance.unwrap();
    let mut sender = chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    let cancel = api::handoff::v1::CancelHandoffRequest { request_id: fresh_id(), lot: "d-lat1".to_owned() };
    sender.cancel_handoff(cancel).await.unwrap();
    refused(sender.accept_handoff(acceptance).await, Reason::HandoffWithdrawn, Code::FailedPrecondition);
    assert_eq!(custody.tally(crate::world::FACTORY, "d-lat").await.remaining, Some(9));
}
