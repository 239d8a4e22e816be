//! Orders as they are proposed.

use api::order::v1::{Order, OrderDraft, OrderState, Route, SigningWindow};
use issuance::Stage;
use mfg::{Quantity, Terms, terms::UnlimitedLots};
use pki::Sha256;
use records::wire;
use store::Store as _;

use super::{Brand, draft, orders, reason};

fn terms(order: &Order) -> Terms {
    Terms::parse(&order.terms).unwrap()
}

#[test]
fn a_proposed_order_waits_for_approvals_and_opens_nothing() {
    let brand = Brand::new();
    let order = brand.create(1, &draft("po-1", 2)).unwrap();
    assert_eq!((order.state(), order.approvals_required), (OrderState::Proposed, 2));
    assert_eq!((&order.tally, &order.brand_signature, order.approvals.len()), (&None, &None, 0));
    assert_eq!(order.terms_digest, Sha256::of(&order.terms).as_bytes().as_slice());
    assert!(!brand.is_open("po-1"));
}

#[test]
fn the_terms_say_what_was_asked_for() {
    let brand = Brand::new();
    let terms = terms(&brand.create(1, &draft("po-1", 2)).unwrap());
    assert_eq!(terms.authorised(), Quantity::of(105).unwrap());
    let document = terms.document();
    assert_eq!(document.device_issuers.iter().map(|m| m.as_str()).collect::<Vec<_>>(), ["maker-2"]);
    assert_eq!((document.order_version, document.unlimited_lots), (1, UnlimitedLots::Refused));
    assert_eq!(document.signing_window.not_before.0, super::time("2026-06-01T00:00:00Z"));
    let parties: Vec<&str> = document.parties.iter().map(|party| party.name.as_str()).collect();
    assert_eq!(parties, ["Maker 1 Ltd.", "Maker 2 Ltd."]);
}

#[test]
fn a_repeated_proposal_answers_the_same_terms_at_any_later_time() {
    let brand = Brand::new();
    let first = brand.create(1, &draft("po-1", 2)).unwrap();
    let head = brand.store.head();
    brand.clock.advance(86_400);
    assert_eq!(brand.create(1, &draft("po-1", 2)).unwrap(), first);
    assert_eq!(brand.store.head(), head);
}

#[test]
fn other_content_is_a_named_conflict_and_changes_nothing() {
    let brand = Brand::new();
    let first = brand.create(1, &draft("po-1", 2)).unwrap();
    let head = brand.store.head();
    assert_eq!(reason(brand.create(1, &draft("po-2", 2))), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.create(1, &draft("po-1", 3))), "REQUEST_ID_REUSED");
    assert_eq!(reason(brand.create(2, &draft("po-1", 3))), "ORDER_EXISTS");
    // A registration's id is no order's.
    assert_eq!(reason(brand.create(100, &draft("po-2", 2))), "REQUEST_ID_REUSED");
    assert_eq!(brand.store.head(), head);
    assert_eq!(brand.orders.get("po-1").unwrap(), first);
}

#[test]
fn an_order_that_cannot_be_built_is_refused_by_name_when_it_is_proposed() {
    type Change = fn(&mut OrderDraft);
    let route = |from: &str, to: &str| Route { from: from.to_owned(), to: to.to_owned() };
    let brand = Brand::new();
    let head = brand.store.head();
    let cases: [(Change, &str); 16] = [
        (|d| d.order = "PO".to_owned(), "LABEL_INVALID"),
        (|d| d.order = String::new(), "LABEL_INVALID"),
        (|d| d.program = "other".to_owned(), "PROGRAM_UNKNOWN"),
        (|d| d.quantity = None, "REQUEST_MALFORMED"),
        (|d| d.quantity = Some(wire::quantity(Quantity::Unlimited)), "YIELD_ALLOWANCE_INVALID"),
        (|d| d.yield_allowance = u32::MAX, "QUANTITY_INVALID"),
        (|d| d.routes.clear(), "GRAPH_EMPTY"),
        (|d| d.routes.push(d.routes[0].clone()), "GRAPH_EDGE_REPEATED"),
        (|d| d.routes[0].to = "a.b".to_owned(), "LABEL_INVALID"),
        (|d| d.device_issuers = vec!["maker-1".to_owned()], "ROUTE_WITHOUT_DEVICE_ISSUER"),
        (|d| d.device_issuers = vec!["maker-5".to_owned()], "DEVICE_ISSUER_INVALID"),
        (|d| d.device_issuers = vec!["company-x".to_owned(), "maker-2".to_owned()], "DEVICE_ISSUER_INVALID"),
        (|d| d.signing_window = Some(SigningWindow::default()), "REQUEST_MALFORMED"),
        (|d| d.signing_window = Some(window(2_000_000_000, 1_900_000_000)), "PERIOD_NOT_ORDERED"),
        (|d| d.signing_window = Some(window(i64::MIN, i64::MAX)), "SIGNING_WINDOW_NOT_NESTED"),
        (|d| *d = draft(&d.order, 7), "CHAIN_TOO_DEEP"),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut asked = draft("po-1", 2);
        change(&mut asked);
        assert_eq!(reason(brand.create(1, &asked)), expected, "case {number}");
    }
    let mut circle = draft("po-1", 2);
    circle.routes.push(route("maker-2", "maker-1"));
    assert_eq!(reason(brand.create(1, &circle)), "GRAPH_CYCLE");
    let mut stranger = draft("po-1", 1);
    stranger.routes.push(route("maker-1", "maker-9"));
    assert_eq!(reason(brand.create(1, &stranger)), "MANUFACTURER_UNKNOWN");
    assert_eq!(brand.store.head(), head);
    brand.create(1, &draft("po-1", 6)).unwrap();
}

fn window(from: i64, until: i64) -> SigningWindow {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    SigningWindow { not_before: at(from), not_after: at(until) }
}

/// What only shows when certificates are made must be found before operators sign: an approved order that cannot be loaded would
/// keep the service from starting.
#[test]
fn terms_that_no_certificate_can_be_made_from_are_refused_before_anybody_approves() {
    let brand = Brand::new();
    let production = orders(&brand.store, &brand.clock, Stage::Production);
    let head = brand.store.head();
    let refused = production.create(&brand.act("alice", 1), &draft("po-1", 2));
    assert_eq!(reason(refused), "DOCUMENTATION_ARC");
    assert_eq!(brand.store.head(), head);
}

#[test]
fn orders_are_listed_in_the_order_of_their_ids_page_by_page() {
    let brand = Brand::new();
    for (request, id) in ["po-3", "po-1", "po-2"].into_iter().enumerate() {
        brand.create(u8::try_from(request).unwrap() + 1, &draft(id, 1)).unwrap();
    }
    let ids = |orders: &[Order]| orders.iter().map(|order| order.order.clone()).collect::<Vec<_>>();
    let (first, next) = brand.orders.list(None, 2).unwrap();
    assert_eq!((ids(&first), next.as_deref()), (vec!["po-1".to_owned(), "po-2".to_owned()], Some("po-2")));
    let (second, next) = brand.orders.list(Some("po-2"), 2).unwrap();
    assert_eq!((ids(&second), next), (vec!["po-3".to_owned()], None));
}

#[test]
fn an_order_that_nobody_proposed_is_unknown() {
    let brand = Brand::new();
    assert_eq!(reason(brand.orders.get("po-9")), "ORDER_UNKNOWN");
    assert_eq!(reason(brand.orders.get("smart widget")), "LABEL_INVALID");
}
