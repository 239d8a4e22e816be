//! A new version voids every approval; what was handed off keeps the terms of its own. Cancelling ends the rest.

use std::thread;

use api::{
    Refusal,
    order::v1::{AmendOrderRequest, Order, OrderDraft, OrderState},
};
use bytes::Bytes;
use mfg::{Quantity, Remaining, SignedTerms, Terms};
use records::wire;
use store::{Step, Store as _};

use super::{Brand, KEYS, amendment, approval_of, draft, reason, units};

/// An open order of 105 units along two manufacturers.
fn opened() -> (Brand, Order) {
    let brand = Brand::new();
    let order = brand.open(1, &draft("po-1", 2));
    (brand, order)
}

/// The draft with another quantity and no yield allowance.
fn of(count: u64) -> OrderDraft {
    OrderDraft { quantity: Some(wire::quantity(units(count))), yield_allowance: 0, ..draft("po-1", 2) }
}

fn remaining(brand: &Brand) -> Remaining {
    brand.store.tally(&records::keys::lot("po-1")).unwrap().unwrap().remaining()
}

#[test]
fn an_amendment_is_a_new_version_that_nobody_has_approved() {
    let (brand, first) = opened();
    let second = brand.amend(10, &of(50)).unwrap();
    assert_eq!((first.order_version, second.order_version), (1, 2));
    assert_eq!((second.state(), second.approvals.len(), &second.brand_signature), (OrderState::Proposed, 0, &None));
    let (before, after) = (Terms::parse(&first.terms).unwrap(), Terms::parse(&second.terms).unwrap());
    assert_eq!((after.document().order_version, after.authorised()), (2, units(50)));
    assert_ne!(before.digest(), after.digest());
    // The tally goes on as it was until the new version is approved.
    assert_eq!(remaining(&brand), Remaining::Units(105));
    assert_eq!(brand.orders.get("po-1").unwrap(), second);
}

#[test]
fn nothing_is_offered_until_the_new_version_is_approved_and_then_what_that_authorises() {
    let (brand, _) = opened();
    brand.hand_over(10, "po-1", 1, "a1", units(40));
    let second = brand.amend(20, &of(60)).unwrap();
    for approver in [None, Some("carol")] {
        approver.map(|name| brand.approve(name, 21, &second).unwrap());
        assert_eq!(reason(brand.offer(22, "po-1", 1, "a2", units(1))), "LOT_NOT_OPEN");
        assert_eq!(remaining(&brand), Remaining::Units(65));
    }
    let approved = brand.approve("alice", 23, &second).unwrap();
    assert_eq!(approved.state(), OrderState::Approved);
    assert_eq!(remaining(&brand), Remaining::Units(20));
    assert_eq!(reason(brand.offer(22, "po-1", 1, "a2", units(21))), "QUANTITY_SPENT");
    brand.offer(22, "po-1", 1, "a2", units(20)).unwrap();
}

#[test]
fn an_approval_of_another_version_is_worth_nothing() {
    let (brand, first) = opened();
    let second = brand.amend(10, &of(50)).unwrap();
    let head = brand.store.head();
    assert_eq!(reason(brand.approve("carol", 11, &first)), "TERMS_DIGEST_MISMATCH");
    // Not even when the digest of the new version stands beside it.
    let mut replayed = approval_of("carol", &first);
    replayed.terms_digest = second.terms_digest.clone();
    assert_eq!(reason(brand.orders.approve(&brand.act("carol", 11), "carol", &replayed)), "ORDER_APPROVAL_INVALID");
    assert_eq!(brand.store.head(), head);
    // The approval that was answered before is answered as before, with the order as it stands now.
    assert_eq!(brand.approve("alice", 2, &first).unwrap(), second);
    assert_eq!(reason(brand.approve("alice", 2, &second)), "TERMS_DIGEST_MISMATCH");
}

