//! Approving orders: k of n operators, each with a key of their own, over exactly these terms.

use api::{order::v1::OrderState, reason::v1::Reason};
use tonic::Code;

use crate::{
    answers::refused,
    custody::{Custody, offer},
    world::{At, FACTORY, Who},
};

#[tokio::test]
async fn one_operator_counts_once() {
    let custody = Custody::proposed("by-alice", 10).await;
    let order = custody.on_record().await;
    assert_eq!(order.approvals_required, 2);
    let first = custody.approve(Who::Alice).await;
    // ECDSA signatures differ from each other; the second one is as good and adds nothing.
    let again = custody.approve(Who::Alice).await;
    assert_eq!(again, first);
    assert_eq!(again.approvals.iter().map(|a| a.operator.as_str()).collect::<Vec<_>>(), ["alice"]);
    assert_eq!((again.state(), again.brand_signature.is_some()), (OrderState::Proposed, false));
    let second = custody.approve(Who::Bob).await;
    assert_eq!((second.state(), second.brand_signature.is_some()), (OrderState::Approved, true));
    assert_eq!(second.tally.unwrap().remaining, Some(10));
}

#[tokio::test]
async fn nothing_is_offered_of_an_order_before_its_last_approval() {
    let custody = Custody::proposed("too-early", 10).await;
    let mut handoffs = custody.chain.handoffs(Who::Alice, At::RootCa);
    let early = offer(&custody.order, FACTORY, "early-1", 10);
    for approver in [None, Some(Who::Alice)] {
        if let Some(approver) = approver {
            custody.approve(approver).await;
        }
        let before = custody.picture().await;
        refused(handoffs.offer_handoff(early.clone()).await, Reason::LotNotOpen, Code::FailedPrecondition);
        custody.unchanged(&before).await;
    }
    custody.approve(Who::Bob).await;
    // The very request that was refused: a refusal does not use its id up.
    handoffs.offer_handoff(early).await.unwrap();
}
