//! The root is offline, and an order CA signs in its place: it counts as an intermediate, and serves one program.

use std::sync::Arc;

use issuance::{
    AskedFor, DeviceRequest, Issuer, KeyPolicy, LoadOptions, OrderCaRequest, OrderProfiles, SelfCheck, SigningKey,
    SoftwareKey, Stage, SubjectKey, gate, make_csr, profile::OrderCaProfileDocument,
};
use mfg::{
    DeviceId, Generation, Journey, OidArc, OrderCa,
    terms::{HandoffKeyAlgorithm, NameConstraintsProfile},
};
use pki::{
    Certificate,
    path::{PathOptions, Purpose, verify_path},
};

use super::{Brand, KEYS, Unrecorded, draft, key, period, program, reason, serials, time, units};
use crate::{orders::DeviceRoot, rpc};

/// An order CA for a base name, with so many handoffs below.
pub(super) fn order_ca(base_name: &str, path_length: u8) -> (Certificate, Arc<SoftwareKey>) {
    let key = Arc::new(key());
    let document = OrderCaProfileDocument {
        organization: "Company X".to_owned(),
        common_name: "Company X Order CA".to_owned(),
        base_name: base_name.to_owned(),
        path_length,
        validity: period("2025-06-01T00:00:00Z"),
        signing_window: period("2025-06-01T00:00:00Z"),
        name_constraints: NameConstraintsProfile::Critical,
        oid_arc: OidArc::documentation(),
    };
    let profile = document.check(Stage::Development).unwrap();
    let root = Arc::clone(&KEYS.root) as Arc<dyn SigningKey>;
    let issuer = Issuer::<Unrecorded>::load(vec![KEYS.anchor.clone()], root, &options()).unwrap();
    let subject = SubjectKey::held(key.as_ref(), &KeyPolicy::ca(HandoffKeyAlgorithm::P256)).unwrap();
    let request = OrderCaRequest {
        key: &subject,
        profile: &profile,
        serial: serials(7).next_serial().unwrap(),
        now: options().now,
    };
    let draft = issuer.draft_order_ca(request).unwrap();
    let receipt = Unrecorded(draft.tbs_digest());
    let signed = issuer.sign(draft.recorded(receipt).unwrap(), SelfCheck::Verify).unwrap();
    (signed.into_certificate().unwrap(), key)
}

fn options() -> LoadOptions {
    LoadOptions { stage: Stage::Development, oid_arc: OidArc::documentation(), now: time("2026-06-01T00:00:00Z") }
}

/// The brand with its root offline.
fn brand(base_name: &str, path_length: u8) -> Brand {
    Brand::new().under(root(base_name, path_length))
}

fn root(base_name: &str, path_length: u8) -> DeviceRoot {
    let (certificate, key) = order_ca(base_name, path_length);
    DeviceRoot {
        anchor: KEYS.anchor.clone(),
        chain: vec![certificate],
        stage: Stage::Development,
        order_ca: OrderCa::Present,
        key,
    }
}

const BASE: &str = "smart-widget.company-x.example";

#[test]
fn a_device_below_an_order_ca_has_a_chain_that_verifies_and_tells_its_journey() {
    let brand = brand(BASE, 5);
    let order = brand.open(1, &draft("po-1", 1));
    brand.offer(10, "po-1", 1, "a1", units(5)).unwrap();
    let (accept, lot_key) = brand.acceptance("a1", &KEYS.makers[0]);
    let answer = brand.orders.authority.accept(&brand.act_of(1, "maker.example", 11), &accept).unwrap();
    let chain: Vec<Certificate> = answer.chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
    assert_eq!(chain.len(), 2, "the handoff certificate, then the order CA");
    assert_eq!(chain[1], brand.orders.root.chain[0]);

    // The manufacturer's side: a device certificate under the lot.
    let above = [chain.clone(), vec![KEYS.anchor.clone()]].concat();
    let signer = Issuer::<Unrecorded>::load(above, lot_key, &options()).unwrap();
    let terms = Arc::new(answer.terms.terms().clone());
    assert_eq!(terms.bytes().as_bytes(), order.terms.as_ref());
    let profiles = OrderProfiles::new(terms, Stage::Development).unwrap();
    let device = DeviceId::parse("sn1").unwrap();
    let csr = make_csr(&key(), "sn1").unwrap();
    let subject = gate(&csr, profiles.device_keys(), AskedFor::Device(&device)).unwrap();
    let request = DeviceRequest {
        key: &subject,
        device: &device,
        generation: Generation::FIRST,
        serial: serials(8).next_serial().unwrap(),
        now: options().now,
    };
    let draft = signer.draft_device(&profiles, request).unwrap();
    let receipt = Unrecorded(draft.tbs_digest());
    let leaf = signer.sign(draft.recorded(receipt).unwrap(), SelfCheck::Verify).unwrap().into_certificate().unwrap();

    let bundle = rpc::bundle(&brand.orders).unwrap();
    let path = PathOptions::new(options().now, Purpose::Client);
    let path = verify_path(&leaf, &chain, &bundle.anchors, &path).unwrap();
    assert_eq!(path.intermediates().len(), 2);
    let journey: Journey = mfg::journey::read(&path, Some(&bundle)).unwrap();
    let hops: Vec<(&str, &str, &str)> =
        journey.hops.iter().map(|hop| (hop.from.as_str(), hop.to.as_str(), hop.accepted.as_str())).collect();
    assert_eq!(hops, [("company-x", "maker-1", "proven")]);
}

