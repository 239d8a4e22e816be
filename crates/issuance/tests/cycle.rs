//! Record before signature: the cycle's steps, its refusals, and a crash in the middle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use issuance::profile::RootProfileDocument;
use issuance::{Issuer, KeyError, KeyPolicy, RootMaker, SelfCheck, ServiceCa, SigningKey, SoftwareKey, Stage};
use mfg::terms::HandoffKeyAlgorithm;
use pki::path::{PathOptions, Purpose, verify_path};
use pki::{GeneralName, PublicKey, Sha256};
use world::*;

/// Counts its signatures, and makes broken ones when told to.
struct Watched {
    key: Arc<SoftwareKey>,
    signatures: AtomicUsize,
    fault: Fault,
}

#[derive(PartialEq, Eq)]
enum Fault {
    None,
    WrongSignature,
    Unreachable,
}

impl Watched {
    fn of(key: &Arc<SoftwareKey>, fault: Fault) -> Arc<Self> {
        Arc::new(Self { key: Arc::clone(key), signatures: AtomicUsize::new(0), fault })
    }
}

impl SigningKey for Watched {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.signatures.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::None => self.key.sign(message),
            Fault::WrongSignature => self.key.sign(b"something else"),
            Fault::Unreachable => Err(KeyError::Unavailable),
        }
    }
}

fn watched(world: &World, fault: Fault) -> (TestIssuer, Arc<Watched>) {
    let above = world.hand_over(&world.root_issuer(), 1);
    let key = Watched::of(&above.key, fault);
    let chain = below(&world.root_issuer(), above.issuer.certificate().unwrap().clone());
    let signer: Arc<dyn SigningKey> = key.clone();
    (Issuer::load(chain, signer, &world.options()).unwrap(), key)
}

#[test]
fn drafting_and_recording_do_not_touch_the_key() {
    let world = World::new(1);
    let (issuer, key) = watched(&world, Fault::None);
    let draft = world.draft_device(&issuer, "sn1", now()).unwrap();
    assert_eq!(draft.tbs_digest(), Sha256::of(draft.tbs()));
    assert_eq!(draft.profile_hash(), world.order.device().hash());
    assert_eq!(draft.issuer_key_digest(), issuer.public_key().sha256());
    let (tbs, receipt) = (draft.tbs().to_vec(), TestReceipt(draft.tbs_digest()));
    let recorded = draft.recorded(receipt).unwrap();
    assert_eq!(key.signatures.load(Ordering::SeqCst), 0);
    let certificate = issuer.sign(recorded, SelfCheck::Skip).unwrap().into_certificate().unwrap();
    assert_eq!(key.signatures.load(Ordering::SeqCst), 1);
    assert_eq!(certificate.tbs(), tbs);
}

#[test]
fn receipt_does_not_cover() {
    let world = World::new(1);
    let (issuer, _) = watched(&world, Fault::None);
    let draft = world.draft_device(&issuer, "sn1", now()).unwrap();
    let refusal = draft.recorded(TestReceipt(Sha256::of(b"another"))).unwrap_err();
    assert_eq!(refusal.reason(), "RECEIPT_DOES_NOT_COVER");
}

#[test]
fn issuer_key_mismatch() {
    let world = World::new(1);
    let (one, two) = (world.hand_over(&world.root_issuer(), 1), world.hand_over(&world.root_issuer(), 1));
    let draft = world.draft_device(&one.issuer, "sn1", now()).unwrap();
    let receipt = TestReceipt(draft.tbs_digest());
    let refusal = two.issuer.sign(draft.recorded(receipt).unwrap(), SelfCheck::Verify).unwrap_err();
    assert_eq!(refusal.reason(), "ISSUER_KEY_MISMATCH");
}

#[test]
fn a_faulty_key_is_found_out() {
    let world = World::new(1);
    for (fault, reason) in [(Fault::WrongSignature, "SIGNATURE_INVALID"), (Fault::Unreachable, "KEY_UNAVAILABLE")] {
        let (issuer, _) = watched(&world, fault);
        let draft = world.draft_device(&issuer, "sn1", now()).unwrap();
        let receipt = TestReceipt(draft.tbs_digest());
        let refusal = issuer.sign(draft.recorded(receipt).unwrap(), SelfCheck::Verify).unwrap_err();
        assert_eq!(refusal.reason(), reason);
    }
}

#[test]
fn a_ca_certificate_is_verified_whether_asked_or_not() {
    let world = World::new(1);
    let key = Watched::of(&world.root_key, Fault::WrongSignature);
    let root = Issuer::load(vec![world.root.clone()], key, &world.options()).unwrap();
    let draft = world.draft_handoff(&root, 1, |_| {}).unwrap();
    let receipt = TestReceipt(draft.tbs_digest());
    let refusal = root.sign(draft.recorded(receipt).unwrap(), SelfCheck::Skip).unwrap_err();
    assert_eq!(refusal.reason(), "SIGNATURE_INVALID");
}

