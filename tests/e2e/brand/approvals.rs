//! Approving orders: k of n operators, each with a key of their own, over exactly these terms.

use api::{
    order::v1::{ApproveOrderRequest, ApproveOrderResponse, OrderState, order_service_client::OrderServiceClient},
    reason::v1::Reason,
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey};
use mfg::{OrderId, Statement};
use pki::Sha256;
use tonic::{Code, Response, Status};

use crate::{
    answers::refused,
    custody::{Custody, approval, approval_key, offer},
    world::{At, FACTORY, Who, fresh_id},
};

async fn approve(
    custody: &Custody,
    who: Who,
    request: ApproveOrderRequest,
) -> Result<Response<ApproveOrderResponse>, Status> {
    custody.chain.orders(who).approve_order(request).await
}

/// The approval of these octets as the terms of an order, by any key.
fn signed(key: &SoftwareKey, order: &str, terms: &[u8]) -> Bytes {
    let statement = Statement::order_approval(&OrderId::parse(order).unwrap(), &Sha256::of(terms));
    Bytes::from(key.sign(statement.to_be_signed()).unwrap())
}

#[tokio::test]
async fn an_approval_is_a_signature_of_the_operators_own_key_over_this_orders_terms() {
    let custody = Custody::proposed("signed-by", 10).await;
    let other = Custody::proposed("signed-by-2", 10).await.on_record().await;
    let (before, order) = (custody.picture().await, custody.on_record().await);
    let good = approval(custody.chain, Who::Alice, &order);
    let (alice, bob) = (approval_key(custody.chain, Who::Alice), approval_key(custody.chain, Who::Bob));
    let stranger = SoftwareKey::generate(KeyKind::P256).unwrap();
    let wrong = [
        Bytes::new(),
        Bytes::from_static(&[0; 64]),
        signed(&stranger, &order.order, &order.terms),
        signed(&bob, &order.order, &order.terms),
        signed(&alice, &other.order, &order.terms),
        signed(&alice, &order.order, &other.terms),
        // The brand's own signature over the terms is no operator's approval of them.
        Bytes::from(custody.chain.identity_key("company-x").sign(&order.terms).unwrap()),
    ];
    for signature in wrong {
        let request = ApproveOrderRequest { request_id: fresh_id(), signature, ..good.clone() };
        refused(approve(&custody, Who::Alice, request).await, Reason::OrderApprovalInvalid, Code::InvalidArgument);
        custody.unchanged(&before).await;
    }
    // What alice signed is nothing that bob can hand in.
    refused(approve(&custody, Who::Bob, good.clone()).await, Reason::OrderApprovalInvalid, Code::InvalidArgument);
    custody.unchanged(&before).await;
    approve(&custody, Who::Alice, good).await.unwrap();
}

#[tokio::test]
async fn an_approval_names_the_digest_of_the_terms_that_were_read() {
    let custody = Custody::proposed("digest-of", 10).await;
    let other = Custody::proposed("digest-of-2", 10).await.on_record().await;
    let (before, order) = (custody.picture().await, custody.on_record().await);
    let good = approval(custody.chain, Who::Alice, &order);
    for digest in [Bytes::new(), other.terms_digest.clone(), order.terms_digest.slice(..31)] {
        let request = ApproveOrderRequest { request_id: fresh_id(), terms_digest: digest, ..good.clone() };
        refused(approve(&custody, Who::Alice, request).await, Reason::TermsDigestMismatch, Code::FailedPrecondition);
        custody.unchanged(&before).await;
    }
    let unknown = ApproveOrderRequest { request_id: fresh_id(), order: "digest-of-3".to_owned(), ..good.clone() };
    refused(approve(&custody, Who::Alice, unknown).await, Reason::OrderUnknown, Code::NotFound);
    approve(&custody, Who::Alice, good).await.unwrap();
}

#[tokio::test]
async fn an_operator_who_is_no_approver_approves_nothing() {
    let custody = Custody::proposed("by-mallory", 10).await;
    let (before, order) = (custody.picture().await, custody.on_record().await);
    let brand = &custody.chain.world.brand;
    brand.enroll("mallory", "operator", Some("mallory")).unwrap();
    brand.enroll("nameless", "operator", None).unwrap();
    for file in ["mallory", "nameless"] {
        let mut orders = OrderServiceClient::new(custody.chain.channel_with(brand, file, At::RootCa));
        // Not even with a good signature of somebody who is.
        let answer = orders.approve_order(approval(custody.chain, Who::Alice, &order)).await;
        refused(answer, Reason::ApproverUnknown, Code::PermissionDenied);
        custody.unchanged(&before).await;
    }
}

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
