//! k of n operators sign the order's digest; the last one opens it.

use std::thread;

use api::{
    Refusal,
    order::v1::{Order, OrderState},
};
use bytes::Bytes;
use mfg::{Quantity, Remaining, SignedTerms};
use store::{Step, Store as _};

use super::{Brand, approval_of, draft, reason};

fn proposed() -> (Brand, Order) {
    let brand = Brand::new();
    let order = brand.create(1, &draft("po-1", 2)).unwrap();
    (brand, order)
}

fn names(order: &Order) -> Vec<&str> {
    order.approvals.iter().map(|approval| approval.operator.as_str()).collect()
}

#[test]
fn the_order_opens_with_the_last_approval_that_it_needs_and_for_all_that_was_authorised() {
    let (brand, order) = proposed();
    let one = brand.approve("bob", 2, &order).unwrap();
    assert_eq!((one.state(), names(&one), &one.tally), (OrderState::Proposed, vec!["bob"], &None));
    assert!(!brand.is_open("po-1"));

    let two = brand.approve("alice", 3, &order).unwrap();
    assert_eq!((two.state(), names(&two)), (OrderState::Approved, vec!["bob", "alice"]));
    assert!(brand.is_open("po-1"));
    let tally = brand.store.tally(&records::keys::lot("po-1")).unwrap().unwrap();
    assert_eq!((tally.received(), tally.remaining()), (Quantity::of(105).unwrap(), Remaining::Units(105)));
    // What travels with every handoff: the terms under the brand's own signature.
    let signed = SignedTerms::verify(&two.terms, &two.brand_signature.unwrap(), &brand.orders.own_bundle()).unwrap();
    assert_eq!(signed.terms().document().order.as_str(), "po-1");
}

#[test]
fn one_operator_is_one_approval_however_often() {
    let (brand, order) = proposed();
    let first = brand.approve("bob", 2, &order).unwrap();
    let head = brand.store.head();
    assert_eq!(brand.approve("bob", 2, &order).unwrap(), first);
    assert_eq!(brand.approve("bob", 3, &order).unwrap(), first);
    assert_eq!(brand.store.head(), head);
    assert!(!brand.is_open("po-1"));
}

#[test]
fn an_approval_counts_only_from_an_approver_with_its_key_over_these_terms() {
    let (brand, order) = proposed();
    let other = brand.create(9, &draft("po-2", 2)).unwrap();
    let good = approval_of("bob", &order);
    let head = brand.store.head();
    let approve = |operator: &str, request| brand.orders.approve(&brand.act(operator, 2), operator, &request);
    for stranger in ["", "mallory", "Bob", "bob "] {
        assert_eq!(reason(approve(stranger, good.clone())), "APPROVER_UNKNOWN", "{stranger:?}");
    }
    // Bob's signature under alice's name.
    assert_eq!(reason(approve("alice", good.clone())), "ORDER_APPROVAL_INVALID");
    let over_other = approval_of("bob", &other).signature;
    let mut forged = good.clone();
    for signature in [over_other, Bytes::new(), Bytes::from(vec![0; 100_000])] {
        forged.signature = signature;
        assert_eq!(reason(approve("bob", forged.clone())), "ORDER_APPROVAL_INVALID");
    }
    // What the operator saw is not what is on record.
    for digest in [other.terms_digest.clone(), Bytes::new(), order.terms_digest.slice(..31)] {
        let mut request = good.clone();
        request.terms_digest = digest;
        assert_eq!(reason(approve("bob", request)), "TERMS_DIGEST_MISMATCH");
    }
    let mut unknown = good.clone();
    unknown.order = "po-9".to_owned();
    assert_eq!(reason(approve("bob", unknown)), "ORDER_UNKNOWN");
    assert_eq!(brand.store.head(), head);
    // After all that the good one still counts, under the same request id.
    assert_eq!(names(&approve("bob", good).unwrap()), ["bob"]);
}