#[test]
fn an_intent_is_completed_over_the_same_tbs_after_a_crash() {
    let world = World::new(1);
    let (issuer, _) = watched(&world, Fault::None);
    let draft = world.draft_device(&issuer, "sn1", now()).unwrap();
    let (tbs, digest, profile) = (draft.tbs().to_vec(), draft.tbs_digest(), draft.profile_hash());
    let (serial, subject) = (draft.serial().clone(), draft.subject_key_digest());
    drop(draft);
    let again = issuer.resume(tbs.clone(), profile).unwrap();
    assert_eq!((again.tbs_digest(), again.serial(), again.subject_key_digest()), (digest, &serial, subject));
    let certificate = finish(&issuer, again);
    assert_eq!(certificate.tbs(), tbs);
}

#[test]
fn issuer_mismatch() {
    let world = World::new(1);
    let (issuer, _) = watched(&world, Fault::None);
    let stranger = world.hand_over(&world.root_issuer(), 1).issuer;
    let draft = world.draft_device(&stranger, "sn1", now()).unwrap();
    let refused = |tbs: &[u8]| issuer.resume(tbs.to_vec(), draft.profile_hash()).unwrap_err().reason();
    // The stranger has the same name, and another key.
    assert_eq!(refused(draft.tbs()), "ISSUER_MISMATCH");
    assert_eq!(refused(b""), "ISSUER_MISMATCH");
    let own = world.draft_device(&issuer, "sn1", now()).unwrap();
    for length in 0..own.tbs().len() {
        assert_eq!(refused(&own.tbs()[..length]), "ISSUER_MISMATCH");
    }
}

#[test]
fn a_roots_draft_is_resumed_too() {
    let key = new_key();
    let document: RootProfileDocument = root_document();
    let signer: Arc<dyn SigningKey> = key;
    let policy = KeyPolicy::ca(HandoffKeyAlgorithm::P256);
    let maker = RootMaker::<TestReceipt>::new(signer, &policy, document.check().unwrap()).unwrap();
    let draft = maker.draft(serial()).unwrap();
    let again = maker.resume(draft.tbs().to_vec(), draft.profile_hash()).unwrap();
    assert_eq!(again.tbs_digest(), draft.tbs_digest());
    assert_eq!(maker.resume(vec![0x30, 0], draft.profile_hash()).unwrap_err().reason(), "ISSUER_MISMATCH");
}

#[test]
fn a_production_root_has_no_marker() {
    let mut document = root_document();
    document.stage = Stage::Production;
    let root = make_root(&new_key(), document);
    assert!(root.extension(&mfg::oid::DEVELOPMENT_MARKER).is_none());
    assert!(World::new(1).root.extension(&mfg::oid::DEVELOPMENT_MARKER).is_some());
}

#[test]
fn service_certificates_verify_both_ways_and_bear_one_uri() {
    let validity = period("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let ca_key: Arc<dyn SigningKey> = new_key();
    let made = ServiceCa::create(Arc::clone(&ca_key), "Factory Y", "service CA", &validity, serial()).unwrap();
    let ca = ServiceCa::load(ca_key, made.certificate().clone()).unwrap();
    let id = "spiffe://factory-y.example/factory-y/intermediate-ca";
    let certificate = ca.issue(new_key().public_key(), id, &validity, serial()).unwrap();
    assert_eq!(certificate.subject_alt_names(), [GeneralName::Uri(id.to_owned())]);
    for purpose in [Purpose::Client, Purpose::Server] {
        let options = PathOptions::new(now(), purpose);
        verify_path(&certificate, &[], &[ca.certificate().clone()], &options).unwrap();
    }
}

#[test]
fn what_a_service_ca_refuses() {
    let validity = period("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let longer = period("2026-01-01T00:00:00Z", "2027-01-01T00:00:01Z");
    let ca = ServiceCa::create(new_key(), "Factory Y", "service CA", &validity, serial()).unwrap();
    let key = new_key();
    let issue = |id: &str| ca.issue(key.public_key(), id, &validity, serial()).unwrap_err().reason();
    for id in [
        "",
        "spiffe://",
        "spiffe://d",
        "spiffe://d/",
        "spiffe://D/a",
        "spiffe://d/a//b",
        "spiffe://d/../a",
        "spiffe://d/a?b",
        "https://d/a",
        "spiffe://d/a\u{e9}",
    ] {
        assert_eq!(issue(id), "SPIFFE_ID_INVALID", "{id}");
    }
    let refusal = ca.issue(key.public_key(), "spiffe://d/a", &longer, serial()).unwrap_err();
    assert_eq!(refusal.reason(), "VALIDITY_NOT_NESTED");
    let stranger: Arc<dyn SigningKey> = new_key();
    let refusal = ServiceCa::load(stranger, ca.certificate().clone()).unwrap_err();
    assert_eq!(refusal.reason(), "ISSUER_KEY_MISMATCH");
    let refusal = ServiceCa::create(new_key(), "", "service CA", &validity, serial()).unwrap_err();
    assert_eq!(refusal.reason(), "PROFILE_NAME_INVALID");
}