#[test]
fn lots_that_were_handed_off_keep_the_terms_of_their_version() {
    let (mut brand, first) = opened();
    brand.offer(10, "po-1", 1, "a1", units(40)).unwrap();
    let (accept, _) = brand.acceptance("a1", &KEYS.makers[0]);
    let act = |brand: &Brand| brand.act_of(1, "maker.example", 11);
    let answered = brand.orders.authority.accept(&act(&brand), &accept).unwrap();
    let second = brand.amend(20, &of(60)).unwrap();
    let unchanged = |brand: &Brand| {
        let again = brand.orders.authority.accept(&act(brand), &accept).unwrap();
        assert_eq!((&again.chain, again.terms.bytes()), (&answered.chain, first.terms.as_ref()));
        // The papers of the offer too.
        let papers = brand.orders.authority.offer_papers("maker-1", "a1").unwrap();
        assert_eq!(papers.terms.bytes(), first.terms.as_ref());
        // And the offer itself, repeated late.
        brand.offer(10, "po-1", 1, "a1", units(40)).unwrap();
    };
    unchanged(&brand);
    brand.start_again();
    unchanged(&brand);
    brand.approve("alice", 21, &second).unwrap();
    brand.approve("bob", 22, &second).unwrap();
    unchanged(&brand);
    brand.start_again();
    unchanged(&brand);
    // A lot of the new version has the new terms.
    let next = brand.hand_over(30, "po-1", 1, "a2", units(20));
    assert_eq!(next.terms.bytes(), second.terms.as_ref());
    brand.orders.cancel(&brand.act("alice", 40), "po-1").unwrap();
    unchanged(&brand);
    brand.start_again();
    unchanged(&brand);
}

#[test]
fn every_version_stays_readable() {
    let (brand, first) = opened();
    let second = brand.amend(10, &of(50)).unwrap();
    let third = brand.amend(11, &of(51)).unwrap();
    let read = |version| brand.orders.get_version("po-1", version).unwrap();
    assert_eq!(read(3), third);
    for (then, version) in [(&first, 1), (&second, 2)] {
        let now = read(version);
        assert_eq!(now.state(), OrderState::Superseded);
        assert_eq!((&now.terms, &now.approvals), (&then.terms, &then.approvals));
        assert_eq!((&now.brand_signature, now.order_version), (&then.brand_signature, version));
    }
    // What was approved can still be proven.
    let first = read(1);
    SignedTerms::verify(&first.terms, &first.brand_signature.unwrap(), &brand.orders.own_bundle()).unwrap();
    for unknown in [0, 4, u32::MAX] {
        assert_eq!(reason(brand.orders.get_version("po-1", unknown)), "ORDER_VERSION_UNKNOWN");
    }
    assert_eq!(reason(brand.orders.get_version("po-9", 1)), "ORDER_UNKNOWN");
}

#[test]
fn an_amendment_replaces_the_version_that_was_read() {
    let (brand, first) = opened();
    let second = brand.amend(10, &of(50)).unwrap();
    let head = brand.store.head();
    for stale in [first.terms_digest.clone(), Bytes::new(), second.terms_digest.slice(..31)] {
        let request = AmendOrderRequest { expected_terms_digest: stale, ..amendment(&second, &of(60)) };
        assert_eq!(reason(brand.orders.amend(&brand.act("bob", 11), &request)), "TERMS_DIGEST_MISMATCH");
    }
    assert_eq!(brand.store.head(), head);
    assert_eq!(brand.orders.get("po-1").unwrap(), second);
}

#[test]
fn open_offers_stand_against_an_amendment_and_a_cancellation_until_they_end() {
    for quantity in [units(10), Quantity::Unlimited] {
        let brand = Brand::new();
        let asked = OrderDraft { quantity: Some(wire::quantity(quantity)), yield_allowance: 0, ..draft("po-1", 2) };
        brand.open(1, &asked);
        brand.open(4, &draft("po-2", 2));
        brand.offer(10, "po-1", 1, "a1", quantity).unwrap();
        let head = brand.store.head();
        assert_eq!(reason(brand.amend(11, &asked)), "ORDER_HAS_OPEN_OFFERS");
        assert_eq!(reason(brand.orders.cancel(&brand.act("alice", 12), "po-1")), "ORDER_HAS_OPEN_OFFERS");
        assert_eq!(brand.store.head(), head);
        // Those of another order do not.
        brand.amend(13, &draft("po-2", 1)).unwrap();
        // One that ran out of time does not either: it is withdrawn on the way.
        brand.clock.advance(3601);
        brand.amend(11, &asked).unwrap();
        brand.orders.cancel(&brand.act("alice", 12), "po-1").unwrap();
    }
}

