//! Amending and cancelling orders over the wire, with lots on the way.

use api::{
    custody::v1::HandoffState,
    handoff::v1::GetHandoffRequest,
    lot::v1::ReceiveLotRequest,
    order::v1::{AmendOrderRequest, CancelOrderRequest, GetOrderRequest, Order, OrderState},
    reason::v1::Reason,
};
use simulator::BRAND;
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{Custody, draft, offer},
    devices::{Device, Line},
    world::{At, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// As it is read now, with another quantity.
async fn amendment(custody: &Custody, units: u32) -> AmendOrderRequest {
    AmendOrderRequest {
        request_id: fresh_id(),
        order: custody.order.clone(),
        draft: Some(draft(&custody.order, units)),
        expected_terms_digest: custody.on_record().await.terms_digest,
    }
}

async fn amend(custody: &Custody, units: u32) -> Order {
    let request = amendment(custody, units).await;
    custody.chain.orders(Who::Alice).amend_order(request).await.unwrap().into_inner().order.unwrap()
}

async fn cancel(custody: &Custody, who: Who) -> Result<Response<api::order::v1::CancelOrderResponse>, Status> {
    let request = CancelOrderRequest { request_id: fresh_id(), order: custody.order.clone() };
    custody.chain.orders(who).cancel_order(request).await
}

#[tokio::test]
async fn lots_of_two_versions_travel_side_by_side_and_make_devices() {
    let custody = Custody::ordered("amended", 10).await;
    custody.hand_to_factory("am-1", 4).await;
    let second = amend(&custody, 6).await;
    assert_eq!((second.order_version, second.state()), (2, OrderState::Proposed));
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let early = offer(&custody.order, FACTORY, "am-2", 2);
    refused(handoffs.offer_handoff(early.clone()).await, Reason::LotNotOpen, Code::FailedPrecondition);
    for who in [Who::Alice, Who::Bob] {
        custody.approve(who).await;
    }
    let more = offer(&custody.order, FACTORY, "am-3", 3);
    refused(handoffs.offer_handoff(more).await, Reason::QuantitySpent, Code::ResourceExhausted);
    handoffs.offer_handoff(early).await.unwrap();
    let request = ReceiveLotRequest { request_id: fresh_id(), lot: "am-2".to_owned(), from: BRAND.to_owned() };
    custody.chain.lots(Who::FactoryOperator, At::FactoryCa).receive_lot(request).await.unwrap();
    for (source, lot) in [("am-1", "am-1-t"), ("am-2", "am-2-t")] {
        custody.hand_to_technician(source, lot, 2).await;
        let unit = Line::of(custody.chain).provision(&Device::new(&format!("{lot}-d")).at_line(Some(lot))).await;
        assert_eq!(unit.chain.len(), 3);
    }
    // Each lot names the terms of its own version.
    let picture = custody.picture().await;
    let digest = |holder: &'static str, lot: &str| {
        picture.lots[&(holder, lot.to_owned())].facts.as_ref().unwrap().terms_digest.clone()
    };
    let mut versions = Vec::new();
    for version in [1, 2] {
        let request = GetOrderRequest { order: custody.order.clone(), version: Some(version) };
        let read = custody.chain.orders(Who::Bob).get_order(request).await.unwrap().into_inner().order.unwrap();
        versions.push(read.terms_digest);
    }
    assert_ne!(versions[0], versions[1]);
    assert_eq!([digest(FACTORY, "am-1"), digest(FACTORY, "am-2")], versions[..]);
    assert_eq!([digest(TECHNICIAN, "am-1-t"), digest(TECHNICIAN, "am-2-t")], versions[..]);
}

#[tokio::test]
async fn an_amendment_below_what_is_handed_over_changes_nothing() {
    let custody = Custody::ordered("unfit", 10).await;
    custody.hand_to_factory("uf-1", 4).await;
    let good = amendment(&custody, 20).await;
    let before = custody.picture().await;
    let wrong = AmendOrderRequest { draft: Some(draft(&custody.order, 3)), ..good.clone() };
    let mut orders = custody.chain.orders(Who::Alice);
    refused(orders.amend_order(wrong).await, Reason::OrderBelowHandedOver, Code::FailedPrecondition);
    custody.unchanged(&before).await;
    // The very request id that was refused.
    orders.amend_order(good).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_order_ends_and_its_lots_go_on() {
    let custody = Custody::ordered("ended", 10).await;
    custody.hand_to_factory("en-1", 4).await;
    cancel(&custody, Who::Alice).await.unwrap();
    let order = custody.on_record().await;
    let tally = order.tally.unwrap();
    assert_eq!(order.state(), OrderState::Cancelled);
    assert_eq!((tally.handed_over, tally.remaining, tally.closed), (4, Some(0), true));
    // What was handed off is handed on and built.
    custody.hand_to_technician("en-1", "en-1-t", 2).await;
    Line::of(custody.chain).provision(&Device::new("en-1-d").at_line(Some("en-1-t"))).await;
    let request = GetHandoffRequest { lot: "en-1".to_owned() };
    let mut handoffs = custody.chain.handoffs(Who::FactoryCa, At::RootCa);
    let handoff = handoffs.get_handoff(request).await.unwrap().into_inner().handoff.unwrap();
    assert_eq!(handoff.state(), HandoffState::Signed);
}
