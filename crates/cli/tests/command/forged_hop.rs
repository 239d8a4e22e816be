//! No sender can invent a hop that the named receiver never accepted: `verify` refuses it when it has the bundle.

use std::fs;

use issuance::SigningKey as _;
use mfg::{Handoff, LotId, Quantity};
use serde_json::json;

use crate::{
    demo_folder::{demo, inside},
    forger::{Forger, Forgery},
    run::{Ended, countersign},
};

fn verify(trust: &str, chain: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let file = inside(folder.path(), "chain.pem");
    fs::write(&file, chain).unwrap();
    countersign(&["verify", "--trust", &inside(&demo(2), trust), &file, "-o", "json"])
}

/// With the bundle the chain is refused for this reason; with the root alone it is valid, and says that nobody checked.
fn assert_unmasked(chain: &str, reason: &str) {
    let refused = verify("trust/bundle.json", chain);
    let answer = refused.json();
    assert_eq!(
        (refused.code, &answer["valid"], &answer["reason"]),
        (Some(1), &json!(false), &json!(reason)),
        "{answer}"
    );
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("hop 2") && detail.contains("technician-z"), "{answer}");
    assert_unchecked(chain);
}

fn assert_unchecked(chain: &str) {
    let unchecked = verify("trust/root.pem", chain);
    let answer = unchecked.json();
    assert_eq!((unchecked.code, &answer["valid"]), (Some(0), &json!(true)), "{answer}");
    for hop in [0, 1] {
        assert_eq!(answer["hops"][hop]["accepted"], "not checked", "{answer}");
    }
}

/// The control: the machinery of these tests makes certificates that are accepted as long as they say what was accepted.
#[test]
fn a_handoff_signed_again_over_the_same_content_is_proven() {
    let forger = Forger::in_folder(&demo(2));
    let chain = forger.chain(&Forgery { lot_key: &forger.receiver_key, handoff: forger.genuine() });
    let accepted = verify("trust/bundle.json", &chain);
    assert_eq!(accepted.code, Some(0), "{}", accepted.stdout);
    assert_eq!(accepted.json()["hops"][1]["accepted"], "proven");
    assert_unchecked(&chain);
}

#[test]
fn a_ca_that_the_sender_minted_for_a_key_of_its_own_is_refused() {
    let forger = Forger::in_folder(&demo(2));
    let key = Forger::fresh_key();
    let genuine = forger.genuine();
    let acceptance = forger.acceptance(&forger.receiver_identity, &forger.sender_identity, &key, &genuine.consignment);
    let chain = forger.chain(&Forgery { lot_key: &key, handoff: Handoff { acceptance, ..genuine } });
    assert_unmasked(&chain, "ACCEPTANCE_INVALID");
}

#[test]
fn the_receivers_acceptance_of_its_own_key_does_not_cover_another_key() {
    let forger = Forger::in_folder(&demo(2));
    let key = Forger::fresh_key();
    let chain = forger.chain(&Forgery { lot_key: &key, handoff: forger.genuine() });
    assert_unmasked(&chain, "ACCEPTANCE_INVALID");
}

#[test]
fn an_acceptance_by_a_key_that_is_not_the_receivers_is_refused() {
    let forger = Forger::in_folder(&demo(2));
    let key = Forger::fresh_key();
    let genuine = forger.genuine();
    // Registered, but for another manufacturer; and registered for nobody.
    let stranger = Forger::fresh_key();
    for identity in [&forger.sender_identity, &stranger] {
        let acceptance = forger.acceptance(identity.public_key(), identity, &key, &genuine.consignment);
        let chain = forger.chain(&Forgery { lot_key: &key, handoff: Handoff { acceptance, ..genuine.clone() } });
        assert_unmasked(&chain, "ACCEPTANCE_KEY_UNKNOWN");
    }
}

#[test]
fn an_acceptance_of_another_lot_cannot_be_replayed() {
    let forger = Forger::in_folder(&demo(2));
    let mut handoff = forger.genuine();
    handoff.consignment.lot = LotId::parse("t8").unwrap();
    assert_unmasked(&forger.chain(&Forgery { lot_key: &forger.receiver_key, handoff }), "ACCEPTANCE_INVALID");
}

#[test]
fn an_acceptance_does_not_stretch_to_more_units() {
    let forger = Forger::in_folder(&demo(2));
    let mut handoff = forger.genuine();
    assert_eq!(handoff.consignment.quantity, Quantity::of(4980).unwrap());
    handoff.consignment.quantity = Quantity::of(5000).unwrap();
    assert_unmasked(&forger.chain(&Forgery { lot_key: &forger.receiver_key, handoff }), "ACCEPTANCE_INVALID");
}