#[test]
fn an_order_authorises_at_least_what_is_handed_over() {
    let (brand, _) = opened();
    brand.hand_over(10, "po-1", 1, "a1", units(40));
    let head = brand.store.head();
    assert_eq!(reason(brand.amend(20, &of(39))), "ORDER_BELOW_HANDED_OVER");
    assert_eq!(brand.store.head(), head);
    let exact = brand.amend(20, &of(40)).unwrap();
    brand.approve("alice", 21, &exact).unwrap();
    brand.approve("bob", 22, &exact).unwrap();
    assert_eq!(remaining(&brand), Remaining::Units(0));
    assert_eq!(reason(brand.offer(23, "po-1", 1, "a2", units(1))), "QUANTITY_SPENT");
}

#[test]
fn no_count_covers_an_unlimited_lot_that_is_handed_over() {
    let brand = Brand::new();
    let unlimited =
        OrderDraft { quantity: Some(wire::quantity(Quantity::Unlimited)), yield_allowance: 0, ..draft("po-1", 2) };
    brand.open(1, &unlimited);
    brand.hand_over(10, "po-1", 1, "a1", Quantity::Unlimited);
    assert_eq!(reason(brand.amend(20, &of(u64::from(u32::MAX >> 1)))), "ORDER_BELOW_HANDED_OVER");
    brand.amend(20, &unlimited).unwrap();
}

#[test]
fn an_amendment_is_checked_like_a_proposal_and_keeps_order_and_program() {
    let (brand, order) = opened();
    brand.register(150, super::program("other-widget")).unwrap();
    let head = brand.store.head();
    type Change = fn(&mut AmendOrderRequest);
    let cases: [(Change, &str); 10] = [
        (|r| r.order = "po-9".to_owned(), "ORDER_UNKNOWN"),
        (|r| r.order = "PO".to_owned(), "LABEL_INVALID"),
        (|r| r.draft = None, "REQUEST_MALFORMED"),
        (|r| r.draft.as_mut().unwrap().order = "po-2".to_owned(), "ORDER_PROGRAM_FIXED"),
        (|r| r.draft.as_mut().unwrap().order = String::new(), "ORDER_PROGRAM_FIXED"),
        (|r| r.draft.as_mut().unwrap().program = "other-widget".to_owned(), "ORDER_PROGRAM_FIXED"),
        (|r| r.draft.as_mut().unwrap().routes.clear(), "GRAPH_EMPTY"),
        (|r| r.draft.as_mut().unwrap().routes = draft("po-1", 7).routes, "CHAIN_TOO_DEEP"),
        (|r| r.draft.as_mut().unwrap().quantity = None, "REQUEST_MALFORMED"),
        (|r| r.draft.as_mut().unwrap().yield_allowance = u32::MAX, "QUANTITY_INVALID"),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut request = amendment(&order, &of(50));
        change(&mut request);
        assert_eq!(reason(brand.orders.amend(&brand.act("alice", 10), &request)), expected, "case {number}");
    }
    assert_eq!(brand.store.head(), head);
    assert_eq!(brand.orders.get("po-1").unwrap(), order);
    // Order, routes and issuers may all change.
    brand.amend(10, &draft("po-1", 6)).unwrap();
}

#[test]
fn the_longest_name_of_the_new_route_must_fit() {
    let brand = Brand::empty();
    let roomy = api::program::v1::Program {
        base_name: format!("{}.{}.{}.example", "a".repeat(60), "b".repeat(60), "c".repeat(50)),
        ..super::program("smart-widget")
    };
    brand.register(100, roomy).unwrap();
    (1..=3).for_each(|number| drop(brand.register(100 + number, super::maker(number)).unwrap()));
    brand.create(1, &draft("po-1", 2)).unwrap();
    assert_eq!(reason(brand.amend(2, &draft("po-1", 3))), "DNS_NAME_TOO_LONG");
}

