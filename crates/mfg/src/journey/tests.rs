//! Every rule of a journey, broken one at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::collections::{BTreeSet, HashSet};

use pki::path::{PathOptions, Purpose, Rules, verify_path};
use pki::{Sha256, UnixTime};
use proptest::prelude::*;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData};

use self::world::{BASE, World, dns, extension, key};
use super::*;
use crate::bundle::{Bundle, IdentityKey};
use crate::handoff::{Acceptance, Consignment, Handoff, Hop as HopNumber};
use crate::subtree::handoff_common_name;
use JourneyReason as R;

const HANDOFF: &str = "1.3.6.1.4.1.32473.1.1";
const GENERATION: &str = "1.3.6.1.4.1.32473.1.2";

fn consignment(world: &mut World, index: usize) -> &mut Consignment {
    world.cas[index].consignment.as_mut().unwrap()
}

/// Renames the second hop's certificate after its (bent) lot, so that only the wanted rule is broken.
fn rename(world: &mut World, subtree: &str) {
    let ca = &mut world.cas[1];
    let own = ca.consignment.clone().unwrap();
    ca.permitted = vec![subtree.to_owned()];
    ca.common_name = handoff_common_name(&own.lot, &own.to, &DnsName::parse(subtree).unwrap());
    world.leaf.names = vec![dns(&format!("sn0000001.{subtree}"))];
}

type Bend = fn(&mut World);

fn bent_handoffs() -> Vec<(R, Bend)> {
    vec![
        (R::HandoffMissing, |w| w.cas.clear()),
        (R::HandoffMissing, |w| w.cas[1].consignment = None),
        (R::HandoffMissing, |w| {
            w.insert_order_ca();
            w.insert_order_ca();
        }),
        (R::HandoffMissing, |w| w.cas[1].arc = OidArc::parse("1.3.6.1.4.1.99999").unwrap()),
        (R::HandoffMalformed, |w| w.cas[1].raw = Some(vec![0x30, 0])),
        (R::HandoffMalformed, |w| w.cas[0].raw = Some(b"not der".to_vec())),
        (R::HandoffVersionUnknown, |w| w.cas[0].raw = Some(vec![0x30, 3, 2, 1, 2])),
        (R::HandoffAmbiguous, |w| w.cas[0].extra = vec![extension("1.3.6.1.4.1.99999.1.1", vec![5, 0])]),
        (R::PrivateExtensionCritical, |w| w.cas[1].critical = true),
        (R::HandoffMisplaced, |w| w.leaf.extensions.push(extension(HANDOFF, vec![5, 0]))),
        (R::HopOutOfOrder, |w| consignment(w, 0).hop = HopNumber::of(2).unwrap()),
        (R::HopOutOfOrder, |w| consignment(w, 1).hop = HopNumber::of(3).unwrap()),
        (R::HopOutOfOrder, |w| consignment(w, 1).hop = HopNumber::FIRST),
        (R::HopNotLinked, |w| consignment(w, 1).from = ManufacturerId::parse("company-x").unwrap()),
        (R::ProgramDiffers, |w| consignment(w, 1).program = ProgramId::parse("other").unwrap()),
        (R::OrderDiffers, |w| consignment(w, 1).order = OrderId::parse("other").unwrap()),
        (R::TermsDiffer, |w| consignment(w, 1).terms_digest = Sha256::of(b"other")),
        (R::ManifestDiffers, |w| w.cas[1].manifest = Some(Sha256::of(b"manifest"))),
        (R::QuantityExceedsLot, |w| consignment(w, 1).quantity = Quantity::of(5001).unwrap()),
        (R::QuantityExceedsLot, |w| consignment(w, 1).quantity = Quantity::Unlimited),
        (R::AcceptanceInvalid, |w| w.cas[1].accepts = w.cas[0].consignment.clone()),
        (R::AcceptanceInvalid, |w| w.cas[1].accepts_key = Some(key().subject_public_key_info())),
        (R::AcceptanceKeyUnknown, |w| w.cas[0].identity = key()),
        (R::ProgramUnknown, |w| {
            w.bundle.as_mut().unwrap().programs[0].id = ProgramId::parse("other").unwrap();
        }),
        (R::ProgramNotAsRegistered, |w| {
            w.bundle.as_mut().unwrap().programs[0].base_name = DnsName::parse("company-x.example").unwrap();
        }),
        (R::ProgramNotAsRegistered, |w| {
            w.bundle.as_mut().unwrap().programs[0].oid_arc = OidArc::parse("1.3.6.1.4.1.99999").unwrap();
        }),
    ]
}