#[test]
fn the_order_ca_counts_in_the_longest_route() {
    let brand = brand(BASE, 5);
    assert_eq!(reason(brand.create(1, &draft("po-1", 6))), "CHAIN_TOO_DEEP");
    let order = brand.open(1, &draft("po-1", 5));
    assert_eq!(reason(brand.amend(10, &draft("po-1", 6))), "CHAIN_TOO_DEEP");
    assert_eq!(brand.orders.get("po-1").unwrap(), order);
    brand.hand_over(11, "po-1", 1, "a1", units(5));
}

#[test]
fn an_order_proposed_under_the_root_is_not_approved_under_an_order_ca_that_it_does_not_fit() {
    let brand = Brand::new();
    let deep = brand.create(1, &draft("po-1", 6)).unwrap();
    let fits = brand.create(2, &draft("po-2", 2)).unwrap();
    let approve_under = |brand: Brand, root| {
        let brand = brand.under(root);
        let head = store::Store::head(brand.store.as_ref());
        let outcomes = [&deep, &fits]
            .map(|order| brand.approve("alice", 3, order).map_or_else(|refusal| refusal.reason(), |_| "OK"));
        (outcomes, store::Store::head(brand.store.as_ref()) == head, brand)
    };
    let (outcomes, unchanged, brand) = approve_under(brand, root(BASE, 1));
    assert_eq!((outcomes, unchanged), (["CHAIN_TOO_DEEP", "PATH_LENGTH_SPENT"], true));
    let (outcomes, unchanged, brand) = approve_under(brand, root("other.company-x.example", 5));
    assert_eq!((outcomes, unchanged), (["CHAIN_TOO_DEEP", "SUBTREE_NOT_NESTED"], true));
    let (outcomes, ..) = approve_under(brand, root(BASE, 5));
    assert_eq!(outcomes, ["CHAIN_TOO_DEEP", "OK"]);
}

#[test]
fn an_order_ca_serves_the_program_that_its_names_allow() {
    let brand = brand(BASE, 5);
    let other = api::program::v1::Program { base_name: "lamp.company-x.example".to_owned(), ..program("lamp") };
    brand.register(150, other).unwrap();
    let mut asked = draft("po-1", 1);
    asked.program = "lamp".to_owned();
    assert_eq!(reason(brand.create(1, &asked)), "SUBTREE_NOT_NESTED");
    brand.create(1, &draft("po-1", 1)).unwrap();
}

#[test]
fn a_renewed_order_ca_takes_over_between_lots_and_old_lots_are_answered_as_before() {
    let mut brand = brand(BASE, 5);
    brand.open(1, &draft("po-1", 1));
    brand.offer(10, "po-1", 1, "a1", units(5)).unwrap();
    let (accept, _) = brand.acceptance("a1", &KEYS.makers[0]);
    let act = |brand: &Brand| brand.act_of(1, "maker.example", 11);
    let answered = brand.orders.authority.accept(&act(&brand), &accept).unwrap();
    // Another key, another certificate, the same orders.
    brand = brand.under(root(BASE, 5));
    crate::orders::note_all(&brand.orders).unwrap();
    assert_eq!(brand.orders.authority.accept(&act(&brand), &accept).unwrap().chain, answered.chain);
    let next = brand.hand_over(20, "po-1", 1, "a2", units(5));
    assert_ne!(next.chain[1], answered.chain[1]);
    for chain in [answered.chain, next.chain] {
        let chain: Vec<Certificate> = chain.iter().map(|der| Certificate::parse(der).unwrap()).collect();
        let options = PathOptions::new(options().now, Purpose::Any);
        verify_path(&chain[0], &chain[1..], std::slice::from_ref(&KEYS.anchor), &options).unwrap();
    }
}