#[test]
fn a_repeated_amendment_is_one_version_and_other_content_is_a_named_conflict() {
    let (brand, first) = opened();
    let request = amendment(&first, &of(50));
    let amend = |id, request: &AmendOrderRequest| brand.orders.amend(&brand.act("alice", id), request);
    let second = amend(10, &request).unwrap();
    let head = brand.store.head();
    brand.clock.advance(86_400);
    assert_eq!(amend(10, &request).unwrap(), second);
    assert_eq!(reason(amend(10, &amendment(&first, &of(51)))), "REQUEST_ID_REUSED");
    assert_eq!(reason(amend(10, &amendment(&second, &of(50)))), "REQUEST_ID_REUSED");
    // The ids of the proposal, of an approval, of a registration.
    for id in [1, 2, 100] {
        assert_eq!(reason(amend(id, &amendment(&second, &of(51)))), "REQUEST_ID_REUSED");
    }
    assert_eq!(reason(brand.create(10, &of(50))), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.approve("alice", 10, &second)), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.orders.cancel(&brand.act("alice", 10), "po-1")), "REQUEST_ID_REUSED");
    assert_eq!(brand.store.head(), head);
    // The proposal is answered with the order as it stands now; as another intention it is another order.
    assert_eq!(brand.create(1, &draft("po-1", 2)).unwrap(), second);
    assert_eq!(reason(brand.create(30, &draft("po-1", 2))), "ORDER_EXISTS");
}

#[test]
fn a_cancelled_order_offers_nothing_more_and_is_neither_approved_nor_amended_nor_cancelled_again() {
    let (mut brand, first) = opened();
    let proposed = brand.create(20, &draft("po-2", 2)).unwrap();
    brand.hand_over(10, "po-1", 1, "a1", units(40));
    let act = |brand: &Brand, id| brand.act("alice", id);
    let cancelled = brand.orders.cancel(&act(&brand, 30), "po-1").unwrap();
    assert_eq!(cancelled.state(), OrderState::Cancelled);
    let tally = cancelled.tally.as_ref().unwrap();
    assert_eq!((tally.handed_over, tally.remaining, tally.closed), (40, Some(0), true));
    // One that nobody approved is just cancelled.
    let never_open = brand.orders.cancel(&act(&brand, 31), "po-2").unwrap();
    assert_eq!((never_open.state(), &never_open.tally), (OrderState::Cancelled, &None));
    let refused = |brand: &Brand| {
        let head = brand.store.head();
        for (id, order) in [("po-1", &first), ("po-2", &proposed)] {
            assert_eq!(reason(brand.offer(32, id, 1, "a2", units(1))), "ORDER_CANCELLED");
            assert_eq!(reason(brand.approve("carol", 33, order)), "ORDER_CANCELLED");
            assert_eq!(reason(brand.amend(34, &draft(id, 2))), "ORDER_CANCELLED");
            assert_eq!(reason(brand.orders.cancel(&act(brand, 35), id)), "ORDER_CANCELLED");
        }
        assert_eq!(brand.store.head(), head);
    };
    refused(&brand);
    brand.start_again();
    assert!(brand.orders.authority.lots.get("po-1").is_err());
    refused(&brand);
    assert_eq!(brand.orders.get("po-1").unwrap(), cancelled);
    // Repetitions are answered.
    assert_eq!(brand.orders.cancel(&act(&brand, 30), "po-1").unwrap(), cancelled);
    assert_eq!(brand.create(1, &draft("po-1", 2)).unwrap(), cancelled);
    assert_eq!(brand.approve("alice", 2, &first).unwrap(), cancelled);
    assert_eq!(reason(brand.orders.cancel(&act(&brand, 30), "po-2")), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.orders.cancel(&act(&brand, 36), "po-9")), "ORDER_UNKNOWN");
    assert_eq!(brand.orders.get_version("po-1", 1).unwrap(), cancelled);
}

