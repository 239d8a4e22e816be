//! Proof of possession: what a CA signs for a hub proves that its key is held, and is good for nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::sync::Arc;

use issuance::{CaKey, SelfCheck, SigningKey, Stage};
use mfg::VerificationCode;
use pki::path::{PathOptions, Purpose, Rules, verify_path};
use pki::{Certificate, UnixTime};
use world::*;

const DAY: i64 = 86_400;

fn code() -> VerificationCode {
    VerificationCode::parse(&"3f0C".repeat(12)).unwrap()
}

fn prove(ca: &CaKey<TestReceipt>, now: UnixTime) -> Certificate {
    let draft = ca.draft_possession(&code(), serial(), now).unwrap();
    let receipt = TestReceipt(draft.tbs_digest());
    ca.sign(draft.recorded(receipt).unwrap(), SelfCheck::Verify).unwrap().into_certificate().unwrap()
}

#[test]
fn a_root_an_order_ca_and_a_lots_ca_sign_the_code_and_nothing_else() {
    let world = World::new(2);
    let (root, order_ca) = (world.root_issuer(), world.order_ca().issuer);
    let lot = world.route(world.root_issuer());
    for issuer in [&root, &order_ca, &lot] {
        let proof = prove(issuer.ca_key(), now());
        assert_eq!(proof.subject().to_string(), format!("CN={}", code()), "as it was written, and nothing beside it");
        assert_eq!(proof.issuer(), issuer.certificate().unwrap().subject());
        let algorithm = proof.signature_algorithm().unwrap();
        issuer.public_key().verify(algorithm, proof.tbs(), proof.signature()).unwrap();
        assert!(!proof.is_ca() && proof.subject_alt_names().is_empty());
        assert_eq!(proof.not_after().as_secs() - proof.not_before().as_secs(), DAY);
        assert!(proof.not_before() <= now() && now() < proof.not_after());
        let usage = proof.extended_key_usage().unwrap();
        assert!(!usage.client_auth() && !usage.server_auth() && !usage.any());
        assert_ne!(proof.public_key(), issuer.public_key(), "it is for a key that nobody has");
        assert_ne!(proof.public_key(), prove(issuer.ca_key(), now()).public_key());
    }
}

#[test]
fn no_verifier_takes_a_proof_for_a_device() {
    let world = World::new(2);
    let lot = world.route(world.root_issuer());
    let proof = prove(lot.ca_key(), now());
    for rules in [Rules::Countersign, Rules::Plain] {
        for purpose in [Purpose::Client, Purpose::Server] {
            let options = PathOptions { rules, ..PathOptions::new(now(), purpose) };
            let refusal =
                verify_path(&proof, lot.intermediates(), std::slice::from_ref(&world.root), &options).unwrap_err();
            assert_eq!(refusal.reason(), "PURPOSE_NOT_ALLOWED", "{rules:?} {purpose:?}");
        }
    }
    // Even where nobody asks for a purpose, its path tells no journey: it names no device.
    let path = verify_path(
        &proof,
        lot.intermediates(),
        std::slice::from_ref(&world.root),
        &PathOptions::new(now(), Purpose::Any),
    );
    let refusal = mfg::journey::read(&path.unwrap(), None).unwrap_err();
    assert!(!refusal.reason().is_empty(), "{refusal}");
}

#[test]
fn a_proof_stays_inside_its_issuers_life_and_window() {
    let world = World::new(1);
    let lot = world.route(world.root_issuer());
    let refused = |at: &str| lot.ca_key().draft_possession(&code(), serial(), time(at)).unwrap_err().reason();
    assert_eq!(refused("2028-01-01T00:00:01Z"), "SIGNING_WINDOW_CLOSED");
    assert_eq!(refused("2025-12-31T23:59:59Z"), "ISSUER_EXPIRED");
    let first = prove(lot.ca_key(), time("2026-01-01T00:00:10Z"));
    assert_eq!(first.not_before(), lot.certificate().unwrap().not_before(), "not before its issuer");

    let mut document = root_document();
    document.validity = period("2025-01-01T00:00:00Z", "2026-06-01T01:00:00Z");
    let key = new_key();
    let root = make_root(&key, document);
    let ca = CaKey::<TestReceipt>::load(std::slice::from_ref(&root), key, Stage::Development, now()).unwrap();
    assert_eq!(prove(&ca, now()).not_after(), root.not_after(), "not after it either");
}

#[test]
fn a_proof_that_a_crash_cut_short_is_resumed_over_the_same_bytes() {
    let world = World::new(1);
    let lot = world.route(world.root_issuer());
    let draft = lot.ca_key().draft_possession(&code(), serial(), now()).unwrap();
    let again = lot.resume(draft.tbs().to_vec(), draft.profile_hash()).unwrap();
    assert_eq!((again.tbs_digest(), again.serial()), (draft.tbs_digest(), draft.serial()));
    let stranger = world.root_issuer();
    let refusal = stranger.resume(draft.tbs().to_vec(), draft.profile_hash()).unwrap_err();
    assert_eq!(refusal.reason(), "ISSUER_MISMATCH");
}

#[test]
fn a_ca_is_held_to_its_chain_before_it_may_prove_anything() {
    let world = World::new(1);
    let reason = |chain: &[Certificate], key: &Arc<issuance::SoftwareKey>, stage| {
        let key: Arc<dyn SigningKey> = Arc::clone(key) as _;
        CaKey::<TestReceipt>::load(chain, key, stage, now()).unwrap_err().reason()
    };
    let root = [world.root.clone()];
    assert_eq!(reason(&[], &world.root_key, Stage::Development), "CHAIN_EMPTY");
    assert_eq!(reason(&root, &new_key(), Stage::Development), "ISSUER_KEY_MISMATCH");
    assert_eq!(reason(&root, &world.root_key, Stage::Production), "DEVELOPMENT_ANCHOR");
}
