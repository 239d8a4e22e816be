//! Messages that are too long, and callers that do not wait.

use std::time::Duration;

use api::{handoff::v1::GetHandoffRequest, reason::v1::Reason};
use bytes::Bytes;
use tonic::{Code, Request};

use crate::{
    answers::refused,
    custody::{Custody, acceptance, offer},
    organisations::fresh_key,
    world::{At, FACTORY, Who},
};

/// `limits.max_message_bytes` when nothing is configured.
const MOST: usize = 1024 * 1024;

#[tokio::test]
async fn a_message_longer_than_the_limit_is_refused_and_the_connection_goes_on() {
    let custody = Custody::ordered("long-message", 10).await;
    let mut brand = custody.chain.handoffs(Who::Alice, At::RootCa);
    brand.offer_handoff(offer(&custody.order, FACTORY, "long-1", 10)).await.unwrap();
    let keys = [fresh_key(), custody.chain.identity_key(FACTORY)];
    let good = acceptance(custody.chain, (Who::FactoryCa, At::RootCa), "long-1", &keys[0], &keys[1]).await;
    let before = custody.picture().await;
    let mut receiver = custody.chain.handoffs(Who::FactoryCa, At::RootCa);
    let of = |octets: usize| {
        let mut request = good.clone();
        request.csr = Bytes::from(vec![0x30; octets]);
        request
    };
    for octets in [MOST, 3 * MOST] {
        let answer = receiver.accept_handoff(of(octets)).await;
        refused(answer, Reason::MessageTooLarge, Code::OutOfRange);
        custody.unchanged(&before).await;
    }
    // Within the limit the handler sees it, and knows better.
    let answer = receiver.accept_handoff(of(MOST - 1024)).await;
    refused(answer, Reason::CsrMalformed, Code::InvalidArgument);
    custody.unchanged(&before).await;
    receiver.accept_handoff(good).await.unwrap();
}

#[tokio::test]
async fn a_call_whose_deadline_is_over_is_answered_so_and_can_be_repeated() {
    let custody = Custody::ordered("no-time", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let wanted = offer(&custody.order, FACTORY, "no-time-1", 4);
    for nanoseconds in [0, 1] {
        let mut hasty = Request::new(wanted.clone());
        hasty.set_timeout(Duration::from_nanos(nanoseconds));
        // On a busy machine the answer may be there before anybody looks at the time.
        if let Err(status) = handoffs.offer_handoff(hasty).await {
            assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        }
    }
    // Whatever became of the hasty ones: the same request is done once.
    let offered = handoffs.offer_handoff(wanted.clone()).await.unwrap().into_inner();
    assert_eq!(handoffs.offer_handoff(wanted).await.unwrap().into_inner(), offered);
    let tally = custody.on_record().await.tally.unwrap();
    assert_eq!((tally.reserved, tally.remaining), (4, Some(6)));
    let read = GetHandoffRequest { lot: "no-time-1".to_owned() };
    assert_eq!(handoffs.get_handoff(read).await.unwrap().into_inner().handoff, offered.handoff);
}
