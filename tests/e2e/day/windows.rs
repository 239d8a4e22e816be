//! Signing windows: CAs of an order sign neither before theirs begins nor after it ends, and answer all the same what they signed.

use std::time::Duration;

use api::{
    lot::v1::ReceiveLotRequest,
    order::v1::{CreateOrderRequest, OrderDraft, SigningWindow},
    reason::v1::Reason,
};
use service::{Clock as _, SystemClock};
use tonic::Code;

use crate::{
    answers::refused,
    custody::{Custody, draft, offer},
    devices::{Device, Line, Signer, confirmation},
    world::{At, Chain, FACTORY, TECHNICIAN, Who, fresh_id},
};

/// Seconds that a window is open in which a lot passes two hands and a device is made.
const OPEN_FOR: i64 = 30;

/// An approved order whose CAs may sign from `begins` to `ends` seconds from now.
async fn ordered_within(order: &str, begins: i64, ends: i64) -> Custody {
    let chain = Chain::shared().await;
    let now = SystemClock.now().as_secs();
    let at = |seconds: i64| Some(prost_types::Timestamp { seconds: now + seconds, nanos: 0 });
    let window = SigningWindow { not_before: at(begins), not_after: at(ends) };
    let draft = OrderDraft { signing_window: Some(window), ..draft(order, 5) };
    let request = CreateOrderRequest { request_id: fresh_id(), draft: Some(draft) };
    chain.orders(Who::Alice).create_order(request).await.unwrap();
    let custody = Custody { chain, order: order.to_owned() };
    for who in [Who::Alice, Who::Bob] {
        custody.approve(who).await;
    }
    custody
}

#[tokio::test]
async fn before_its_window_a_lot_is_received_and_signs_nothing() {
    let custody = ordered_within("day-early", 86_400, 2 * 86_400).await;
    // The root, which has no window, signs the first lot.
    custody.hand_to_factory("d-ear-f", 5).await;
    refused_by_sender(&custody, "d-ear-f", "d-ear").await;
}

/// technician-z's acceptance of a unit out of a lot of factory-y's is refused, and the unit stays where it is.
async fn refused_by_sender(custody: &Custody, source: &str, lot: &str) {
    let mut factory = custody.chain.handoffs(Who::FactoryOperator, At::FactoryCa);
    factory.offer_handoff(offer(source, TECHNICIAN, lot, 1)).await.unwrap();
    let before = custody.tally(FACTORY, source).await;
    assert_eq!(before.reserved, 1);
    let mut technician = custody.chain.lots(Who::TechnicianOperator, At::TechnicianCa);
    let request = ReceiveLotRequest { request_id: fresh_id(), lot: lot.to_owned(), from: FACTORY.to_owned() };
    refused(technician.receive_lot(request).await, Reason::SigningWindowClosed, Code::FailedPrecondition);
    assert_eq!(custody.tally(FACTORY, source).await, before);
}

#[tokio::test]
async fn after_its_window_a_lot_signs_nothing_and_answers_what_it_signed() {
    let custody = ordered_within("day-late", 0, OPEN_FOR).await;
    let chain = custody.chain;
    custody.hand_to_factory("d-lat-f", 5).await;
    custody.hand_to_technician("d-lat-f", "d-lat", 4).await;
    let (line, signer) = (Line::of(chain), Signer::of(chain));
    let (device, direct) = (Device::new("d-lat1"), Device::new("d-lat2"));
    let (at_line, at_signer) = (device.at_line(Some("d-lat")), direct.at_signer("d-lat"));
    let (unit, issued) = (line.provision(&at_line).await, signer.issue(&at_signer).await);
    let late = |n: u32| Device::new(&format!("d-lat-x{n}")).at_signer("d-lat");
    let closed = async {
        for n in 0.. {
            let status = signer.ask(&late(n)).await.expect_err("the lot has no more units than these");
            match api::Refusal::from_status(&status).reason() {
                // All its units are had, and the window is open still.
                "QUANTITY_SPENT" => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => {
                    let answer: Result<tonic::Response<()>, _> = Err(status);
                    refused(answer, Reason::SigningWindowClosed, Code::FailedPrecondition);
                    return;
                }
            }
        }
    };
    for n in 0..2 {
        signer.issue(&Device::new(&format!("d-lat-s{n}")).at_signer("d-lat")).await;
    }
    tokio::time::timeout(Duration::from_secs(120), closed).await.expect("the window ends");

    let before = custody.picture().await;
    let at_the_line = line.ask(&Device::new("d-lat3").at_line(Some("d-lat"))).await;
    refused(at_the_line, Reason::SigningWindowClosed, Code::FailedPrecondition);
    custody.unchanged(&before).await;
    refused_by_sender(&custody, "d-lat-f", "d-lat-2").await;

    assert_eq!(line.provision(&at_line).await, unit, "what was signed is answered");
    assert_eq!(signer.issue(&at_signer).await, issued);
    line.confirm(&confirmation("d-lat1", &unit.chain[0])).await.unwrap();
    custody.until_written("d-lat", 1).await;
}
