//! What an issuer refuses to draft, each by its name, before its key is touched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::sync::Arc;

use issuance::profile::HandoffProfileDocument;
use issuance::{
    DeviceRequest, HandoffRequest, IssueRefusal, KeyKind, KeyPolicy, OrderCaRequest, OrderProfiles, SigningKey,
    SoftwareKey, Stage, SubjectKey,
};
use mfg::terms::{DeviceKeyAlgorithm, HandoffKeyAlgorithm, Period};
use mfg::{Generation, Hop, LotId, OrderId, ProgramId, Quantity};
use pki::{DnsName, UnixTime};
use world::*;

fn reason<T: std::fmt::Debug>(result: Result<T, IssueRefusal>) -> &'static str {
    result.unwrap_err().reason()
}

fn narrowed(world: &World, change: impl FnOnce(&mut HandoffProfileDocument)) -> OrderProfiles {
    let mut document = HandoffProfileDocument::of_terms(&world.terms);
    change(&mut document);
    world.order.with_handoff(document.check(Stage::Development).unwrap())
}

fn handoff_under(
    world: &World,
    issuer: &TestIssuer,
    hop: usize,
    order: &OrderProfiles,
    now: UnixTime,
) -> Result<(), IssueRefusal> {
    let key = new_key();
    let handoff = world.accept(world.consignment(hop), &key);
    let subject = world.lot_key(&key, hop);
    let request = HandoffRequest { key: &subject, handoff: &handoff, serial: serial(), now };
    issuer.draft_handoff(order, request).map(|_| ())
}

#[test]
fn path_length_spent() {
    // The order CA has room for fewer hops than the route needs.
    let world = World::new(3);
    let root = world.root_issuer();
    let key = new_key();
    let subject = SubjectKey::held(key.as_ref(), &KeyPolicy::ca(HandoffKeyAlgorithm::P256)).unwrap();
    let mut document = order_ca_document();
    document.path_length = 2;
    let profile = document.check(Stage::Development).unwrap();
    let request = OrderCaRequest { key: &subject, profile: &profile, serial: serial(), now: now() };
    let certificate = finish(&root, root.draft_order_ca(request).unwrap());
    let order_ca = world.load(below(&root, certificate), &key);
    assert_eq!(reason(world.draft_handoff(&order_ca, 1, |_| {})), "PATH_LENGTH_SPENT");
}

#[test]
fn chain_too_deep() {
    // Six hops fit below a root, not below an order CA.
    let world = World::new(6);
    assert_eq!(reason(world.draft_handoff(&world.order_ca().issuer, 1, |_| {})), "CHAIN_TOO_DEEP");
    assert!(world.draft_handoff(&world.root_issuer(), 1, |_| {}).is_ok());
}

#[test]
fn off_route_below_the_last_hop() {
    let world = World::new(1);
    let last = world.route(world.root_issuer());
    let refused = world.draft_handoff(&last, 1, |offer| {
        (offer.from, offer.to) = (maker(1), maker(1));
        offer.hop = Hop::of(2).unwrap();
        offer.quantity = Quantity::of(1).unwrap();
    });
    assert_eq!(reason(refused), "OFF_ROUTE");
}

#[test]
fn subtree_not_nested() {
    // The same order CA, and an order of a program with another base name.
    let ours = World::new(1);
    let theirs = World::with(1, |terms| terms.program.base_name = DnsName::parse("gadget.company-x.example").unwrap());
    assert_eq!(reason(theirs.draft_handoff(&ours.order_ca().issuer, 1, |_| {})), "SUBTREE_NOT_NESTED");
}

#[test]
fn validity_not_nested() {
    let world = World::new(2);
    let first = world.hand_over(&world.root_issuer(), 1).issuer;
    let order =
        narrowed(&world, |document| document.validity.not_before = period("2025-06-01T00:00:00Z", "never").not_before);
    assert_eq!(reason(handoff_under(&world, &first, 2, &order, now())), "VALIDITY_NOT_NESTED");
}

#[test]
fn devices_outlive_ca() {
    let world = World::new(1);
    let order = narrowed(&world, |document| document.validity = period("2026-01-01T00:00:00Z", "2030-01-01T00:00:00Z"));
    assert_eq!(reason(handoff_under(&world, &world.root_issuer(), 1, &order, now())), "DEVICES_OUTLIVE_CA");
}