#[test]
fn an_approved_order_takes_no_more_approvals_and_answers_those_it_has() {
    let (brand, order) = proposed();
    brand.approve("bob", 2, &order).unwrap();
    let opened = brand.approve("alice", 3, &order).unwrap();
    let head = brand.store.head();
    assert_eq!(reason(brand.approve("carol", 4, &order)), "ORDER_ALREADY_APPROVED");
    assert_eq!(brand.approve("bob", 2, &order).unwrap(), opened);
    assert_eq!(brand.approve("alice", 5, &order).unwrap(), opened);
    assert_eq!(brand.store.head(), head);
}

#[test]
fn a_request_id_stands_for_one_approval() {
    let (brand, order) = proposed();
    let other = brand.create(9, &draft("po-2", 2)).unwrap();
    brand.approve("bob", 2, &order).unwrap();
    let head = brand.store.head();
    assert_eq!(reason(brand.approve("bob", 2, &other)), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.approve("alice", 2, &order)), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.approve("alice", 1, &order)), "REQUEST_ID_REUSED");
    assert_eq!(brand.store.head(), head);
}

/// Tries again as long as the refusal says that a repetition may succeed.
fn insist(attempt: impl Fn() -> Result<Order, Refusal>) -> Result<Order, Refusal> {
    loop {
        match attempt() {
            Err(refusal) if refusal.retry_delay().is_some() => thread::yield_now(),
            outcome => return outcome,
        }
    }
}

#[test]
fn operators_who_approve_at_once_open_the_order_once() {
    for _ in 0..8 {
        let (brand, order) = proposed();
        let outcomes: Vec<_> = thread::scope(|scope| {
            let attempts: Vec<_> = [("alice", 2), ("bob", 3), ("carol", 4)]
                .map(|(operator, request)| {
                    let (brand, order) = (&brand, &order);
                    scope.spawn(move || insist(|| brand.approve(operator, request, order)))
                })
                .into_iter()
                .collect();
            attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
        });
        // Two are enough; the third came too late.
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
        assert!(outcomes.iter().flat_map(|o| o.as_ref().err()).all(|r| r.reason() == "ORDER_ALREADY_APPROVED"));
        let now = brand.orders.get("po-1").unwrap();
        assert_eq!((now.state(), now.approvals.len()), (OrderState::Approved, 2));
        assert!(brand.is_open("po-1"));
    }
}

#[test]
fn one_request_that_comes_several_times_at_once_is_one_approval_and_no_conflict() {
    for _ in 0..8 {
        let (brand, order) = proposed();
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| assert_eq!(names(&insist(|| brand.approve("bob", 2, &order)).unwrap()), ["bob"]));
            }
        });
        assert_eq!(brand.orders.get("po-1").unwrap().approvals.len(), 1);
    }
}

#[test]
fn what_an_operator_was_told_survives_and_what_was_not_durable_can_be_repeated() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::BeforeSync, Step::Sync, Step::AfterSync] {
        let (mut brand, order) = proposed();
        brand.approve("bob", 2, &order).unwrap();
        brand.faults.fail_next(step);
        assert_eq!(reason(brand.approve("alice", 3, &order)), "STORE_STOPPED", "{step:?}");
        brand.start_again();
        let now = brand.orders.get("po-1").unwrap();
        assert!(names(&now).starts_with(&["bob"]), "{step:?}");
        // The order is open when the approval got through, and only then.
        assert_eq!(brand.is_open("po-1"), step == Step::AfterSync, "{step:?}");
        let opened = brand.approve("alice", 3, &order).unwrap();
        assert_eq!((opened.state(), names(&opened)), (OrderState::Approved, vec!["bob", "alice"]), "{step:?}");
        assert!(brand.is_open("po-1"));
    }
}

#[test]
fn an_open_order_is_open_after_the_next_start() {
    let (mut brand, order) = proposed();
    brand.create(9, &draft("po-2", 1)).unwrap();
    brand.approve("bob", 2, &order).unwrap();
    let opened = brand.approve("alice", 3, &order).unwrap();
    brand.start_again();
    assert!(brand.is_open("po-1") && !brand.is_open("po-2"));
    assert_eq!(brand.orders.get("po-1").unwrap(), opened);
}
