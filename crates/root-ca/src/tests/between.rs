//! What happens between a decision and its record: whoever records second finds that what it relied on is no longer so.

use std::sync::Arc;

use api::order::v1::OrderDraft;
use issuance::Stage;
use mfg::Quantity;
use records::wire;

use super::{Brand, draft, manufacturers::suspend, orders, reason, units};

/// The brand, which is interrupted before its next commit by what the closure does with it as another process would.
fn interrupted(brand: Brand, by: impl FnOnce(&Brand) + Send + 'static) -> Brand {
    let orders = orders(&brand.store, &brand.clock, Stage::Development);
    crate::orders::note_all(&orders).unwrap();
    let second = Brand {
        store: Arc::clone(&brand.store),
        clock: Arc::clone(&brand.clock),
        faults: brand.faults.clone(),
        orders,
    };
    second.store.before_commit(move || by(&brand));
    second
}

/// An open order of this quantity.
fn opened(quantity: Quantity) -> (Brand, OrderDraft) {
    let brand = Brand::new();
    let asked = OrderDraft { quantity: Some(wire::quantity(quantity)), yield_allowance: 0, ..draft("po-1", 2) };
    brand.open(1, &asked);
    (brand, asked)
}

#[test]
fn an_offer_relies_on_the_order_as_it_was_read() {
    for quantity in [units(10), Quantity::Unlimited] {
        let (brand, asked) = opened(quantity);
        let brand = interrupted(brand, move |first| drop(first.amend(20, &asked).unwrap()));
        assert_eq!(reason(brand.offer(10, "po-1", 1, "a1", quantity)), "IN_PROGRESS");
        assert_eq!(reason(brand.offer(10, "po-1", 1, "a1", quantity)), "LOT_NOT_OPEN");

        let (brand, _) = opened(quantity);
        let cancel = |first: &Brand| drop(first.orders.cancel(&first.act("bob", 20), "po-1").unwrap());
        let brand = interrupted(brand, cancel);
        assert!(brand.offer(10, "po-1", 1, "a1", quantity).is_err());
        assert_eq!(reason(brand.offer(10, "po-1", 1, "a1", quantity)), "ORDER_CANCELLED");
    }
}

#[test]
fn an_offer_and_an_acceptance_rely_on_the_receiver_as_it_was_read() {
    let (brand, _) = opened(units(10));
    let brand = interrupted(brand, |first| drop(suspend(first, 20, 1).unwrap()));
    assert_eq!(reason(brand.offer(10, "po-1", 1, "a1", units(1))), "IN_PROGRESS");
    assert_eq!(reason(brand.offer(10, "po-1", 1, "a1", units(1))), "MANUFACTURER_SUSPENDED");

    let (brand, _) = opened(units(10));
    brand.offer(10, "po-1", 1, "a1", units(1)).unwrap();
    let (accept, _) = brand.acceptance("a1", &super::KEYS.makers[0]);
    let brand = interrupted(brand, |first| drop(suspend(first, 20, 1).unwrap()));
    let accepted = || brand.orders.authority.accept(&brand.act_of(1, "maker.example", 11), &accept);
    assert_eq!(reason(accepted()), "IN_PROGRESS");
    assert_eq!(reason(accepted()), "MANUFACTURER_SUSPENDED");
}

#[test]
fn an_amendment_and_a_cancellation_rely_on_the_offers_as_they_were_read() {
    for quantity in [units(10), Quantity::Unlimited] {
        let offer = move |first: &Brand| drop(first.offer(20, "po-1", 1, "a1", quantity).unwrap());
        let (brand, asked) = opened(quantity);
        let brand = interrupted(brand, offer);
        assert_eq!(reason(brand.amend(10, &asked)), "IN_PROGRESS");
        assert_eq!(reason(brand.amend(10, &asked)), "ORDER_HAS_OPEN_OFFERS");

        let (brand, _) = opened(quantity);
        let brand = interrupted(brand, offer);
        assert!(brand.orders.cancel(&brand.act("alice", 10), "po-1").is_err());
        let again = brand.orders.cancel(&brand.act("alice", 10), "po-1");
        assert_eq!(reason(again), "ORDER_HAS_OPEN_OFFERS");
    }
}

#[test]
fn an_approval_relies_on_the_version_that_was_read() {
    let brand = Brand::new();
    let order = brand.create(1, &draft("po-1", 2)).unwrap();
    brand.approve("alice", 2, &order).unwrap();
    let brand = interrupted(brand, |first| drop(first.amend(20, &draft("po-1", 3)).unwrap()));
    assert_eq!(reason(brand.approve("bob", 3, &order)), "IN_PROGRESS");
    assert_eq!(reason(brand.approve("bob", 3, &order)), "TERMS_DIGEST_MISMATCH");
    assert!(!brand.is_open("po-1"));
}