#[test]
fn signing_window_not_nested() {
    let world = World::new(2);
    let first = world.hand_over(&world.root_issuer(), 1).issuer;
    let wider: Period = period("2026-01-01T00:00:00Z", "2028-01-01T00:00:01Z");
    let order = narrowed(&world, |document| document.signing_window = wider);
    assert_eq!(reason(handoff_under(&world, &first, 2, &order, now())), "SIGNING_WINDOW_NOT_NESTED");
    let narrower: Period = period("2026-03-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let order = narrowed(&world, |document| document.signing_window = narrower);
    assert!(handoff_under(&world, &first, 2, &order, now()).is_ok());
}

#[test]
fn signing_window_closed() {
    let world = World::new(1);
    let last = world.route(world.root_issuer());
    let (first, end) = (time("2026-01-01T00:00:00Z"), time("2028-01-01T00:00:00Z"));
    for inside in [first, end] {
        assert!(world.draft_device(&last, "sn1", inside).is_ok());
    }
    assert_eq!(reason(world.draft_device(&last, "sn1", end.checked_add(1).unwrap())), "SIGNING_WINDOW_CLOSED");
    assert_eq!(
        reason(handoff_under(&world, &last, 1, &world.order, end.checked_add(1).unwrap())),
        "SIGNING_WINDOW_CLOSED"
    );
}

#[test]
fn issuer_expired() {
    let world = World::new(1);
    let early = time("2024-01-01T00:00:00Z");
    assert_eq!(reason(handoff_under(&world, &world.root_issuer(), 1, &world.order, early)), "ISSUER_EXPIRED");
}

#[test]
fn order_mismatch() {
    let world = World::new(1);
    let root = world.root_issuer();
    let changes: [fn(&mut mfg::Consignment); 3] = [
        |offer| offer.terms_digest = pki::Sha256::of(b"other terms"),
        |offer| offer.order = OrderId::parse("po-2").unwrap(),
        |offer| offer.program = ProgramId::parse("gadget").unwrap(),
    ];
    for change in changes {
        assert_eq!(reason(world.draft_handoff(&root, 1, change)), "ORDER_MISMATCH");
    }
    // A lot of one order issues no devices under the terms of another.
    let other = World::with(1, |terms| terms.order = OrderId::parse("po-2").unwrap());
    assert_eq!(reason(other.draft_device(&world.route(world.root_issuer()), "sn1", now())), "ORDER_MISMATCH");
}

#[test]
fn sender_mismatch() {
    let world = World::new(2);
    assert_eq!(reason(world.draft_handoff(&world.root_issuer(), 1, |offer| offer.from = maker(2))), "SENDER_MISMATCH");
    let first = world.hand_over(&world.root_issuer(), 1).issuer;
    assert_eq!(reason(world.draft_handoff(&first, 2, |offer| offer.from = brand())), "SENDER_MISMATCH");
}

#[test]
fn hop_mismatch() {
    let world = World::new(2);
    let first = world.hand_over(&world.root_issuer(), 1).issuer;
    assert_eq!(reason(world.draft_handoff(&first, 2, |offer| offer.hop = Hop::of(1).unwrap())), "HOP_MISMATCH");
}

#[test]
fn quantity_not_nested() {
    let world = World::new(2);
    let first = world.hand_over(&world.root_issuer(), 1).issuer;
    for quantity in [Quantity::of(991).unwrap(), Quantity::Unlimited] {
        assert_eq!(reason(world.draft_handoff(&first, 2, |offer| offer.quantity = quantity)), "QUANTITY_NOT_NESTED");
    }
    assert!(world.draft_handoff(&first, 2, |offer| offer.quantity = Quantity::of(990).unwrap()).is_ok());
}

#[test]
fn a_sender_cannot_invent_a_hop() {
    let world = World::new(1);
    let root = world.root_issuer();
    let (key, forger) = (new_key(), new_key());
    let mut handoff = world.accept(world.consignment(1), &key);
    let subject = world.lot_key(&key, 1);
    let draft = |handoff: &mfg::Handoff| {
        let request = HandoffRequest { key: &subject, handoff, serial: serial(), now: now() };
        root.draft_handoff(&world.order, request)
    };
    // Accepted for another lot key.
    let other = world.accept(world.consignment(1), &forger);
    assert_eq!(reason(draft(&other)), "ACCEPTANCE_INVALID");
    // Signed by a key that is nobody's.
    handoff.acceptance.identity_key_digest = forger.public_key().sha256();
    assert_eq!(reason(draft(&handoff)), "ACCEPTANCE_KEY_UNKNOWN");
}

#[test]
fn what_the_terms_refuse() {
    let world = World::new(2);
    let root = world.root_issuer();
    let long = |offer: &mut mfg::Consignment| offer.lot = LotId::parse("lot-number-one").unwrap();
    assert_eq!(reason(world.draft_handoff(&root, 1, long)), "LOT_ID_TOO_LONG");
    let unlimited = |offer: &mut mfg::Consignment| offer.quantity = Quantity::Unlimited;
    assert_eq!(reason(world.draft_handoff(&root, 1, unlimited)), "UNLIMITED_NOT_ALLOWED");
    let first = world.hand_over(&root, 1).issuer;
    assert_eq!(reason(world.draft_device(&first, "sn1", now())), "DEVICE_ISSUER_NOT_ALLOWED");
    let last = world.hand_over(&first, 2).issuer;
    assert_eq!(reason(world.draft_device(&last, "a-device-id-of-25-letters", now())), "DEVICE_ID_TOO_LONG");
}

#[test]
fn csr_key_not_allowed() {
    let world = World::with(1, |terms| terms.device_keys = vec![DeviceKeyAlgorithm::Ed25519]);
    let last = world.route(world.root_issuer());
    // Through the gate under a laxer policy, and stopped here.
    let key = SubjectKey::held(new_key().as_ref(), &KeyPolicy::of(&[DeviceKeyAlgorithm::P256])).unwrap();
    let request = DeviceRequest {
        key: &key,
        device: &device("sn1"),
        generation: Generation::FIRST,
        serial: serial(),
        now: now(),
    };
    assert_eq!(reason(last.draft_device(&world.order, request)), "CSR_KEY_NOT_ALLOWED");
    let lot_key = SoftwareKey::generate(KeyKind::Ed25519).unwrap();
    let handoff = world.accept(world.consignment(1), &lot_key);
    let subject = SubjectKey::held(&lot_key, &KeyPolicy::ca(HandoffKeyAlgorithm::Ed25519)).unwrap();
    let request = HandoffRequest { key: &subject, handoff: &handoff, serial: serial(), now: now() };
    assert_eq!(reason(world.root_issuer().draft_handoff(&world.order, request)), "CSR_KEY_NOT_ALLOWED");
}

#[test]
fn no_devices_here() {
    let world = World::new(1);
    assert_eq!(reason(world.draft_device(&world.root_issuer(), "sn1", now())), "NO_DEVICES_HERE");
    assert_eq!(reason(world.draft_device(&world.order_ca().issuer, "sn1", now())), "NO_DEVICES_HERE");
}

#[test]
fn no_order_ca_here() {
    let world = World::new(1);
    let key = SubjectKey::held(new_key().as_ref(), &KeyPolicy::ca(HandoffKeyAlgorithm::P256)).unwrap();
    let profile = order_ca_document().check(Stage::Development).unwrap();
    let request = OrderCaRequest { key: &key, profile: &profile, serial: serial(), now: now() };
    assert_eq!(reason(world.order_ca().issuer.draft_order_ca(request)), "NO_ORDER_CA_HERE");
}

#[test]
fn an_order_ca_nests_too() {
    let world = World::new(1);
    let root = world.root_issuer();
    let key = SubjectKey::held(new_key().as_ref(), &KeyPolicy::ca(HandoffKeyAlgorithm::P256)).unwrap();
    let mut document = order_ca_document();
    document.validity = period("2024-01-01T00:00:00Z", "never");
    let profile = document.check(Stage::Development).unwrap();
    let request = OrderCaRequest { key: &key, profile: &profile, serial: serial(), now: now() };
    assert_eq!(reason(root.draft_order_ca(request)), "VALIDITY_NOT_NESTED");
}

#[test]
fn a_rework_has_its_generation_and_a_new_serial() {
    let world = World::new(1);
    let last = world.route(world.root_issuer());
    let id = device("sn1");
    let key: Arc<SoftwareKey> = new_key();
    let subject = world.device_key(&key, &id);
    let draft = |generation| {
        let request = DeviceRequest { key: &subject, device: &id, generation, serial: serial(), now: now() };
        finish(&last, last.draft_device(&world.order, request).unwrap())
    };
    let (first, second) = (draft(Generation::FIRST), draft(Generation::of(300).unwrap()));
    assert_ne!(first.serial(), second.serial());
    let oid = mfg::OidArc::documentation().generation();
    assert_eq!(second.extension(&oid).unwrap().value, [2, 2, 1, 0x2c]);
}