fn bent_certificates() -> Vec<(R, Bend)> {
    vec![
        (R::SubtreeInvalid, |w| w.cas[1].permitted.push("other.example".into())),
        (R::SubtreeInvalid, |w| w.cas[1].excluded.push("other.example".into())),
        (R::SubtreeInvalid, |w| rename(w, &format!("t7.technician-z.{BASE}"))),
        (R::SubtreeInvalid, |w| rename(w, &format!("t8.technician-z.b0032.factory-y.{BASE}"))),
        (R::SubtreeInvalid, |w| {
            w.insert_order_ca();
            w.cas[0].permitted = vec!["company-x.example".into()];
        }),
        (R::ForeignName, |w| w.cas[0].names = vec![dns(&format!("x.{BASE}"))]),
        (R::ForeignName, |w| {
            w.insert_order_ca();
            w.cas[0].names = vec![dns(BASE)];
        }),
        (R::SubjectInvalid, |w| w.cas[1].common_name = w.cas[0].common_name.clone()),
        (R::SubjectInvalid, |w| w.cas[1].organization = None),
        (R::PathLengthNotNested, |w| w.cas[0].path_length = BasicConstraints::Unconstrained),
        (R::PathLengthNotNested, |w| w.cas[1].path_length = BasicConstraints::Constrained(3)),
        (R::ValidityNotNested, |w| w.cas[0].years = (2024, 2061)),
        (R::ValidityNotNested, |w| w.cas[1].years = (2023, 2050)),
        (R::ValidityNotNested, |w| w.leaf.years = (2025, 2051)),
        (R::SigningWindowMissing, |w| w.cas[1].window = None),
        (R::SigningWindowNotNested, |w| w.cas[1].window = Some((2024, 2026))),
        (R::SigningWindowNotNested, |w| w.cas[1].window = Some((2026, 2031))),
        (R::SigningWindowNotNested, |w| w.cas[0].window = Some((2027, 2026))),
        (R::DeviceIsCa, |w| w.leaf.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        (R::DeviceIsCa, |w| w.leaf.usages.push(KeyUsagePurpose::KeyCertSign)),
        (R::DeviceIsCa, |w| w.leaf.usages.push(KeyUsagePurpose::CrlSign)),
        (R::DeviceUsageInvalid, |w| w.leaf.usages.push(KeyUsagePurpose::KeyAgreement)),
        (R::DeviceUsageInvalid, |w| w.leaf.usages.clear()),
        (R::DeviceUsageInvalid, |w| w.leaf.purposes.clear()),
        (R::DeviceUsageInvalid, |w| w.leaf.purposes.push(ExtendedKeyUsagePurpose::ServerAuth)),
        (R::DeviceIdInvalid, |w| w.leaf.common_names.clear()),
        (R::DeviceIdInvalid, |w| w.leaf.common_names = vec!["SN0000001".into()]),
        (R::DeviceIdInvalid, |w| w.leaf.common_names = vec!["sn.1".into()]),
        (R::DeviceNameInvalid, |w| w.leaf.common_names = vec!["sn0000002".into()]),
        (R::DeviceNameInvalid, |w| w.leaf.names.clear()),
        (R::DeviceNameInvalid, |w| w.leaf.names.push(w.leaf.names[0].clone())),
        (R::DeviceNameInvalid, |w| {
            w.leaf.names.push(rcgen::SanType::URI("urn:x".try_into().unwrap()));
        }),
        (R::DeviceNameInvalid, |w| w.leaf.names = vec![dns(&format!("sn0000001.x.{}", w.cas[1].permitted[0]))]),
        (R::GenerationMissing, |w| w.leaf.extensions.clear()),
        (R::GenerationInvalid, |w| w.leaf.extensions = vec![extension(GENERATION, vec![2, 1, 0])]),
        (R::GenerationInvalid, |w| w.leaf.extensions = vec![extension(GENERATION, vec![2, 1, 1, 0])]),
        (R::PrivateExtensionCritical, |w| w.leaf.extensions[0].set_criticality(true)),
    ]
}

#[test]
fn every_rule_has_its_refusal() {
    let mut seen = BTreeSet::from([R::ChainTooDeep]);
    for (row, (reason, bend)) in bent_handoffs().into_iter().chain(bent_certificates()).enumerate() {
        let mut world = World::new();
        bend(&mut world);
        let refusal = world.read().expect_err(&format!("row {row}: {reason}"));
        assert_eq!(refusal.reason, reason, "row {row}: {refusal}");
        seen.insert(reason);
    }
    let untested: Vec<_> = R::ALL.iter().filter(|reason| !seen.contains(reason)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn seven_intermediates_are_too_deep() {
    let chain = World::new().chain();
    let cas = [&chain.cas[0]; 7];
    let refusal = read_certificates(&chain.leaf, &cas, &chain.root, &World { bundle: None, ..World::new() }.witness())
        .unwrap_err();
    assert_eq!(refusal.reason(), "CHAIN_TOO_DEEP");
}

fn verified(world: &World) -> pki::path::Path {
    let chain = world.chain();
    let mut options = PathOptions::new(UnixTime::parse("2026-06-01T00:00:00Z").unwrap(), Purpose::Client);
    options.rules = Rules::Countersign;
    verify_path(&chain.leaf, &chain.cas, &[chain.root], &options).unwrap()
}

#[test]
fn a_journey_reads_from_a_verified_path() {
    let world = World::new();
    let journey = read(&verified(&world), world.bundle.as_ref()).unwrap();
    assert_eq!(journey.device_id.as_str(), "sn0000001");
    assert_eq!((journey.generation.get(), journey.order.as_str()), (1, "po-7"));
    let hops: Vec<_> = journey
        .hops
        .iter()
        .map(|hop| format!("{} {} {} {} {}", hop.from, hop.to, hop.lot, hop.quantity, hop.accepted.as_str()))
        .collect();
    assert_eq!(hops, ["company-x factory-y b0032 5000 proven", "factory-y technician-z t7 4980 proven"]);
    assert_eq!(journey.hops[1].subtree.as_str(), format!("t7.technician-z.b0032.factory-y.{BASE}"));
}

#[test]
fn without_identity_keys_nothing_is_said_to_be_proven() {
    let mut world = World::new();
    world.bundle = None;
    let journey = world.read().unwrap();
    assert!(journey.hops.iter().all(|hop| hop.accepted == Accepted::NotChecked));

    let mut bundle = World::full_bundle(&world);
    bundle.identity_keys.truncate(1);
    world.bundle = Some(bundle);
    let accepted: Vec<_> = world.read().unwrap().hops.iter().map(|hop| hop.accepted).collect();
    assert_eq!(accepted, [Accepted::Proven, Accepted::NotChecked]);
}

#[test]
fn an_order_ca_may_stand_under_the_anchor() {
    let mut world = World::new();
    world.insert_order_ca();
    let journey = read(&verified(&world), world.bundle.as_ref()).unwrap();
    assert_eq!(journey.hops.len(), 2);
}

#[test]
fn a_lots_ca_may_be_the_anchor() {
    let world = World::new();
    let chain = world.chain();
    let journey = read_certificates(&chain.leaf, &[&chain.cas[1]], &chain.cas[0], &world.witness()).unwrap();
    assert_eq!(journey.hops.len(), 2);
    let journey = read_certificates(&chain.leaf, &[], &chain.cas[1], &world.witness()).unwrap();
    assert_eq!(journey.hops.len(), 1);
    let refusal = read_certificates(&chain.leaf, &[], &chain.root, &world.witness()).unwrap_err();
    assert_eq!(refusal.reason(), "HANDOFF_MISSING");
}

#[test]
fn an_unlimited_lot_may_hand_on_any_lot() {
    let mut world = World::new();
    consignment(&mut world, 0).quantity = Quantity::Unlimited;
    assert_eq!(world.read().unwrap().hops[0].quantity, Quantity::Unlimited);
    consignment(&mut world, 1).quantity = Quantity::Unlimited;
    assert!(world.read().is_ok());
}

#[test]
fn the_chain_itself_says_the_arc() {
    let mut world = World::new();
    let arc = OidArc::parse("1.3.6.1.4.1.99999.7").unwrap();
    world.cas.iter_mut().for_each(|ca| ca.arc = arc);
    world.leaf.extensions = vec![extension(&arc.generation().to_string(), vec![2, 1, 3])];
    world.bundle = None;
    let journey = world.read().unwrap();
    assert_eq!((journey.oid_arc, journey.generation.get()), (arc, 3));
}

/// factory-y keeps the units and signs a certificate that says technician-z took them.
#[test]
fn a_sender_cannot_invent_a_hop() {
    let mut world = World::new();
    let honest = world.full_bundle();
    let forger = key();
    // With a key of its own, under technician-z's name.
    world.cas[1].key = key();
    world.cas[1].identity = forger;
    assert_eq!(world.read().unwrap_err().reason(), "ACCEPTANCE_KEY_UNKNOWN");

    // With the digest of technician-z's key, which anyone can compute, over a signature by the forger.
    let own = world.cas[1].consignment.clone().unwrap();
    let real = honest.identity_keys[1].public_key.sha256();
    let statement = crate::Statement::acceptance(&world.cas[1].key.subject_public_key_info(), &own);
    let signature = rcgen::SigningKey::sign(&world.cas[1].identity, statement.to_be_signed()).unwrap();
    let acceptance = Acceptance { identity_key_digest: real, signature };
    world.cas[1].raw = Some(Handoff { consignment: own, manifest_digest: None, acceptance }.to_der());
    assert_eq!(world.read().unwrap_err().reason(), "ACCEPTANCE_INVALID");
}

#[test]
fn what_the_bundle_proved_before_is_not_checked_again_and_nothing_else_is_believed() {
    let mut world = World::new();
    let path = verified(&world);
    let honest = read(&path, world.bundle.as_ref()).unwrap();
    let proven: HashSet<Sha256> = honest.hops.iter().map(|hop| hop.certificate_sha256).collect();
    // Nothing is asked of a bundle that has lost its keys meanwhile: the caller forgets with the bundle.
    let without_keys = Bundle { identity_keys: Vec::new(), ..world.full_bundle() };
    assert_eq!(read_with(&path, &Witness { bundle: Some(&without_keys), proven: &proven }), Ok(honest));
    // The same lot and key, in a certificate that nobody looked at yet.
    world.cas[1].accepts_key = Some(key().subject_public_key_info());
    let refusal =
        read_with(&verified(&world), &Witness { bundle: world.bundle.as_ref(), proven: &proven }).unwrap_err();
    assert_eq!(refusal.reason(), "ACCEPTANCE_INVALID");
}

/// An acceptance that technician-z once gave does not carry over to another key, quantity, lot or order.
#[test]
fn an_acceptance_cannot_be_used_again() {
    let changes: [fn(&mut Consignment); 4] = [
        |own| own.quantity = Quantity::of(4979).unwrap(),
        |own| own.lot = LotId::parse("t8").unwrap(),
        |own| own.order = OrderId::parse("po-8").unwrap(),
        |own| own.terms_digest = Sha256::of(b"other"),
    ];
    for change in changes {
        let mut world = World::new();
        let mut accepted = world.cas[1].consignment.clone().unwrap();
        change(&mut accepted);
        world.cas[1].accepts = Some(accepted);
        assert_eq!(world.read().unwrap_err().reason(), "ACCEPTANCE_INVALID");
    }
}

#[test]
fn a_manufacturer_may_have_several_identity_keys() {
    let mut world = World::new();
    let old = key();
    let extra = IdentityKey {
        manufacturer: ManufacturerId::parse("factory-y").unwrap(),
        public_key: pki::PublicKey::parse(&old.subject_public_key_info()).unwrap(),
    };
    let more = Bundle { identity_keys: vec![extra], ..Bundle::default() };
    world.bundle = Some(more.merge(world.full_bundle()).unwrap());
    assert_eq!(world.read().unwrap().hops[0].accepted, Accepted::Proven);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_hostile_extension_is_refused_and_never_panics(raw in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut world = World::new();
        world.cas[1].raw = Some(raw);
        prop_assert!(world.read().is_err());
    }
}

#[test]
fn a_development_anchor_is_known_by_its_marker() {
    let mut world = World::new();
    let marker = &crate::oid::DEVELOPMENT_MARKER.to_string();
    world.cas[0].extra = vec![extension(marker, crate::oid::DEVELOPMENT_MARKER_VALUE.to_vec())];
    let chain = world.chain();
    assert!(crate::oid::is_development_anchor(&chain.cas[0]));
    assert!(!crate::oid::is_development_anchor(&chain.root));
}

#[test]
fn a_lots_ca_tells_of_its_custody() {
    let mut world = World::new();
    world.insert_order_ca();
    let chain = world.chain();
    let options = PathOptions::new(UnixTime::parse("2026-06-01T00:00:00Z").unwrap(), Purpose::Any);
    let path =
        |ca: usize| verify_path(&chain.cas[ca], &chain.cas[..ca], std::slice::from_ref(&chain.root), &options).unwrap();
    let custody = read_custody(&path(2), world.bundle.as_ref()).unwrap();
    assert_eq!(custody.handoff.consignment.lot.as_str(), "t7");
    assert_eq!(custody.public_key.spki(), world.cas[2].key.subject_public_key_info());
    assert_eq!((custody.hops.len(), custody.hops[1].accepted), (2, Accepted::Proven));
    assert_eq!(custody.hops[1].subtree, custody.subtree);
    assert_eq!(read_issuer(&path(0), world.bundle.as_ref()).unwrap(), None);
    assert_eq!(read_custody(&path(0), world.bundle.as_ref()).unwrap_err().reason(), "HANDOFF_MISSING");
}