/// Tries again as long as the refusal says that a repetition may succeed.
fn insist<T>(attempt: impl Fn() -> Result<T, Refusal>) -> Result<T, Refusal> {
    loop {
        match attempt() {
            Err(refusal) if refusal.retry_delay().is_some() => thread::yield_now(),
            outcome => return outcome,
        }
    }
}

#[test]
fn an_offer_and_an_amendment_at_once_are_one_after_the_other() {
    for round in 0..12 {
        let quantity = if round % 2 == 0 { units(10) } else { Quantity::Unlimited };
        let brand = Brand::new();
        let asked = OrderDraft { quantity: Some(wire::quantity(quantity)), yield_allowance: 0, ..draft("po-1", 2) };
        brand.open(1, &asked);
        let (offered, ended) = thread::scope(|scope| {
            let offer = scope.spawn(|| insist(|| brand.offer(10, "po-1", 1, "a1", quantity)));
            let change = scope.spawn(|| {
                if round % 3 == 0 {
                    insist(|| brand.orders.cancel(&brand.act("bob", 11), "po-1"))
                } else {
                    insist(|| brand.amend(11, &asked))
                }
            });
            (offer.join().unwrap(), change.join().unwrap())
        });
        let now = brand.orders.get("po-1").unwrap().state();
        match (offered.map_err(|r| r.reason()), ended.map_err(|r| r.reason())) {
            (Ok(_), Err("ORDER_HAS_OPEN_OFFERS")) => assert_eq!(now, OrderState::Approved),
            (Err("LOT_NOT_OPEN"), Ok(_)) => assert_eq!(now, OrderState::Proposed),
            (Err("ORDER_CANCELLED"), Ok(_)) => assert_eq!(now, OrderState::Cancelled),
            both => panic!("{both:?}"),
        }
    }
}

#[test]
fn two_amendments_of_one_version_at_once_are_one_amendment() {
    for _ in 0..8 {
        let (brand, first) = opened();
        let outcomes: Vec<_> = thread::scope(|scope| {
            let amend = |id: u8| {
                let (brand, request) = (&brand, amendment(&first, &of(u64::from(id))));
                scope.spawn(move || insist(|| brand.orders.amend(&brand.act("alice", id), &request)))
            };
            [amend(50), amend(51)].map(|attempt| attempt.join().unwrap()).into()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.iter().flat_map(|o| o.as_ref().err()).all(|r| r.reason() == "TERMS_DIGEST_MISMATCH"));
        assert_eq!(brand.orders.get("po-1").unwrap().order_version, 2);
    }
}

#[test]
fn a_change_that_was_not_durable_can_be_repeated_and_one_that_was_survives() {
    for step in [Step::BeforeAppend, Step::TornAppend, Step::Sync, Step::AfterSync] {
        let (mut brand, first) = opened();
        let request = amendment(&first, &of(50));
        brand.faults.fail_next(step);
        assert_eq!(reason(brand.orders.amend(&brand.act("alice", 10), &request)), "STORE_STOPPED", "{step:?}");
        brand.start_again();
        let durable = brand.orders.get("po-1").unwrap().state() == OrderState::Proposed;
        assert_eq!(durable, step == Step::AfterSync, "{step:?}");
        assert_eq!(brand.offer(11, "po-1", 1, "a1", units(1)).is_ok(), !durable, "{step:?}");
        if !durable {
            assert_eq!(reason(brand.orders.amend(&brand.act("alice", 10), &request)), "ORDER_HAS_OPEN_OFFERS");
            continue;
        }
        let second = brand.orders.amend(&brand.act("alice", 10), &request).unwrap();
        assert_eq!(second.order_version, 2, "{step:?}");
        brand.approve("alice", 12, &second).unwrap();
        brand.faults.fail_next(step);
        assert_eq!(reason(brand.approve("bob", 13, &second)), "STORE_STOPPED");
        brand.start_again();
        // The tally says anew what it covers with the approval, or not at all.
        assert_eq!(remaining(&brand), Remaining::Units(50));
        assert!(brand.is_open("po-1"));
    }
}
